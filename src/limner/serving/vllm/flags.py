"""How a vLLM server is called: its arguments and its environment, from what the survey found."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from limner.errors import UsageError
from limner.serving.machine import memory_gb

CONTEXT = 8192
"""Tokens of prompt and answer together, if the model has as many: limner's prompts need far fewer than models are made
for, and what is reserved for one long request is missing for many short ones."""

MORE_ARGUMENTS = "LIMNER_VLLM_ARGS"
"""Environment variable: more arguments for the server, as in a shell; they win over limner's own."""

ANSWERS = {"backend": "guidance", "disable_any_whitespace": True}
"""How answers are held to their form. Without white space, for written tokens are the time. guidance takes a new schema
at once, where xgrammar needs seconds for strings of limited length (0.5 ms and 2.8 s for 40 characters, measured)."""

SMALL_SHARE = 0.3
"""A model whose weights take less than this share of a card's memory is run on one card: several would wait for each
other more than they gain."""

BFLOAT_CAPABILITY = (8, 0)
"""From which compute capability on NVIDIA cards calculate in bfloat16."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A card: its memory in bytes and its compute capability."""

    memory: int
    capability: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Survey:
    """What vLLM has to work with.

    Attributes:
        version: vLLM's version.
        gpus: The cards it may use; none for the CPU build.
        context: Tokens that the model was made for, if its configuration says so.
        heads: The model's attention heads, if its configuration says so.
        bytes: Bytes of its weights, if they are on this machine.
    """

    version: str
    gpus: tuple[Gpu, ...] = ()
    context: int | None = None
    heads: int | None = None
    bytes: int | None = None


def arguments(model: str, name: str, port: int, survey: Survey) -> list[str]:
    """The server's arguments.

    Args:
        model: The folder or hub id to load.
        name: What requests call it.
        port: The loopback port.
        survey: What the machine and the model have.

    Raises:
        UsageError: `LIMNER_VLLM_ARGS` cannot be split into words.
    """
    given = ["--model", model, "--served-model-name", name, "--host", "127.0.0.1", "--port", str(port)]
    given += ["--enable-prefix-caching", "--max-model-len", str(min(CONTEXT, survey.context or CONTEXT))]
    # The model's own sampling defaults (a penalty on repetition, say) would change the most likely answer.
    given += ["--dtype", dtype(survey), "--generation-config", "vllm"]
    given += ["--structured-outputs-config", json.dumps(ANSWERS)]
    given += ["--enable-prompt-tokens-details", "--disable-uvicorn-access-log"]
    cards = tensor_parallel(survey)
    if cards > 1:
        given += ["--tensor-parallel-size", str(cards)]
    try:
        return given + shlex.split(os.environ.get(MORE_ARGUMENTS, ""))
    except ValueError as error:
        raise UsageError(f"{MORE_ARGUMENTS} cannot be read ({error}). Write it as in a shell.") from error


def dtype(survey: Survey) -> str:
    """What numbers to calculate in: bfloat16 on a CPU, what the model is stored in on a card that can."""
    if not survey.gpus:
        return "bfloat16"
    return "auto" if min(gpu.capability for gpu in survey.gpus) >= BFLOAT_CAPABILITY else "half"


def tensor_parallel(survey: Survey) -> int:
    """Over how many cards the model is spread: all, as far as its heads can be shared out; one if it is small."""
    if not survey.gpus:
        return 1
    if survey.bytes is not None and survey.bytes < SMALL_SHARE * min(gpu.memory for gpu in survey.gpus):
        return 1
    count = len(survey.gpus)
    return next(n for n in range(count, 0, -1) if (survey.heads or count) % n == 0)


def environment(survey: Survey, *, local: bool, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The server's environment: the person's own, with nothing sent home, and room for the cache on a CPU.

    Args:
        survey: What the machine has.
        local: Whether the model is a folder, so that nothing needs to be fetched.
        base: The person's own; this process's if None.
    """
    made = dict(os.environ if base is None else base)
    made |= {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "PYTHONUNBUFFERED": "1"}
    if local:
        made["HF_HUB_OFFLINE"] = "1"
    if not survey.gpus:
        made.setdefault("VLLM_CPU_KVCACHE_SPACE", str(max(1, min(8, int(memory_gb() / 6)))))
    return made
