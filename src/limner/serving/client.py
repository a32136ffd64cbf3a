"""The client: the one way through which limner asks a model.

Whatever the engine, a question goes through here, so that no answered question is paid for twice, every call is in the
ledger before its answer is used, and an answer that is not what was asked for is never taken for one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from limner.serving.engine import Engine
from limner.serving.ledger import Ledger
from limner.serving.request import ChatAnswer, ChatFailure, ChatRequest, Outcome, Usage
from limner.serving.validation import problem


class Client:
    """Asks one engine, through one ledger, for one run.

    The engine is only touched when a question is not in the ledger: with everything cached, no model is loaded and no
    server contacted.

    Attributes:
        usage: Running totals of this client's calls; `seconds` is the wall time spent waiting for the engine.
    """

    def __init__(self, engine: Engine, ledger: Ledger, run: str = "") -> None:
        self._engine = engine
        self._ledger = ledger
        self._run = run
        self._totals = threading.Lock()
        self.usage = Usage()

    @property
    def model(self) -> str:
        """The model's name as the ledger and the cache key know it."""
        return self._engine.model

    def each(self, requests: Sequence[ChatRequest], *, recall: bool = False) -> Iterator[tuple[int, Outcome]]:
        """Answers the requests, the known ones first, the others as they finish, as pairs of index and outcome.

        Equal requests are asked once and all get the outcome. Every outcome is in the ledger before it is given out.
        An answer that is none of the `choices`, does not fit the `schema` or is empty becomes a `ChatFailure` whose
        error starts with `malformed:` and which holds the text; it is asked again next time. Ask a repair question as a
        new request.

        Args:
            requests: The questions.
            recall: Give out what was malformed before instead of asking again. A caller that asks a repair question
                after a malformed answer comes back after a crash to where it was; it must `forget` what it gives up.

        Raises:
            ModelError: The engine as a whole is unusable.
            WorkspaceError: The ledger cannot be written.
        """
        waiting: dict[str, list[int]] = {}
        for index, request in enumerate(requests):
            waiting.setdefault(request.key(self.model), []).append(index)
        known = self._ledger.find(waiting)
        for key, answer in known.items():
            for index in waiting.pop(key):
                yield self._given(index, answer)
        for key, failure in self._ledger.malformed(waiting).items() if recall else ():
            for index in waiting.pop(key):
                yield index, failure
        if not waiting:
            return
        keys = list(waiting)
        for position, outcome in self._ask_engine([requests[waiting[key][0]] for key in keys], keys):
            first, *repeats = waiting.pop(keys[position])
            yield first, outcome
            if isinstance(outcome, ChatAnswer):
                outcome = replace(outcome, seconds=0.0, cached=True)
            for index in repeats:
                yield self._given(index, outcome)
        for indices in waiting.values():
            for index in indices:
                yield index, ChatFailure("The engine ended without an answer to this request.")

    def ask(self, requests: Sequence[ChatRequest]) -> list[Outcome]:
        """The outcomes of the requests, in the requests' order. See `each`."""
        outcomes = dict(self.each(requests))
        return [outcomes[index] for index in range(len(requests))]

    def forget(self, requests: Sequence[ChatRequest]) -> None:
        """Drops malformed answers that `recall` would give out: the questions are asked again next time."""
        self._ledger.forget_malformed(request.key(self.model) for request in requests)

    def _given(self, index: int, outcome: Outcome) -> tuple[int, Outcome]:
        with self._totals:
            self.usage.cached_calls += isinstance(outcome, ChatAnswer)
        return index, outcome

    def _ask_engine(self, requests: Sequence[ChatRequest], keys: Sequence[str]) -> Iterator[tuple[int, Outcome]]:
        """Runs the engine over distinct, unanswered requests, recording each outcome before giving it out."""
        stream = self._engine.run(requests)
        try:
            while True:
                started = time.perf_counter()
                try:
                    position, outcome = next(stream)
                except StopIteration:
                    return
                finally:
                    waited = time.perf_counter() - started
                    with self._totals:
                        self.usage.seconds += waited
                outcome = checked(requests[position], outcome)
                self._ledger.record(keys[position], self._run, self.model, requests[position], outcome)
                self._count(outcome)
                yield position, outcome
        finally:
            close = getattr(stream, "close", None)
            if close is not None:
                close()

    def _count(self, outcome: Outcome) -> None:
        with self._totals:
            self.usage.calls += 1
            self.usage.input_tokens += outcome.input_tokens
            self.usage.output_tokens += outcome.output_tokens
            self.usage.failures += isinstance(outcome, ChatFailure)

    def close(self) -> None:
        """Frees the engine and closes the ledger."""
        try:
            self._engine.close()
        finally:
            self._ledger.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def checked(request: ChatRequest, outcome: Outcome) -> Outcome:
    """The outcome, or a `malformed:` failure in its place if it is an answer that cannot be used."""
    if not isinstance(outcome, ChatAnswer):
        return outcome
    wrong = problem(request, outcome)
    if wrong is None:
        return outcome
    return ChatFailure(wrong, outcome.text, outcome.input_tokens, outcome.output_tokens, outcome.seconds)
