"""What speaks for and against one thing, and what it amounts to at a moment."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import fsum
from typing import Literal

from limner.evidence.decay import AGEING, Ageing, age_in_days, decayed, floor_of
from limner.evidence.records import Polarity, Signal, SignalKind, Span

Side = Literal["for", "against", "both"]

ONE_SIDED = 2 / 3
"""Share of the weight that one side needs for the trait to be its own; below it the user is of two minds."""

ROUNDING = 1e-9
"""Share of the weight that does not count: fading scales both sides alike, and must not tip a balance by rounding."""

_SPACES = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Piece:
    """One text that speaks for or against something, however often it was repeated.

    Attributes:
        side: Which way it speaks.
        words: The text in the form in which repeats are equal.
        weight: The confidence of the surest signal in it.
        ts: When it was last said; None if unknown.
        span: Where it was last said.
        kind, polarity: Of the surest signal.
    """

    side: Side
    words: str
    weight: float
    ts: datetime | None
    span: Span
    kind: SignalKind
    polarity: Polarity


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the pieces about one thing amount to at a moment.

    Attributes:
        side: `for`, `against`, or `both` if neither outweighs the other.
        contested: Whether there are clear words on either side.
        turned: When the user changed sides, None if not: what speaks for the other side is then superseded.
        strength: The faded weight of the side (of all pieces, if `both`).
        faded: When the strength fell under the floor; None if it did not.
    """

    side: Side
    contested: bool
    turned: datetime | None
    strength: float
    faded: datetime | None


def same_words(text: str) -> str:
    """The form in which repeats of a text are equal: no width, case, spaces or punctuation.

    >>> same_words("Great  strap!") == same_words("great strap")
    True
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _SPACES.sub("", folded) or folded


def side_of(signal: Signal) -> Side:
    """Which way a signal speaks. An objection speaks against its object whatever polarity a model gave it."""
    if signal.polarity == "mixed":
        return "both"
    return "against" if signal.polarity == "negative" or signal.kind == "objection" else "for"


def pieces_of(signals: Iterable[Signal]) -> list[Piece]:
    """The distinct texts among signals about one thing, the newest first, the undated last."""
    found: dict[tuple[Side, str], list[Signal]] = {}
    for signal in signals:
        found.setdefault((side_of(signal), same_words(signal.evidence.quote)), []).append(signal)
    return sorted((_piece(*key, group) for key, group in found.items()), key=_newest, reverse=True)


def _piece(side: Side, words: str, group: Sequence[Signal]) -> Piece:
    surest = max(group, key=lambda s: (s.confidence, s.kind, s.polarity))
    last = max(group, key=lambda s: (s.ts is not None, s.ts or datetime.min, _place(s.evidence)))
    return Piece(side, words, surest.confidence, last.ts, last.evidence, surest.kind, surest.polarity)


def _place(span: Span) -> tuple[str, str, int, int, str]:
    return (span.event_id, span.field, span.start, span.end, span.quote)


def _newest(piece: Piece) -> tuple[bool, datetime, tuple[str, str, int, int, str], str]:
    return (piece.ts is not None, piece.ts or datetime.min, _place(piece.span), piece.side)


def on_side(pieces: Iterable[Piece], side: Side) -> list[Piece]:
    """The pieces that speak wholly for a side; all of them for `both`."""
    return [piece for piece in pieces if side in ("both", piece.side)]


def weights(pieces: Sequence[Piece], at: datetime | None, half_life: float) -> dict[Side, float]:
    """The faded weight of each side; a text of two minds counts half on either.

    A piece without a date counts as old as the oldest dated one: what is not known to be new proves nothing new.
    """
    oldest = min((p.ts for p in pieces if p.ts is not None), default=None)
    found: dict[Side, list[float]] = {"for": [], "against": []}
    for piece in pieces:
        weight = decayed(piece.weight, piece.ts or oldest, at, half_life)
        for side in found:
            if piece.side == side:
                found[side].append(weight)
            elif piece.side == "both":
                found[side].append(weight / 2)
    return {side: fsum(parts) for side, parts in found.items()}


def judge(pieces: Sequence[Piece], at: datetime | None) -> Judgement:
    """What pieces (of `pieces_of`, at least one) amount to at a moment that is not before the newest of them.

    The side of the newest words wins if it has been taken for good: all words since the other side's last ones are its
    own, together they outweigh the faded words of the other side, and they came at least `Ageing.settles` days after
    them. That is a change of mind. A single text against several must outweigh them two to one, the share that a side
    needs anyway: one bad day does not undo what was said time and again, a word after years does. Both fade alike, so
    the verdict stays the same until something new is said. Otherwise a side needs two thirds of the faded weight, or
    the user is of two minds.
    """
    ageing = AGEING[pieces[0].kind]
    faded = weights(pieces, at, ageing.half_life)
    contested = any(p.side == "for" for p in pieces) and any(p.side == "against" for p in pieces)
    turned = _turn(pieces, at, ageing)
    total = faded["for"] + faded["against"]
    side: Side = "both"
    if turned is not None:
        side = pieces[0].side
    else:
        for candidate in ("for", "against"):
            enough = faded[candidate] >= ONE_SIDED * total - ROUNDING * total
            if on_side(pieces, candidate) and enough and (total or not contested):
                side = candidate
    own = on_side(pieces, side)
    strength = total if side == "both" else fsum(_faded(p, pieces, at, ageing) for p in own)
    return Judgement(side, contested, turned, strength, _expiry(pieces, own, at, ageing))


def _faded(piece: Piece, pieces: Sequence[Piece], at: datetime | None, ageing: Ageing) -> float:
    oldest = min((p.ts for p in pieces if p.ts is not None), default=None)
    return decayed(piece.weight, piece.ts or oldest, at, ageing.half_life)


def _turn(pieces: Sequence[Piece], at: datetime | None, ageing: Ageing) -> datetime | None:
    """When the side of the newest words was taken for good; None if it was not, or there was no other side."""
    last = pieces[0]
    before = next((p for p in pieces if p.side != last.side and p.ts is not None), None)
    if last.side == "both" or last.ts is None or before is None or before.ts is None:
        return None
    if not any(p.side not in (last.side, "both") for p in pieces):
        return None
    since = [p for p in pieces if p.side == last.side and p.ts is not None and p.ts > before.ts]
    others = [p for p in pieces if p.side != last.side]
    if not since:
        return None
    turned = min(p.ts for p in since if p.ts is not None)
    if age_in_days(before.ts, turned) < ageing.settles:
        return None
    gained = fsum(_faded(p, pieces, at, ageing) for p in since)
    lost = fsum(_faded(p, pieces, at, ageing) for p in others)
    needed = lost * ONE_SIDED / (1 - ONE_SIDED) if len(since) == 1 and len(others) > 1 else lost
    return turned if gained >= needed * (1 - ROUNDING) else None


def _expiry(pieces: Sequence[Piece], own: Sequence[Piece], at: datetime | None, ageing: Ageing) -> datetime | None:
    """When the strength of a side's pieces fell under the floor, if it did until `at`."""
    newest = max((p.ts for p in own if p.ts is not None), default=None)
    if newest is None or at is None:
        return None
    from math import log2

    full = fsum(p.weight for p in own)
    then = fsum(_faded(p, pieces, newest, ageing) for p in own)
    floor = floor_of(full)
    days = 0.0 if then <= floor else ageing.half_life * log2(then / floor)
    gone = newest + timedelta(days=days)
    return gone if gone <= at and then > 0 else None


def without_future(signals: Iterable[Signal], at: datetime | None) -> list[Signal]:
    """The signals, those dated after `at` without their date: such a date is a slip, and a slip must not look new."""
    if at is None:
        return list(signals)
    return [replace(s, ts=None) if s.ts is not None and s.ts > at else s for s in signals]
