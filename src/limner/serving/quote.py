"""What a run will take, before a model is asked: calls, tokens, money and time, prompt by prompt.

Questions that are known are counted one by one: those that the ledger can answer are free, equal ones are paid once,
and the tokens of the others are counted by the model's own tokenizer where it is here. Elsewhere they are estimated,
and the estimate is corrected by what the ledger has seen of that prompt and model. What a model will write is what it
wrote before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from limner.serving.ledger import Ledger
from limner.serving.prices import Price
from limner.serving.request import ChatRequest, PromptId, Usage
from limner.serving.tokens import TokenCounter, estimated_tokens

LAST_CALLS = 20_000
"""Calls of the ledger that a quote learns from, the newest."""

FEWEST_CALLS = 5
"""Calls of a prompt from which its own measurements are taken, not the defaults."""

COUNTED = 500
"""Questions of a prompt counted with the tokenizer; the others are estimated in proportion: counting takes about a
thousandth of a second each."""

ESTIMATE_RATIOS: Mapping[str, float] = {"en": 0.88, "zh": 0.92}
"""Tokens over the estimate, by language, for a model whose tokenizer is not here and whose calls were never seen;
measured with the embedded default's tokenizer on the sample's questions."""

TIME_GAP_SECONDS = 1.0
"""Between calls of one run no further apart than this, the model is taken to be at work."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the ledger has seen of one prompt.

    Attributes:
        calls: Calls with token counts.
        malformed: Of these, answers that could not be used.
        input_tokens, output_tokens, reused_tokens: Means per call.
        ratio: Tokens read over their estimate, None if no estimate was kept.
        seconds: Wall time per call, the calls beside it counted out.
    """

    calls: int
    malformed: int
    input_tokens: float
    output_tokens: float
    reused_tokens: float
    ratio: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class QuoteLine:
    """What one prompt takes.

    Attributes:
        prompt: The prompt with version and language; empty for the sum of all.
        calls: Calls that will reach the model.
        cached_calls: Questions that will be answered without.
        input_tokens, output_tokens: Of the calls.
        cost: Money, None if the price is unknown.
        seconds: Wall time, None if this model was never measured here.
    """

    prompt: str
    calls: int
    cached_calls: int
    input_tokens: int
    output_tokens: int
    cost: float | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Quote:
    """What a run takes.

    Attributes:
        model: The model's name in the cache key.
        users: Users looked at.
        asked_users: Users about whom something new is asked.
        lines: By prompt.
        currency: Of the costs; empty if the price is unknown.
        exact: Whether the tokens of the known questions were counted as the model counts them.
    """

    model: str
    users: int
    asked_users: int
    lines: tuple[QuoteLine, ...]
    currency: str
    exact: bool

    @property
    def total(self) -> QuoteLine:
        """All prompts together; money and time are unknown if any part of them is."""
        return _sum(self.lines)

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "model": self.model,
            "users": self.users,
            "asked_users": self.asked_users,
            "tokens": "counted" if self.exact else "estimated",
            "currency": self.currency or None,
            "total": line_dict(self.total),
            "prompts": [line_dict(line) for line in self.lines],
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """A run's quote against what it took.

    Attributes:
        quote: As it was before the run.
        actual: By prompt; `seconds` is None there, the calls of prompts run side by side.
        seconds: Wall time spent waiting for the model.
    """

    quote: Quote
    actual: tuple[QuoteLine, ...]
    seconds: float

    @property
    def total(self) -> QuoteLine:
        """All that was taken."""
        line = _sum(self.actual)
        return QuoteLine(
            "", line.calls, line.cached_calls, line.input_tokens, line.output_tokens, line.cost, self.seconds
        )

    def pairs(self) -> list[tuple[str, QuoteLine | None, QuoteLine | None]]:
        """Prompt, quoted and actual, for every prompt in either."""
        quoted, actual = ({line.prompt: line for line in lines} for lines in (self.quote.lines, self.actual))
        return [(name, quoted.get(name), actual.get(name)) for name in sorted(quoted.keys() | actual.keys())]

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object: the quote, with what it really was beside each line."""
        told = self.quote.to_dict()
        told["total"] = {"quoted": told["total"], "actual": line_dict(self.total)}
        told["prompts"] = [
            {"prompt": name, "quoted": quoted and line_dict(quoted, named=False),
             "actual": actual and line_dict(actual, named=False)}
            for name, quoted, actual in self.pairs()
        ]  # fmt: skip
        return told


def line_dict(line: QuoteLine, *, named: bool = True) -> dict[str, Any]:
    """A line as a JSON object."""
    told = {
        "calls": line.calls,
        "cached_calls": line.cached_calls,
        "input_tokens": line.input_tokens,
        "output_tokens": line.output_tokens,
        "cost": line.cost,
        "seconds": None if line.seconds is None else round(line.seconds, 3),
    }
    return {"prompt": line.prompt, **told} if named and line.prompt else told


@dataclass
class _Sums:
    """What is known of one prompt's questions so far."""

    calls: float = 0.0
    cached: int = 0
    counted: int = 0
    counted_tokens: int = 0
    counted_estimate: int = 0
    other_estimate: float = 0.0
    output: float = 0.0
    max_tokens: int = 0


@dataclass
class Quoter:
    """Adds a quote up.

    Attributes:
        ledger: What is answered already, and what calls took before.
        model: The model's name in the cache key.
        counter: Gives the token counter; called once, and only if there is something to count.
        price: The model's price, None if it is unknown.
        written: Tokens written per answer, by prompt name and language, for prompts the ledger has not seen.
    """

    ledger: Ledger
    model: str
    counter: Callable[[], TokenCounter]
    price: Price | None
    written: Mapping[tuple[str, str], float]
    users: int = 0
    asked_users: int = 0
    _sums: dict[PromptId, _Sums] = field(default_factory=dict)
    _keys: set[bytes] = field(default_factory=set)
    _counts: TokenCounter | None = None

    def __post_init__(self) -> None:
        self.seen = seen_of(self.ledger, self.model)  # As it was before the run.

    def add(self, requests: Sequence[ChatRequest], *, stored: bool = False) -> None:
        """Adds questions that will be asked, unless the ledger can answer them or they were added before.

        Args:
            requests: The questions.
            stored: Whether what came of them is stored, so that none will be asked.
        """
        keys = [request.key(self.model) for request in requests]
        known = set() if stored else self.ledger.known(keys)
        for request, key in zip(requests, keys, strict=True):
            sums = self._of(request.prompt)
            short = bytes.fromhex(key[:32])
            if stored or key in known or short in self._keys:
                sums.cached += 1
                continue
            self._keys.add(short)
            self._count(sums, request)

    def add_stored(self, prompt: PromptId, times: int) -> None:
        """Adds questions of a prompt of which is stored what came of them, so that none will be asked."""
        self._of(prompt).cached += times

    def expect(self, request: ChatRequest, calls: float) -> None:
        """Adds questions that are not known yet, but will be much like one.

        Args:
            request: The one.
            calls: How many, on average.
        """
        if calls > 0:
            self._count(self._of(request.prompt), request, calls)

    def _of(self, prompt: PromptId) -> _Sums:
        return self._sums.setdefault(prompt, _Sums())

    def _count(self, sums: _Sums, request: ChatRequest, calls: float = 1.0) -> None:
        estimate = estimated_tokens(request)
        sums.calls += calls
        sums.max_tokens = max(sums.max_tokens, request.max_tokens)
        if self._counts is None:
            self._counts = self.counter()
        if self._counts.exact and sums.counted < COUNTED:
            tokens = self._counts.count(request)
            sums.counted += 1
            sums.counted_tokens += tokens
            sums.counted_estimate += estimate
            sums.other_estimate += (calls - 1.0) * estimate
        else:
            sums.other_estimate += calls * estimate

    def share(self, prompt: PromptId, default: float) -> float:
        """The share of a prompt's answers that could not be used, as the ledger has seen it."""
        seen = self.seen.get(prompt)
        return seen.malformed / seen.calls if seen and seen.calls >= FEWEST_CALLS else default

    def calls(self, prompt: PromptId) -> float:
        """Calls of a prompt added so far."""
        return self._sums[prompt].calls if prompt in self._sums else 0.0

    def prompts(self) -> list[PromptId]:
        """The prompts added so far."""
        return list(self._sums)

    def quote(self) -> Quote:
        """The quote of all that was added."""
        lines = [self._line(prompt, sums) for prompt, sums in self._sums.items() if sums.calls or sums.cached]
        lines.sort(key=lambda line: line.prompt)
        exact = self._counts is not None and self._counts.exact
        currency = self.price.currency if self.price else ""
        return Quote(self.model, self.users, self.asked_users, tuple(lines), currency, exact)

    def _line(self, prompt: PromptId, sums: _Sums) -> QuoteLine:
        seen = self.seen.get(prompt)
        read = sums.counted_tokens + sums.other_estimate * self._ratio(prompt, sums)
        written = sums.calls * self._written(prompt, sums)
        reused = sums.calls * seen.reused_tokens if seen else 0.0
        cost = self.price.of(read, written, reused) if self.price else None
        seconds = self._seconds(prompt, sums.calls)
        return QuoteLine(str(prompt), round(sums.calls), sums.cached, round(read), round(written), cost, seconds)

    def _seconds(self, prompt: PromptId, calls: float) -> float | None:
        """Wall time of calls: at the prompt's own rate, else at that of the model's other prompts."""
        seen = self.seen.get(prompt)
        if calls and not self.seen:
            return None
        mean = sum(s.seconds * s.calls for s in self.seen.values()) / max(1, sum(s.calls for s in self.seen.values()))
        return calls * (seen.seconds if seen else mean)

    def _ratio(self, prompt: PromptId, sums: _Sums) -> float:
        """Tokens over their estimate."""
        if sums.counted_estimate:
            return sums.counted_tokens / sums.counted_estimate
        seen = self.seen.get(prompt)
        if seen and seen.ratio:
            return seen.ratio
        others = [s.ratio for p, s in self.seen.items() if s.ratio and p.lang == prompt.lang]
        return sum(others) / len(others) if others else ESTIMATE_RATIOS.get(prompt.lang, 1.0)

    def _written(self, prompt: PromptId, sums: _Sums) -> float:
        """Tokens written per call."""
        seen = self.seen.get(prompt)
        if seen and seen.calls >= FEWEST_CALLS:
            return seen.output_tokens
        default = self.written.get((prompt.name, prompt.lang))
        return min(default, sums.max_tokens) if default is not None else sums.max_tokens / 2


def compare(quote: Quote, prompts: Mapping[PromptId, Usage], price: Price | None, seconds: float) -> Comparison:
    """Puts what a run took beside its quote.

    Args:
        quote: The quote.
        prompts: What each prompt took, as `Client.prompts` has it.
        price: The model's price, None if it is unknown.
        seconds: Wall time spent waiting for the model.
    """
    actual = []
    for prompt, used in sorted(prompts.items(), key=lambda pair: str(pair[0])):
        cost = price.of(used.input_tokens, used.output_tokens, used.reused_tokens) if price else None
        tokens = (used.input_tokens, used.output_tokens)
        actual.append(QuoteLine(str(prompt), used.calls, used.cached_calls, *tokens, cost, None))
    return Comparison(quote, tuple(actual), seconds)


def seen_of(ledger: Ledger, model: str) -> dict[PromptId, Seen]:
    """What the ledger has seen of a model, by prompt, over the last calls that came back."""
    rows = ledger.rows(
        "SELECT prompt, version, lang, count(*), sum(outcome = 'malformed'), avg(input_tokens), avg(output_tokens),"
        " avg(reused_tokens), sum(CASE WHEN estimated_tokens > 0 THEN input_tokens END), sum(estimated_tokens),"
        " avg(seconds) FROM (SELECT * FROM calls WHERE model = ? AND input_tokens > 0 ORDER BY id DESC LIMIT ?)"
        " GROUP BY 1, 2, 3",
        (model, LAST_CALLS),
    )
    alone = _alone(ledger, model)
    found = {}
    for name, version, lang, calls, malformed, read, written, reused, known, estimate, seconds in rows:
        ratio = known / estimate if estimate else None
        found[PromptId(name, version, lang)] = Seen(calls, malformed, read, written, reused, ratio, seconds * alone)
    return found


def _alone(ledger: Ledger, model: str) -> float:
    """Wall time over the sum of the calls' own times: calls run side by side."""
    rows = ledger.rows(
        "SELECT run, (julianday(at) - 2440587.5) * 86400 AS ended, seconds FROM calls"
        " WHERE model = ? AND input_tokens > 0 ORDER BY id DESC LIMIT ?",
        (model, LAST_CALLS),
    )
    spans: dict[str, list[tuple[float, float]]] = {}
    for run, ended, seconds in rows:
        spans.setdefault(run, []).append((ended - seconds, ended))
    wall = total = 0.0
    for calls in spans.values():
        until = float("-inf")
        for start, end in sorted(calls):
            total += end - start
            wall += max(0.0, end - max(start, until if start - until <= TIME_GAP_SECONDS else start))
            until = max(until, end)
    return min(1.0, wall / total) if total else 0.0


def _sum(lines: Iterable[QuoteLine]) -> QuoteLine:
    whole: Counter[str] = Counter()
    cost: float | None = 0.0
    seconds: float | None = 0.0
    for line in lines:
        for name in ("calls", "cached_calls", "input_tokens", "output_tokens"):
            whole[name] += getattr(line, name)
        cost = None if cost is None or line.cost is None else cost + line.cost
        seconds = None if seconds is None or line.seconds is None else seconds + line.seconds
    return QuoteLine(
        "", whole["calls"], whole["cached_calls"], whole["input_tokens"], whole["output_tokens"], cost, seconds
    )
