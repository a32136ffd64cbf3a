"""How a user's traits changed over time and why, replayed from the dates of the evidence.

Nothing is kept for this: whenever a piece of evidence is dated, everything known until then is judged as `traits.merge`
judges it, and what differs from the moment before is a change. So the history is the same however often, in whatever
order and in how many runs the data was loaded, and it ends in the traits there are now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from limner.evidence.decay import AGEING
from limner.evidence.declared import Declared
from limner.evidence.names import PLAIN, Names
from limner.evidence.records import Polarity, Signal, SignalKind, Span, Trait, TraitStatus
from limner.evidence.sides import Judgement, Side, judge, pieces_of, same_words, side_of, without_future
from limner.evidence.traits import Topic, family_of, latest, merge, topics_of

ChangeKind = Literal[
    "declared", "appeared", "confirmed", "repeated", "contradicted", "conflict", "settled", "superseded",
    "weakened", "expired", "returned",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that happened to a trait.

    Attributes:
        at: When, UTC; None for what has no date.
        kind: What happened: the user `declared` it in the profile; it `appeared`; it was `confirmed` in other words, or
            merely `repeated`; it was `contradicted`; both sides came to weigh alike (`conflict`), or one outweighed
            the other again (`settled`); a later opposite opinion `superseded` it; it `weakened` to half, `expired`,
            or `returned` after that.
        polarity: The user's stand from then on.
        status: The trait's status from then on.
        strength: Its faded weight then.
        evidence: The words that made the change; empty where only time did.
    """

    at: datetime | None
    kind: ChangeKind
    polarity: Polarity
    status: TraitStatus
    strength: float
    evidence: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class TraitHistory:
    """The changes of one topic, oldest first, and the traits that they ended in."""

    family: str
    name: str
    label: str
    kind: SignalKind
    traits: tuple[Trait, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class _Moment:
    """A judgement and the time it was made at."""

    at: datetime | None
    judged: Judgement
    kind: SignalKind
    neutral: bool

    @property
    def status(self) -> TraitStatus:
        return "conflict" if self.judged.side == "both" and self.judged.contested else "current"

    @property
    def polarity(self) -> Polarity:
        side = self.judged.side
        return {"for": "neutral" if self.neutral else "positive", "against": "negative", "both": "mixed"}[side]


def history(
    signals: Sequence[Signal],
    *,
    names: Names = PLAIN,
    declared: Sequence[Declared] = (),
    at: datetime | None = None,
) -> list[TraitHistory]:
    """How one user's traits changed, those that hold now first. Arguments as of `traits.merge`."""
    accepted = [signal for signal in signals if signal.status == "accepted"]
    at = at or latest(accepted)
    traits = merge(accepted, names=names, declared=declared, at=at)
    groups = topics_of(without_future(accepted, at), names)
    of_topic: dict[Topic, list[Trait]] = {}
    for trait in traits:
        of_topic.setdefault(Topic(family_of(trait.kind), names.key(trait.label)), []).append(trait)
    return [_history(topic, found, groups.get(topic, []), at) for topic, found in of_topic.items()]


def _history(topic: Topic, traits: list[Trait], group: Sequence[Signal], at: datetime | None) -> TraitHistory:
    first = traits[0]
    changes = list(_changes(group, at)) if group else []
    if first.status == "declared":
        said = Change(None, "declared", first.polarity, "declared", first.strength or 1.0)
        changes = [said, *(_under(c, first) for c in changes if c.kind not in ("weakened", "expired"))]
    return TraitHistory(topic.family, first.canonical, first.label, first.kind, tuple(traits), tuple(changes))


_OWN_WORD: dict[ChangeKind, ChangeKind] = {"appeared": "confirmed", "returned": "confirmed"}


def _under(change: Change, declared: Trait) -> Change:
    """A change of what was inferred, as it looks beside the user's own word, which nothing moves."""
    opposite = {"positive": "negative", "negative": "positive"}.get(declared.polarity)
    kind = _OWN_WORD.get(change.kind, change.kind)
    if change.polarity == opposite and kind in ("confirmed", "superseded", "settled"):
        kind = "contradicted"
    return Change(change.at, kind, declared.polarity, "declared", change.strength, change.evidence)


def _changes(group: Sequence[Signal], until: datetime | None) -> Iterator[Change]:
    """The changes of one topic, step by step through the dates of its evidence; what has no date comes first."""
    times = sorted({s.ts for s in group if s.ts is not None})
    known = [s for s in group if s.ts is None]
    steps: list[datetime | None] = [*([None] if known else []), *times]
    before: _Moment | None = None
    for step, following in zip(steps, [*steps[1:], until], strict=True):
        new = [s for s in group if s.ts == step]
        earlier = known if step is not None else []
        now = _judged([*earlier, *new], step)
        yield from _step(before, now, new, earlier)
        known = [*earlier, *new]
        yield from _fading(now, known, following)
        before = now


def _judged(signals: Sequence[Signal], at: datetime | None) -> _Moment:
    pieces = pieces_of(signals)
    judged = judge(pieces, at)
    own = [piece for piece in pieces if piece.side == judged.side]
    return _Moment(at, judged, pieces[0].kind, all(piece.polarity == "neutral" for piece in own))


def _step(before: _Moment | None, now: _Moment, new: Sequence[Signal], earlier: Sequence[Signal]) -> Iterator[Change]:
    """What new evidence changed."""

    def change(kind: ChangeKind, side: Side = "both") -> Change:
        spans = [p.span for p in pieces_of(new) if side in ("both", p.side) or p.side == "both"]
        return Change(
            now.at, kind, now.polarity, now.status, round(now.judged.strength, 4), tuple(dict.fromkeys(spans))
        )

    if before is None:
        yield change("appeared")
        if now.status == "conflict":
            yield change("conflict")
        return
    gone = _gone(earlier, before, now.at)
    if now.judged.turned is not None and now.judged.side != before.judged.side:
        yield change("superseded")
    elif now.judged.side != before.judged.side:
        yield change("conflict" if now.status == "conflict" else "settled")
    elif gone:
        yield change("returned")
    else:
        yield from _same_side(now, new, earlier, change)


def _same_side(
    now: _Moment, new: Sequence[Signal], earlier: Sequence[Signal], change: Callable[[ChangeKind, Side], Change]
) -> Iterator[Change]:
    side = now.judged.side
    said = {(side_of(s), same_words(s.evidence.quote)) for s in earlier}
    mine = [s for s in new if side == "both" or side_of(s) in (side, "both")]
    if mine:
        fresh = any((side_of(s), same_words(s.evidence.quote)) not in said for s in mine)
        yield change("confirmed" if fresh else "repeated", side)
    if len(mine) < len(new):
        yield change("contradicted", "against" if side == "for" else "for")


def _gone(signals: Sequence[Signal], before: _Moment, at: datetime | None) -> bool:
    """Whether what was known had expired when new evidence came."""
    return at is not None and before.at is not None and judge(pieces_of(signals), at).faded is not None


def _fading(moment: _Moment, known: Sequence[Signal], until: datetime | None) -> Iterator[Change]:
    """What time alone changed until the next evidence: the strength halved, then it fell under the floor."""
    if moment.at is None or until is None or moment.judged.faded is not None:
        return
    gone = judge(pieces_of(known), until).faded
    half = moment.at + timedelta(days=AGEING[moment.kind].half_life)
    if half <= until and (gone is None or half < gone):
        yield Change(half, "weakened", moment.polarity, moment.status, round(moment.judged.strength / 2, 4))
    if gone is not None:
        left = judge(pieces_of(known), gone).strength
        yield Change(gone, "expired", moment.polarity, "expired", round(left, 4))
