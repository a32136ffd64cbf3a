"""Keeping a model up for other programs: what `limner models serve` does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from limner.errors import ModelError, UsageError
from limner.serving.engine import refuse_if_forbidden
from limner.serving.spec import SERVICES, EmbeddedSpec, VllmSpec, parse_spec

if TYPE_CHECKING:
    from limner.serving.engine import Engine
    from limner.serving.vllm.server import Progress

LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Kept:
    """A model that is up.

    Attributes:
        address: Its base address.
        names: What requests may call the model.
        spec: The model spec that reaches it.
        alive: Says whether it still is up.
        log: The file with what its server says, if it has one.
        found: Whether it was up already; it then stays up.
    """

    address: str
    names: tuple[str, ...]
    spec: str
    alive: Callable[[], bool]
    log: Path | None = None
    found: bool = False

    def wait(self) -> None:
        """Returns only when the model's server has ended by itself, with the error that says so.

        Raises:
            ModelError: It has ended.
        """
        pause = threading.Event()
        while self.alive():
            pause.wait(LOOK_SECONDS)
        where = f" Its log: {self.log}" if self.log else ""
        raise ModelError(f"The server at {self.address} ended.{where}")


@contextmanager
def keep(
    spec: str, *, port: int | None = None, concurrency: int | None = None, progress: Progress | None = None
) -> Iterator[Kept]:
    """Brings a model up at an address of this machine, and takes it down at the end.

    Args:
        spec: `embedded`, `embedded:NAME`, `embedded:/path/file.gguf` or `vllm:MODEL`.
        port: The port; None for vLLM's usual one if it is free, else any free one.
        concurrency: Requests worked on together, of an embedded model.
        progress: Told how far the start of a vLLM server is.

    Raises:
        UsageError: The spec is none of those, or there is no such model.
        ModelError: The model cannot be fetched, loaded or started, or the port is taken.
    """
    parsed = parse_spec(spec)
    if isinstance(parsed, EmbeddedSpec):
        from limner.serving.embedded import EmbeddedEngine, unload

        engine = EmbeddedEngine(parsed, concurrency=concurrency)
        refuse_if_forbidden(engine.model)
        name = engine.model.partition("@")[0]
        try:
            with kept_engine(engine, (name, "embedded"), port, ready=engine.load) as kept:
                yield kept
        finally:
            unload()
    elif isinstance(parsed, VllmSpec):
        with _kept_vllm(parsed, port, progress) as kept:
            yield kept
    else:
        raise UsageError(f"{spec} is an address already. Keep up embedded, embedded:NAME or vllm:MODEL.")


@contextmanager
def kept_engine(
    engine: Engine, names: tuple[str, ...], port: int | None, *, ready: Callable[[], None] = lambda: None
) -> Iterator[Kept]:
    """Opens an address for an engine of this process.

    Args:
        engine: Who answers.
        names: What requests may call the model.
        port: The port, see `keep`.
        ready: Called when the port is had and before the address is opened: loads the model.

    Raises:
        ModelError: The port is taken, or the model cannot be loaded.
    """
    from limner.serving.address.app import bound, server_of

    listening = bound(port if port is not None else _usual_port())
    try:
        ready()
        with server_of(engine, names, listening) as server:
            thread = threading.Thread(target=server.run, name="limner-address", daemon=True)
            thread.start()
            try:
                yield Kept(server.address, names, f"{server.address}#{names[0]}", thread.is_alive)
            finally:
                server.stop()
                thread.join()
    finally:
        listening.close()


@contextmanager
def _kept_vllm(spec: VllmSpec, port: int | None, progress: Progress | None) -> Iterator[Kept]:
    from limner.serving.vllm.engine import started, starting_on_stderr
    from limner.serving.vllm.running import address_of, noted, notes_folder
    from limner.serving.vllm.weights import named_model

    named = named_model(spec.model)
    refuse_if_forbidden(named.identity)
    address = address_of(named.name)
    if address is not None:
        yield Kept(address, (named.name,), f"vllm:{named.name}", lambda: True, found=True)
        return
    logs = notes_folder().parent / "logs"
    chosen = port if port else _usual_port() or None
    up = started(named, logs, progress or starting_on_stderr(), threading.Event(), port=chosen)
    if up is None or up.own is None:
        raise ModelError(f"{spec.model} was not started.")
    try:
        with noted(up.address, named.name):
            own = up.own
            yield Kept(up.address, (named.name,), f"vllm:{named.name}", lambda: own.running, own.log)
    finally:
        up.own.stop()


def _usual_port() -> int:
    """The port at which other programs look for a model, if it is free, else 0 for any."""
    import socket

    usual = int(SERVICES["vllm"].address.rpartition(":")[2].partition("/")[0])
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", usual))
        except OSError:
            return 0
    return usual
