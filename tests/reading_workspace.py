"""Small workspaces for tests of reading and portraying, and a check of evidence that shares no code with limner's."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from limner.cli import main
from limner.histories.facts import aggregate
from limner.histories.manifest import Manifest, write_manifest
from limner.histories.store import Store

START = datetime(2025, 1, 1)


def event(user: str, text: str | None = None, **more: Any) -> dict[str, Any]:
    """A row of a user's event: a review, unless said otherwise."""
    return {"user_id": user, "kind": "review", "text": text, "item_id": None, **more}


def make(path: Path) -> Store:
    """A workspace of one bucket, made if it is not there: with few users it is read several times as fast."""
    if not (path / "manifest.json").exists():
        path.mkdir(parents=True, exist_ok=True)
        write_manifest(path / "manifest.json", Manifest(buckets=1))
    return Store.open(path)


def load(path: Path, *events: dict[str, Any], users: Iterable[str] = ()) -> Store:
    """Adds events, a day apart and with ids in their order, and profiles; brings the facts up to date."""
    store = make(path)
    have = store.rows("SELECT count(*) AS n FROM events")[0]["n"]
    rows = []
    for number, row in enumerate(events, have):
        rows.append({"event_id": f"e{number:03}", "ts": START + timedelta(days=number), **row})
    with store.commit("ingest") as commit:
        if rows:
            commit.add("events", rows)
        if users:
            commit.add("users", [{"user_id": user} for user in users])
    aggregate(store, run="test")
    return store


def signals(store: Store, where: str = "true") -> list[dict[str, Any]]:
    """The present signals, ordered."""
    return store.rows(f"SELECT * EXCLUDE (run, seq) FROM signals WHERE {where} ORDER BY user_id, signal_id")


def export(workspace: Path, table: str, out: Path) -> list[dict[str, Any]]:
    """A table as `limner export` writes it."""
    with pytest.raises(SystemExit) as ended:
        main(["export", table, "--workspace", str(workspace), "--format", "jsonl", "--out", str(out)])
    assert not ended.value.code
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def not_slices(signals: list[dict[str, Any]], events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The accepted signals whose quote is not an exact slice of what the cited event of that user says."""
    said = {(row["event_id"], row["user_id"]): row for row in events}
    wrong = []
    for row in signals:
        if row["status"] != "accepted":
            continue
        text = said.get((row["event_id"], row["user_id"]), {}).get(row["field"]) or ""
        if not row["quote"] or row["start"] < 0 or text[row["start"] : row["end"]] != row["quote"]:
            wrong.append(row)
    return wrong
