"""What of the workspace bears on a topic: near in meaning by the index, and near enough to count.

Nearness alone cannot abstain (something is always nearest), so only hits that pass the judge count; and users are then
counted over all traits with a label that passed, not over the hits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from limner.histories.store import Store

if TYPE_CHECKING:
    from limner.retrieval.documents import Kind
    from limner.retrieval.index import Hit

TRAITS = 60
OTHERS = 8
"""Hits asked for: labels matter for counting, so many traits; quotes and segments only add to them."""


class Searcher(Protocol):
    """The part of the index that the analyst uses."""

    def search(self, text: str, kinds: Sequence[Kind] = ..., k: int = ..., within: set[str] | None = ...) -> list[Hit]:
        """The nearest documents of some kinds, of some users."""
        ...


Judge = Callable[[Sequence["Hit"]], list["Hit"]]
"""Keeps the hits that bear on what they were found for."""


@dataclass(frozen=True, slots=True)
class Quote:
    """A piece of an event's text that bears on the topic."""

    event_id: str
    user_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Bearing:
    """What bears on a topic: trait ids, quotes and segment ids, the nearest first."""

    traits: tuple[str, ...]
    quotes: tuple[Quote, ...]
    segments: tuple[str, ...]


def bearing(index: Searcher, judge: Judge, topic: str, within: set[str] | None) -> Bearing:
    """Searches the index for a topic and keeps what the judge lets pass.

    Args:
        index: What to search.
        judge: What counts.
        topic: What to search for.
        within: Only of these users; all if None.
    """
    from limner.retrieval.documents import split_id

    hits = index.search(topic, kinds=("trait",), k=TRAITS, within=within)
    hits += index.search(topic, kinds=("evidence",), k=OTHERS, within=within)
    if within is None:
        hits += index.search(topic, kinds=("segment",), k=OTHERS)
    kept = judge(hits)
    return Bearing(
        tuple(split_id(hit.id)[2] for hit in kept if hit.type == "trait"),
        tuple(Quote(split_id(hit.id)[1], hit.user_id, hit.text) for hit in kept if hit.type == "evidence"),
        tuple(split_id(hit.id)[1] for hit in kept if hit.type == "segment"),
    )


def open_index(store: Store) -> Searcher:
    """The workspace's own index, made equal to its present tables."""
    from limner.retrieval.index import Index

    index = Index.open(store.path)
    index.refresh(store)
    return index


def nearness_judge(hits: Sequence[Hit]) -> list[Hit]:
    """The index's own threshold of relevance."""
    from limner.retrieval.relevance import relevant

    return relevant(hits)
