"""The default model's tokenizer as it is kept: the same as the file's own, and made anew when it cannot be read."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from limner.serving import weights
from limner.serving.models import DEFAULT, known_model
from limner.serving.openvino_tokenizer import FILES, OpenVinoTokenizer
from limner.serving.request import Message

pytestmark = pytest.mark.model

TEXTS = ("  The lid\n\nbroke\tafter 3 days…", "客服也不理人，１２３ 元！", "<|im_start|>system\n\x00 é 👍🏽", "")


def said(file: Path) -> tuple[Any, ...]:
    """All that is asked of a tokenizer."""
    tokenizer = OpenVinoTokenizer(file)
    encoded = [tokenizer.encoded(text) for text in TEXTS]
    prompt = tokenizer.tokens([Message("system", TEXTS[0]), Message("user", TEXTS[2])])
    read = [tokenizer.own.decode(tokens) for tokens in [*encoded, prompt] if tokens]
    return encoded, prompt, read, tokenizer.end, tokenizer.own.get_vocab()


def test_a_kept_tokenizer_is_the_files_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino_genai")
    file = weights.find(known_model(DEFAULT))
    if file is None:
        pytest.skip("the default model is not here; run: limner models pull")
    (tmp_path / "no folder").write_text("a file stands in the way")
    monkeypatch.setenv(weights.MODELS_DIR, str(tmp_path / "no folder" / "models"))
    own = said(file)  # Nothing can be kept there.

    monkeypatch.setenv(weights.MODELS_DIR, str(tmp_path / "models"))
    assert said(file) == own
    (folder,) = (tmp_path / "models").iterdir()
    assert {path.name for path in folder.iterdir()} == {*FILES}
    changed = {name: (folder / name).stat().st_mtime_ns for name in FILES}
    started = time.perf_counter()
    assert said(file) == own
    assert time.perf_counter() - started < 3  # Making it takes 7 seconds.
    assert {name: (folder / name).stat().st_mtime_ns for name in FILES} == changed

    (folder / FILES[1]).write_bytes(b"damaged")
    assert said(file) == own
    (folder / FILES[2]).unlink()
    assert said(file) == own
    assert [path.name for path in (tmp_path / "models").iterdir()] == [folder.name]
    assert {path.name for path in folder.iterdir()} == {*FILES}
