"""Exports and status: what comes out is what is stored, whole or not at all."""

from __future__ import annotations

import csv
import json
import math
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from limner import cli
from limner.errors import UsageError
from limner.histories.export import EXPORTS, FORMATS, export_table
from limner.histories.facts import aggregate
from limner.histories.status import RUNS, status
from limner.histories.store import Store

TEXTS = ['plain, "quoted"\r\nsecond line', "=1+1", "＝1", "很好，推荐！\t💥", "-5", "@x", "", None]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.open(tmp_path / "w", create=True)
    with store.commit("ingest") as commit:
        commit.summary["rows"] = len(TEXTS)
        commit.add(
            "events",
            [
                {
                    "event_id": f"e{n}", "user_id": f"u'{n % 2}", "ts": datetime(2024, 1, 1 + n), "kind": "review",
                    "text": text, "rating": math.nan if n == 0 else 4.0, "item_id": "i1",
                }
                for n, text in enumerate(TEXTS)
            ],
        )  # fmt: skip
        commit.add("items", [{"item_id": "i1", "title": "支架"}])
        commit.add("users", [{"user_id": "idle", "lang": "zh", "attrs": '{"age": 30}'}])
        commit.add("ties", [{"user_id": "idle", "other_id": "tied", "kind": "friend"}])
    return store


def read(path: Path, format: str) -> list[dict[str, Any]]:
    if format == "parquet":
        return pq.read_table(path).to_pylist()
    if format == "csv":
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


@pytest.mark.parametrize("format", FORMATS)
def test_texts_come_back_exactly(store: Store, tmp_path: Path, format: str) -> None:
    out = tmp_path / "out"
    assert export_table(store, "events", out, format) == len(TEXTS)
    rows = {row["event_id"]: row for row in read(out, format)}
    lost = "" if format == "csv" else None
    assert [rows[f"e{n}"]["text"] for n in range(len(TEXTS))] == [lost if t is None else t for t in TEXTS]
    assert {row["title"] for row in rows.values()} == {"支架"}
    assert not {"run", "seq"} & set(rows["e0"])
    if format == "jsonl":
        assert rows["e0"]["rating"] is None


def test_every_known_user_is_listed_with_facts(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "users.csv"
    assert export_table(store, "users", out, "csv") == 4
    aggregate(store, run="r")
    assert export_table(store, "users", out, "csv") == 4
    rows = {row["user_id"]: row for row in read(out, "csv")}
    assert list(rows) == ["idle", "tied", "u'0", "u'1"]
    assert (rows["idle"]["lang"], rows["idle"]["events"], rows["idle"]["attrs"]) == ("zh", "0", '{"age": 30}')
    assert json.loads(rows["u'0"]["kinds"]) == [{"value": "review", "n": 4}]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", EXPORTS)
def test_every_table_in_every_format(store: Store, tmp_path: Path, name: str, format: str) -> None:
    out = tmp_path / "out"
    rows = export_table(store, name, out, format)
    assert len(read(out, format)) == rows
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_spreadsheets_run_nothing(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "o.csv"
    export_table(store, "events", out, "csv", spreadsheet_safe=True)
    content = out.read_text(encoding="utf-8")
    assert content.startswith("\ufeffevent_id,")
    rows = sorted(csv.DictReader(content.removeprefix("\ufeff").splitlines(keepends=True)), key=lambda r: r["event_id"])
    assert [row["text"] for row in rows][1:6] == ["'=1+1", "'＝1", TEXTS[3], "'-5", "'@x"]
    with pytest.raises(UsageError, match="Only CSV"):
        export_table(store, "events", out, "jsonl", spreadsheet_safe=True)


def test_what_was_there_is_replaced_or_left_whole(store: Store, tmp_path: Path) -> None:
    out, link = tmp_path / "out.jsonl", tmp_path / "link.jsonl"
    out.write_text("old")
    link.symlink_to(out)
    with pytest.raises(UsageError, match="no table"):
        export_table(store, "nothing'; DROP", link, "jsonl")
    assert out.read_text() == "old"
    export_table(store, "items", link, "jsonl")
    assert link.is_symlink()
    assert json.loads(out.read_text())["title"] == "支架"


def test_a_failed_write_leaves_the_old_file(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out.csv"
    out.write_text("old")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UsageError, match="No space left"):
        export_table(store, "items", out, "csv")
    assert out.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "w"]


@pytest.mark.parametrize(
    ("out", "format", "said"),
    [
        ("none/x.csv", "csv", "no folder"),
        (".", "csv", "not a file"),
        ("/dev/stdout", "csv", "not a file"),
        ("x.xls", "xls", "no export format"),
        ("w/manifest.json/x", "csv", "no folder"),
    ],
)
def test_what_cannot_be_written_is_refused(store: Store, tmp_path: Path, out: str, format: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        export_table(store, "items", tmp_path / out, format)


def test_status_counts_one_version(store: Store) -> None:
    for number in range(RUNS + 2):
        with store.commit("extract", run=f"run{number // 2}") as commit:
            commit.summary[f"n{number}"] = number
            commit.add("users", [{"user_id": "idle", "lang": f"l{number}"}])
    report = status(store)
    assert (report.users, report.tables["users"], report.tables["events"]) == (4, 1, len(TEXTS))
    assert (report.first_event, report.last_event) == (datetime(2024, 1, 1), datetime(2024, 1, len(TEXTS)))
    assert [run.run for run in report.runs][:6] == [f"run{n}" for n in range(5, -1, -1)]
    assert (report.runs[0].commits, report.runs[0].summary) == (2, {"n10": 10, "n11": 11})
    assert report.disk_bytes == sum(path.stat().st_size for path in store.path.rglob("*") if path.is_file())


def test_status_of_an_empty_workspace(tmp_path: Path) -> None:
    report = status(Store.open(tmp_path / "w", create=True))
    assert (report.users, report.first_event, report.runs) == (0, None, ())


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    out, err = capfd.readouterr()
    return int(ended.value.code or 0), out, err


def test_the_commands(store: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "事件 [1].jsonl"
    code, said, _ = run(capfd, "export", "events", "-w", str(store.path), "-o", str(out), "--json")
    assert (code, json.loads(said)) == (0, {"table": "events", "rows": len(TEXTS), "out": str(out)})
    assert len(read(out, "jsonl")) == len(TEXTS)
    code, said, told = run(capfd, "export", "events", "-w", str(store.path), "-o", str(out))
    assert (code, said) == (0, "")
    assert "事件 [1].jsonl" in told
    code, said, told = run(capfd, "export", "nope", "-w", str(store.path), "-o", str(out))
    assert (code, said) == (2, "")
    assert told.startswith("Error: There is no table 'nope'")
    code, said, _ = run(capfd, "status", "-w", str(store.path), "--json")
    assert (code, json.loads(said)["tables"]["events"]) == (0, len(TEXTS))
    code, said, _ = run(capfd, "status", "-w", str(store.path))
    assert code == 0
    assert "events" in said
    assert "rows 8" in said
    code, _, told = run(capfd, "status", "-w", str(tmp_path / "none"))
    assert (code, told.count("\n")) == (1, 1)
