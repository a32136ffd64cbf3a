"""kill -9 in the middle of an update: what was there is whole at each moment, and the next update ends the same."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import plausible
from killing import processes, run
from limner import Workspace
from limner.histories.store import Store
from limner.retrieval.index import Index
from serving_stub import Reply, Stub, serve

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.name != "posix", reason="kill -9 is a POSIX signal"),
]

MOMENTS, USERS = 20, 10
LOADED = ("limner.histories.load", "limner.histories.guessing", "limner.agents.extractor", "limner.retrieval.index")
TABLES = ("events", "facts", "signals", "traits", "personas", "memberships")


@pytest.fixture(scope="module")
def model() -> Iterator[Stub]:
    def reply(number: int, body: dict[str, Any]) -> Reply:
        time.sleep(0.005)
        return plausible.reply(number, body)

    with serve(reply) as stub:
        yield stub


def reviews(path: Path, *rows: tuple[str, str, str]) -> Path:
    lines = [f"{user},i-{user},{day},{text},Kettle" for user, day, text in rows]
    path.write_text("\n".join(["user_id,item_id,timestamp,review,title", *lines]) + "\n", encoding="utf-8")
    return path


def update(workspace: Path, source: Path, spec: str) -> None:
    """In a process of its own."""
    Workspace(workspace, model=spec).update(source)


def look(store: Store) -> dict[str, list[dict[str, Any]]]:
    return {name: store.rows(f"SELECT * EXCLUDE (run, seq) FROM {name} ORDER BY ALL") for name in TABLES}


def found(workspace: Path) -> set[tuple[str, str | None]]:
    """What a search that nobody brought up to date finds."""
    with Index.open(workspace) as index:
        return {(hit.id, hit.user_id) for hit in index.search("the lid broke", k=200)}


def by_user(rows: list[dict[str, Any]]) -> dict[str, list[str]]:
    users: dict[str, list[str]] = {}
    for row in rows:
        users.setdefault(row["user_id"], []).append(json.dumps(row, ensure_ascii=False, default=str, sort_keys=True))
    return users


def assert_whole(now: dict[str, Any], before: dict[str, Any], after: dict[str, Any]) -> None:
    """Each batch is there or is not: the events, then each user's facts and reading, then the memberships."""
    for table in ("events", "memberships"):
        assert now[table] in (before[table], after[table]), table
    for table in ("facts", "signals", "traits", "personas"):
        old, new, here = by_user(before[table]), by_user(after[table]), by_user(now[table])
        for user in {*old, *new, *here}:
            assert here.get(user) in (old.get(user), new.get(user)), (table, user)


def test_killed_at_twenty_moments_an_update_is_whole_and_ends_the_same(tmp_path: Path, model: Stub) -> None:
    """After each kill it is looked at; the next update runs after the first kill of each stage, and the last ones."""
    context, spec = processes(*LOADED), f"{model.url}#m"
    first = [(f"u{n}", f"2025-01-{n + 1:02}", f"The kettle {n} is solid and quiet!") for n in range(USERS)]
    base = tmp_path / "base"
    Workspace(base, model=spec).update(reviews(tmp_path / "a.csv", *first, ("客户", "2025-01-09", "龙井很香！")))
    Workspace(base, model=spec).discover(k=3)
    before = look(Store.open(base))
    news = [(f"u{n}", f"2025-02-{n + 1:02}", f"The lid {n} broke. It is a waste!") for n in range(0, USERS, 2)]
    source = reviews(tmp_path / "b.csv", *news, ("newcomer", "2025-02-02", "The lid is too loud for me."))

    shutil.copytree(base, tmp_path / "clean")
    asked = len(model.bodies)
    took = run(context, update, tmp_path / "clean", source, spec).seconds
    calls = len(model.bodies) - asked
    after, hits = look(Store.open(tmp_path / "clean")), found(tmp_path / "clean")
    assert len(after["events"]) == len(before["events"]) + len(news) + 1
    assert "newcomer" in {user for _, user in hits}

    at, killed, stages = random.Random(5), 0, set()
    for number in range(MOMENTS):
        workspace = shutil.copytree(base, tmp_path / str(number))
        asked = len(model.bodies)
        moment = took * at.uniform(number, number + 1) / MOMENTS
        killed += not run(context, update, workspace, source, spec, kill_after=moment).ended
        store = Store.open(workspace)
        now = look(store)
        assert_whole(now, before, after)
        stage = tuple((now[name] == before[name], now[name] == after[name]) for name in TABLES)
        if stage not in stages or number >= MOMENTS - 2:  # How far the index came, at the end, no table tells.
            stages.add(stage)
            assert run(context, update, workspace, source, spec).ended
            assert look(store) == after
            assert found(workspace) == hits
            assert len(model.bodies) - asked <= calls + 16  # At most what was under way is asked again.
        shutil.rmtree(workspace)
    assert killed >= MOMENTS // 2
    assert len(stages) >= 3
