"""kill -9 in the middle of loading: the workspace opens, has all or nothing of the batch, and the end is the same."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from killing import processes, run
from limner.histories.load import ingest
from limner.histories.store import Store
from limner.histories.undo import undo

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.name != "posix", reason="kill -9 is a POSIX signal"),
]

ROWS, MOMENTS = 3_000, 20

LOOK = {
    "events": "SELECT * EXCLUDE (run, seq) FROM events ORDER BY event_id",
    "facts": "SELECT * EXCLUDE (run, seq) FROM facts ORDER BY user_id",
}


def look(store: Store) -> dict[str, list[dict[str, Any]]]:
    return {name: store.rows(query) for name, query in LOOK.items()}


def write(path: Path, start: int) -> Path:
    lines = [
        f"u{n % 300},i{n % 70},2025-0{1 + n % 9}-{1 + n % 28:02},{n % 90 + 1},{'view' if n % 3 else 'order'},note {n}"
        for n in range(start, start + ROWS)
    ]
    path.write_text("\n".join(["user_id,item_id,timestamp,price,event,text", *lines]) + "\n", encoding="utf-8")
    return path


def load(workspace: Path, source: Path) -> None:
    """In a process of its own."""
    ingest(Store.open(workspace, create=True), [source])


def test_killed_at_twenty_moments_it_has_all_or_nothing_and_ends_the_same(tmp_path: Path) -> None:
    context = processes("limner.histories.load", "limner.histories.guessing")
    first, second = write(tmp_path / "a.csv", 0), write(tmp_path / "b.csv", ROWS)
    run(context, load, tmp_path / "clean", first)
    took = run(context, load, tmp_path / "clean", second).seconds
    clean = look(Store.open(tmp_path / "clean"))
    assert len(clean["events"]) == 2 * ROWS
    at = random.Random(11)
    workspace, killed = tmp_path / "w", 0
    run(context, load, workspace, first)
    store = Store.open(workspace)
    before = len(store.rows("SELECT event_id FROM events"))
    for _ in range(MOMENTS):
        run(context, load, workspace, second, kill_after=at.uniform(0.02, took))
        events = store.rows("SELECT count(*) AS n, count(DISTINCT event_id) AS ids FROM events")[0]
        assert events["n"] == events["ids"]
        assert events["n"] in (before, 2 * ROWS)
        killed += events["n"] == before
        while store.rows("SELECT count(*) AS n FROM events")[0]["n"] != before:
            undo(store)
    assert killed >= MOMENTS // 4
    run(context, load, workspace, second)
    assert look(store) == clean
    store.sweep(store.manifest(), older=0)
    assert look(store) == clean
    manifest = store.manifest()
    versions = [manifest.tables, *(undone.tables for undone in manifest.undone)]
    named = {f.path for tables in versions for files in tables.values() for f in files}
    assert {path.relative_to(workspace).as_posix() for path in workspace.glob("tables/**/*.parquet")} == named
