"""One engine for many callers: questions that come while others are being answered join their batch."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import Future

from limner.errors import LimnerError
from limner.serving.engine import Engine
from limner.serving.request import ChatFailure, ChatRequest, Outcome


class _Arriving(Iterator[ChatRequest]):
    """What is waiting just now.

    It says that there is nothing more when nothing is waiting, and may give out more later: an engine that looks again
    between two steps of its batch takes late questions in, one that does not finishes and is called again.
    """

    def __init__(self, waiting: queue.SimpleQueue[_Job | None], first: _Job) -> None:
        self._waiting = waiting
        self._first: _Job | None = first
        self.given: list[_Job] = []
        self.ending = False

    def __next__(self) -> ChatRequest:
        job, self._first = self._first, None
        while job is None or not job.answer.set_running_or_notify_cancel():
            try:
                job = self._waiting.get_nowait()
            except queue.Empty:
                raise StopIteration from None
            if job is None:
                self.ending = True
                raise StopIteration
        self.given.append(job)
        return job.request


class _Job:
    """A question and the one who waits for its answer."""

    __slots__ = ("answer", "request")

    def __init__(self, request: ChatRequest) -> None:
        self.request = request
        self.answer: Future[Outcome] = Future()


class Batch:
    """Asks an engine from one thread of its own. Safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="limner-batch", daemon=True)
        self._thread.start()

    def ask(self, request: ChatRequest) -> Future[Outcome]:
        """Puts a question; one that is cancelled before its turn is not asked."""
        job = _Job(request)
        self._waiting.put(job)
        return job.answer

    def close(self, seconds: float = 5.0) -> None:
        """Takes no more questions and waits a little for those being answered."""
        self._engine.wind_down(seconds)
        self._waiting.put(None)
        self._thread.join(seconds)

    def _work(self) -> None:
        ending = False
        while not ending and (job := self._waiting.get()) is not None:
            arriving = _Arriving(self._waiting, job)
            lost = ChatFailure("the engine ended without an answer to this request")
            try:
                for index, outcome in self._engine.run(arriving):
                    arriving.given[index].answer.set_result(outcome)
            except LimnerError as error:
                lost = ChatFailure(str(error))
            except Exception as error:  # A defect costs the questions under way, not the address.
                lost = ChatFailure(f"{type(error).__name__}: {str(error)[:200]}")
            for left in arriving.given:
                if not left.answer.done():
                    left.answer.set_result(lost)
            ending = arriving.ending
        with contextlib.suppress(queue.Empty):
            while True:
                left_over = self._waiting.get_nowait()
                if left_over is not None and left_over.answer.set_running_or_notify_cancel():
                    left_over.answer.set_result(ChatFailure("the server is ending"))
