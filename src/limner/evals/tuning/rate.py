"""How many calls at once a model bears: more are tried until it answers no faster.

The questions are those of the plan, each with a mark before the customer's words that no question had before: what is
known from the ledger would be answered at once and say nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import cycle, islice

from limner.serving.client import Client
from limner.serving.request import ChatAnswer, ChatRequest

LEVELS = (1, 2, 4, 8, 16, 32, 64)
"""Calls at once that are tried, in turn."""

FEWEST_CALLS = 8
CALLS_PER_SLOT = 2
"""Questions asked at a level: so many for each call at once, and never fewer than the number above."""

TRIES = 2
"""So often a level is tried that seems no faster: the machine may have been busy with something else."""

GROWTH = 1.1
"""A level must answer so many times as fast as the one before, or it is the last that is tried."""

At = Callable[[int], AbstractContextManager[Client]]
"""A client that has so many calls under way at once."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Answers a second, by calls at once; empty where nothing was measured."""

    of: dict[int, float]

    @property
    def best(self) -> int | None:
        """The fewest calls at once from which on it gets no faster by a tenth."""
        chosen: int | None = None
        for level, rate in sorted(self.of.items()):
            if rate > 0 and (chosen is None or rate >= GROWTH * self.of[chosen]):
                chosen = level
        return chosen


def planned_rate_calls(levels: Sequence[int] = LEVELS) -> int:
    """Questions that are asked at most."""
    return 1 + sum(calls_at(level) for level in levels) + calls_at(levels[-1])


def calls_at(level: int) -> int:
    """Questions that are asked at a level."""
    return max(FEWEST_CALLS, CALLS_PER_SLOT * level)


def marked(requests: Sequence[ChatRequest], mark: str, count: int, start: int = 0) -> list[ChatRequest]:
    """Questions like some, that nobody asked before: with a mark and a number before the customer's words."""
    found = []
    for number, request in enumerate(islice(cycle(requests), start, start + count), start):
        *before, last = request.messages
        words = last.content.replace("<text>", f"<text>{mark}-{number} ", 1)
        words = words.replace("<history>", f"<history>{mark}-{number} ", 1)
        if words == last.content:
            words = f"{mark}-{number} {words}"
        found.append(replace(request, messages=(*before, replace(last, content=words))))
    return found


def rates(
    at: At,
    requests: Sequence[ChatRequest],
    mark: str,
    *,
    levels: Sequence[int] = LEVELS,
    progress: Callable[[int, float], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Rates:
    """Measures levels until the rate stops growing.

    Args:
        at: Gives a client with so many calls at once.
        requests: The plan's questions.
        mark: Something that was never asked before.
        levels: Calls at once to try, growing.
        progress: Told each level and its rate.
        clock: Gives seconds.

    Raises:
        BudgetError: A limit of the run is reached.
        ModelError: The model as a whole is unusable.
    """
    found: dict[int, float] = {}
    asked = 0
    last = 0.0
    for level in levels:
        with at(level) as client:
            if not found:
                client.ask(marked(requests, mark, 1))  # Loads the model or starts the server.
                asked = 1
            rate = 0.0
            for _ in range(TRIES):
                batch = marked(requests, mark, calls_at(level), asked)
                asked += len(batch)
                started = clock()
                answered = sum(isinstance(outcome, ChatAnswer) for outcome in client.ask(batch))
                rate = max(rate, answered / max(clock() - started, 1e-9))
                if rate >= GROWTH * last and answered:
                    break
        found[level] = round(rate, 3)
        if progress is not None:
            progress(level, rate)
        if not rate or rate < GROWTH * last:
            break
        last = rate
    return Rates(found)
