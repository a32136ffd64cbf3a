"""How many tokens a model reads and writes together, as far as somebody says so."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

from limner.errors import LimnerError
from limner.serving.endpoint import NO_KEY, key_of
from limner.serving.engine import refuse_if_forbidden
from limner.serving.gguf import contents_of
from limner.serving.models import known_model
from limner.serving.spec import EmbeddedSpec, HttpSpec, parse_spec
from limner.serving.vllm.running import address_of
from limner.serving.vllm.weights import named_model

LOOK_SECONDS = 10.0
LARGEST_BODY = 4 * 1024 * 1024

_NAMES = ("max_model_len", "context_length", "context_window", "max_context_length", "n_ctx", "n_ctx_train")
"""What servers call it in `/v1/models`: vLLM, several hosted services, llama.cpp."""


def context_of(spec: str) -> int | None:
    """The context of a model: of a file what it says, of a server what it tells; None if nobody does.

    A server is asked for its list of models, which costs nothing. One that is not up is not started.
    """
    parsed = parse_spec(spec)
    try:
        if isinstance(parsed, EmbeddedSpec):
            return _of_weights(parsed)
        refuse_if_forbidden(spec)
        if isinstance(parsed, HttpSpec):
            return _told(parsed.address, parsed.model, key_of(parsed))
        name = named_model(parsed.model).name
        address = address_of(name)
        return _told(address, name, os.environ.get("LIMNER_API_KEY", "").strip()) if address else None
    except (LimnerError, OSError, ValueError):
        return None


def _of_weights(spec: EmbeddedSpec) -> int | None:
    if spec.name.lower().endswith(".gguf") or "/" in spec.name or "\\" in spec.name:
        return contents_of(Path(spec.name).expanduser()).context
    return known_model(spec.name).context


def _told(address: str, model: str, key: str) -> int | None:
    """What an address says of a model."""
    request = Request(f"{address}/models", headers={"Accept": "application/json"})  # noqa: S310
    if key and key != NO_KEY:
        request.add_header("Authorization", f"Bearer {key}")
    local = address.startswith(("http://127.", "http://localhost", "http://[::1]"))
    opener = build_opener(ProxyHandler({})) if local else build_opener()
    with opener.open(request, timeout=LOOK_SECONDS) as response:
        found = json.loads(response.read(LARGEST_BODY))
    models = found.get("data", []) if isinstance(found, dict) else []
    named = [one for one in models if isinstance(one, dict) and one.get("id") == model]
    return _length(named[0]) if named else None


def _length(told: dict[str, Any]) -> int | None:
    """The context among what is told of a model, or of its `meta`."""
    meta = told.get("meta")
    for place in (told, meta if isinstance(meta, dict) else {}):
        for name in _NAMES:
            value = place.get(name)
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return value
    return None
