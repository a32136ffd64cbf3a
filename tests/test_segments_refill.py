"""Refilling: users whose data changed go to the nearest segment; segments and everybody else stay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import planted
from limner.histories.store import Store
from limner.segments.clusters import find_clusters, place
from limner.segments.discover import discover
from limner.segments.records import read_memberships, read_segments
from limner.segments.refill import Refilled, refill
from planted_groups import by_topic, client, counted, three_groups

pytestmark = pytest.mark.slow


def segments_of(store: Store) -> dict[str, str]:
    return {m.user_id: m.segment_id for m in read_memberships(store)}


def rewrite(store: Store, user: str, like: str) -> None:
    """Gives a user the traits and facts of another."""
    for table in ("traits", "facts"):
        rows = store.rows(f"SELECT * EXCLUDE (run, seq) FROM {table} WHERE user_id = $1", [like])
        renamed = [
            {**row, "user_id": user, **({"trait_id": f"{user}-{n}"} if table == "traits" else {})}
            for n, row in enumerate(rows)
        ]
        with store.commit("test") as commit:
            commit.add(table, renamed)


def test_changed_users_go_to_the_nearest_segment_and_the_others_stay(tmp_path: Path) -> None:
    store, _ = three_groups(tmp_path)
    discover(store, client(tmp_path, by_topic))
    before, named = segments_of(store), {s.segment_id: s.name for s in read_segments(store)}
    camping, baby = before["camping-02"], before["baby-02"]
    assert before["coffee-02"] not in (camping, baby)
    rewrite(store, "coffee-02", like="camping-02")
    rewrite(store, "newcomer", like="baby-02")
    told = refill(store, ["coffee-02", "newcomer", "camping-03", "nobody"])
    assert told == Refilled(joined=1, moved=1, stayed=1, left=0)
    after = segments_of(store)
    assert after == {**before, "coffee-02": camping, "newcomer": baby}
    assert {s.segment_id: s.name for s in read_segments(store)} == named
    assert {s.segment_id: s.users for s in read_segments(store)} == {
        id_: list(after.values()).count(id_) for id_ in named
    }
    (newcomer,) = (m for m in read_memberships(store) if m.user_id == "newcomer")
    assert newcomer.confidence > 0.9
    assert newcomer.reason
    assert refill(store, ["coffee-02", "newcomer"]) == Refilled(stayed=2)
    assert segments_of(store) == after


def test_without_segments_there_is_nothing_to_refill(tmp_path: Path) -> None:
    store = planted.write(tmp_path, traits=[], facts=[planted.fact("u", events=3, kinds=counted(order=3))])
    seq = store.manifest().seq
    assert refill(store, ["u"]) == Refilled()
    assert store.manifest().seq == seq


def test_placing_agrees_with_the_clustering_where_nothing_changed() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 6)) * 8
    vectors = np.concatenate([rng.normal(size=(40, 6)) + centre for centre in centres]).astype(np.float32)
    found = find_clusters(vectors, k=3)
    moving = rng.random(len(vectors)) < 0.3
    hidden = np.where(moving, -1, found.of)
    placed = place(vectors, hidden, moving)
    assert (placed.of == found.of).all()
    assert np.allclose(placed.confidence, found.confidence, atol=0.01)


def test_a_group_whose_members_all_move_keeps_its_place_through_them() -> None:
    vectors = np.array([[0, 0], [0, 1], [9, 9], [9, 8]], dtype=np.float32)
    placed = place(vectors, np.array([0, 0, 1, 1]), np.array([False, False, True, True]))
    assert placed.of.tolist() == [0, 0, 1, 1]
