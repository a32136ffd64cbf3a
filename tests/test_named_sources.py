"""Named sources: a file says once where data is, loads read what is new, and no secret is ever shown."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from limner.cli import app
from limner.errors import DataError, UsageError
from limner.histories import ingest
from limner.histories.named import check_source, choose, ingest_sources, read_sources, source_states
from limner.histories.store import Store
from limner.histories.undo import undo
from limner.workspace import Workspace

pytestmark = pytest.mark.usefixtures("without_facts")

SECRET = "hunter2/@:&"
FILE = """
[orders]
from = "sqlite:///shop.db"
table = "orders"
increment = "at"
kind = "events"

[orders.mapping]
kind = "events"
columns = { user_id = "uid", ts = "at", amount = "sum" }
constants = { kind = "order" }

[reviews]
from = "exports/"

[elsewhere]
from = "postgresql://reader:${SHOP_PASSWORD}@127.0.0.1:9/shop"
table = "orders"
"""
MAPPING = {"columns": {"user_id": "uid", "ts": "at", "amount": "sum"}, "constants": {"kind": "order"}}
ROW = "user_id,ts,text\n{user},2024-01-0{day},these are words of {user}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sources.toml").write_text(FILE, encoding="utf-8")
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports" / "a.csv").write_text(ROW.format(user="u1", day=1), encoding="utf-8")
    insert(
        tmp_path,
        "CREATE TABLE orders (uid TEXT, at TEXT, sum REAL)",
        "INSERT INTO orders VALUES ('u1', '2024-01-05', 3)",
    )
    return tmp_path


def insert(folder: Path, *statements: str) -> None:
    connection = sqlite3.connect(folder / "shop.db")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def limner(folder: Path, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "160", "SHOP_PASSWORD": SECRET}
    command = [sys.executable, "-m", "limner", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, input=given, capture_output=True, check=False, timeout=60
    )


def loaded(folder: Path, **options: Any) -> dict[str, tuple[int, int, int] | str]:
    """Loads all named sources: rows read, stored and files unchanged of each, or its error."""
    store = Store.open(folder / ".limner", create=True)
    outcomes = ingest_sources(store, read_sources(folder / "sources.toml"), **options)
    return {
        o.source.name: str(o.error) if o.summary is None else (o.summary.rows, o.summary.stored, o.summary.unchanged)
        for o in outcomes
    }


def test_each_load_reads_only_what_is_new(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", SECRET)
    first = loaded(folder)
    assert (first["orders"], first["reviews"]) == ((1, 1, 0), (1, 1, 0))
    assert "refused" in str(first["elsewhere"])
    assert SECRET not in str(first["elsewhere"])
    seq = Store.open(folder / ".limner").manifest().seq
    second = loaded(folder)
    assert (second["orders"], second["reviews"]) == ((1, 0, 0), (0, 0, 1))
    assert Store.open(folder / ".limner").manifest().seq == seq
    (folder / "exports" / "b.csv").write_text(ROW.format(user="u2", day=2), encoding="utf-8")
    insert(folder, "INSERT INTO orders VALUES ('u2', '2024-01-06', 4)")
    third = loaded(folder)
    assert (third["orders"], third["reviews"]) == ((2, 1, 0), (1, 1, 1))
    with (folder / "exports" / "a.csv").open("a", encoding="utf-8") as file:
        file.write("u3,2024-01-03,appended to a file that grows\n")
    assert loaded(folder)["reviews"] == (2, 1, 1)
    assert loaded(folder, again=True)["reviews"] == (3, 0, 0)


def test_taking_a_load_back_takes_its_mark_back(folder: Path) -> None:
    loaded(folder)
    store = Store.open(folder / ".limner")
    undo(store)
    assert [state.parts for state in source_states(store, read_sources(folder / "sources.toml"))] == [1, 0, 0]
    assert loaded(folder)["reviews"] == (1, 1, 0)


def test_a_file_is_read_again_when_its_mapping_changes(folder: Path) -> None:
    loaded(folder)
    text = FILE.replace('from = "exports/"', 'from = "exports/"\nmapping = { columns = { user_id = "user_id" } }')
    (folder / "sources.toml").write_text(text.replace("{ columns", '{ undated = "keep", columns'), encoding="utf-8")
    assert loaded(folder)["reviews"] == (1, 1, 0)


def test_a_file_that_could_not_be_read_is_tried_again(folder: Path) -> None:
    broken = folder / "exports" / "b.parquet"
    broken.write_bytes(b"PAR1 cut off")
    assert "cannot be read as Parquet" in str(loaded(folder)["reviews"])
    broken.unlink()
    assert loaded(folder)["reviews"] == (1, 1, 0)


def test_objects_of_a_store(tmp_path: Path) -> None:
    """The same through fsspec: files of a folder in a store, a pattern, gzipped ones, and only what is new."""
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/limner-test/logs/2024/a.csv", ROW.format(user="u1", day=1).encode())
    memory.pipe("/limner-test/logs/2024/b.jsonl", b'{"user_id": "u2", "ts": "2024-01-02", "text": "words of u2"}\n')
    memory.pipe("/limner-test/logs/_SUCCESS", b"")
    (tmp_path / "sources.toml").write_text('[logs]\nfrom = "memory://limner-test/logs/"\n', encoding="utf-8")
    try:
        assert loaded(tmp_path)["logs"] == (2, 2, 0)
        memory.pipe("/limner-test/logs/2024/c.csv", ROW.format(user="u3", day=3).encode())
        assert loaded(tmp_path)["logs"] == (1, 1, 2)
        store = Store.open(tmp_path / ".limner")
        assert {row["source"] for row in store.rows("SELECT source FROM events")} == {
            "2024/a.csv",
            "2024/b.jsonl",
            "2024/c.csv",
        }
        assert ingest(store, "memory://limner-test/logs/*/*.csv").duplicates == 2
        with pytest.raises(UsageError, match="There is no data at memory://limner-test/none"):
            ingest(store, "memory://limner-test/none/")
    finally:
        memory.rm("/limner-test", recursive=True)
    assert list((tmp_path / ".limner" / "tmp").iterdir()) == []
    with pytest.raises(UsageError, match="Protocol not known"):
        ingest(Store.open(tmp_path / ".limner"), "nowhere://bucket/x.csv")


def test_secrets_of_a_store_are_in_no_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    def fail(_: object, path: str, **__: object) -> Any:
        raise PermissionError(f"key {SECRET} may not read {path}")

    monkeypatch.setenv("STORE_KEY", SECRET)
    monkeypatch.setattr(MemoryFileSystem, "isfile", fail)
    text = '[logs]\nfrom = "memory://logs/a.csv"\noptions = { key = "${STORE_KEY}" }\n'
    (tmp_path / "sources.toml").write_text(text, encoding="utf-8")
    (source,) = read_sources(tmp_path / "sources.toml")
    with pytest.raises(DataError, match=r"key \*\*\* may not read"):
        check_source(source)


def test_states_and_checks(folder: Path) -> None:
    sources = read_sources(folder / "sources.toml")
    assert [state.last_load for state in source_states(None, sources)] == ["", "", ""]
    loaded(folder)
    store = Store.open(folder / ".limner")
    orders, reviews, _ = source_states(store, sources)
    assert (orders.mark, orders.last_rows, orders.last_stored) == ("2024-01-05", 1, 1)
    assert (reviews.mark, reviews.parts) == ("", 1)
    assert orders.last_load.endswith("Z")
    assert [check_source(source, store) for source in sources[:2]] == ["1 rows to read", "0 of 1 files to read"]


@pytest.mark.slow
def test_on_the_command_line_nothing_secret_is_shown_or_stored(folder: Path) -> None:
    done = [
        limner(folder, *words.split()) for words in ("sources list", "ingest", "sources list --json", "sources check")
    ]
    assert [one.returncode for one in done] == [0, 1, 0, 1]
    assert b"never" in done[0].stdout
    assert b"orders" in done[1].stdout
    assert b"Error: elsewhere: postgresql://127.0.0.1:9/shop" in done[1].stderr
    assert [state["mark"] for state in json.loads(done[2].stdout)] == ["2024-01-05", "", ""]
    assert b"1 rows to read" in done[3].stdout
    parts = SECRET.encode(), b"hunter2", b"reader"
    for text in [one.stdout + one.stderr for one in done]:
        assert not any(part in text for part in parts)
        assert b"Traceback" not in text
    for path in (folder / ".limner").rglob("*"):
        assert path.is_dir() or b"hunter2" not in path.read_bytes()


@pytest.mark.slow
def test_one_source_and_standard_input(folder: Path) -> None:
    answer = json.loads(limner(folder, "ingest", "--source", "reviews", "--json").stdout)
    assert [source["name"] for source in answer["sources"]] == ["reviews"]
    assert answer["sources"][0]["stored"] == 1
    lines = b'{"user_id": "u9", "ts": "2024-02-01", "text": "piped in"}\nnot json\n'
    piped = json.loads(limner(folder, "ingest", "-", "--kind", "events", "--json", given=lines).stdout)
    assert (piped["rows"], piped["stored"], piped["quarantined"]) == (2, 1, 1)


@pytest.mark.parametrize("words", [["--source", "none"], ["a.csv", "--source", "reviews"], ["--kind", "events"]])
def test_options_that_do_not_go_together(words: list[str], folder: Path) -> None:
    failed = CliRunner().invoke(app, ["ingest", "--sources", str(folder / "sources.toml"), *words])
    assert isinstance(failed.exception, UsageError)


WRONG = {
    "": "names no source",
    "a = 1": "must be a table",
    "[a]\nkind = 'events'": "needs from",
    "[a]\nfrom = 'x.csv'\ntabel = 't'": "did you mean 'table'",
    "[a]\nfrom = 'x.csv'\ntable = 't'": "no address of a database",
    "[a]\nfrom = 'sqlite:///x'\ntable = 't'\nquery = 'q'": "a table and a query",
    "[a]\nfrom = 'x.csv'\nkind = 'things'": "kind must be one of",
    "[a]\nfrom = 'x.csv'\nrepeats = 'no'": "keep or drop",
    "[a]\nfrom = 'x.csv'\nmap = 'none.toml'": "no mapping file",
    "[a]\nfrom = 'x.csv'\nmapping = { colums = 1 }": "did you mean 'columns'",
    "[a]\nfrom = [1]": "needs from",
    "[a": "not a TOML file",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_file_says_where(text: str, tmp_path: Path) -> None:
    (tmp_path / "sources.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=WRONG[text]) as raised:
        read_sources(tmp_path / "sources.toml")
    assert len(str(raised.value).splitlines()) == 1


def test_the_python_api_does_the_same(folder: Path) -> None:
    workspace = Workspace(folder / ".limner")
    (outcome,) = workspace.ingest_sources(folder / "sources.toml", ["orders"])
    assert outcome.summary is not None
    assert outcome.summary.stored == 1
    assert workspace.ingest(f"sqlite:///{folder}/shop.db?table=orders", kind="events", mapping=MAPPING).duplicates == 1
    assert [table.name for table in workspace.profile().tables] == ["events"]


def test_choosing(folder: Path) -> None:
    sources = read_sources(folder / "sources.toml")
    assert [source.name for source in choose(sources, ["reviews", "orders"])] == ["reviews", "orders"]
    with pytest.raises(UsageError, match=r"no source 'x'\. Known: orders, reviews, elsewhere"):
        choose(sources, ["x"])
    with pytest.raises(UsageError, match="no sources file"):
        read_sources(folder / "none.toml")
