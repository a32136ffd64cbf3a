"""`limner update` and `limner watch`: what is new is loaded, only those it is about are read, and all that follows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import plausible
from limner import Workspace
from limner.cli import main
from limner.histories.store import Store
from limner.histories.touched import Touched, touched_users
from limner.histories.undo import undo
from limner.retrieval.index import Index
from limner.segments.records import read_memberships
from serving_stub import Stub, serve

pytestmark = pytest.mark.slow

COLUMNS = "user_id,item_id,timestamp,review,title"


@pytest.fixture
def model() -> Iterator[Stub]:
    with serve(plausible.reply) as stub:
        yield stub


def reviews(path: Path, *rows: str) -> Path:
    path.write_text("\n".join([COLUMNS, *rows]) + "\n", encoding="utf-8")
    return path


def first_file(path: Path) -> Path:
    return reviews(
        path,
        *(
            f"u{n},i{n},2025-01-{n:02},The kettle {n} is solid and quiet. I use it every day!,Kettle {n}"
            for n in range(1, 9)
        ),
        "客户,i9,2025-01-09,龙井很香，每年都买。就是物流太慢了！,龙井茶",
    )


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def updated(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    capsys.readouterr()
    assert run("update", *arguments, "--json") == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


LOOK = ("events", "facts", "signals", "traits", "personas", "memberships")


def look(store: Store) -> dict[str, Any]:
    return {name: store.rows(f"SELECT * EXCLUDE (run, seq) FROM {name} ORDER BY ALL") for name in LOOK}


def test_only_those_of_whom_something_is_new_are_read_again(
    tmp_path: Path, model: Stub, capsys: pytest.CaptureFixture[str]
) -> None:
    way = ("--workspace", tmp_path / "w", "--model", f"{model.url}#m")
    told = updated(capsys, first_file(tmp_path / "a.csv"), *way)
    assert (told["loaded"]["stored"], told["new"], told["changed"]) == (9, 9, 0)
    store = Store.open(tmp_path / "w")
    Workspace(tmp_path / "w", model=f"{model.url}#m").discover(k=2)
    calls, before = len(model.bodies), look(store)

    news = reviews(tmp_path / "b.csv", "u3,i3,2025-02-01,The kettle 3 broke. It is a waste of money!,Kettle 3",
                   "newcomer,i4,2025-02-02,The kettle 4 is too loud for me.,Kettle 4")  # fmt: skip
    told = updated(capsys, news, *way)
    assert (told["loaded"]["stored"], told["new"], told["changed"], told["unread"]) == (2, 1, 1, 0)
    assert told["extract"]["users"] == 2
    asked = json.dumps([body["messages"] for body in model.bodies[calls:]], ensure_ascii=False)
    assert "too loud for me" in asked
    assert "kettle 5" not in asked
    assert "龙井" not in asked
    assert told["memberships"]["joined"] == 1
    after = look(store)
    others = [row for row in after["traits"] if row["user_id"] not in ("u3", "newcomer")]
    assert others == [row for row in before["traits"] if row["user_id"] != "u3"]
    assert {m.user_id for m in read_memberships(store)} == {*(f"u{n}" for n in range(1, 9)), "客户", "newcomer"}
    with Index.open(store.path) as index:
        assert index.refresh(store).added == 0
        assert any(hit.user_id == "newcomer" for hit in index.search("too loud", kinds=("evidence",)))

    calls = len(model.bodies)
    told = updated(capsys, news, *way)
    assert (told["loaded"]["stored"], told["changed"], told["new"], told["extract"]) == (0, 0, 0, None)
    assert len(model.bodies) == calls
    assert look(store) == after


def test_month_by_month_ends_as_all_at_once(tmp_path: Path, model: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("far too slow", "solid")
    rows = [
        f"u{n % 3},i{n},2025-0{1 + n // 3}-{10 + n},Kettle {n} is {words[n % 2]}. Fine lid!,Kettle {n}"
        for n in range(9)
    ]
    spec = f"{model.url}#m"
    for month in range(3):
        path = reviews(tmp_path / f"{month}.csv", *rows[3 * month : 3 * month + 3])
        updated(capsys, path, "--workspace", tmp_path / "steps", "--model", spec)
    for late in (1, 0):  # Loaded again, late and out of order: nothing changes.
        updated(capsys, tmp_path / f"{late}.csv", "--workspace", tmp_path / "steps", "--model", spec)
    updated(capsys, reviews(tmp_path / "all.csv", *rows), "--workspace", tmp_path / "once", "--model", spec)
    steps, once = look(Store.open(tmp_path / "steps")), look(Store.open(tmp_path / "once"))
    for row in (row for tables in (steps, once) for table in tables.values() for row in table):
        row.pop("source", None)
    assert steps["traits"] == once["traits"]
    assert steps == once


def test_who_was_left_out_is_told_and_read_when_asked_for(
    tmp_path: Path, model: Stub, capsys: pytest.CaptureFixture[str]
) -> None:
    way = ("--workspace", tmp_path / "w", "--model", f"{model.url}#m")
    assert run("ingest", first_file(tmp_path / "a.csv"), "--workspace", tmp_path / "w") == 0
    assert run("extract", *way, "--limit", 2) == 0
    told = updated(capsys, *way)
    assert (told["unread"], told["extract"]) == (7, None)
    capsys.readouterr()
    assert run("update", *way) == 0
    assert "7 users were never read" in capsys.readouterr().out
    told = updated(capsys, *way, "--unread")
    assert (told["unread"], told["extract"]["users"]) == (0, 7)


def test_a_stopped_update_goes_on_and_an_undone_load_is_forgotten(
    tmp_path: Path, model: Stub, capsys: pytest.CaptureFixture[str]
) -> None:
    way = ("--workspace", tmp_path / "w", "--model", f"{model.url}#m")
    updated(capsys, first_file(tmp_path / "a.csv"), *way)
    store = Store.open(tmp_path / "w")
    assert touched_users(store) == Touched((), (), ())
    before = look(store)
    news = reviews(tmp_path / "b.csv", "u1,i1,2025-03-01,The lid is too loud for me.,Kettle 1")
    assert run("update", news, *way, "--max-tokens", 0) == 3
    assert touched_users(store) == Touched(("u1",), (), ())
    assert updated(capsys, *way)["extract"]["users"] == 1
    assert len(look(store)["signals"]) > len(before["signals"])
    while len(look(store)["events"]) > len(before["events"]):
        undo(store)
    assert look(store) == before
    assert touched_users(store) == Touched((), (), ())


def test_watch_updates_when_there_is_something_new_and_outlives_errors(
    tmp_path: Path, model: Stub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, gone = tmp_path / "incoming", tmp_path / "gone"
    folder.mkdir()
    first_file(folder / "a.csv")
    between: list[Callable[[], object]] = [
        lambda: reviews(folder / "b.csv", "u1,i1,2025-03-01,The lid is too loud for me.,Kettle 1"),
        lambda: None,
        lambda: folder.rename(gone),
        lambda: gone.rename(folder),
    ]
    monkeypatch.setattr("limner.cli.update.pause", lambda seconds: between.pop(0)())
    way = ("--workspace", tmp_path / "w", "--model", f"{model.url}#m", "--every", 300, "--times", 5)
    assert run("watch", folder, *way) == 0
    said = capsys.readouterr()
    assert said.out.count("users read") == 2
    assert said.err.count("Error:") == 1
    assert len(look(Store.open(tmp_path / "w"))["events"]) == 10
    assert between == []
    folder.rename(gone)
    assert run("watch", folder, *way) == 2  # What is wrong from the beginning is no passing fault.


def orders(path: Path, users: Mapping[str, str], days: range) -> Path:
    """Orders of one category for each user, one a day."""
    lines = [
        f"{user},{category} {day},order,2025-{1 + day // 28:02}-{1 + day % 28:02},{category}"
        for user, category in users.items()
        for day in days
    ]
    path.write_text("\n".join(["user_id,title,event,timestamp,category", *lines]) + "\n", encoding="utf-8")
    return path


def test_with_a_trigger_only_those_who_behave_otherwise_are_read(
    tmp_path: Path, model: Stub, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--workspace", tmp_path / "w", "--model", f"{model.url}#m")
    updated(capsys, orders(tmp_path / "a.csv", {"same": "tea", "other": "tea"}, range(20)), *where)
    calls = len(model.bodies)
    more = orders(tmp_path / "b.csv", {"same": "tea", "other": "cameras"}, range(20, 28))
    told = updated(capsys, more, "--trigger", "significant", *where)
    assert (told["changed"], told["deferred"], told["extract"]["users"]) == (2, 1, 1)
    assert len(model.bodies) > calls
    store = Store.open(tmp_path / "w")
    assert touched_users(store).changed == ("same",)
    again = updated(capsys, "--trigger", "significant", *where)
    assert (again["changed"], again["deferred"], again["extract"]) == (1, 1, None)
    last = updated(capsys, *where)
    assert (last["changed"], last["deferred"], last["extract"]["users"]) == (1, 0, 1)
    assert run("update", "--trigger", "sometimes", *where) == 2
    assert "no trigger 'sometimes'" in capsys.readouterr().err
