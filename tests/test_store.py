"""The store: what a crash, a second process, a full reader and hostile names may not break."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.errors import WorkspaceError
from limner.histories import store as store_module
from limner.histories.store import Store, number_of

HOSTILE = ["o'brien", 'a"b', "行\n用户", "'; DROP VIEW events; --", "../../etc", "\u202egnp", " ", "é", "e\u0301", "💥"]


def event(number: int, user: str = "u") -> dict[str, Any]:
    return {"event_id": f"e{number}", "user_id": user, "ts": datetime(2024, 1, 1), "kind": "view"}


def write(store: Store, *numbers: int) -> None:
    with store.commit("ingest") as commit:
        commit.add("events", [event(n) for n in numbers])


def ids(store: Store) -> list[str]:
    return sorted(row["event_id"] for row in store.rows("SELECT event_id FROM events"))


def parquet_files(store: Store) -> list[Path]:
    return list(store.path.rglob("*.parquet"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "作業 'space", create=True)


def test_an_error_leaves_the_old_state_and_no_files(store: Store) -> None:
    write(store, 1)
    before = parquet_files(store)

    def fail() -> None:
        with store.commit("ingest") as commit:
            commit.add("events", [event(2)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert ids(store) == ["e1"]
    assert parquet_files(store) == before


def test_a_failing_query_leaves_no_folder(store: Store) -> None:
    with pytest.raises(duckdb.ConversionException), store.read() as db, store.commit("ingest") as commit:
        commit.add_query("events", db, "SELECT 'u' AS user_id, 'x' || range AS ts FROM range(10)")
    assert [path for path in (store.path / "tables").rglob("*") if path.parent.name == "events"] == []


CRASH = """
import os, sys
from limner.histories import store as module
from limner.histories.store import Store
store = Store.open(sys.argv[1])
module.write_manifest = lambda *_: os._exit(9)
with store.commit("ingest") as commit:
    commit.add("events", [{"event_id": "lost", "user_id": "u"}])
"""


def test_death_before_the_manifest_leaves_the_old_state(store: Store) -> None:
    write(store, 1)
    dead = subprocess.run([sys.executable, "-c", CRASH, str(store.path)], check=False)
    assert dead.returncode == 9
    assert ids(Store.open(store.path)) == ["e1"]
    write(store, 2)
    assert ids(store) == ["e1", "e2"]


def test_interrupt_after_the_manifest_keeps_what_it_names(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real = store_module.write_manifest

    def interrupted(*args: Any) -> None:
        real(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(store_module, "write_manifest", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(store, 1)
    monkeypatch.undo()
    assert ids(store) == ["e1"]


WRITER = """
import sys, time
from limner.errors import WorkspaceError
from limner.histories.store import Store
store, name = Store.open(sys.argv[1]), sys.argv[2]
for number in range(8):
    while True:
        try:
            with store.commit("ingest") as commit:
                commit.add("events", [{"event_id": f"{name}{number}", "user_id": f"user{number}"}])
            break
        except WorkspaceError as error:
            assert "Another limner process" in str(error), error
"""


def test_two_processes_commit_without_losing_a_row(store: Store) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(store.path), name]) for name in "ab"]
    seen = 0
    while any(writer.poll() is None for writer in writers):
        now = len(ids(store))
        assert now >= seen
        seen = now
    assert [writer.returncode for writer in writers] == [0, 0]
    assert ids(store) == sorted(f"{name}{number}" for name in "ab" for number in range(8))
    manifest = store.manifest()
    assert manifest.seq == len({f.seq for f in manifest.tables["events"]}) == 16


def test_a_lost_race_says_so_and_changes_nothing(store: Store) -> None:
    def race() -> None:
        with store.commit("slow") as slow:
            slow.add("events", [event(1)])
            write(store, 2)

    with pytest.raises(WorkspaceError, match="run the command again"):
        race()
    assert ids(store) == ["e2"]
    assert len(parquet_files(store)) == 1


def test_commits_to_other_tables_do_not_conflict(store: Store) -> None:
    with store.commit("slow") as slow:
        slow.add("events", [event(1)])
        with store.commit("quick") as quick:
            quick.add("users", [{"user_id": "u", "lang": "en"}])
    assert ids(store) == ["e1"]
    assert store.rows("SELECT user_id FROM users") == [{"user_id": "u"}]
    assert store.manifest().seq == 1


def test_a_reader_sees_one_whole_version(store: Store) -> None:
    write(store, 1)
    with store.read() as db:
        write(store, 2)
        assert db.execute("SELECT count(*) FROM events").fetchall() == [(1,)]
    old = store.manifest()
    write(store, 3)
    with store.read(old) as db:
        assert db.execute("SELECT count(*) FROM events").fetchall() == [(2,)]
    assert len(ids(store)) == 3


def test_hostile_user_ids_come_back_as_they_are(store: Store) -> None:
    with store.commit("ingest") as commit:
        commit.add("events", [event(n, user) for n, user in enumerate(HOSTILE)])
    found = store.rows("SELECT user_id FROM events ORDER BY event_id")
    assert sorted(row["user_id"] for row in found) == sorted(HOSTILE)
    for user in HOSTILE:
        assert len(store.rows("SELECT * FROM events WHERE user_id = $1", [user])) == 1


def test_hostile_run_ids_are_only_text(store: Store) -> None:
    run = "../x'; DROP TABLE y; --"
    with store.commit("ingest", run=run) as commit:
        commit.add("events", [event(1)])
    assert store.rows("SELECT run FROM events") == [{"run": run}]
    assert all(path.is_relative_to(store.path / "tables" / "events") for path in parquet_files(store))


def test_a_row_without_a_user_is_refused(store: Store) -> None:
    with pytest.raises(WorkspaceError, match="no user_id"), store.commit("ingest") as commit:
        commit.add("events", [{"event_id": "1"}])
    assert parquet_files(store) == []


def test_the_newest_row_of_a_user_counts(store: Store) -> None:
    for lang in ("en", "zh"):
        with store.commit("ingest") as commit:
            commit.add("users", [{"user_id": "u", "lang": lang}])
    assert store.rows("SELECT lang FROM users") == [{"lang": "zh"}]
    assert len(store.rows("SELECT lang FROM raw_users")) == 2


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '{"format": 1}',
        '{"format": 1, "seq": 0, "buckets": 16, "tables": [], "runs": []}',
        "\x00",
    ],
)
def test_a_damaged_manifest_says_so(store: Store, content: str) -> None:
    (store.path / "manifest.json").write_text(content)
    with pytest.raises(WorkspaceError, match="not a limner manifest"):
        Store.open(store.path)


def test_bytes_that_are_no_text_are_a_damaged_manifest(store: Store) -> None:
    (store.path / "manifest.json").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(WorkspaceError, match="not a limner manifest"):
        Store.open(store.path)


def test_a_newer_format_is_refused(store: Store) -> None:
    path = store.path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(WorkspaceError, match="newer limner"):
        Store.open(store.path)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"junk")])
def test_a_missing_or_damaged_file_says_so(store: Store, damage: Any) -> None:
    write(store, 1)
    damage(parquet_files(store)[0])
    with pytest.raises(WorkspaceError, match="missing or damaged"):
        ids(store)


def test_no_workspace_and_no_place_for_one(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="limner ingest"):
        Store.open(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="Cannot create"):
        Store.open(tmp_path / "file" / "w", create=True)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_without_permission(store: Store) -> None:
    write(store, 1)
    store.path.chmod(0o500)
    try:
        with pytest.raises(WorkspaceError, match="Cannot write"):
            write(store, 2)
        assert ids(store) == ["e1"]
    finally:
        store.path.chmod(0o700)


def test_a_folder_that_cannot_be_written(store: Store) -> None:
    """What the superuser meets too: a file stands where the table's folder should be."""
    (store.path / "tables").write_text("")
    with pytest.raises(WorkspaceError, match="Cannot write"):
        write(store, 1)
    assert ids(store) == []


@given(st.lists(st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=12), min_size=1, max_size=20))
@settings(max_examples=40, deadline=None)
def test_the_bucket_of_a_user_is_the_one_that_rows_are_written_to(users: list[str]) -> None:
    with duckdb.connect() as db:
        for user in users:
            (written,) = db.execute("SELECT (md5_number_lower($1) % 16)::INTEGER", [user]).fetchall()[0]
            assert number_of(user) % 16 == written


def test_reading_some_users_opens_only_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "FEW", 50)
    store = Store.open(tmp_path / "w", create=True)
    with store.commit("ingest") as commit:
        commit.add("events", [{"event_id": f"e{n}", "user_id": f"u{n}", "kind": "view"} for n in range(100)])
    for file in store.manifest().tables["events"]:
        if file.bucket != number_of("u7") % 16:
            (store.path / file.path).unlink()
    with store.read(users=["u7"], tables=["events"]) as db:
        assert db.execute("SELECT event_id FROM events WHERE user_id = 'u7'").fetchall() == [("e7",)]
        users = [row[0] for row in db.execute("SELECT user_id FROM events").fetchall()]
        assert users == sorted(users)
        assert len(users) < 50
        with pytest.raises(duckdb.CatalogException):
            db.execute("SELECT * FROM facts")


def test_readers_of_one_version_share_a_database_and_nothing_else(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "w", create=True)
    with store.commit("test") as commit:
        commit.add("items", [{"item_id": "one"}])
    counted = "SELECT count(*) FROM items"
    with store.read() as first, store.read() as second:
        first.execute("CREATE TEMP TABLE own AS SELECT 1 AS n")
        with pytest.raises(duckdb.CatalogException):
            second.execute("SELECT * FROM own")
        second.execute("CREATE OR REPLACE TEMP TABLE own AS SELECT 2 AS n")
        assert first.execute("SELECT n FROM own").fetchone() == (1,)
        assert {name: first.execute(f"SELECT current_setting('{name}')").fetchone() for name in ("TimeZone",)} == {
            "TimeZone": ("UTC",)
        }

        with Store.open(store.path).commit("test") as commit:  # Another process, as it were.
            commit.add("items", [{"item_id": "two"}])
        with store.read() as third, store.read(tables=["items"]) as fourth:
            assert [db.execute(counted).fetchone() for db in (first, second, third, fourth)] == [(1,), (1,), (2,), (2,)]
    assert store.rows(counted) == [{"count_star()": 2}]


def test_many_threads_read_while_one_commits(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "w", create=True)
    seen: list[list[int]] = [[] for _ in range(4)]
    done = threading.Event()

    def watch(counts: list[int]) -> None:
        while not done.is_set():
            counts.append(store.rows("SELECT count(*) AS n FROM items")[0]["n"])

    threads = [threading.Thread(target=watch, args=(counts,)) for counts in seen]
    for thread in threads:
        thread.start()
    for number in range(6):
        with store.commit("test") as commit:
            commit.add("items", [{"item_id": f"{number} {one}"} for one in range(3)])
        time.sleep(0.05)
    done.set()
    for thread in threads:
        thread.join()
    for counts in seen:
        assert counts == sorted(counts)
        assert all(count % 3 == 0 for count in counts)
    assert store.rows("SELECT count(*) AS n FROM items") == [{"n": 18}]
