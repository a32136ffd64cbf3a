"""Servers that are up already: which models an address has, and notes of those that `limner models serve` keeps up."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

from limner.serving.spec import SERVICES
from limner.serving.weights import models_folder

LOOK_SECONDS = 2.0
"""How long an address on this machine may take to name its models."""

_open = build_opener(ProxyHandler({})).open
"""Never through a proxy: it is this machine."""


def models_at(address: str) -> tuple[str, ...]:
    """The models that an address has; none if nothing answers there."""
    request = Request(f"{address}/models", headers={"Accept": "application/json"})  # noqa: S310
    key = os.environ.get("LIMNER_API_KEY", "").strip()
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with _open(request, timeout=LOOK_SECONDS) as response:
            found = json.load(response)
        return tuple(str(model["id"]) for model in found["data"])
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def notes_folder() -> Path:
    """Where notes of running servers lie: beside the models folder."""
    return models_folder().parent / "servers"


def address_of(name: str) -> str | None:
    """The address of a server on this machine that has a model; None if there is none."""
    candidates = [*_noted(), SERVICES["vllm"].address]
    return next((address for address in candidates if name in models_at(address)), None)


def _noted() -> list[str]:
    addresses = []
    for note in sorted(notes_folder().glob("*.json")):
        try:
            found = json.loads(note.read_text(encoding="utf-8"))
            os.kill(int(found["pid"]), 0)
            addresses.append(str(found["address"]))
        except ProcessLookupError:
            note.unlink(missing_ok=True)  # Who kept it up was killed; another server may have the port by now.
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return addresses


@contextmanager
def noted(address: str, name: str) -> Iterator[None]:
    """Notes a server for as long as it is kept up, so that other processes find it."""
    note = notes_folder() / f"{os.getpid()}.json"
    with contextlib.suppress(OSError):  # Without a note it is found by its port only.
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps({"address": address, "model": name, "pid": os.getpid()}), encoding="utf-8")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            note.unlink(missing_ok=True)
