"""Compaction: nothing that is shown changes, now or after whatever is done next; fewer files; old runs stay folded."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plausible
from limner import Workspace
from limner.cli import main
from limner.errors import UsageError, WorkspaceError
from limner.histories import compaction
from limner.histories import manifest as manifests
from limner.histories import store as stores
from limner.histories.compaction import Compacted, compact
from limner.histories.facts import aggregate
from limner.histories.lines import build_histories
from limner.histories.schema import TABLES
from limner.histories.store import Store
from limner.histories.touched import touched_users
from limner.histories.undo import list_runs, undo
from serving_stub import Stub, serve

VIEWS = (*TABLES, *(f"raw_{name}" for name in ("events", "identities")), "titled_events", "present_traits")
USERS = ("u0", "u1", "u2", "u3", "客")


def shown(store: Store) -> dict[str, list[str]]:
    """Every row of every view, with the run and the commit it came with, as stored and under merged ids."""
    found = {}
    for merged in (True, False):
        with store.read(merged=merged) as db:
            for name in VIEWS:
                found[f"{name} {merged}"] = sorted(map(repr, db.execute(f"SELECT * FROM {name}").fetchall()))
    return found


def files(store: Store) -> int:
    return sum(map(len, store.manifest().tables.values()))


KEYS = ("user_id", "other_id", "member_id", "item_id", "kind", "source", "part")


def row(table: str, chance: random.Random, users: tuple[str, ...]) -> dict[str, Any]:
    """A row whose keys meet those of other rows often."""
    if table == "identities":
        return {"member_id": "u3", "user_id": chance.choice(["u0", "u3"]), "reason": "key"}
    made: dict[str, Any] = {}
    for name, kind in TABLES[table].columns:
        if name in ("user_id", "other_id"):
            made[name] = chance.choice([*users, ""] if table == "flags" else users)
        elif name == "attrs":
            made[name] = '{"n": "1"}'
        elif pa.types.is_string(kind):
            made[name] = chance.choice(["a", "b", "current"])
        elif pa.types.is_floating(kind) or pa.types.is_integer(kind):
            made[name] = chance.randrange(9)
        elif pa.types.is_timestamp(kind):
            made[name] = datetime(2025, 1, chance.randrange(1, 9))
    return made


def commit(store: Store, run: str, seed: int) -> None:
    """Some rows of some tables; readings and portraits come with the rows that go with them.

    Of rows of one commit with one key any may be the newest: there is one of each, and of ids that may be one person.
    """
    chance = random.Random(seed)
    left_out = chance.choice(["u0", "u3"])
    users = tuple(user for user in USERS if user != left_out)
    names = chance.sample([*TABLES], chance.randrange(1, 4))
    for head, tail in (("extractions", "signals"), ("personas", "traits")):
        names += [head] * (tail in names and head not in names)
    with store.commit(run.partition("-")[0], run=run) as made:
        for name in names:
            rows = [row(name, chance, users) for _ in range(chance.randrange(1, 6))]
            made.add(name, [*{tuple(map(r.get, KEYS)): r for r in rows}.values()])


@given(
    seeds=st.lists(st.integers(0, 10**6), min_size=2, max_size=8),
    runs=st.integers(1, 8),
    keep=st.integers(0, 3),
    few=st.sampled_from([0, 20_000]),
    undone=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_nothing_shown_changes_now_or_later(
    seeds: list[int],
    runs: int,
    keep: int,
    few: int,
    undone: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("w")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stores, "FEW", few)
        patch.setattr(compaction, "FEW", few)
        patch.setattr(manifests, "BUCKETS", 3)
        plain = Store.open(folder / "plain", create=True)
        for number, seed in enumerate(seeds):
            commit(plain, f"run-{seed % runs}", seed)
            if undone and number == len(seeds) // 2:
                undo(plain, and_later=True)
        shutil.copytree(plain.path, folder / "folded")
        folded = Store.open(folder / "folded")
        before = shown(plain)
        told = compact(folded, keep=keep)
        assert shown(folded) == before
        assert files(plain) - files(folded) == told.files - told.into >= 0
        assert compact(folded, keep=keep) == Compacted()
        assert [run.rows for run in list_runs(folded) if not run.undone] == [
            run.rows for run in list_runs(plain) if not run.undone
        ]
        folded.sweep(folded.manifest(), older=-1)  # The files replaced are really not needed.
        for store in (plain, folded):
            commit(store, "later-1", seeds[0] + 1)
        after = shown(plain)
        assert {name: len(rows) for name, rows in shown(folded).items() if not name.startswith("raw")} == {
            name: len(rows) for name, rows in after.items() if not name.startswith("raw")
        }
        assert {n: r for n, r in shown(folded).items() if "raw" not in n} == {
            n: r for n, r in after.items() if "raw" not in n
        }
        if told.files:
            undo(folded)
            assert {n: r for n, r in shown(folded).items() if "raw" not in n} == {
                n: r for n, r in before.items() if "raw" not in n
            }


@pytest.fixture
def model() -> Iterator[Stub]:
    with serve(plausible.reply) as stub:
        yield stub


def reviews(path: Path, day: int) -> Path:
    lines = [
        f"u{n},i{n},2025-01-{day:02},The kettle {n} of day {day} is quiet. The lid broke!,Kettle" for n in range(4)
    ]
    path.write_text("\n".join(["user_id,item_id,timestamp,review,title", *lines]) + "\n", encoding="utf-8")
    return path


@pytest.mark.slow
def test_nightly_updates_leave_few_files_and_readings_that_need_nothing(
    tmp_path: Path, model: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "MANY", 20)
    monkeypatch.setattr(compaction, "KEEP", 2)
    workspace = Workspace(tmp_path / "w", model=f"{model.url}#m")
    most = []
    for day in range(1, 9):
        workspace.update(reviews(tmp_path / f"{day}.csv", day))
        most.append(files(workspace.store))
    assert max(most) <= 20 + 30
    store, asked = workspace.store, len(model.bodies)
    assert store.manifest().folded
    assert len(store.rows("FROM events")) == 32
    histories = list(build_histories(store, ["u0", "u3"]))
    told = workspace.compact(keep=0)
    assert told.files
    assert list(build_histories(store, ["u0", "u3"])) == histories
    assert not touched_users(store).changed
    workspace.update(tmp_path / "8.csv")
    assert len(model.bodies) == asked  # Nobody is read anew.


def three_runs(folder: Path) -> Store:
    store = Store.open(folder, create=True)
    for number in range(3):
        with store.commit("ingest", run=f"ingest-{number}") as made:
            made.add("events", [{"event_id": f"e{number}", "user_id": "u", "kind": "view", "ts": datetime(2025, 1, 1)}])
        aggregate(store, run=f"aggregate-{number}")
    return store


def test_folded_runs_stay_and_the_newest_can_be_undone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = three_runs(tmp_path / "w")
    rows = {run.run: run.rows for run in list_runs(store)}
    arguments = ["--workspace", str(store.path), "--json"]
    with pytest.raises(SystemExit):
        main(["runs", "compact", "--keep", "2", *arguments])
    assert json.loads(capsys.readouterr().out) == {"runs": 4, "files": 4, "into": 2, "dropped": 1}
    assert {run.run: run.rows for run in list_runs(store)} == rows
    assert [run.folded for run in list_runs(store)] == [False, False, True, True, True, True]
    with pytest.raises(UsageError, match="folded together"):
        undo(store, "ingest-1")
    with pytest.raises(UsageError, match="folded together"):
        undo(store, "ingest-0", and_later=True)
    undo(store)
    undo(store)
    query = "SELECT event_id, events FROM events JOIN facts USING (user_id) ORDER BY event_id"
    assert store.rows(query) == [{"event_id": "e0", "events": 2}, {"event_id": "e1", "events": 2}]
    with pytest.raises(UsageError):
        compact(store, keep=-1)


def test_a_commit_that_another_overtook_is_not_folded_while_it_can_be_undone(tmp_path: Path) -> None:
    store = three_runs(tmp_path / "w")
    with store.commit("ingest", run="first") as first:
        first.add("items", [{"item_id": "i0"}])
    with store.commit("ingest", run="slow") as slow:
        slow.add("items", [{"item_id": "i1"}])
        for number in range(2):
            with store.commit("ingest", run=f"quick-{number}") as quick:
                quick.add("users", [{"user_id": f"q{number}"}])
    for keep in (3, 1):
        compact(store, keep=keep)
    undo(store)
    assert [row["item_id"] for row in store.rows("FROM items")] == ["i0"]
    assert len(store.rows("FROM users")) == 2


def test_a_compaction_that_fails_or_comes_too_late_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = three_runs(tmp_path / "w")
    before, there = shown(store), sorted(store.path.glob("tables/*/*"))

    def full(*_: Any) -> None:
        raise WorkspaceError("The disk is full.")

    def no_memory(*_: Any) -> None:
        raise duckdb.OutOfMemoryException("Out of Memory Error: failed to pin a block")

    with monkeypatch.context() as patch:
        patch.setattr(stores.Commit, "move_file", no_memory)
        with pytest.raises(WorkspaceError, match="Nothing was changed"):
            compact(store, keep=0)
        patch.setattr(compaction, "MANY", 1)
        patch.setattr(compaction, "KEEP", 0)
        assert compaction.compact_if_due(store) == Compacted()
    assert sorted(store.path.glob("tables/*/*")) == there

    with monkeypatch.context() as patch:
        patch.setattr(stores, "write_manifest", full)
        with pytest.raises(WorkspaceError, match="full"):
            compact(store, keep=0)
    assert shown(store) == before
    assert sorted(store.path.glob("tables/*/*")) == there

    written = compaction._written

    def meanwhile(*given: Any) -> Any:
        if len(list_runs(store)) == sum(not run.undone for run in list_runs(store)):
            undo(store)
        return written(*given)

    monkeypatch.setattr(compaction, "_written", meanwhile)
    with pytest.raises(WorkspaceError, match="Nothing was lost"):
        compact(store, keep=0)
    assert sorted(store.path.glob("tables/*/*")) == there
    assert store.rows("SELECT max(events) AS n FROM facts") == [{"n": 2}]


def test_a_reader_that_began_before_still_finds_its_files(tmp_path: Path) -> None:
    store = three_runs(tmp_path / "w")
    version = store.manifest()
    compact(store, keep=0)
    three_runs(tmp_path / "w")  # Each commit sweeps what nobody needs any more.
    with store.read(version) as db:
        assert db.execute("SELECT count(*) FROM events").fetchall() == [(3,)]
    store.sweep(store.manifest(), older=-1)
    with pytest.raises(WorkspaceError), store.read(version):
        pass
