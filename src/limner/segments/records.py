"""Segments and memberships, as stored and as read back."""

from __future__ import annotations

import unicodedata
from dataclasses import asdict, dataclass, field
from typing import Any

from limner.errors import UsageError
from limner.histories.store import Store, arrow

DISCOVERED = "discovered"
"""Origin of segments found in the data, as against those described in advance."""


@dataclass(frozen=True, slots=True)
class Feature:
    """Something that the users of a segment have more often than everyone else.

    Attributes:
        label: What it is, in the language of the data or of the segment.
        kind: `trait`, `complaint`, `category`, `activity`, `fact`, `language`, `device` or `place`.
        share: Share of the segment's users that have it, 0 to 1.
        lift: That share over the share among all other users, both with add-one smoothing; 1 if there are no others.
    """

    label: str
    kind: str
    share: float
    lift: float


@dataclass(frozen=True, slots=True)
class Segment:
    """Users who belong together.

    Attributes:
        segment_id: A hash of the members: the same users give the same id.
        name: Unique among the segments of one discovery.
        description: One sentence; its numbers, if any, stand in the features.
        origin: `discovered` or `defined`.
        users: Number of members.
        features: What sets them apart, the most telling first.
        criterion: How the number of segments was chosen, in words and figures.
        model: The model that named it; empty if the name was put together from the features.
    """

    segment_id: str
    name: str
    description: str
    origin: str
    users: int
    features: tuple[Feature, ...]
    criterion: str
    model: str

    def to_json(self) -> dict[str, Any]:
        """The segment as the command line prints it."""
        return {**asdict(self), "features": [asdict(feature) for feature in self.features]}


@dataclass(frozen=True, slots=True)
class Membership:
    """That a user belongs to a segment.

    Attributes:
        confidence: Probability of this segment among all of the discovery, 0 to 1 (see `clusters.py`).
        reason: Up to three features that the user shares with the segment, in words.
    """

    segment_id: str
    user_id: str
    origin: str
    confidence: float
    reason: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A user who is in no segment, and why."""

    user_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Discovery:
    """What one run of `discover` found.

    Attributes:
        segments: The segments, the largest first. One segment is an answer: the users do not fall into groups.
        memberships: One per user who has a segment, by user id.
        left_out: Users about whom too little is known.
        criterion: How the number was chosen, in words and figures.
    """

    segments: tuple[Segment, ...]
    memberships: tuple[Membership, ...]
    left_out: tuple[LeftOut, ...] = field(default_factory=tuple)
    criterion: str = ""

    def to_json(self) -> dict[str, Any]:
        """The discovery as `limner segment discover --json` prints it."""
        return {
            "segments": [segment.to_json() for segment in self.segments],
            "users": len(self.memberships),
            "left_out": [asdict(user) for user in self.left_out],
            "criterion": self.criterion,
        }


def read_segments(store: Store) -> list[Segment]:
    """The present segments, the largest first."""
    with store.read() as db:
        rows = arrow(db, "SELECT * FROM segments ORDER BY users DESC, name, segment_id").to_pylist()
    return [
        Segment(
            segment_id=row["segment_id"],
            name=row["name"],
            description=row["description"] or "",
            origin=row["origin"],
            users=row["users"],
            features=tuple(Feature(f["label"], f["kind"], f["share"], f["lift"]) for f in row["features"] or ()),
            criterion=row["criterion"] or "",
            model=row["model"] or "",
        )
        for row in rows
    ]


def read_memberships(store: Store, segment_id: str | None = None) -> list[Membership]:
    """The present memberships, of one segment if named, the surest first."""
    chosen = "" if segment_id is None else "WHERE segment_id = $1"
    columns = "segment_id, user_id, origin, confidence, reason"
    query = f"SELECT {columns} FROM memberships {chosen} ORDER BY confidence DESC, user_id, segment_id"
    with store.read() as db:
        rows = arrow(db, query, None if segment_id is None else [segment_id]).to_pylist()
    return [Membership(**row) for row in rows]


def find_segment(store: Store, name_or_id: str) -> Segment:
    """The segment of a name or id. Case, width and surrounding space of a name do not matter.

    Raises:
        UsageError: There is no such segment, or several; the message lists the names.
    """
    segments = read_segments(store)
    if not segments:
        raise UsageError(f"There are no segments in {store.path} yet. Find some with `limner segment discover`.")
    exact = [segment for segment in segments if name_or_id in (segment.segment_id, segment.name)]
    found = exact or [segment for segment in segments if fold_name(segment.name) == fold_name(name_or_id)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(segment.name for segment in segments[:10]) + (", ..." if len(segments) > 10 else "")
    if found:
        ids = ", ".join(segment.segment_id for segment in found)
        raise UsageError(f"{len(found)} segments are called {name_or_id}. Name one by its id: {ids}.")
    raise UsageError(f"There is no segment {name_or_id}. Known: {names}.")


def fold_name(name: str) -> str:
    """A name as names are compared: without width, case and outer space."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
