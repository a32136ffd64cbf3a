"""A model with one scale for each row: what it computes, and when the file itself is read instead."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.serving import openvino_rows, weights
from limner.serving.models import DEFAULT, known_model
from limner.serving.openvino_model import OpenVinoModel
from limner.serving.openvino_rows import FORM, MODEL, NUMBERS, SIZES, prepared, rounded
from limner.serving.request import ChatRequest, Message, PromptId
from limner.serving.weights import Weights

ROWS, COLUMNS = 5000, 128
"""More rows than are worked on at a time."""


@given(st.lists(st.lists(st.floats(-1e3, 1e3, width=32), min_size=3, max_size=3), min_size=1, max_size=4))
def test_a_number_is_off_by_half_a_step_of_its_row_at_most(values: list[list[float]]) -> None:
    rows = np.array(values, np.float32)
    whole, scales = rounded(rows)
    assert whole.dtype == np.int8
    steps = scales.astype(np.float32)
    # The step is rounded to 11 bits, or to 2^-24 where it is tiny: the row's largest number may be cut by so much.
    cut = np.abs(rows).max(axis=1, keepdims=True) / 1024 + 127 * 2.0**-24
    assert np.all(np.abs(whole * steps - rows) <= steps / 2 + cut)
    assert np.all(whole[np.all(rows == 0, axis=1)] == 0)


class Grouped(NamedTuple):
    """A model of three products in a row (two stored in groups, one plain) and what its matrices are as numbers."""

    model: Any
    numbers: list[np.ndarray[Any, Any]]


def grouped() -> Grouped:
    """A small model as the engine writes one: 4 bits with zero points in groups of 32, 8 bits in groups of 16, f16."""
    ov = pytest.importorskip("openvino")
    from openvino import opset13 as op

    random = np.random.default_rng(7)

    def stored(bits: int, rows: int, columns: int, size: int) -> tuple[Any, np.ndarray[Any, Any]]:
        shape = (rows, columns // size, size)
        whole = random.integers(0, 2**bits, shape, np.uint8)
        zeros = random.integers(0, 2**bits, (*shape[:2], 1), np.uint8)
        scales = random.normal(0, 0.01, (*shape[:2], 1)).astype(np.float16)

        def constant(values: np.ndarray[Any, Any]) -> Any:
            if bits == 8:
                return op.constant(values)
            pairs = np.ascontiguousarray(values).reshape(-1, 2)
            tensor = ov.Tensor(ov.Type.u4, list(values.shape))
            tensor.data[:] = (pairs[:, 0] | pairs[:, 1] << 4).reshape(tensor.data.shape)
            return op.constant(tensor)

        moved = op.subtract(op.convert(constant(whole), "f16"), op.convert(constant(zeros), "f16"))
        flat = op.reshape(op.multiply(moved, op.constant(scales)), np.array([rows, columns]), False)
        values = (whole.astype(np.float32) - zeros) * scales.astype(np.float32)
        return op.convert(flat, "f32"), values.reshape(rows, columns)

    first, second, plain = stored(4, ROWS, COLUMNS, 32), stored(8, 64, ROWS - 8, 16), random.normal(0, 0.1, (8, 64))
    given_ = op.parameter([-1, COLUMNS], ov.Type.f32)
    middle = op.matmul(given_, first[0], False, True)
    middle = op.slice(middle, np.array([0]), np.array([ROWS - 8]), np.array([1]), np.array([1]))
    last = op.matmul(op.matmul(middle, second[0], False, True), op.constant(plain.astype(np.float32)), False, True)
    return Grouped(ov.Model([last], [given_]), [first[1], second[1], plain.astype(np.float32)])


def computed(model: Any, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import openvino as ov

    exact = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}
    return np.array(ov.Core().compile_model(model, "CPU", exact)(values)[0])


def test_products_stay_what_they_are_but_for_the_rounding() -> None:
    before = grouped()
    values = np.random.default_rng(8).normal(0, 1, (6, COLUMNS)).astype(np.float32)
    first, second, plain = before.numbers
    exact = (values @ first.T)[:, : ROWS - 8] @ second.T @ plain.T
    assert np.allclose(computed(before.model, values), exact, rtol=1e-3, atol=1e-3 * np.abs(exact).max())

    told: list[tuple[str, int, int]] = []
    assert openvino_rows._turn(before.model, lambda *step: told.append(step))
    # Worked out here from the numbers themselves, rounded by rows.
    again = [np.multiply(*rounded(matrix), dtype=np.float32) for matrix in (first, second)]
    wanted = (values @ again[0].T)[:, : ROWS - 8] @ again[1].T @ plain.T
    assert np.allclose(computed(before.model, values), wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max())
    assert 0 < np.linalg.norm(wanted - exact) < 0.05 * np.linalg.norm(exact)
    assert told[-1] == ("turning", first.size + second.size, first.size + second.size)

    kinds = [node.get_type_name() for node in before.model.get_ops()]
    assert "Subtract" not in kinds
    group = before.model.get_rt_info(["runtime_options", "DYNAMIC_QUANTIZATION_GROUP_SIZE"])
    assert (str(group.value), COLUMNS % 128, (ROWS - 8) % 128) == ("128", 0, 0)


def test_a_model_without_groups_is_left_alone() -> None:
    ov = pytest.importorskip("openvino")
    from openvino import opset13 as op

    given_ = op.parameter([-1, 4], ov.Type.f32)
    model = ov.Model([op.matmul(given_, op.constant(np.ones((3, 4), np.float32)), False, True)], [given_])
    assert not openvino_rows._turn(model, lambda *_: None)
    assert not model.has_rt_info(["runtime_options", "DYNAMIC_QUANTIZATION_GROUP_SIZE"])


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that the engine reads as the small model (here it does not read it: a whole GGUF model has 400 MB)."""
    ov = pytest.importorskip("openvino")
    path = tmp_path / "模型 small.gguf"
    path.write_bytes(b"GGUF" * 100)

    def read(_: Path, folder: Path) -> Path:
        ov.save_model(grouped().model, folder / MODEL)
        return folder / MODEL

    monkeypatch.setattr(openvino_rows, "_as_the_engine_reads_it", read)
    monkeypatch.setenv(weights.MODELS_DIR, str(tmp_path / "models"))
    return path


def test_it_is_made_once_and_anew_when_it_is_not_whole(small: Path, tmp_path: Path) -> None:
    folder = prepared(small)
    assert folder.parent == tmp_path / "models"
    assert folder.name.startswith("模型 small.")
    assert {path.name for path in folder.iterdir()} == {MODEL, NUMBERS, SIZES}
    made = (folder / NUMBERS).stat().st_mtime_ns
    assert prepared(small) == folder
    assert (folder / NUMBERS).stat().st_mtime_ns == made
    whole = (folder / NUMBERS).read_bytes()
    for damage in (
        lambda: (folder / NUMBERS).write_bytes(whole[:-1]),
        lambda: (folder / MODEL).unlink(),
        lambda: (folder / SIZES).write_text("{", encoding="utf-8"),
    ):
        damage()
        assert prepared(small) == folder
        assert (folder / NUMBERS).read_bytes() == whole
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == [folder.name]

    small.write_bytes(b"GGUF" * 101)
    assert prepared(small) != folder


def test_where_it_cannot_be_made_the_file_itself_is_read(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as less:
        less.setattr(openvino_rows, "memory_gb", lambda: openvino_rows.MEMORY_GB - 1)
        assert prepared(small) == small
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1000, 999, 1))
        assert prepared(small) == small
    with monkeypatch.context() as other:
        other.setattr(openvino_rows, "_turn", lambda *_: False)
        assert prepared(small) == small
    assert not [path for path in (tmp_path / "models").iterdir() if path.is_dir()]
    (tmp_path / "no folder").write_text("a file stands in the way")
    monkeypatch.setenv(weights.MODELS_DIR, str(tmp_path / "no folder" / "models"))
    assert prepared(small) == small


@pytest.mark.model
def test_the_default_model_answers_from_what_is_kept() -> None:
    known = known_model(DEFAULT)
    path = weights.find(known)
    if path is None:
        pytest.skip("the default model is not here; run: limner models pull")
    pytest.importorskip("openvino_genai")
    model = OpenVinoModel(Weights(path, known.identity, known.context))
    folder = prepared(path)
    assert folder.name.endswith(f".rows-{FORM}")
    messages = (Message("system", "Answer with one word."), Message("user", "法国的首都是哪里？"))
    request = ChatRequest(messages, PromptId("test", 1, "zh"), choices=("巴黎", "东京", "利马"), max_tokens=4)
    handle = model.add(model.tokens(messages), request)
    while not model.finished(handle):
        model.step()
    answer = model.written(handle)
    assert answer is not None
    assert answer.text == "巴黎"
