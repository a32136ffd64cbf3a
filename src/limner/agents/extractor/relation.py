"""Whether an item bears on an interest with which it shares no word (a kettle, on `coffee`): by nearness of meaning.

All pairs of a chunk of users are embedded together; tags and titles repeat, and the workspace keeps their vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from limner.evidence.records import Signal

if TYPE_CHECKING:
    from limner.retrieval.space import Space
    from limner.retrieval.vectors import Vectors

UNRELATED = "tag_not_related"
"""Reason of a tag that shares no word with its proof, until (and unless) their meanings are found to be near."""

RELATED = 0.2
"""From this similarity on an item shows a tag. Of pairs that do not belong together 0.3 and 0.5 % of two shops' and
17 % of films' reach it, of those that do 28, 22 and 73 % (`benchmarks/tag_relations.py`)."""


@dataclass(frozen=True, slots=True)
class Item:
    """What a line of a history is about."""

    title: str
    category: str


@dataclass(frozen=True, slots=True)
class Pair:
    """A tag, and the item that is to show it."""

    tag: str
    item: Item


Related = Callable[[Sequence[Pair]], list[bool]]


def embedded(space: Space, tags: Sequence[str], items: Sequence[Item]) -> Vectors:
    """The similarity of every tag with every item: float32 of shape (tags, items)."""
    words = [f"{item.title} ({item.category})" if item.category else item.title for item in items]
    similar: Vectors = space.questions(tags) @ space.passages(words).T
    return similar


def related_in(store_path: Path | str) -> Related:
    """Tells which pairs are related, with a workspace's cache of vectors; loads nothing before it is asked."""

    def related(pairs: Sequence[Pair]) -> list[bool]:
        from limner.retrieval.space import Space

        tags = list(dict.fromkeys(pair.tag for pair in pairs))
        items = list(dict.fromkeys(pair.item for pair in pairs))
        scores = embedded(Space.open(store_path), tags, items)
        return [bool(scores[tags.index(pair.tag), items.index(pair.item)] >= RELATED) for pair in pairs]

    return related


def with_relations(signals: Sequence[Signal], categories: Mapping[str, str], related: Related) -> list[Signal]:
    """The signals, those whose tag turns out to be related to its proof accepted.

    Args:
        signals: Of a chunk of users; those with the reason `UNRELATED` are looked at, and if there are none nothing is
            asked.
        categories: Of what item each event is, by event id.
        related: Tells which pairs are related.
    """
    open_ = {s.signal_id: pair for s in signals if (pair := _pair(s, categories))}
    if not open_:
        return list(signals)
    pairs = list(dict.fromkeys(open_.values()))
    found = dict(zip(pairs, related(pairs), strict=True))
    return [
        replace(s, status="accepted", reason="") if s.signal_id in open_ and found[open_[s.signal_id]] else s
        for s in signals
    ]


def _pair(signal: Signal, categories: Mapping[str, str]) -> Pair | None:
    if signal.reason != UNRELATED:
        return None
    category = categories.get(signal.evidence.event_id, "") if signal.evidence.field == "title" else ""
    return Pair(signal.label, Item(signal.evidence.quote, category))
