"""Merging signals into traits: what a user's accepted signals about one thing add up to, how sure and how fresh."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import fsum
from typing import TypeVar

from limner.evidence.decay import AGEING
from limner.evidence.declared import Declared
from limner.evidence.names import PLAIN, Names
from limner.evidence.records import Polarity, Signal, Span, Trait, TraitStatus
from limner.evidence.sides import Judgement, Piece, Side, judge, on_side, pieces_of, side_of, without_future

MOST_EVIDENCE = 12
"""Pieces of evidence that a trait keeps on each side, the newest; `mentions` counts all of them."""

_OTHER_SIDE: Mapping[Side, Side] = {"for": "against", "against": "for"}
W = TypeVar("W", bound=str)
_RANK: Mapping[TraitStatus, int] = {"declared": 0, "current": 0, "conflict": 0, "expired": 1, "superseded": 2}


@dataclass(frozen=True, slots=True)
class Topic:
    """One thing a user's signals are about: a family of kinds and the name of a label."""

    family: str
    key: str


def trait_id(user_id: str, kind: str, label: str, side: Side = "for", names: Names = PLAIN) -> str:
    """The stable id of a user's trait: a negative one has another than what it stands against."""
    return _id(user_id, Topic(family_of(kind), names.key(label)), side)


def _id(user_id: str, topic: Topic, side: Side) -> str:
    parts = [user_id, topic.family, topic.key, *(["against"] if side == "against" else [])]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:12]


def family_of(kind: str) -> str:
    """The family of a kind: preferences and objections are two sides of one liking."""
    ageing = AGEING.get(kind)  # type: ignore[call-overload]
    return str(ageing.family) if ageing else kind


def topics_of(signals: Iterable[Signal], names: Names = PLAIN) -> dict[Topic, list[Signal]]:
    """The accepted signals of one user by what they are about, in order of topic."""
    found: dict[Topic, list[Signal]] = {}
    for signal in signals:
        if signal.status == "accepted":
            found.setdefault(Topic(family_of(signal.kind), names.key(signal.label)), []).append(signal)
    return dict(sorted(found.items(), key=lambda item: (item[0].family, item[0].key)))


def latest(signals: Iterable[Signal]) -> datetime | None:
    """The time of the newest signal."""
    return max((s.ts for s in signals if s.ts is not None), default=None)


def merge(
    signals: Iterable[Signal],
    *,
    names: Names = PLAIN,
    declared: Sequence[Declared] = (),
    at: datetime | None = None,
) -> list[Trait]:
    """The traits of one user, those that hold first, each group the best proved first.

    The result depends on the set of signals only, not on their order, nor on how often one is given.

    Args:
        signals: The user's signals; only accepted ones count.
        names: Which labels are one.
        declared: What the user said of themself in the profile, which outranks what was inferred.
        at: The moment the traits are of, UTC: the newest event of the data. The newest signal's if None.
    """
    accepted = list(dict.fromkeys(signal for signal in signals if signal.status == "accepted"))
    at = at or latest(accepted)
    said = {Topic(family_of(d.kind), names.key(d.label)): d for d in sorted(declared, key=_order, reverse=True)}
    traits: list[Trait] = []
    for topic, group in topics_of(without_future(accepted, at), names).items():
        own = said.pop(topic, None)
        traits += [_with_own_word(own, group, topic, names)] if own else _traits(group, topic, names, at)
    traits += [_with_own_word(own, [], topic, names) for topic, own in said.items()]
    return sorted(traits, key=order)


def order(trait: Trait) -> tuple[int, float, int, str, str, str]:
    """Sorts traits as they are shown: what holds, what expired, what was superseded; in each the best proved first."""
    return (_RANK[trait.status], -trait.confidence, -trait.mentions, trait.kind, trait.label, trait.trait_id)


def _order(declared: Declared) -> tuple[str, str, str, str]:
    return (declared.field, declared.kind, declared.label, declared.polarity)


def _traits(group: Sequence[Signal], topic: Topic, names: Names, at: datetime | None) -> list[Trait]:
    """The trait about one topic, and the one it superseded if the user changed sides."""
    pieces = pieces_of(group)
    judged = judge(pieces, at)
    status: TraitStatus = "conflict" if judged.side == "both" and judged.contested else "current"
    now = _trait(group, pieces, topic, judged.side, names)
    now = replace(
        now,
        confidence=_confidence(pieces, judged),
        strength=round(judged.strength, 4),
        status="expired" if judged.faded else status,
        closed=judged.faded,
    )
    if judged.turned is None:
        return [now]
    old_side = _OTHER_SIDE[judged.side]
    old = _trait(group, pieces, topic, old_side, names)
    before = judge([piece for piece in pieces if piece.side != judged.side], at)
    return [
        now,
        replace(
            old,
            confidence=_confidence(pieces, replace(judged, side=old_side, turned=None)),
            strength=round(before.strength, 4),
            status="superseded",
            superseded_by=now.trait_id,
            closed=judged.turned,
        ),
    ]


def _trait(group: Sequence[Signal], pieces: Sequence[Piece], topic: Topic, side: Side, names: Names) -> Trait:
    """A trait of one side (or both) with its words, and what speaks against it."""
    own = on_side(pieces, side)
    mine = [s for s in group if side == "both" or side_of(s) == side]
    against = on_side(pieces, "against") if side == "both" else [p for p in pieces if p.side != side]
    times = [s.ts for s in mine if s.ts is not None]
    label = _most_used(s.label for s in mine)
    return Trait(
        trait_id=_id(group[0].user_id, topic, side),
        user_id=group[0].user_id,
        kind="preference" if side == "both" and topic.family == "liking" else _most_used(s.kind for s in mine),
        label=label,
        polarity=_polarity(own, side),
        confidence=0.0,
        mentions=len({p.words for p in own}),
        first_seen=min(times, default=None),
        last_confirmed=max(times, default=None),
        evidence=_spans(own),
        canonical=names.shared(label),
        against=_spans(against),
    )


def _most_used(values: Iterable[W]) -> W:
    """The most frequent value, the first in alphabetical order of several."""
    counted = Counter(values)
    return min(counted, key=lambda value: (-counted[value], value))


def _polarity(pieces: Sequence[Piece], side: Side) -> Polarity:
    """`neutral` only if nothing of the side is more than neutral."""
    if side != "for":
        return "mixed" if side == "both" else "negative"
    return "neutral" if all(piece.polarity == "neutral" for piece in pieces) else "positive"


def _spans(pieces: Sequence[Piece]) -> tuple[Span, ...]:
    return tuple(dict.fromkeys(piece.span for piece in pieces))[:MOST_EVIDENCE]


def _confidence(pieces: Sequence[Piece], judged: Judgement) -> float:
    """How sure: w / (w + v + 1), where w is the weight of a side's distinct texts, v that of the others, unfaded.

    One sure mention gives 0.5, contradiction lowers it, repetition in other words raises it toward 1 (the rule of
    succession with one imagined mention against). What a change of mind left behind does not count against it.
    """
    own, others = _split(pieces, judged)
    return round(own / (own + others + 1.0), 4)


def _split(pieces: Sequence[Piece], judged: Judgement) -> tuple[float, float]:
    counted = [p for p in pieces if judged.turned is None or p.side == judged.side or _since(p, judged.turned)]
    if judged.side == "both":
        sums = [fsum(p.weight for p in counted if p.side == side) for side in ("for", "against")]
        halves = fsum(p.weight / 2 for p in counted if p.side == "both")
        return max(sums) + halves, min(sums) + halves
    own = fsum(p.weight for p in counted if p.side == judged.side)
    return own, fsum(p.weight for p in counted if p.side != judged.side)


def _since(piece: Piece, turned: datetime) -> bool:
    return piece.ts is not None and piece.ts >= turned


def _with_own_word(own: Declared, group: Sequence[Signal], topic: Topic, names: Names) -> Trait:
    """A trait that the user declared, with what was inferred for and against it."""
    side: Side = "against" if own.polarity == "negative" else "for"
    pieces = pieces_of(group)
    agreeing = on_side(pieces, side)
    times = [s.ts for s in group if s.ts is not None and side_of(s) == side]
    weight = 1.0 + fsum(piece.weight for piece in agreeing)
    others = fsum(piece.weight for piece in pieces if piece.side != side)
    return Trait(
        trait_id=_id(own.user_id, topic, side),
        user_id=own.user_id,
        kind=own.kind,
        label=own.label,
        polarity=own.polarity,
        confidence=round(weight / (weight + others), 4),
        mentions=len({p.words for p in agreeing}),
        first_seen=min(times, default=None),
        last_confirmed=max(times, default=None),
        evidence=_spans(agreeing),
        canonical=names.shared(own.label),
        strength=round(weight, 4),
        status="declared",
        against=_spans([p for p in pieces if p.side != side]),
        declared_in=own.field,
    )
