"""Whom a copy is written for: a segment's members, what they share, and what of them must not be repeated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from limner.agents.analyst.refusal import refusal
from limner.agents.copywriter.schema import Language
from limner.errors import UsageError
from limner.histories.language import detect
from limner.histories.store import Store, arrow

if TYPE_CHECKING:
    import duckdb

SHARED_BY = 2
"""A trait is used only if so many members have it: copy for a group must not be about one person."""

TRAITS = 6
"""Traits that a model is given; a small one does no better with more."""

QUOTES = 20_000
"""Members' quotes that a variant is compared with, the surest first."""


@dataclass(frozen=True, slots=True)
class SegmentTrait:
    """What members of a segment share.

    Attributes:
        label: What it is about.
        kind: The trait's kind, or the segment feature's.
        polarity: How most of those who have it feel; `bought` for what they buy.
        members: How many members have it.
    """

    label: str
    kind: str
    polarity: str
    members: int


@dataclass(frozen=True, slots=True)
class Audience:
    """A segment as the copywriter needs it.

    Attributes:
        segment_id, name: The segment.
        language: The language that most members write.
        traits: What they share, what sets them apart first.
        quotes: Words of members, which no variant may repeat.
        users: Ids of members, likewise.
    """

    segment_id: str
    name: str
    language: Language
    traits: tuple[SegmentTrait, ...]
    quotes: tuple[str, ...]
    users: tuple[str, ...]


def find_audience(store: Store, segment: str, language: Language | None = None) -> Audience:
    """Reads a segment by name or id.

    Args:
        store: The workspace.
        segment: Name (case does not matter) or id.
        language: The language that will be written in; traits in it come first. The members' if None.

    Raises:
        UsageError: There is no such segment; the message lists the names there are.
    """
    with store.read() as db:
        row = _segment(db, segment, store)
        key = [row["segment_id"]]
        users = arrow(db, "SELECT user_id FROM memberships WHERE segment_id = $1 ORDER BY user_id", key)
        languages = arrow(db, _LANGUAGES, key).to_pylist()
        shared = arrow(db, _SHARED, [row["segment_id"], SHARED_BY]).to_pylist()
        quotes = arrow(db, _QUOTES, [row["segment_id"], QUOTES])
    majority: Language = "zh" if languages and languages[0]["lang"] == "zh" else "en"
    return Audience(
        segment_id=row["segment_id"],
        name=row["name"],
        language=majority,
        traits=_traits(shared, row["features"] or (), len(users), language or majority),
        quotes=tuple(quotes.column("quote").to_pylist()),
        users=tuple(users.column("user_id").to_pylist()),
    )


_LANGUAGES = (
    "SELECT f.lang, count(*) AS n FROM memberships m JOIN facts f ON f.user_id = m.user_id"
    " WHERE m.segment_id = $1 AND f.lang <> '' GROUP BY f.lang ORDER BY n DESC, f.lang"
)
_SHARED = (
    "SELECT min(t.label) AS label, mode(t.kind) AS kind, mode(t.polarity) AS polarity,"
    " count(DISTINCT t.user_id) AS members FROM present_traits t JOIN memberships m ON m.user_id = t.user_id"
    " WHERE m.segment_id = $1 GROUP BY CASE WHEN t.canonical = 'other' THEN lower(t.label) ELSE lower(t.canonical) END"
    " HAVING count(DISTINCT t.user_id) >= $2"
    " ORDER BY members DESC, label"
)
_QUOTES = (
    "SELECT DISTINCT e.quote AS quote FROM (SELECT unnest(t.evidence) AS e FROM present_traits t"
    " JOIN memberships m ON m.user_id = t.user_id WHERE m.segment_id = $1) WHERE e.field <> 'title' LIMIT $2"
)


def _segment(db: duckdb.DuckDBPyConnection, segment: str, store: Store) -> dict[str, Any]:
    rows = arrow(db, "SELECT segment_id, name, features FROM segments ORDER BY users DESC, name").to_pylist()
    wanted = segment.strip().casefold()
    for row in rows:
        if segment.strip() == row["segment_id"] or wanted == (row["name"] or "").casefold():
            return dict(row)
    if not rows:
        raise UsageError(f"There are no segments in {store.path}. Find them first with `limner segment discover`.")
    names = ", ".join(row["name"] or row["segment_id"] for row in rows[:20])
    raise UsageError(f"There is no segment {segment!r}. The segments are: {names}.")


def _traits(
    shared: Sequence[dict[str, Any]], features: Sequence[dict[str, Any]], members: int, language: Language
) -> tuple[SegmentTrait, ...]:
    """What sets the segment apart, then what members share; in the language to write first, complaints last.

    Traits about what limner does not infer (health, religion, ...) are never written to.
    """
    found: dict[str, SegmentTrait] = {}
    for feature in features:
        having = round((feature["share"] or 0.0) * members)
        if feature["label"] and feature["kind"] in _FEATURE_POLARITY and having >= SHARED_BY:
            polarity = _FEATURE_POLARITY[feature["kind"]]
            found.setdefault(
                feature["label"].casefold(), SegmentTrait(feature["label"], feature["kind"], polarity, having)
            )
    for row in shared:
        found.setdefault(
            row["label"].casefold(), SegmentTrait(row["label"], row["kind"], row["polarity"], row["members"])
        )
    safe = [trait for trait in found.values() if refusal(trait.label, language) is None]

    def rank(trait: SegmentTrait) -> tuple[bool, bool]:
        return (detect(trait.label) not in ("", language), trait.polarity == "negative")

    return tuple(sorted(safe, key=rank)[:TRAITS])


_FEATURE_POLARITY = {"trait": "positive", "complaint": "negative", "category": "bought"}
"""Kinds of a segment's features that copy can speak to, and how members stand to them."""
