"""Limits of one run: money, tokens, time. Looked at before each call goes out."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from limner.errors import UsageError
from limner.serving.prices import Price
from limner.serving.request import Outcome


@dataclass(frozen=True, slots=True)
class Budget:
    """What one run may take at most; None for no limit.

    Attributes:
        money: In the currency of the model's price.
        tokens: Read and written together, cached answers not counted.
        seconds: Wall time since the run began.
    """

    money: float | None = None
    tokens: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for option, value in (("--budget", self.money), ("--max-tokens", self.tokens), ("--max-seconds", self.seconds)):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise UsageError(f"{option} must be 0 or more, not {value}.")

    @property
    def limits(self) -> bool:
        """Whether there is any limit."""
        return any(value is not None for value in (self.money, self.tokens, self.seconds))


class Meter:
    """Counts what a run has spent and says when a limit is reached. Safe to use from several threads.

    Attributes:
        budget: The limits.
        price: The model's price, None if it is unknown.
        money: Money spent; 0 while the price is unknown.
        tokens: Tokens read and written.
        calls: Calls made.
    """

    def __init__(self, budget: Budget, price: Price | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.budget = budget
        self.price = price
        self.money = 0.0
        self.tokens = 0
        self.calls = 0
        self._clock = clock
        self._started = clock()
        self._lock = threading.Lock()

    def note(self, outcome: Outcome) -> float | None:
        """Counts one call, failed or not, and returns its cost; None if the price is unknown."""
        cost = None
        if self.price is not None:
            cost = self.price.of(outcome.input_tokens, outcome.output_tokens, outcome.reused_tokens)
        with self._lock:
            self.calls += 1
            self.tokens += outcome.input_tokens + outcome.output_tokens
            self.money += cost or 0.0
        return cost

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return self._clock() - self._started

    def reached(self) -> str:
        """Which limit is reached, with the figures; empty if none is."""
        spent = self.spent()
        if spent:
            return spent
        if self.budget.seconds is not None and self.seconds >= self.budget.seconds:
            return f"{self.seconds:,.0f} of {self.budget.seconds:,.0f} seconds passed"
        return ""

    def spent(self) -> str:
        """Which limit of money or tokens is reached, with the figures; empty if none is."""
        budget, price = self.budget, self.price
        with self._lock:
            if budget.money is not None and price is not None and price.costs and self.money >= budget.money:
                return f"{self.money:,.4f} of {budget.money:,.4f} {price.currency} spent"
            if budget.tokens is not None and self.tokens >= budget.tokens:
                return f"{self.tokens:,} of {budget.tokens:,} tokens used"
        return ""

    def message(self) -> str:
        """What to tell the person when the run is stopped."""
        return (
            f"Stopped at the limit: {self.reached()} in this run, {self.calls:,} model calls. What was answered is "
            "kept; run the same command to go on, nothing is paid twice."
        )
