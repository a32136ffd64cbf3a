"""Discovery: from facts and traits to named segments with memberships, written in one commit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from limner.errors import UsageError
from limner.histories.store import Store
from limner.retrieval.space import Space
from limner.segments.clusters import Clusters, find_clusters
from limner.segments.features import Features, distinctive, user_features, worded
from limner.segments.naming import Nameless, Naming, name_segments
from limner.segments.reasons import language, reason
from limner.segments.records import DISCOVERED, Discovery, Membership, Segment
from limner.segments.views import UserViews, user_views

if TYPE_CHECKING:
    from limner.serving.client import Client

Progress = Callable[[int, int], None]
"""Called with (done, total) texts that had to be embedded."""


def discover(
    store: Store,
    client: Client,
    *,
    k: int | None = None,
    seed: int = 0,
    space: Space | None = None,
    progress: Progress | None = None,
    include_flagged: bool = False,
) -> Discovery:
    """Finds segments, names them, and replaces the workspace's discovered segments in one commit.

    The same data, seed and model give the same segments.

    Args:
        store: The workspace.
        client: The model that words names and descriptions.
        k: The number of segments; chosen from the data if None.
        seed: Seed of the clustering.
        space: How labels become vectors; the workspace's own if not given.
        progress: Called while labels are embedded.
        include_flagged: Accounts that look like bots or tests too.

    Raises:
        UsageError: No user has anything to go by, or `k` is not between 1 and the number of users.
        ModelError: The model cannot be reached or loaded. Nothing is written then.
    """
    space = space or Space.open(store.path)
    views = user_views(store, space, progress, include_flagged=include_flagged)
    if not views.users:
        raise UsageError(f"No user in {store.path} has events or traits. Load data first with `limner ingest FILE`.")
    if k is not None and not 1 <= k <= len(views.users):
        raise UsageError(f"Cannot make {k} segments of {len(views.users)} users. Choose --k from 1 to that number.")
    clusters = find_clusters(views.vectors, k=k, seed=seed)
    discovery = _assemble(views, clusters, user_features(views, space), client)
    _write(store, discovery)
    return discovery


def _assemble(views: UserViews, clusters: Clusters, features: Features, client: Client) -> Discovery:
    groups = [clusters.of == number for number in range(clusters.k)]
    scored = [distinctive(features, inside) for inside in groups]
    languages = [language(views, inside) for inside in groups]
    nameless = [Nameless(lang, worded(features, best, lang)) for lang, best in zip(languages, scored, strict=True)]
    namings = name_segments(client, nameless)
    segments = []
    for inside, segment, naming in zip(groups, nameless, namings, strict=True):
        users = [user for user, is_inside in zip(views.users, inside, strict=True) if is_inside]
        segments.append(_segment(users, segment, naming, clusters.criterion))
    memberships = [
        Membership(
            segments[group].segment_id,
            user,
            DISCOVERED,
            round(float(clusters.confidence[i]), 4),
            reason(features, i, scored[group], languages[group]),
        )
        for i, (user, group) in enumerate(zip(views.users, clusters.of.tolist(), strict=True))
    ]
    return Discovery(tuple(segments), tuple(memberships), views.left_out, clusters.criterion)


def _segment(users: Sequence[str], segment: Nameless, naming: Naming, criterion: str) -> Segment:
    digest = hashlib.sha256("\0".join(users).encode("utf-8", "surrogatepass")).hexdigest()
    return Segment(
        segment_id=f"seg-{digest[:10]}",
        name=naming.name,
        description=naming.description,
        origin=DISCOVERED,
        users=len(users),
        features=segment.features,
        criterion=criterion,
        model=naming.model,
    )


def _write(store: Store, discovery: Discovery) -> None:
    with store.commit("segment-discover") as commit:
        commit.add("segments", [segment.to_json() for segment in discovery.segments])
        commit.add("memberships", [asdict(membership) for membership in discovery.memberships])
        commit.summary = {
            "segments": len(discovery.segments),
            "users": len(discovery.memberships),
            "left_out": len(discovery.left_out),
        }
