"""Why a user is in a segment, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from limner.segments.features import Features, Scored
from limner.segments.views import UserViews

REASONS = 3
"""Features named in a membership's reason."""


def language(views: UserViews, inside: npt.NDArray[np.bool_]) -> str:
    """The language most of a segment's users write: `zh` or `en`.

    Args:
        views: All users.
        inside: Which of them are in the segment, shape (users,).
    """
    counts = Counter(row["lang"] for row, is_inside in zip(views.facts, inside, strict=True) if is_inside)
    return "zh" if counts["zh"] > counts["en"] else "en"


def reason(features: Features, user: int, scored: Sequence[Scored], lang: str) -> str:
    """Up to three of the segment's features that the user (a row number) has."""
    shared = [features.words(one.key, lang) for one in scored if one.key in features.of[user]][:REASONS]
    if not shared:
        return "整体行为最接近" if lang == "zh" else "closest in overall behaviour"
    return ("、" if lang == "zh" else ", ").join(shared)
