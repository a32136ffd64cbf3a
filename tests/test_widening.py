"""GGUF files in a tensor type that the embedded engine does not read: a copy with the same numbers."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.errors import ModelError
from limner.serving import weights
from limner.serving.gguf import contents_of
from limner.serving.models import known_model
from limner.serving.openvino_model import OpenVinoModel
from limner.serving.request import ChatRequest, Message, PromptId
from limner.serving.weights import Weights
from limner.serving.widening import readable, widened


def narrow_numbers(block: bytes) -> list[float]:
    """The numbers of a block of Q5_0, one by one, as llama.cpp's `dequantize_row_q5_0` does it."""
    scale, high = struct.unpack("<eI", block[:6])
    low = [byte & 15 for byte in block[6:]] + [byte >> 4 for byte in block[6:]]
    return [scale * ((number | (high >> place & 1) << 4) - 16) for place, number in enumerate(low)]


def wide_numbers(block: bytes) -> list[float]:
    """The numbers of a block of Q8_0."""
    scale, *numbers = struct.unpack("<e32b", block)
    return [scale * number for number in numbers]


@given(st.lists(st.tuples(st.floats(-4, 4, width=16), st.binary(min_size=20, max_size=20)), min_size=1, max_size=4))
def test_no_number_changes(blocks: list[tuple[float, bytes]]) -> None:
    narrow = b"".join(struct.pack("<e", scale) + rest for scale, rest in blocks)
    wide = widened(np.frombuffer(narrow, np.uint8)).tobytes()
    assert len(wide) == 34 * len(blocks)
    for number in range(len(blocks)):
        here = wide_numbers(wide[34 * number : 34 * number + 34])
        assert here == narrow_numbers(narrow[22 * number : 22 * number + 22])


def written(path: Path, tensors: list[tuple[str, int, bytes, int]]) -> Path:
    """A GGUF file: name, type, numbers and count of each tensor, and a chat template in Chinese."""

    def string(text: str) -> bytes:
        return struct.pack("<Q", len(text.encode())) + text.encode()

    facts = {"general.architecture": "qwen2", "tokenizer.chat_template": "你好"}
    content = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(facts))
    for key, value in facts.items():
        content += string(key) + struct.pack("<I", 8) + string(value)
    numbers = b""
    for name, kind, data, count in tensors:
        content += string(name) + struct.pack("<IQIQ", 1, count, kind, len(numbers))
        numbers += data + b"\0" * (-len(data) % 32)
    path.write_bytes(content + b"\0" * (-len(content) % 32) + numbers)
    return path


def numbers_of(path: Path) -> dict[str, tuple[str, bytes]]:
    contents, whole = contents_of(path), path.read_bytes()
    begin = contents.start
    return {
        t.name.decode(): (t.type_name, whole[begin + t.offset : begin + t.offset + t.bytes]) for t in contents.tensors
    }


def test_a_file_is_copied_once_and_all_else_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_MODELS_DIR", str(tmp_path / "models"))
    narrow, plain = os.urandom(22 * 3), os.urandom(4 * 5)
    path = written(tmp_path / "模型 small.gguf", [("a", 0, plain, 5), ("b", 6, narrow, 96), ("c", 0, plain[:4], 1)])
    assert contents_of(path).unreadable == ("Q5_0",)
    told: list[tuple[str, int, int]] = []
    copy = readable(path, lambda *step: told.append(step))
    wide = widened(np.frombuffer(narrow, np.uint8)).tobytes()
    assert numbers_of(copy) == {"a": ("F32", plain), "b": ("Q8_0", wide), "c": ("F32", plain[:4])}
    assert (contents_of(copy).unreadable, contents_of(copy).chat_template) == ((), True)
    assert told[-1][1] <= told[-1][2] == 32 + 128 + 32
    before = copy.stat().st_mtime_ns
    assert (readable(path), copy.stat().st_mtime_ns) == (copy, before)
    assert readable(copy) == copy
    assert copy.parent == tmp_path / "models"


def test_a_copy_that_cannot_be_kept_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").write_text("a file where the folder should be", encoding="utf-8")
    monkeypatch.setenv("LIMNER_MODELS_DIR", str(tmp_path / "models"))
    path = written(tmp_path / "small.gguf", [("b", 6, os.urandom(22), 32)])
    with pytest.raises(ModelError, match="Cannot keep a copy") as caught:
        readable(path)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.model
def test_a_real_model_of_that_type_answers() -> None:
    known = known_model("qwen2.5-coder-0.5b")
    path = weights.find(known)
    if path is None:
        pytest.skip("the small model is not here; run: limner models pull qwen2.5-coder-0.5b")
    model = OpenVinoModel(Weights(readable(path), known.identity, known.context))
    messages = (Message("system", "Answer with one word."), Message("user", "What is the capital of France?"))
    request = ChatRequest(messages, PromptId("test", 1, "en"), choices=("Paris", "Tokyo", "Lima"), max_tokens=4)
    handle = model.add(model.tokens(messages), request)
    while not model.finished(handle):
        model.step()
    written_ = model.written(handle)
    assert written_ is not None
    assert written_.text == "Paris"
