"""The client: the one way through which limner asks a model.

Whatever the engine, a question goes through here, so that no answered question is paid for twice, by this process or
another one, every call is in the ledger, no limit of the run is passed, and an answer that is not what was asked for is
never taken for one.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from limner.errors import BudgetError
from limner.serving.budget import Budget, Meter
from limner.serving.engine import Engine
from limner.serving.ledger import Ledger
from limner.serving.prices import Price
from limner.serving.request import NOT_SENT, ChatAnswer, ChatFailure, ChatRequest, Outcome, PromptId, Usage
from limner.serving.tokens import TokenCounter
from limner.serving.validation import problem

GRACE_SECONDS = 10.0
"""How long calls under way are waited for once the run's time is over: they are paid for."""

LOOK_SECONDS = (0.02, 0.5)
"""How often the ledger is looked at while another process asks the same question: at first, and at most."""


@dataclass
class _Feed:
    """Hands requests to the engine, each when it is about to be sent: if no limit is reached and no one else asks it.

    Attributes:
        sent: The positions of the requests handed out, by the engine's index.
        answered: Questions that another process has answered meanwhile.
        elsewhere: Questions that another process is asking.
        stopped: Whether a limit kept a request from being sent.
    """

    requests: Sequence[ChatRequest]
    keys: Sequence[str]
    positions: Sequence[int]
    ledger: Ledger
    meter: Meter
    sent: list[int] = field(default_factory=list)
    answered: list[tuple[int, ChatAnswer]] = field(default_factory=list)
    elsewhere: list[int] = field(default_factory=list)
    stopped: bool = False

    def __iter__(self) -> Iterator[ChatRequest]:
        for position in self.positions:
            if self.meter.reached():
                self.stopped = True
                return
            claim = self.ledger.claim(self.keys[position])
            if isinstance(claim, ChatAnswer):
                self.answered.append((position, claim))
            elif claim:
                self.sent.append(position)
                yield self.requests[position]
            else:
                self.elsewhere.append(position)

    def found(self) -> list[tuple[int, ChatAnswer]]:
        """What was answered elsewhere since the last time."""
        found, self.answered = self.answered, []
        return found


@dataclass(frozen=True, slots=True)
class _EngineCounter:
    """Counts with the engine's own tokenizer."""

    engine_count: Callable[[ChatRequest], int]
    exact: bool = True

    def count(self, request: ChatRequest) -> int:
        """Tokens that the model reads."""
        return self.engine_count(request)


class Client:
    """Asks one engine, through one ledger, for one run.

    The engine is only touched when a question is not in the ledger: with everything cached, no model is loaded and no
    server contacted.

    Attributes:
        engine: Who answers.
        ledger: Where every call is recorded.
        usage: Running totals of this client's calls; `seconds` is the wall time spent waiting for the engine.
        prompts: The same by prompt, `seconds` left out.
        meter: What the run has spent of its budget.
    """

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        run: str = "",
        *,
        budget: Budget | None = None,
        price: Price | None = None,
    ) -> None:
        self.engine = engine
        self.ledger = ledger
        self._run = run
        self._totals = threading.Lock()
        self.usage = Usage()
        self.prompts: dict[PromptId, Usage] = {}
        self.meter = Meter(budget or Budget(), price)
        self._alarm: threading.Timer | None = None
        seconds = self.meter.budget.seconds
        if seconds is not None:
            self._alarm = threading.Timer(seconds, self._time_over)
            self._alarm.daemon = True
            self._alarm.start()

    @property
    def counter(self) -> TokenCounter | None:
        """Counts tokens as the engine does, if it can; the model is loaded for it when something is counted."""
        count = getattr(self.engine, "count", None)
        return None if count is None else _EngineCounter(count)

    @property
    def model(self) -> str:
        """The model's name as the ledger and the cache key know it."""
        return self.engine.model

    def each(self, requests: Sequence[ChatRequest], *, recall: bool = False) -> Iterator[tuple[int, Outcome]]:
        """Answers the requests, the known ones first, the others as they finish, as pairs of index and outcome.

        Equal requests are asked once and all get the outcome; one that another process is asking is waited for. All
        outcomes are in the ledger when the last one is given out, and after a crash at any moment as many are missing
        at most as calls were in flight. An answer that is none of the `choices`, does not fit the `schema` or is empty
        becomes a `ChatFailure` whose error starts with `malformed:` and which holds the text; it is asked again next
        time. Ask a repair question as a new request.

        Args:
            requests: The questions.
            recall: Give out what was malformed before instead of asking again. A caller that asks a repair question
                after a malformed answer comes back after a crash to where it was; it must `forget` what it gives up.

        Raises:
            BudgetError: A limit of the run is reached and more would have to be asked. The calls under way were waited
                for and given out before.
            ModelError: The engine as a whole is unusable.
            WorkspaceError: The ledger cannot be written.
        """
        waiting: dict[str, list[int]] = {}
        for index, request in enumerate(requests):
            waiting.setdefault(request.key(self.model), []).append(index)
        known = self.ledger.find(waiting)
        for key, answer in known.items():
            for index in waiting.pop(key):
                yield self._given(index, requests[index], answer)
        for key, failure in self.ledger.malformed(waiting).items() if recall else ():
            for index in waiting.pop(key):
                yield index, failure
        if not waiting:
            return
        keys = list(waiting)
        for position, outcome in self._answers([requests[waiting[key][0]] for key in keys], keys, recall):
            first, *repeats = waiting.pop(keys[position])
            fresh = not (isinstance(outcome, ChatAnswer) and outcome.cached)
            yield (first, outcome) if fresh else self._given(first, requests[first], outcome)
            if isinstance(outcome, ChatAnswer):
                outcome = replace(outcome, seconds=0.0, cached=True)
            for index in repeats:
                yield self._given(index, requests[index], outcome)
        for indices in waiting.values():
            for index in indices:
                yield index, ChatFailure("The engine ended without an answer to this request.")

    def ask(self, requests: Sequence[ChatRequest]) -> list[Outcome]:
        """The outcomes of the requests, in the requests' order. See `each`."""
        outcomes = dict(self.each(requests))
        return [outcomes[index] for index in range(len(requests))]

    def known(self, requests: Iterable[ChatRequest]) -> set[str]:
        """Keys of those of the requests that are answered: asking them costs nothing."""
        return self.ledger.known(request.key(self.model) for request in requests)

    def keep(self, whole: ChatRequest, parts: Iterable[tuple[ChatRequest, ChatAnswer]]) -> None:
        """Keeps the answers to single questions that one call answered together: none of them is asked again.

        Args:
            whole: What was asked.
            parts: The single questions, as they would be asked alone, and their answers.
        """
        self.ledger.keep(whole.key(self.model), {request.key(self.model): answer for request, answer in parts})

    def forget(self, requests: Sequence[ChatRequest]) -> None:
        """Drops malformed answers that `recall` would give out: the questions are asked again next time."""
        self.ledger.forget_malformed(request.key(self.model) for request in requests)

    def count_cached(self, requests: Iterable[ChatRequest]) -> None:
        """Counts questions that need no asking because what came of them is stored already."""
        with self._totals:
            for request in requests:
                self.usage.cached_calls += 1
                self._of(request.prompt).cached_calls += 1

    def _given(self, index: int, request: ChatRequest, outcome: Outcome) -> tuple[int, Outcome]:
        if isinstance(outcome, ChatAnswer):
            self.count_cached([request])
        return index, outcome

    def _of(self, prompt: PromptId) -> Usage:
        return self.prompts.setdefault(prompt, Usage())

    def _answers(
        self, requests: Sequence[ChatRequest], keys: Sequence[str], recall: bool
    ) -> Iterator[tuple[int, Outcome]]:
        """Outcomes of distinct, unanswered requests: from the engine or, where another process asks, from that one."""
        positions: Sequence[int] = range(len(keys))
        while positions:
            feed = _Feed(requests, keys, positions, self.ledger, self.meter)
            answered = set()
            try:
                for position, outcome in self._ask_engine(feed):
                    if self._cut_off(outcome):
                        continue
                    answered.add(position)
                    yield position, outcome
                    yield from feed.found()
                yield from feed.found()
            finally:
                self.ledger.release(keys[position] for position in feed.sent)
                self.ledger.flush()
            if feed.stopped or (self.meter.reached() and not answered.issuperset(feed.sent)):
                raise BudgetError(self.meter.message())
            positions = []
            for position, elsewhere in self._wait(feed.elsewhere, keys, recall):
                if elsewhere is None:
                    positions.append(position)
                else:
                    yield position, elsewhere

    def _ask_engine(self, feed: _Feed) -> Iterator[tuple[int, Outcome]]:
        """Runs the engine, recording each outcome before giving it out."""
        stream = self.engine.run(feed)
        try:
            while True:
                started = time.perf_counter()
                try:
                    index, outcome = next(stream)
                except StopIteration:
                    return
                finally:
                    self._waited(time.perf_counter() - started)
                position = feed.sent[index]
                outcome = checked(feed.requests[position], outcome)
                self._record(feed.keys[position], feed.requests[position], outcome)
                if self.meter.spent():
                    self._wind_down(math.inf)  # Calls under way are waited for, but none is tried again.
                yield position, outcome
        finally:
            close = getattr(stream, "close", None)
            if close is not None:
                close()

    def _cut_off(self, outcome: Outcome) -> bool:
        """Whether a call failed for want of another try that a limit forbade: the question is still to be asked."""
        return isinstance(outcome, ChatFailure) and not outcome.malformed and bool(self.meter.reached())

    def _wait(
        self, positions: Sequence[int], keys: Sequence[str], recall: bool
    ) -> Iterator[tuple[int, Outcome | None]]:
        """What another process answers, as it does; None for questions that it has given up.

        Raises:
            BudgetError: The run's time is over first.
        """
        waiting = {keys[position]: position for position in positions}
        pause = LOOK_SECONDS[0]
        while waiting:
            if self.meter.reached():
                raise BudgetError(self.meter.message())
            asked = self.ledger.claimed(waiting)  # Looked at first: an answer and the end of its claim come together.
            found: dict[str, Outcome] = {**self.ledger.find(waiting)}
            if recall:
                found.update(self.ledger.malformed(waiting))
            ended = [key for key in waiting if key in found or key not in asked]
            for key in ended:
                yield waiting.pop(key), found.get(key)
            if not ended:
                time.sleep(pause)
                self._waited(pause)
                pause = min(2 * pause, LOOK_SECONDS[1])

    def _waited(self, seconds: float) -> None:
        with self._totals:
            self.usage.seconds += seconds

    def _record(self, key: str, request: ChatRequest, outcome: Outcome) -> None:
        """Writes a call into the ledger and the totals; one that never went out is none."""
        if isinstance(outcome, ChatFailure) and outcome.error == NOT_SENT:
            return
        cost = self.meter.note(outcome)
        currency = self.meter.price.currency if self.meter.price else ""
        self.ledger.record(key, self._run, self.model, request, outcome, cost=cost, currency=currency)
        with self._totals:
            self.usage.add(outcome)
            self._of(request.prompt).add(outcome)

    def _time_over(self) -> None:
        """Called by the clock when the run's time is over: nothing more goes out."""
        self._wind_down(GRACE_SECONDS)

    def _wind_down(self, seconds: float) -> None:
        wind_down = getattr(self.engine, "wind_down", None)
        if wind_down is not None:
            wind_down(seconds)

    def close(self) -> None:
        """Frees the engine and closes the ledger."""
        if self._alarm is not None:
            self._alarm.cancel()
        try:
            self.engine.close()
        finally:
            self.ledger.close()

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
    return ChatFailure(
        wrong, outcome.text, outcome.input_tokens, outcome.output_tokens, outcome.seconds, outcome.reused_tokens
    )
