"""The HTTP engine: any OpenAI-compatible address, hosted or on this machine.

As many calls as the address can take at once run side by side. A call that fails for a passing reason is tried again
with growing pauses; an address that is dead, or refuses the key or the model, ends the run with one clear error.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence

from limner.errors import LimnerError, ModelError
from limner.serving.endpoint import Endpoint
from limner.serving.engine import refuse_if_forbidden
from limner.serving.request import ChatFailure, ChatRequest, Outcome
from limner.serving.spec import HttpSpec

TIMEOUT = "LIMNER_TIMEOUT"
"""Environment variable: seconds to wait for one answer."""

TIMEOUT_SECONDS = 300.0
"""How long one answer may take, if `LIMNER_TIMEOUT` does not say: a large model on a slow machine is slow."""

_Job = tuple[int, ChatRequest]
_Result = tuple[int, Outcome | BaseException]


class HttpEngine:
    """Asks a model behind an OpenAI-compatible address. Nothing is contacted before the first request.

    Attributes:
        model: The model's name in the cache key.
    """

    def __init__(self, spec: HttpSpec, *, concurrency: int | None = None, timeout: float | None = None) -> None:
        self.model = spec.identity
        self._spec = spec
        self._concurrency = concurrency or spec.service.concurrency
        self._timeout = timeout or _timeout_from_environment()
        self._opening = threading.Lock()
        self._endpoint: Endpoint | None = None

    def run(self, requests: Sequence[ChatRequest]) -> Iterator[tuple[int, Outcome]]:
        """Answers the requests, in the order in which they finish.

        At most `concurrency` answers are under way or not yet given out, so a killed process loses no more than that.

        Raises:
            ModelError: The address is dead, refuses the key or the model, or fails one request after another.
        """
        refuse_if_forbidden(self.model)
        endpoint = self._opened()
        waiting: deque[_Job] = deque(enumerate(requests))
        jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        results: queue.SimpleQueue[_Result] = queue.SimpleQueue()
        workers = min(self._concurrency, len(requests))
        for _ in range(workers):
            # Daemons: Ctrl-C must not wait for a slow answer.
            threading.Thread(target=_work, args=(endpoint, jobs, results), daemon=True).start()
            jobs.put(waiting.popleft())
        under_way = workers
        try:
            while under_way:
                index, result = results.get()
                under_way -= 1
                if isinstance(result, BaseException):
                    raise result
                if waiting:
                    jobs.put(waiting.popleft())
                    under_way += 1
                yield index, result
        finally:
            for _ in range(workers):
                jobs.put(None)

    def _opened(self) -> Endpoint:
        with self._opening:
            if self._endpoint is None:
                self._endpoint = Endpoint(self._spec, slots=self._concurrency, timeout=self._timeout)
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
