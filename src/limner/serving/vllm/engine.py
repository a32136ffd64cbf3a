"""The engine behind `vllm:MODEL`.

It finds or starts the server when the first question is asked, and ends the one it started with the run.
"""

from __future__ import annotations

import atexit
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from limner.errors import ModelError
from limner.serving.engine import refuse_if_forbidden
from limner.serving.http import HttpEngine
from limner.serving.request import ChatRequest, Outcome
from limner.serving.spec import SERVICES, HttpSpec, VllmSpec
from limner.serving.vllm import flags, interpreter, server, weights
from limner.serving.vllm.running import address_of
from limner.serving.vllm.server import Progress, Server, Starting

GPU_CONCURRENCY = 64
"""Calls at once to a server with a GPU; a CPU gains nothing beyond the service's own number."""

TELL_SECONDS = 15.0
"""How often a start that stays in one stage is told of again."""


@dataclass(slots=True)
class Up:
    """A server that answers, and how many engines of this process use it.

    Attributes:
        address: Its base address.
        own: The server, if this process started it.
        gpu: Whether it is known to have a GPU.
        users: Engines that use it.
    """

    address: str
    own: Server | None = None
    gpu: bool = False
    users: int = 0


class VllmEngine:
    """Asks a model that vLLM runs on this machine. Nothing is fetched, started or contacted before the first request.

    Attributes:
        model: The model's name in the cache key.
        in_threads: That several threads may ask at the same time.
    """

    in_threads = True

    def __init__(
        self, spec: VllmSpec, logs: Path, *, concurrency: int | None = None, progress: Progress | None = None
    ) -> None:
        """Looks the model up.

        Args:
            spec: The model.
            logs: The folder for the server's log.
            concurrency: Calls at once; by the machine if None.
            progress: Told how far a start is; standard error if None.

        Raises:
            UsageError: There is no such file or folder.
        """
        self._named = weights.named_model(spec.model)
        self.model = self._named.identity
        self._logs, self._concurrency = logs, concurrency
        self._progress = progress or starting_on_stderr()
        self._opening = threading.Lock()
        self._giving_up = threading.Event()
        self._up: Up | None = None
        self._http: HttpEngine | None = None

    @property
    def slots(self) -> int:
        """Calls that are under way at most, as far as it is known before the server is up."""
        return self._concurrency or SERVICES["vllm"].concurrency

    def run(self, requests: Iterable[ChatRequest]) -> Iterator[tuple[int, Outcome]]:
        """Answers the requests, in the order in which they finish.

        Raises:
            MissingExtra: vLLM is not installed, and no server has the model.
            ModelError: The server cannot be started, or ended.
        """
        refuse_if_forbidden(self.model)
        http = self._opened()
        if http is None:
            next(iter(requests), None)  # The client sees that its time is over when it is asked for a request.
            return
        try:
            yield from http.run(requests)
        except ModelError as error:
            own = self._up.own if self._up is not None else None
            if own is not None and not own.running:
                raise own.ended("ended while it answered; what was answered is kept") from error
            raise

    def _opened(self) -> HttpEngine | None:
        """The calls to the server, started if it has to be; None if the run's time was over first."""
        with self._opening:
            if self._http is None and not self._giving_up.is_set():
                self._up = acquire(self._named, self._logs, self._progress, self._giving_up)
                if self._up is not None:
                    at_once = self._concurrency or (GPU_CONCURRENCY if self._up.gpu else None)
                    spec = HttpSpec(SERVICES["vllm"], self._up.address, self._named.name)
                    self._http = HttpEngine(spec, concurrency=at_once)
            return self._http

    def wind_down(self, seconds: float) -> None:
        """Sends nothing any more; a start is given up, what is not answered after some seconds too."""
        self._giving_up.set()
        if self._http is not None:
            self._http.wind_down(seconds)

    def close(self) -> None:
        """Drops the connections and ends the server, if it is this process's own and nobody else here uses it."""
        http, self._http = self._http, None
        up, self._up = self._up, None
        try:
            if http is not None:
                http.close()
        finally:
            if up is not None:
                release(up)


_servers = threading.RLock()
_up: dict[str, Up] = {}
_keeping = 0


def acquire(named: weights.NamedModel, logs: Path, progress: Progress, giving_up: threading.Event) -> Up | None:
    """A server that has the model: one of this process, one that is up on this machine, or a new one.

    Raises:
        MissingExtra: vLLM is not installed, and no server has the model.
        ModelError: A new one cannot be started.
    """
    with _servers:
        found = _up.get(named.name)
        if found is not None and found.own is not None and not found.own.running:
            _end(found)
            found = None
        if found is None:
            address = address_of(named.name)
            for unused in [] if address else [up for up in _up.values() if up.users <= 0]:
                _end(unused)  # Kept up, and in the new one's way: each takes nearly all of a card's memory.
            found = Up(address) if address else started(named, logs, progress, giving_up)
            if found is None:
                return None
            if found.own is not None:
                _up[named.name] = found
        found.users += 1
        return found


def started(
    named: weights.NamedModel, logs: Path, progress: Progress, giving_up: threading.Event, port: int | None = None
) -> Up | None:
    """Starts a server for the model and waits until it answers; None if it was given up.

    Raises:
        MissingExtra: vLLM is not installed.
        ModelError: It cannot be started.
    """
    begun = time.monotonic()

    def tell(stage: str) -> None:
        progress(Starting(named.name, stage, time.monotonic() - begun))

    python = interpreter.interpreter()  # Before a long download.
    source = weights.loadable(named, tell)
    tell("looking at the machine")
    survey = interpreter.survey(source.model, size=source.bytes)

    def command(chosen: int) -> list[str]:
        words = flags.arguments(source.model, named.name, chosen, survey)
        return [python, "-m", "vllm.entrypoints.openai.api_server", *words]

    environment = flags.environment(survey, local=source.local)
    own = server.start(command, environment, named.name, logs, port=port, progress=progress, giving_up=giving_up)
    return None if own is None else Up(own.address, own, bool(survey.gpus))


def release(up: Up) -> None:
    """Ends a server of this process that nobody uses any more, unless servers are kept up just now."""
    with _servers:
        up.users -= 1
        if up.users <= 0 and not _keeping:
            _end(up)


def _end(up: Up) -> None:
    for name in [name for name, one in _up.items() if one is up]:
        del _up[name]
    if up.own is not None:
        up.own.stop()


@contextmanager
def kept_up() -> Iterator[None]:
    """Within it, servers that this process started stay up from one client to the next; after it, unused ones end."""
    global _keeping
    with _servers:
        _keeping += 1
    try:
        yield
    finally:
        with _servers:
            _keeping -= 1
            for up in [up for up in _up.values() if up.users <= 0 and not _keeping]:
                _end(up)


@atexit.register
def _end_all() -> None:
    with _servers:
        for up in list(_up.values()):
            _end(up)


def starting_on_stderr() -> Progress:
    """A progress report on standard error: a line for each new stage, and one now and then while a stage lasts."""
    stage, told = "", -TELL_SECONDS
    log: Path | None = None

    def report(now: Starting) -> None:
        nonlocal stage, told, log
        if now.log is not None and now.log != log:
            log = now.log
            sys.stderr.write(f"vLLM: its log is {log}\n")
        if now.stage == stage and now.seconds - told < TELL_SECONDS:
            return
        stage, told = now.stage, now.seconds
        sys.stderr.write(f"vLLM: {now.name}: {now.stage} ({now.seconds:.0f} s)\n")
        sys.stderr.flush()

    return report
