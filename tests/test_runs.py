"""`limner runs`: what was done to a workspace, taken back and put back."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from limner.cli import main
from limner.errors import UsageError, WorkspaceError
from limner.histories.load import ingest
from limner.histories.manifest import read_manifest, write_manifest
from limner.histories.store import Store
from limner.histories.undo import find_run, list_runs, redo, undo
from reading_workspace import event, load, make

pytestmark = pytest.mark.slow

LOOK = {
    "events": "SELECT * EXCLUDE (run, seq) FROM events ORDER BY event_id",
    "facts": "SELECT * EXCLUDE (run, seq) FROM facts ORDER BY user_id",
    "items": "SELECT * EXCLUDE (run, seq) FROM items ORDER BY item_id",
}


def look(store: Store) -> dict[str, list[dict[str, Any]]]:
    return {name: store.rows(query) for name, query in LOOK.items()}


def orders(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(["user_id,item_id,timestamp,price", *rows]) + "\n", encoding="utf-8")
    return path


def test_an_undone_ingest_leaves_what_was_there_before_and_can_be_put_back(tmp_path: Path) -> None:
    store = make(tmp_path / "w")
    ingest(store, [orders(tmp_path / "a.csv", "u1,i1,2025-01-01,10", "u2,i1,2025-01-02,20")])
    before = look(store)
    ingest(store, [orders(tmp_path / "b.csv", "u1,i2,2025-02-01,30", "u3,i1,2025-02-02,5")])
    after = look(store)
    assert before != after
    taken = undo(store)
    assert look(store) == before
    assert taken.rows["events"] == 2
    assert [run.undone for run in list_runs(store)] == [True, False]
    assert redo(store).rows == taken.rows
    assert look(store) == after
    undo(store)
    again = ingest(store, [tmp_path / "b.csv"])
    assert (again.stored, again.duplicates) == (2, 0)
    assert look(store) == after
    with pytest.raises(UsageError, match="committed since"):
        redo(store)


def test_a_run_that_others_rest_on_is_undone_only_with_them(tmp_path: Path) -> None:
    store = make(tmp_path / "w")
    empty = look(store)
    for day in (1, 2, 3):
        ingest(store, [orders(tmp_path / f"{day}.csv", f"u{day},i1,2025-01-0{day},10")])
    first = list_runs(store)[-1].run
    with pytest.raises(UsageError, match="2 runs came after"):
        undo(store, first)
    assert len(look(store)["events"]) == 3
    assert len(undo(store, first, and_later=True).runs) == 3
    assert look(store) == empty
    with pytest.raises(UsageError, match="no run to undo"):
        undo(store)
    with pytest.raises(UsageError, match="undone already"):
        undo(store, first)
    redo(store)
    assert len(look(store)["events"]) == 3


@given(st.lists(st.sampled_from(["load", "undo", "redo"]), max_size=12))
@example(["load", "undo", "load", "undo", "redo", "redo"])
@example(["load", "load", "undo", "undo", "redo", "redo", "undo", "redo"])
@settings(max_examples=25, deadline=None)
def test_any_order_of_loads_undos_and_redos_is_a_walk_through_whole_versions(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    store = make(tmp_path_factory.mktemp("walk") / "w")
    done: list[int] = []
    undone: list[int] = []
    number = 0
    for step in steps:
        if step == "load":
            number += 1
            with store.commit("ingest") as commit:
                commit.add("events", [{"event_id": f"e{number}", "user_id": "u", "kind": "view"}])
            done.append(number)
            undone.clear()
        elif step == "undo" and done:
            undo(store)
            undone.append(done.pop())
        elif step == "redo" and undone:
            redo(store)
            done.append(undone.pop())
        else:
            with pytest.raises(UsageError):
                redo(store) if step == "redo" else undo(store)
        assert {row["event_id"] for row in store.rows("SELECT event_id FROM events")} == {f"e{n}" for n in done}


def test_what_was_begun_before_an_undo_is_not_written_after_it(tmp_path: Path) -> None:
    store = load(tmp_path / "w", event("u", "Good."))

    def portrayed() -> None:
        with store.commit("portray") as commit:
            commit.add("personas", [{"user_id": "u"}])
            undo(store)

    with pytest.raises(WorkspaceError, match="run the command again"):
        portrayed()
    assert store.rows("SELECT * FROM personas") == []


def test_a_discarded_commit_leaves_the_files_of_undone_runs(tmp_path: Path) -> None:
    store = make(tmp_path / "w")
    with store.commit("ingest") as commit:
        commit.add("events", [{"event_id": "e1", "user_id": "u", "kind": "view"}])
    undo(store)
    with suppress(RuntimeError), store.commit("ingest") as commit:
        commit.add("events", [{"event_id": "e2", "user_id": "u", "kind": "view"}])
        raise RuntimeError
    redo(store)
    assert [row["event_id"] for row in store.rows("SELECT event_id FROM events")] == ["e1"]


def test_workspaces_from_before_runs_were_named_in_files_can_be_undone(tmp_path: Path) -> None:
    store = make(tmp_path / "w")
    for day in (1, 2):
        ingest(store, [orders(tmp_path / f"{day}.csv", f"u{day},i1,2025-01-0{day},10")])
    path = store.path / "manifest.json"
    old = json.loads(path.read_text(encoding="utf-8"))
    old["tables"] = {name: [row[:4] for row in rows] for name, rows in old["tables"].items()}
    del old["undone"]
    path.write_text(json.dumps(old), encoding="utf-8")
    undo(store)
    assert [row["user_id"] for row in store.rows("SELECT user_id FROM events")] == ["u1"]
    write_manifest(path, read_manifest(path))
    redo(store)
    assert len(look(store)["events"]) == 2


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


def test_the_command_lists_shows_undoes_and_redoes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = str(tmp_path / "w")
    store = make(tmp_path / "w")
    ingest(store, [orders(tmp_path / "a.csv", "u1,i1,2025-01-01,10")])
    id_ = list_runs(store)[0].run
    assert run("runs", "list", "--workspace", workspace) == 0
    assert id_ in capsys.readouterr().out
    assert run("runs", "show", id_[:12], "--workspace", workspace, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["run"], shown["rows"]["events"], shown["undone"]) == (id_, 1, False)
    assert run("runs", "undo", "--workspace", workspace, "--json") == 0
    assert json.loads(capsys.readouterr().out)["runs"] == [id_]
    assert run("runs", "show", "last", "--workspace", workspace) == 0
    assert "undone        yes" in capsys.readouterr().out
    assert run("runs", "redo", "--workspace", workspace) == 0
    assert "Put back" in capsys.readouterr().out
    assert run("runs", "undo", "nothing-like-it", "--workspace", workspace) == 2
    assert "limner runs list" in capsys.readouterr().err
    assert find_run(store, "last").run == id_
