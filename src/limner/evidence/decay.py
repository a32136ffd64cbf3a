"""How evidence fades: a half-life for each kind of trait, and when the opposite opinion is a change of mind.

Ages are counted from the newest event of the data, never from the clock, so that the same data gives the same traits on
any day. The half-lives are choices, not measurements: each row says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf

from limner.evidence.records import SignalKind

FLOOR = 1 / 8
"""A trait expires when its strength is under this share of one sure mention (of less, if it never had that much): three
half-lives after a single mention, later the more mentions there were."""


@dataclass(frozen=True, slots=True)
class Ageing:
    """How traits of one kind grow old.

    Attributes:
        family: Kinds of one family speak of the same thing from two sides and are one trait.
        half_life: Days after which a mention counts half.
        settles: Days from which on an opposite opinion is a change of mind; before, the user is of two minds. Infinite
            where the label names no one thing to change one's mind about.
        reason: Why so long.
    """

    family: str
    half_life: float
    settles: float
    reason: str


AGEING: Mapping[SignalKind, Ageing] = {
    "interest": Ageing("interest", 365, 30, "hobbies follow the year: a season without a word is no loss of interest"),
    "intent": Ageing("intent", 30, 7, "a plan to buy is carried out or dropped within weeks, and gone in three months"),
    "sentiment": Ageing("sentiment", 240, inf, "about a whole text: each time of other goods, so no change of mind"),
    "need": Ageing("need", 120, 14, "a need is met or passes within months, but outlives the single plan to buy"),
    "preference": Ageing("liking", 540, 30, "tastes are the most lasting thing customers write of"),
    "objection": Ageing("liking", 540, 30, "the other side of a taste, so it must fade as slowly"),
}


def age_in_days(ts: datetime, at: datetime) -> float:
    """Days from `ts` to `at`, 0 if it lies later."""
    return max(0.0, (at - ts) / timedelta(days=1))


def decayed(weight: float, ts: datetime | None, at: datetime | None, half_life: float) -> float:
    """What a mention of some weight still counts at a time; undated ones do not fade."""
    if ts is None or at is None:
        return weight
    return float(weight * 0.5 ** (age_in_days(ts, at) / half_life))


def floor_of(full: float) -> float:
    """The strength under which a trait of some undecayed weight expires."""
    return FLOOR * min(1.0, full)
