"""Features of social ties against plain Python that shares no code with them, and on the ties of a real club."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from itertools import combinations
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limner.histories.communities import communities
from limner.histories.identity import merge
from limner.histories.links import links_of_ties
from limner.histories.mixing import UNKNOWN, mix, p_value, standard_error
from limner.histories.society import define_mixing, define_society
from limner.histories.store import Store, arrow
from reading_workspace import event, export, load

Row = dict[str, Any]
Pairs = set[tuple[str, str]]

CLUB = {
    1: [2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 18, 20, 22, 32], 2: [3, 4, 8, 14, 18, 20, 22, 31],
    3: [4, 8, 9, 10, 14, 28, 29, 33], 4: [8, 13, 14], 5: [7, 11], 6: [7, 11, 17], 7: [17], 9: [31, 33, 34], 10: [34],
    14: [34], 15: [33, 34], 16: [33, 34], 19: [33, 34], 20: [34], 21: [33, 34], 23: [33, 34],
    24: [26, 28, 30, 33, 34], 25: [26, 28, 32], 26: [32], 27: [30, 34], 28: [34], 29: [32, 34],
    30: [33, 34], 31: [33, 34], 32: [33, 34], 33: [34],
}  # fmt: skip
"""Zachary's karate club ("An information flow model for conflict and fission in small groups", 1977): real ties."""

OFFICER = {10, 15, 16, 19, 21, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34}
"""Who stayed with the officer when the club split."""


def tied(path: Path, ties: list[Row], *events: Row, users: tuple[str, ...] = ()) -> Store:
    store = load(path, *events, users=users)
    with store.commit("ingest") as commit:
        commit.add("ties", [{"kind": "friend", **tie} for tie in ties])
    return load(path)


def features(store: Store) -> tuple[dict[str, Row], dict[str, Row]]:
    """The rows of `society` by user and of `mixing` by feature."""
    with store.read() as db:
        define_society(db)
        define_mixing(db)
        rows, whole = (arrow(db, f"SELECT * FROM {name}").to_pylist() for name in ("society", "mixing"))
    return {row["user_id"]: row for row in rows}, {row["feature"]: row for row in whole}


def exported(store: Store, folder: Path) -> tuple[dict[str, Row], dict[str, Row]]:
    """The same by the command."""
    rows, whole = (export(store.path, name, folder / f"{name}.jsonl") for name in ("society", "mixing"))
    return {row["user_id"]: row for row in rows}, {row["feature"]: row for row in whole}


def tie(one: str, other: str, kind: str = "friend") -> Row:
    return {"user_id": one, "other_id": other, "kind": kind}


def modularity(pairs: Pairs, community: dict[str, str]) -> float:
    """By its definition (Newman and Girvan, 2004), a sum over communities."""
    inside = Counter(community[a] for a, b in pairs if community[a] == community[b])
    ends = Counter(community[user] for pair in pairs for user in pair)
    return sum(inside[c] / len(pairs) - (ends[c] / (2 * len(pairs))) ** 2 for c in ends)


def newman(pairs: list[tuple[str, str]], value: dict[str, str]) -> float | None:
    """Assortativity from the matrix e of ties between values, as the paper writes it."""
    e: dict[tuple[str, str], float] = defaultdict(float)
    for a, b in pairs:
        e[value[a], value[b]] += 0.5 / len(pairs)
        e[value[b], value[a]] += 0.5 / len(pairs)
    values = {v for pair in e for v in pair}
    a = {v: sum(share for (row, _), share in e.items() if row == v) for v in values}
    chance = sum(share**2 for share in a.values())
    return None if len(values) < 2 else (sum(e[v, v] for v in values) - chance) / (1 - chance)


def made(seed: int) -> tuple[list[Row], list[Row]]:
    """Random ties of three kinds, with oneself, doubled, in both directions, and what some of the users do."""
    rng = random.Random(seed)
    users = [f"u{n}" for n in range(12)] + ["王小明", "李雷", "Ünal", "u 1"]
    ties = [tie(rng.choice(users), rng.choice(users), rng.choice(["friend", "关注", "gift"])) for _ in range(40)]
    ties += [tie(row["other_id"], row["user_id"], "friend") for row in ties if row["kind"] == "friend"]
    events = [
        event(user, category=rng.choice(["茶", "tea"]), place=rng.choice([None, "上海", "Berlin"]), device=None)
        for user in users[:14]
        if rng.random() < 0.9
    ]
    return ties, events


@pytest.mark.parametrize("seed", range(3))
def test_every_column_is_what_plain_python_counts(tmp_path: Path, seed: int) -> None:
    ties, events = made(seed)
    store = tied(tmp_path / "w", ties, *events, users=("alone",))
    rows, whole = features(store)
    told = {(t["user_id"], t["other_id"], t["kind"]) for t in ties if t["user_id"] != t["other_id"]}
    pairs: Pairs = {(min(a, b), max(a, b)) for a, b, _ in told}
    near: dict[str, set[str]] = defaultdict(set)
    for a, b in pairs:
        near[a].add(b)
        near[b].add(a)
    assert set(rows) == set(near) | {row["user_id"] for row in events} | {"alone"}
    sided = {k for k in ("friend", "关注", "gift") if {(b, a, k) in told for a, b, kind in told if kind == k} > {True}}
    assert "friend" not in sided  # They are always named by both.
    for user, row in rows.items():
        assert row["ties"] == len(near[user])
        kinds = Counter(k for other in near[user] for k in {k for a, b, k in told if {a, b} == {user, other}})
        assert {entry["value"]: entry["n"] for entry in row["tie_kinds"]} == kinds
        assert row["ties_out"] == len({b for a, b, _ in told if a == user})
        assert row["ties_in"] == len({a for a, b, _ in told if b == user})
        mine = [(b, user, k) for a, b, k in told if a == user and k in sided]
        assert row["reciprocity"] == (pytest.approx(sum(t in told for t in mine) / len(mine)) if mine else None)
    for feature in ("category", "place"):
        value = {row["user_id"]: row[feature] for row in events if row[feature]}
        check_feature(feature, value, near, pairs, rows, whole[feature])
    of = {user: row["community"] for user, row in rows.items() if row["community"]}
    assert set(of) == {end for pair in pairs for end in pair}
    assert whole["community"]["same"] - whole["community"]["expected"] == pytest.approx(modularity(pairs, of), abs=3e-6)
    for user in of:
        members = {u for u in of if of[u] == of[user]}
        assert (of[user], rows[user]["community_users"]) == (min(members), len(members))
        assert rows[user]["community_ties"] == len(near[user] & members)


def check_feature(
    feature: str, value: dict[str, str], near: dict[str, set[str]], pairs: Pairs, rows: dict[str, Row], whole: Row
) -> None:
    counted = [(a, b) for a, b in pairs if a in value and b in value]
    for user, row in rows.items():
        others = [other for other in near[user] if other in value]
        same, known, expected = (row[name] for name in (f"same_{feature}", f"{feature}_known", f"{feature}_expected"))
        if user not in value or not near[user]:
            assert (same, known, expected) == (None, None, None)  # Never told from what neighbours are.
            continue
        assert known == len(others)
        ends = [value[end] for pair in counted for end in pair if end != user]
        if others:
            assert same == pytest.approx(sum(value[o] == value[user] for o in others) / len(others), abs=1e-6)
            assert expected == pytest.approx(ends.count(value[user]) / len(ends), abs=1e-6)
        else:
            assert (same, expected) == (None, None)
    r = newman(counted, value)
    assert whole["ties"] == len(counted)
    assert whole["assortativity"] == (None if r is None else pytest.approx(r, abs=1e-6))
    left = [newman([*counted[:i], *counted[i + 1 :]], value) for i in range(len(counted))]
    error = None if r is None or None in left else sqrt(sum((one - r) ** 2 for one in left if one is not None))
    assert whole["standard_error"] == (None if error is None else pytest.approx(error, abs=2e-6))


def club() -> list[tuple[int, int]]:
    return [(a, b) for a, others in CLUB.items() for b in others]


def test_the_karate_club_gets_its_best_partition_and_the_assortativity_of_its_split(tmp_path: Path) -> None:
    events = [event(f"{n:02}", category="officer" if n in OFFICER else "instructor") for n in range(1, 35)]
    store = tied(tmp_path / "w", [tie(f"{a:02}", f"{b:02}") for a, b in club()], *events)
    rows, whole = exported(store, tmp_path)
    of = {user: row["community"] for user, row in rows.items()}
    pairs = {(f"{a:02}", f"{b:02}") for a, b in club()}
    # The optimum: Brandes and others, "On modularity clustering", 2008.
    assert modularity(pairs, of) == pytest.approx(0.4198, abs=5e-5)
    assert (set(of.values()), rows["01"]["community_users"]) == ({"01", "05", "09", "24"}, 11)
    # What networkx 3.6 gives for it.
    assert whole["category"]["assortativity"] == pytest.approx(0.717531, abs=1e-6)
    assert whole["category"]["p_value"] == 0.01
    assert (rows["01"]["ties"], rows["01"]["reciprocity"]) == (16, None)  # Each pair stands once: no directions.


def planted(rng: random.Random, groups: int, size: int) -> list[Row]:
    """Groups in which three of ten pairs are tied, and one of two hundred pairs of others."""
    group = {f"用户{n:03}": n % groups for n in range(groups * size)}
    return [tie(a, b) for a, b in combinations(group, 2) if rng.random() < (0.3 if group[a] == group[b] else 0.005)]


def test_planted_communities_are_found_whatever_the_order_of_the_ties(tmp_path: Path) -> None:
    rng = random.Random(3)
    ties = planted(rng, 8, 20)
    rows, _ = features(tied(tmp_path / "w", ties))
    assert {user: row["community"] for user, row in rows.items()} == {
        user: f"用户{int(user[2:]) % 8:03}" for user in rows
    }
    again, _ = features(Store.open(tmp_path / "w"))
    turned = [tie(t["other_id"], t["user_id"]) if rng.random() < 0.5 else t for t in rng.sample(ties, len(ties))]
    other, _ = features(tied(tmp_path / "x", turned))
    assert again == rows
    same = ("ties", "community", "community_users", "community_ties")
    assert {u: [r[c] for c in same] for u, r in other.items()} == {u: [r[c] for c in same] for u, r in rows.items()}


def test_communities_are_connected_and_as_good_as_the_planted_ones() -> None:
    rng = np.random.default_rng(5)
    users = 3000
    group = rng.integers(0, 60, users)
    one, other = rng.integers(0, users, (2, 30_000), dtype=np.int32)
    kept = (one < other) & ((group[one] == group[other]) | (rng.random(30_000) < 0.02))
    number = {int(user): place for place, user in enumerate(np.unique(np.concatenate([one[kept], other[kept]])))}
    pairs = sorted({(number[int(a)], number[int(b)]) for a, b in zip(one[kept], other[kept], strict=True)})
    found = communities(*(np.array(side, np.int32) for side in zip(*pairs, strict=True)), len(number))
    named = {str(place): str(label) for place, label in enumerate(found)}
    true = {str(place): str(group[user]) for user, place in number.items()}
    said = {(str(a), str(b)) for a, b in pairs}
    assert modularity(said, named) >= modularity(said, true) - 0.001
    parent = list(range(len(number)))

    def root(place: int) -> int:
        while parent[place] != place:
            place = parent[place]
        return place

    for a, b in pairs:
        if found[a] == found[b]:
            parent[root(a)] = root(b)
    assert len({root(place) for place in range(len(number))}) == len(set(found.tolist()))


def test_what_is_no_tie_between_two_people_does_not_count(tmp_path: Path) -> None:
    ties = [tie("甲", "甲"), tie("甲", "乙"), tie("乙", "甲"), tie("甲", "乙", " friend "), tie("甲", "a2", "same_as")]
    store = tied(tmp_path / "w", [*ties, tie("a2", "丙"), tie("a2", "乙", "同事")], users=("丁",))
    rows, _ = features(store)
    assert {user: row["ties"] for user, row in rows.items()} == {"甲": 1, "乙": 2, "a2": 2, "丙": 1, "丁": 0}
    assert {row["user_id"]: row["ties"] for row in export(store.path, "users", tmp_path / "u.jsonl")} == {
        user: row["ties"] for user, row in rows.items()
    }
    assert (rows["丁"]["tie_kinds"], rows["丁"]["community"], rows["丁"]["category_known"]) == ([], None, None)
    merge(store, links_of_ties(store))
    rows, _ = features(store)
    merged = rows.pop("a2", None) or rows["甲"]
    assert (merged["ties"], {entry["value"]: entry["n"] for entry in merged["tie_kinds"]}) == (
        2,
        {"friend": 2, "同事": 1},
    )
    assert merged["community_users"] == 3


def test_a_workspace_without_ties_knows_of_none(tmp_path: Path) -> None:
    store = load(tmp_path / "w", event("a", category="tea"), users=("b",))
    for before in (True, False):
        rows, whole = exported(store, tmp_path)
        assert set(rows) == {"a", "b"}
        assert {value for row in rows.values() for name, value in row.items() if name != "user_id"} == {None}
        assert all(row["ties"] == 0 and row["assortativity"] is None for row in whole.values())
        if before:
            with store.commit("ingest") as commit:
                commit.add("ties", [tie("a", "b", "duplicate")])
    assert export(load(tmp_path / "new").path, "society", tmp_path / "s.jsonl") == []


def test_the_permutation_test_tells_homophily_from_chance() -> None:
    rng = np.random.default_rng(2)
    one, other = rng.integers(0, 400, (2, 1500), dtype=np.int32)
    one, other = one[one != other], other[one != other]
    chance = rng.integers(0, 3, 400, dtype=np.int32)
    chance[:40] = UNKNOWN
    mixed = mix(one, other, chance)
    assert abs(mixed.assortativity or 9) < 3 * (standard_error(one, other, chance, mixed) or 0)
    assert (p_value(one, other, chance, mixed) or 0) > 0.05
    alike = np.where(rng.random(len(one)) < 0.2, True, chance[one] == chance[other])
    mixed = mix(one[alike], other[alike], chance)
    assert p_value(one[alike], other[alike], chance, mixed) == 0.01
    assert mix(one, other, np.full(400, UNKNOWN, np.int32)).share is None


def test_segments_are_compared_too(tmp_path: Path) -> None:
    store = tied(tmp_path / "w", [tie("a", "b"), tie("b", "c"), tie("a", "c"), tie("c", "d")])
    rows = [
        {"segment_id": s, "user_id": u, "origin": o, "confidence": 1.0, "reason": ""}
        for s, u, o in (
            ("s1", "a", "discovered"),
            ("s1", "b", "discovered"),
            ("s2", "c", "discovered"),
            ("x", "d", "y"),
        )
    ]
    with store.commit("segment-discover") as commit:
        commit.add("memberships", rows)
    found, whole = features(store)
    assert {u: (r["same_segment"], r["segment_known"]) for u, r in found.items()} == {
        "a": (0.5, 2), "b": (0.5, 2), "c": (0.0, 2), "d": (None, None),
    }  # fmt: skip
    assert whole["segment"]["ties"] == 3
