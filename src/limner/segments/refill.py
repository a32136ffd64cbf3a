"""Keeping memberships true between discoveries: users whose data changed go to the nearest segment that there is.

The segments themselves stay: their names, their features and the users whose data did not change. A discovery from time
to time finds whether the segments still are the right ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt

from limner.histories.flags import flagged_users
from limner.histories.store import Store
from limner.retrieval.space import Space
from limner.segments.clusters import place
from limner.segments.features import distinctive, user_features
from limner.segments.reasons import language, reason
from limner.segments.records import DISCOVERED, Membership, read_memberships, read_segments
from limner.segments.views import UserViews, user_views


@dataclass(frozen=True, slots=True)
class Refilled:
    """What became of users whose data changed.

    Attributes:
        joined: Users who had no segment.
        moved: Users who went to another segment.
        stayed: Users who stayed in theirs.
        left: Users about whom nothing is known any more.
    """

    joined: int = 0
    moved: int = 0
    stayed: int = 0
    left: int = 0


_CHANGED = "SELECT user_id FROM personas WHERE seq > (SELECT max(seq) FROM raw_memberships) ORDER BY user_id"
"""Users who were portrayed after memberships were written."""


def refill(
    store: Store, users: Collection[str] | None = None, *, space: Space | None = None, run: str | None = None
) -> Refilled:
    """Places users whose data changed, in one commit; nothing is asked of a model.

    Args:
        store: The workspace.
        users: Whose data changed, new ones included; those portrayed since memberships were written if None.
        space: How labels become vectors; the workspace's own if not given.
        run: Id of the run that this is a part of.
    """
    segments = [segment for segment in read_segments(store) if segment.origin == DISCOVERED]
    if users is None:
        users = [row["user_id"] for row in store.rows(_CHANGED)]
    if not segments or not users:
        return Refilled()
    before = {m.user_id: m for m in read_memberships(store) if m.origin == DISCOVERED}
    flagged_too = not flagged_users(store).isdisjoint(before)  # As the discovery was asked.
    views = user_views(store, space or Space.open(store.path), include_flagged=flagged_too)
    number = {segment.segment_id: at for at, segment in enumerate(segments)}
    of = np.array([number[before[user].segment_id] if user in before else -1 for user in views.users], dtype=np.int64)
    if not (of >= 0).any():
        return Refilled()
    changed = set(users)
    moving = np.array([user in changed or of[at] < 0 for at, user in enumerate(views.users)])
    placed = place(views.vectors, of, moving)
    reasons = _reasons(views, placed.of, moving, space or Space.open(store.path))
    known = set(views.users)
    after = {m.user_id: m for m in before.values() if m.user_id in known}
    for at in np.flatnonzero(moving):
        user, segment = views.users[at], segments[int(placed.of[at])]
        after[user] = Membership(
            segment.segment_id, user, DISCOVERED, round(float(placed.confidence[at]), 4), reasons[int(at)]
        )
    told = Refilled(
        joined=sum(user not in before for user in after),
        moved=sum(user in before and before[user].segment_id != m.segment_id for user, m in after.items()),
        stayed=sum(
            user in before and before[user].segment_id == after[user].segment_id for user in changed & set(after)
        ),
        left=len(set(before) - set(after)),
    )
    sizes = Counter(m.segment_id for m in after.values())
    with store.commit("segment-refill", run=run) as commit:
        commit.add("segments", [replace(s, users=sizes[s.segment_id]).to_json() for s in segments])
        commit.add("memberships", [asdict(after[user]) for user in sorted(after)])
        commit.summary = asdict(told)
    return told


def _reasons(
    views: UserViews, of: npt.NDArray[np.int64], moving: npt.NDArray[np.bool_], space: Space
) -> dict[int, str]:
    """Why each moving user is in a segment, in words."""
    features = user_features(views, space)
    found: dict[int, str] = {}
    for group in sorted(set(of[moving].tolist())):
        inside = of == group
        scored, lang = distinctive(features, inside), language(views, inside)
        found.update({int(at): reason(features, int(at), scored, lang) for at in np.flatnonzero(inside & moving)})
    return found
