"""User vectors: what a user likes and minds, buys, does, and in what measure, as one row of numbers each.

Four blocks stand side by side. Traits and categories are embedded in the space that both languages share
(retrieval/space.py), so that a Chinese and an English user who like the same thing come to lie together; facts are
standardised numbers; activity is the mix of event kinds. Every block is centred and scaled to the same total variance,
then weighted, so that 384 embedding dimensions do not drown eight numbers. What is unknown is the average.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from limner.histories.flags import flagged_users
from limner.histories.store import Store, arrow
from limner.retrieval.embedder import DIMENSIONS
from limner.retrieval.space import Space
from limner.segments.records import LeftOut

Matrix = npt.NDArray[np.float32]

WEIGHTS = {"traits": 0.4, "categories": 0.3, "facts": 0.15, "activity": 0.15}
"""Each block's share of the total variance: first what people care about, then how much and how they act."""

NEGATIVE = ("negative", "mixed")

FLAGGED = "flagged as a bot or test account"
"""Why flagged accounts are in no segment."""

CLIP = 3.0
"""Standard deviations beyond which a fact counts as no further away, so that one whale is not a segment."""


@dataclass(frozen=True, slots=True)
class TraitUse:
    """A user's trait, as far as segments need it."""

    user_id: str
    label: str
    polarity: str
    confidence: float

    @property
    def minds(self) -> bool:
        """Whether it is something the user is unhappy with."""
        return self.polarity in NEGATIVE


@dataclass(frozen=True, slots=True)
class UserViews:
    """What is known of the users that are to be grouped.

    Attributes:
        users: User ids, sorted; rows of `vectors`.
        vectors: Float32 of shape (users, dimensions).
        facts: Each user's row of the `facts` table.
        traits: All their traits.
        left_out: Users without a vector.
    """

    users: tuple[str, ...]
    vectors: Matrix
    facts: tuple[dict[str, Any], ...]
    traits: tuple[TraitUse, ...]
    left_out: tuple[LeftOut, ...]


def user_views(
    store: Store,
    space: Space,
    progress: Callable[[int, int], None] | None = None,
    *,
    include_flagged: bool = False,
) -> UserViews:
    """Builds the vectors of all users with facts. Who has no event and trait or is flagged is left out and told of.

    Args:
        store: The workspace.
        space: How labels become vectors.
        progress: Called with (done, total) labels that had to be embedded.
        include_flagged: Flagged accounts too.
    """
    flagged = frozenset() if include_flagged else flagged_users(store)
    with store.read() as db:
        rows = arrow(db, "SELECT * FROM facts ORDER BY user_id").to_pylist()
        found = arrow(
            db, "SELECT user_id, label, polarity, confidence FROM present_traits ORDER BY user_id, trait_id, label"
        ).to_pylist()
    with_traits = {row["user_id"] for row in found}
    told = [row for row in rows if row["events"] or row["user_id"] in with_traits]
    known = [row for row in told if row["user_id"] not in flagged]
    kept = {row["user_id"] for row in known}
    left_out = tuple(
        LeftOut(row["user_id"], FLAGGED if row["user_id"] in flagged else "no events and no traits")
        for row in rows
        if row["user_id"] not in kept
    )
    traits = tuple(TraitUse(**row) for row in found if row["user_id"] in kept)
    place = {row["user_id"]: i for i, row in enumerate(known)}
    blocks = {
        "traits": _trait_block(traits, place, space, progress),
        "categories": _category_block(known, space),
        "facts": _fact_block(known),
        "activity": _activity_block(known),
    }
    vectors = np.hstack([_balanced(block, WEIGHTS[name]) for name, block in blocks.items()])
    return UserViews(tuple(place), vectors, tuple(known), traits, left_out)


def _balanced(block: Matrix, weight: float) -> Matrix:
    """The block around its mean with total variance `weight`; rows of NaN (nothing known) at the mean."""
    known = np.asarray(~np.isnan(block).any(axis=1))
    if not known.any():
        return np.zeros_like(block)
    centred = np.where(known[:, None], block - block[known].mean(axis=0), np.float32(0))
    spread = float((centred[known] ** 2).sum(axis=1).mean())
    return np.asarray(centred * np.sqrt(weight / spread) if spread > 1e-9 else centred * 0, dtype=np.float32)


def _trait_block(
    traits: Sequence[TraitUse],
    place: dict[str, int],
    space: Space,
    progress: Callable[[int, int], None] | None,
) -> Matrix:
    """Mean of the labels a user likes beside the mean of those the user minds, weighted by confidence.

    They stand side by side and not one subtracted from the other, because disliking a thing is closer to talking of it
    than to anything else.
    """
    labels = sorted({trait.label for trait in traits})
    row_of = dict(zip(labels, space.passages(labels, progress), strict=True))
    block = np.zeros((len(place), 2 * DIMENSIONS), dtype=np.float32)
    weight = np.zeros((len(place), 2), dtype=np.float32)
    for trait in traits:
        side, user = int(trait.minds), place[trait.user_id]
        confidence = max(float(trait.confidence or 0.0), 0.05)
        block[user, side * DIMENSIONS : (side + 1) * DIMENSIONS] += confidence * row_of[trait.label]
        weight[user, side] += confidence
    block /= np.maximum(np.repeat(weight, DIMENSIONS, axis=1), 1e-6)
    block[weight.sum(axis=1) == 0] = np.nan
    return block


def _category_block(facts: Sequence[dict[str, Any]], space: Space) -> Matrix:
    """Mean embedding of a user's top categories, weighted by the square root of how often each occurs."""
    names = sorted({item["value"] for row in facts for item in row["top_categories"] or ()})
    row_of = dict(zip(names, space.passages(names), strict=True))
    block = np.full((len(facts), DIMENSIONS), np.nan, dtype=np.float32)
    for i, row in enumerate(facts):
        counted = row["top_categories"] or ()
        if counted:
            weights = np.sqrt([item["n"] for item in counted])
            block[i] = np.average([row_of[item["value"]] for item in counted], axis=0, weights=weights)
    return block


@dataclass(frozen=True, slots=True)
class Measure:
    """A fact that goes into the vector: its column, and whether it grows by factors and is compared by logarithm."""

    column: str
    log: bool
    money: bool = False


MEASURES = (
    Measure("recency_days", log=True),
    Measure("frequency", log=True),
    Measure("monetary", log=True, money=True),
    Measure("average_order", log=True, money=True),
    Measure("return_rate", log=False),
    Measure("rating_mean", log=False),
    Measure("events_90d", log=True),
)
"""Recency, frequency and monetary value with what refines them. Money is compared within its currency."""


def _fact_block(facts: Sequence[dict[str, Any]]) -> Matrix:
    """Standardised measures, cut at three standard deviations; unknown ones at the mean."""
    block = np.zeros((len(facts), len(MEASURES)), dtype=np.float32)
    currency = np.array([row["currency"] or "" for row in facts], dtype=object)
    for j, measure in enumerate(MEASURES):
        values = fact_values(facts, measure.column)
        if measure.log:
            values = np.sign(values) * np.log1p(np.abs(values))
        groups = [currency == name for name in sorted(set(currency))] if measure.money else [np.ones(len(facts), bool)]
        for group in groups:
            known = group & ~np.isnan(values)
            if known.sum() > 1 and values[known].std() > 1e-9:
                block[known, j] = np.clip((values[known] - values[known].mean()) / values[known].std(), -CLIP, CLIP)
    return block


def fact_values(facts: Sequence[dict[str, Any]], column: str) -> npt.NDArray[np.float64]:
    """One fact of all users, NaN where it is unknown."""
    return np.array([np.nan if row[column] is None else float(row[column]) for row in facts])


def _activity_block(facts: Sequence[dict[str, Any]]) -> Matrix:
    """Square roots of the shares of event kinds (Hellinger distance between the users' mixes)."""
    kinds = sorted({item["value"] for row in facts for item in row["kinds"] or ()})
    block = np.full((len(facts), max(len(kinds), 1)), np.nan, dtype=np.float32)
    column = {kind: j for j, kind in enumerate(kinds)}
    for i, row in enumerate(facts):
        total = sum(item["n"] for item in row["kinds"] or ())
        if total:
            block[i] = 0
            for item in row["kinds"]:
                block[i, column[item["value"]]] = np.sqrt(item["n"] / total)
    return block
