"""The batch engine: hands questions to a service in batches, waits, and collects the answers, of killed runs too."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from limner.errors import ModelError
from limner.serving.batch.lines import Result, request_line
from limner.serving.batch.pending import Pending, PendingBatches
from limner.serving.batch.service import BatchService, BatchState
from limner.serving.budget import Meter
from limner.serving.completions import WRAPPING_TOKENS, outcome, same_model
from limner.serving.dialect import Dialect
from limner.serving.engine import refuse_if_forbidden
from limner.serving.ledger import Ledger
from limner.serving.request import ChatFailure, ChatRequest, Outcome
from limner.serving.spec import HttpSpec
from limner.serving.tokens import estimated_tokens

LARGEST = 50_000
"""Requests in one batch at most, and the most bytes of its file: OpenAI's limits, the latter with room to spare."""

LARGEST_BYTES = 150_000_000

TRIES = 3
"""Batches that a question is put into, where the one before failed for a passing reason."""

FIRST_LOOK_SECONDS = 1.0
LONGEST_LOOK_SECONDS = 60.0
"""How often the service is asked how far a batch is: at first, and at most."""

ESTIMATE_MARGIN = 1.25
"""Tokens of a question over their estimate, at worst, when a batch is kept within a budget."""


@dataclass
class _Asked:
    """A question that is to be answered.

    Attributes:
        index: Its place among the requests.
        request: What is asked.
        tries: Batches that it was in without an answer.
        error: What went wrong in the last.
    """

    index: int
    request: ChatRequest
    tries: int = 0
    error: str = ""


@dataclass
class _Part:
    """Questions that a batch may hold, by key."""

    asked: dict[str, _Asked] = field(default_factory=dict)
    money: float = 0.0
    tokens: float = 0.0


class BatchEngine:
    """Asks a service in batches.

    Questions are taken until a batch is full or, with a budget, until the worst that they may cost reaches it. Answers
    of batches that an earlier run submitted are taken first. What a service refused for a passing reason goes into
    another batch.

    Attributes:
        model: The model's name in the cache key.
        told: Given how far a batch is, each time it was looked at.
    """

    def __init__(self, spec: HttpSpec, folder: Path, told: Callable[[BatchState], None] | None = None) -> None:
        """Prepares it; nothing is contacted before the first request.

        Args:
            spec: The service and the model's name there.
            folder: Where records of batches are kept.
            told: Given how far a batch is.
        """
        self.model = spec.identity
        self.told = told
        self._spec = spec
        self._pending = PendingBatches(folder)
        self._dialect = Dialect.of(spec.service)
        self._ending = threading.Event()
        self._service: BatchService | None = None
        self._ledger: Ledger | None = None
        self._meter: Meter | None = None

    def attach(self, ledger: Ledger, meter: Meter) -> None:
        """Told by its client where answers are kept and what may be spent."""
        self._ledger, self._meter = ledger, meter

    def run(self, requests: Iterable[ChatRequest]) -> Iterator[tuple[int, Outcome]]:
        """Answers the requests, a batch after the other.

        Raises:
            ModelError: The service refuses a batch as a whole, or cannot be reached.
        """
        refuse_if_forbidden(self.model)
        waiting = enumerate(requests)
        for first in waiting:
            part = self._taken(first, waiting)
            yield from self._collected_before(part)
            while part.asked and not self._ending.is_set():
                yield from self._submitted(part)

    def _taken(self, first: tuple[int, ChatRequest], waiting: Iterator[tuple[int, ChatRequest]]) -> _Part:
        """As many questions as may go into one batch, one at least."""
        part = _Part()
        self._put(part, *first)
        while len(part.asked) < LARGEST and self._room(part):
            following = next(waiting, None)
            if following is None:
                break
            self._put(part, *following)
        return part

    def _put(self, part: _Part, index: int, request: ChatRequest) -> None:
        part.asked[request.key(self.model)] = _Asked(index, request)
        read = estimated_tokens(request) * ESTIMATE_MARGIN
        written = request.max_tokens + (WRAPPING_TOKENS if request.choices else 0)
        part.tokens += read + written
        if self._meter is not None and self._meter.price is not None:
            part.money += self._meter.price.of(read, written)

    def _room(self, part: _Part) -> bool:
        """Whether the budget bears another question beside those of the part."""
        meter = self._meter
        if meter is None:
            return True
        count = len(part.asked)
        money, tokens = meter.budget.money, meter.budget.tokens
        enough = money is None or meter.money + part.money * (count + 1) / count <= money
        return enough and (tokens is None or meter.tokens + part.tokens * (count + 1) / count <= tokens)

    def _collected_before(self, part: _Part) -> Iterator[tuple[int, Outcome]]:
        """What batches of earlier runs have for these questions, waited for if they are not done yet."""
        for pending in self._pending.read(self._spec.address, self.model):
            if self._ending.is_set() or not part.asked.keys() & set(pending.keys):
                continue
            if not pending.batch:
                batch = self._opened().find(pending)
                if batch is None:  # It was never made.
                    self._pending.forget(pending)
                    continue
                pending = self._pending.write(replace(pending, batch=batch))
            yield from self._collected(pending, part)

    def _submitted(self, part: _Part) -> Iterator[tuple[int, Outcome]]:
        """Makes a batch of the questions of a part and collects it; those asked often enough fail."""
        for key in [key for key, asked in part.asked.items() if asked.tries >= TRIES]:
            asked = part.asked.pop(key)
            yield asked.index, ChatFailure(f"{asked.error} (in {asked.tries} batches)")
        if not part.asked:
            return
        lines, size = [], 0
        for key, asked in part.asked.items():
            lines.append(request_line(key, self._dialect.body(asked.request, self._spec.model)))
            size += len(lines[-1].encode()) + 1
            if size > LARGEST_BYTES:
                break
        keys = tuple(islice(part.asked, len(lines)))
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:12]}"
        pending = self._pending.write(Pending(name, self._spec.address, self.model, keys))
        try:
            batch = self._opened().submit(pending, lines)
        except ModelError:
            self._forget_unless_made(pending)
            raise
        yield from self._collected(self._pending.write(replace(pending, batch=batch)), part)

    def _forget_unless_made(self, pending: Pending) -> None:
        """After a refusal: drops the record, unless the service cannot be asked whether there is a batch."""
        try:
            if self._opened().find(pending) is None:
                self._pending.forget(pending)
        except ModelError:
            return

    def _collected(self, pending: Pending, part: _Part) -> Iterator[tuple[int, Outcome]]:
        """Waits for a batch and gives out its answers to the questions of a part; they leave the part.

        Raises:
            ModelError: The service refused the batch as a whole.
        """
        state = self._waited_for(pending)
        if state is None:
            return  # Nobody waits any more; the record stays.
        if state.status == "failed":
            self._pending.forget(pending)
            raise ModelError(
                f"{self._spec.address} refused the batch {pending.batch}: {state.error or 'it does not say why'}. What "
                "was answered is kept."
            )
        came: set[str] = set()
        dialect = self._dialect
        for result in self._opened().results(state):
            asked = part.asked.get(result.key)
            if asked is None or result.key in came or result.key not in pending.keys:
                continue
            came.add(result.key)
            found = self._outcome(asked, result, dialect)
            if found is not None:
                del part.asked[result.key]
                yield asked.index, found
        for key in set(pending.keys) & part.asked.keys() - came:
            asked = part.asked[key]
            asked.tries, asked.error = asked.tries + 1, f"the batch is {state.status} without an answer to it"
        if self._ledger is not None:
            self._ledger.flush()  # The record goes only after the answers are on the disk.
        here = {key for key in pending.keys if key in came or key in part.asked}
        self._pending.collected(pending, here)

    def _outcome(self, asked: _Asked, result: Result, dialect: Dialect) -> Outcome | None:
        """What a result means; None if the question is to be asked again."""
        if result.body is not None:
            name = result.body.get("model") if self._spec.service.scheme == "openai" else None
            if isinstance(name, str) and name and not same_model(self._spec.model, name):
                return ChatFailure(f"another model answered: {name[:80]}, not {self._spec.model}")
            return outcome(asked.request, result.body, 0.0)
        asked.error = f"the batch answered {result.status or 'nothing'}: {result.error}"
        now = dialect.after(result.status, result.error, dialect.body(asked.request, self._spec.model))
        if now is not None:
            self._dialect = self._dialect.with_losses_of(now, since=dialect)
            return None
        asked.tries += 1
        return None if result.passing else ChatFailure(asked.error)

    def _waited_for(self, pending: Pending) -> BatchState | None:
        """The state of a batch that has ended; None if nobody waits for it any more.

        Raises:
            ModelError: The service does not know the batch, or cannot be reached.
        """
        pause = FIRST_LOOK_SECONDS
        while True:
            state = self._opened().state(pending.batch)
            if state is None:
                self._pending.forget(pending)
                raise ModelError(
                    f"{self._spec.address} does not know the batch {pending.batch} any more. Run the same command to "
                    "ask its questions again."
                )
            if self.told is not None:
                self.told(state)
            if state.ended:
                return state
            if self._ending.wait(pause):
                return None
            pause = min(pause * 1.5, LONGEST_LOOK_SECONDS)

    def wind_down(self, seconds: float) -> None:
        """Waits for no batch any more; those that were submitted go on, and a later run collects them."""
        self._ending.set()

    def _opened(self) -> BatchService:
        if self._service is None:
            self._service = BatchService(self._spec)
        return self._service

    def close(self) -> None:
        """Drops the connection."""
        self._ending.set()
        if self._service is not None:
            self._service.close()
            self._service = None
