"""What vLLM is called with, what a name means, and GGUF files as folders."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from limner.errors import ModelError, UsageError
from limner.serving.vllm.flags import Gpu, Survey, arguments, dtype, environment, tensor_parallel
from limner.serving.vllm.weights import loadable, named_model

CARD = Gpu(80 * 10**9, (9, 0))
OLD = Gpu(16 * 10**9, (7, 5))


@pytest.mark.parametrize(
    ("survey", "cards"),
    [
        (Survey("1"), 1),
        (Survey("1", (CARD,), heads=32), 1),
        (Survey("1", (CARD,) * 4, heads=32), 4),
        (Survey("1", (CARD,) * 8, heads=28, bytes=150 * 10**9), 7),
        (Survey("1", (CARD,) * 3, heads=32), 2),
        (Survey("1", (CARD,) * 2, heads=None), 2),
        (Survey("1", (CARD,) * 8, heads=12, bytes=3 * 10**9), 1),
        (Survey("1", (CARD, OLD), heads=32, bytes=6 * 10**9), 2),
    ],
)
def test_the_model_is_spread_over_cards_by_its_heads_unless_it_is_small(survey: Survey, cards: int) -> None:
    assert tensor_parallel(survey) == cards
    given = arguments("m", "m", 1, survey)
    assert ("--tensor-parallel-size" in given) == (cards > 1)


def test_numbers_are_what_the_machine_can_calculate_in() -> None:
    assert dtype(Survey("1")) == "bfloat16"
    assert dtype(Survey("1", (CARD, CARD))) == "auto"
    assert dtype(Survey("1", (CARD, OLD))) == "half"


@pytest.mark.parametrize(("has", "asked"), [(None, "8192"), (2048, "2048"), (131_072, "8192")])
def test_the_context_is_the_models_up_to_what_is_needed(has: int | None, asked: str) -> None:
    given = arguments("m", "m", 1, Survey("1", context=has))
    assert given[given.index("--max-model-len") + 1] == asked


def test_a_persons_own_arguments_come_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_VLLM_ARGS", "--max-model-len 16384 --quantization 'fp 8'")
    assert arguments("m", "m", 1, Survey("1"))[-4:] == ["--max-model-len", "16384", "--quantization", "fp 8"]
    monkeypatch.setenv("LIMNER_VLLM_ARGS", "--open 'quote")
    with pytest.raises(UsageError, match="LIMNER_VLLM_ARGS"):
        arguments("m", "m", 1, Survey("1"))


def test_the_environment_reports_nothing_and_keeps_what_the_person_set() -> None:
    cpu = environment(Survey("1"), local=True, base={"VLLM_CPU_KVCACHE_SPACE": "3", "X": "y"})
    assert (cpu["VLLM_CPU_KVCACHE_SPACE"], cpu["X"], cpu["HF_HUB_OFFLINE"]) == ("3", "y", "1")
    assert int(environment(Survey("1"), local=False, base={})["VLLM_CPU_KVCACHE_SPACE"]) >= 1
    gpu = environment(Survey("1", (CARD,)), local=False, base={})
    assert gpu["VLLM_NO_USAGE_STATS"] == "1"
    assert not {"VLLM_CPU_KVCACHE_SPACE", "HF_HUB_OFFLINE"}.intersection(gpu)


def test_what_a_name_means(tmp_path: Path) -> None:
    assert named_model("Qwen2.5-Coder-0.5B").known is not None
    assert named_model("Qwen/Qwen3-8B").identity == "vllm:Qwen/Qwen3-8B"
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    first = named_model(str(folder))
    assert first.identity == named_model(str(tmp_path / "." / "mine")).identity
    assert first.identity.startswith("vllm:mine@")
    (folder / "model.safetensors").write_text("other weights")
    assert named_model(str(folder)).identity != first.identity
    file = tmp_path / "a.gguf"
    file.write_bytes(b"GGUF")
    assert named_model(str(file)).identity.startswith("vllm:a@")


def test_a_gguf_file_becomes_a_folder_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_VLLM_PYTHON", sys.executable)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "fake_vllm"))
    monkeypatch.setenv("LIMNER_MODELS_DIR", str(tmp_path / "models"))
    file, told = tmp_path / "a.gguf", []
    file.write_bytes(b"GGUF")
    (tmp_path / "models").mkdir()
    for _ in range(2):
        source = loadable(named_model(str(file)), told.append)
    assert source.local
    assert json.loads((Path(source.model) / "model.safetensors").read_text()) == {"weight": [1.0]}
    assert source.bytes == (Path(source.model) / "model.safetensors").stat().st_size
    assert told == ["turning a.gguf into a folder that vLLM reads, once"]
    file.write_bytes(b"GGUF other")
    assert loadable(named_model(str(file)), told.append).model != source.model


def test_a_gguf_file_that_cannot_be_turned_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMNER_VLLM_PYTHON", sys.executable)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "fake_vllm"))
    monkeypatch.setenv("LIMNER_MODELS_DIR", str(tmp_path / "models"))
    file = tmp_path / "broken.gguf"
    file.write_bytes(b"GGUF")
    with pytest.raises(ModelError, match="pip install gguf accelerate"):
        loadable(named_model(str(file)), lambda stage: None)
    assert list((tmp_path / "models").glob("broken*/")) == []
