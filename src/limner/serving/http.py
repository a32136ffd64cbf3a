"""The HTTP engine: any OpenAI-compatible address, hosted or on this machine.

As many calls as the address bears run side by side: more while it answers, half when it has had too much. A call that
fails for a passing reason is tried again with growing pauses; an address that is dead, or refuses the key or the model,
ends the run with one clear error.
"""

from __future__ import annotations

import math
import os
import queue
import threading
import time
from collections.abc import Iterable, Iterator

from limner.errors import LimnerError, ModelError
from limner.serving.endpoint import Endpoint
from limner.serving.engine import refuse_if_forbidden
from limner.serving.request import ChatFailure, ChatRequest, Outcome
from limner.serving.spec import HttpSpec

TIMEOUT = "LIMNER_TIMEOUT"
"""Environment variable: seconds to wait for one answer."""

TIMEOUT_SECONDS = 300.0
"""How long one answer may take, if `LIMNER_TIMEOUT` does not say: a large model on a slow machine is slow."""

POLL_SECONDS = 0.5
"""How often somebody who waits for an answer looks whether to give up."""

GRACE_SECONDS = 10.0
"""How long calls under way are waited for when the engine has failed."""

_Job = tuple[int, ChatRequest]
_Result = tuple[int, Outcome | BaseException]


class HttpEngine:
    """Asks a model behind an OpenAI-compatible address. Nothing is contacted before the first request.

    Attributes:
        model: The model's name in the cache key.
        in_threads: That several threads may ask at the same time.
    """

    in_threads = True

    def __init__(self, spec: HttpSpec, *, concurrency: int | None = None, timeout: float | None = None) -> None:
        self.model = spec.identity
        self._spec = spec
        self._start = concurrency or spec.service.concurrency
        self._most = concurrency or spec.service.most or self._start
        self._timeout = timeout or _timeout_from_environment()
        self._opening = threading.Lock()
        self._endpoint: Endpoint | None = None
        self._give_up_at = math.inf

    @property
    def slots(self) -> int:
        """Calls that are under way at most."""
        return self._most

    def run(self, requests: Iterable[ChatRequest]) -> Iterator[tuple[int, Outcome]]:
        """Answers the requests, in the order in which they finish.

        No more answers are under way or not yet used than calls may be at once, so a killed process loses no more than
        that. When the engine fails as a whole, what is under way is still waited for a little: it is paid for.

        Raises:
            ModelError: The address is dead, refuses the key or the model, or fails one request after another.
        """
        refuse_if_forbidden(self.model)
        endpoint = self._opened()
        waiting = enumerate(requests)
        jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        results: queue.SimpleQueue[_Result] = queue.SimpleQueue()
        workers = under_way = 0
        broken: BaseException | None = None
        try:
            while True:
                while broken is None and under_way < endpoint.limit and (job := next(waiting, None)) is not None:
                    jobs.put(job)
                    under_way += 1
                    if workers < under_way:
                        # Daemons: Ctrl-C must not wait for a slow answer.
                        threading.Thread(target=_work, args=(endpoint, jobs, results), daemon=True).start()
                        workers += 1
                finished = self._finished(results) if under_way else []
                if not finished:
                    break
                for index, result in finished:
                    under_way -= 1
                    if isinstance(result, BaseException):
                        broken = broken or result
                        self.wind_down(GRACE_SECONDS)
                    else:
                        yield index, result
        finally:
            for _ in range(workers):
                jobs.put(None)
        if broken is not None:
            self.close()  # A later run starts afresh.
            self._give_up_at = math.inf
            raise broken

    def _finished(self, results: queue.SimpleQueue[_Result]) -> list[_Result]:
        """What has finished, at least one; nothing if it is time to give up."""
        while True:
            try:
                found = [results.get(timeout=POLL_SECONDS)]
            except queue.Empty:
                if time.monotonic() > self._give_up_at:
                    return []
                continue
            while not results.empty():
                found.append(results.get())
            return found

    def wind_down(self, seconds: float) -> None:
        """Sends nothing any more, not even another try; what is not answered after some seconds is given up."""
        self._give_up_at = min(self._give_up_at, time.monotonic() + seconds)
        with self._opening:
            if self._endpoint is not None:
                self._endpoint.wind_down()

    def _opened(self) -> Endpoint:
        with self._opening:
            if self._endpoint is None:
                self._endpoint = Endpoint(self._spec, start=self._start, most=self._most, timeout=self._timeout)
            return self._endpoint

    def close(self) -> None:
        """Drops the connections and wakes calls that pause before another try."""
        with self._opening:
            if self._endpoint is not None:
                self._endpoint.close()
                self._endpoint = None


def _work(endpoint: Endpoint, jobs: queue.SimpleQueue[_Job | None], results: queue.SimpleQueue[_Result]) -> None:
    """Answers jobs until told to stop. Whatever goes wrong is handed to the one who waits."""
    while (job := jobs.get()) is not None:
        index, request = job
        started = time.perf_counter()
        try:
            results.put((index, endpoint.ask(request)))
        except LimnerError as error:
            results.put((index, error))
        except Exception as error:  # A surprise in one call fails that call, not the run.
            seconds = time.perf_counter() - started
            results.put((index, ChatFailure(f"{type(error).__name__}: {str(error)[:200]}", "", 0, 0, seconds)))


def _timeout_from_environment() -> float:
    named = os.environ.get(TIMEOUT)
    if not named:
        return TIMEOUT_SECONDS
    try:
        seconds = float(named)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise ModelError(f"{TIMEOUT} is {named!r}, which is no number of seconds.")
    return seconds
