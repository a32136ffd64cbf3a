"""Short cuts of loading: columns taken by their type, files read again and not kept, parts written one by one.

Each must give what cleaning every value as text, keeping every row and writing all at once gives.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from limner.errors import DataError, UsageError
from limner.histories import facts, load, persons, plans, reading, writing
from limner.histories.lines import build_histories
from limner.histories.load import IngestSummary, ingest
from limner.histories.memory import memory_limit
from limner.histories.refresh import refresh_facts
from limner.histories.schema import Table
from limner.histories.store import Store

GOLDEN = ["82cd34e939e7ecdbece8117e", "e3746891fc0db51c2c287e2f", "a1618e47eee13850dca2d5b8"]
"""Ids as they were before there were short cuts."""

EVENTS = "SELECT * EXCLUDE (run, seq, source) FROM events ORDER BY event_id"
FACTS = "SELECT * EXCLUDE (run, seq) FROM facts ORDER BY user_id"

KINDS = """
SELECT 'u' || (i % 7) AS user_id, TIMESTAMP '2025-01-01 10:00:00' + to_minutes(i * 37) AS moment,
    TIMESTAMPTZ '2025-03-01 10:00:00+08' + to_hours(i) AS zoned, DATE '2024-02-28' + i::INTEGER AS day,
    (['0.1', '1e300', '-0.0', 'nan', 'inf', NULL, '12.5', '1234567']::DOUBLE[])[1 + i % 8] AS wide,
    ([0.1, 16777216.0, NULL, 2.5]::FLOAT[])[1 + i % 4] AS narrow,
    ((i * 125) / 100)::DECIMAL(12, 2) AS exact, (i * 125)::DECIMAL(30, 3) AS long,
    (9007199254740993 + i)::UBIGINT AS big, (i % 5 + 1)::TINYINT AS small,
    'i' || (i % 3) AS item_id, ['order', 'view', 'Review', NULL][1 + i % 4] AS kind, 'Words ' || (i % 9) AS said
FROM range(60) t(i)
"""


def written(folder: Path, query: str, name: str = "a.parquet") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        db.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
    return path


def loaded(folder: Path, source: Path, **how: Any) -> tuple[Store, IngestSummary]:
    store = Store.open(folder, create=True)
    return store, ingest(store, [source], **how)


@pytest.mark.parametrize(
    ("number", "time", "zone"),
    [
        *((number, "moment", "UTC") for number in ("wide", "narrow", "exact", "long", "big", "small")),
        ("wide", "moment", "Asia/Shanghai"), ("wide", "zoned", "Asia/Shanghai"), ("wide", "day", "Asia/Shanghai"),
    ],
)  # fmt: skip
def test_a_column_taken_by_its_type_is_as_if_it_were_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: str, time: str, zone: str
) -> None:
    columns = {"user_id": "user_id", "ts": time, "price": number, "item_id": "item_id", "kind": "kind", "text": "said"}
    mapping = {"kind": "events", "timezone": zone, "columns": columns}
    source = written(tmp_path, f"SELECT user_id, {time}, {number}, item_id, kind, said FROM ({KINDS})")
    typed, told = loaded(tmp_path / "typed", source, mapping=mapping)
    monkeypatch.setattr(plans, "_by_type", lambda *_: None)
    text, also = loaded(tmp_path / "text", source, mapping=mapping)
    assert typed.rows(EVENTS) == text.rows(EVENTS) != []
    assert (told.stored, told.quarantined, told.reasons) == (also.stored, also.quarantined, also.reasons)
    assert (told.quarantined > 0) == (number == "wide")  # What is infinite is no number.


def many(folder: Path, rows: int = 400, first: int = 0) -> Path:
    """Rows with repeats of both sorts and, among them, bad ones."""
    return written(
        folder,
        f"""SELECT CASE WHEN i % 50 = 9 THEN NULL ELSE 'u' || (i % 23) END AS user_id, 'i' || (i % 5) AS item_id,
            CASE WHEN i % 3 = 0 THEN 'order' WHEN i % 3 = 1 THEN 'view' ELSE 'review' END AS event,
            TIMESTAMP '2025-01-01' + to_days((i % 11)::INTEGER) AS timestamp, (i % 4)::DOUBLE AS price,
            CASE WHEN i % 3 = 2 THEN 'Very good ' || (i % 6) END AS review, i % 2 AS colour,
            CASE WHEN i % 2 = 0 THEN 'Town ' || (i % 10) END AS city
        FROM (SELECT CASE WHEN n < 600 THEN n % 137 ELSE n END AS i FROM range({first}, {first + rows}) t(n))""",
        f"a{first}.parquet",
    )


def test_a_file_read_again_gives_what_a_file_kept_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = many(tmp_path), many(tmp_path, 500, 200)
    kept, told = loaded(tmp_path / "kept", first, kind="events")
    ingest(kept, [second], kind="events")
    monkeypatch.setattr(reading, "STREAMED", 0)
    monkeypatch.setattr(writing, "AT_ONCE", 50)
    monkeypatch.setattr(writing, "FEW", 0)
    monkeypatch.setattr(plans, "SMALL", 0)
    monkeypatch.setattr(facts, "AT_ONCE", 50)
    monkeypatch.setattr(Table, "most", 10)
    again, also = loaded(tmp_path / "again", first, kind="events")
    more = ingest(again, [second], kind="events")
    assert told.repeats > told.repeats_dropped > 0
    assert told.quarantined > 0
    alike = "SELECT count(*) - count(DISTINCT r) FROM read_parquet($1) r WHERE user_id IS NOT NULL"
    with duckdb.connect() as db:
        assert db.execute(alike, [str(first)]).fetchall() == [(told.repeats,)]
    assert (told.rows, told.stored, told.repeats, told.repeats_dropped, told.quarantined, told.users) == (
        also.rows, also.stored, also.repeats, also.repeats_dropped, also.quarantined, also.users,
    )  # fmt: skip
    assert more.duplicates > 100
    assert more.rows == more.stored + more.duplicates + more.repeats_dropped + more.quarantined
    assert kept.rows(EVENTS) == again.rows(EVENTS)
    assert kept.rows(FACTS) == again.rows(FACTS) != []
    assert not {file.of for table in kept.manifest().tables.values() for file in table} - {0}
    assert {file.of for file in again.manifest().tables["events"] if file.seq == 1} == {64}
    users = [row["user_id"] for row in again.rows("SELECT user_id FROM facts ORDER BY ALL")]
    assert [list(build_histories(again, [user])) for user in users] == [[h] for h in build_histories(kept, users)]
    assert refresh_facts(again, "again") == 0
    assert [ingest(again, [path], kind="events").stored for path in (first, second)] == [0, 0]


def test_one_untidy_value_is_enough_to_clean_its_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "STREAMED", 0)
    query = (
        "SELECT 'u' || i AS user_id, TIMESTAMP '2025-01-01' AS timestamp, 'view' AS event,"
        " CASE i WHEN 3 THEN ' phone ' WHEN 4 THEN 'N/A' ELSE 'tablet' END AS device,"
        " CASE i WHEN 5 THEN '[\"a\", \"b\"]' ELSE 'c' END AS category FROM range(9) t(i)"
    )
    store, _ = loaded(tmp_path / "w", written(tmp_path, query), kind="events")
    found = {row["user_id"]: row for row in store.rows("FROM events")}
    assert (found["u3"]["device"], found["u4"]["device"], found["u5"]["device"]) == ("phone", None, "tablet")
    assert (found["u5"]["category"], found["u6"]["category"]) == ("a|b", "c")


def test_a_file_written_to_while_it_is_read_stores_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "STREAMED", 0)
    source = many(tmp_path)
    write = load.write_by_user

    def meanwhile(*given: Any) -> Any:
        written = write(*given)
        many(tmp_path, 300)
        return written

    monkeypatch.setattr(load, "write_by_user", meanwhile)
    store = Store.open(tmp_path / "w", create=True)
    with pytest.raises(DataError, match="changed while it was read"):
        ingest(store, [source], kind="events")
    assert store.rows("SELECT count(*) AS n FROM events") == [{"n": 0}]
    assert not list((tmp_path / "w" / "tables").rglob("*.parquet"))


def test_ids_stay_what_they_were(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "user_id,item_id,event,timestamp,price,review,colour\nu1,i1,order,2025-01-02 03:04:05,12.50,,red\n"
        "u1,i1,order,2025-01-02 03:04:05,12.50,,red\nu2,,review,2025-02-03,,好用 works,\n",
        encoding="utf-8",
    )
    store, _ = loaded(tmp_path / "w", path, kind="events")
    ids = [row["event_id"] for row in store.rows("SELECT event_id FROM events ORDER BY user_id, ordinal")]
    assert ids == GOLDEN


@pytest.mark.parametrize("few", [0, 10_000])
def test_rows_of_a_bucket_are_sorted_so_that_one_user_is_in_one_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(writing, "FEW", few)
    store, _ = loaded(tmp_path / "w", many(tmp_path, 2_000), kind="events")
    for file in store.manifest().tables["events"]:
        query = f"SELECT user_id, ts FROM read_parquet('{store.path / file.path}', hive_partitioning = false)"
        with duckdb.connect() as db:
            rows = db.execute(query).fetchall()
        assert rows == sorted(rows)


def test_few_users_read_straight_from_their_files_have_the_same_histories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = loaded(tmp_path / "w", many(tmp_path, 300), kind="events")
    with store.commit("more") as commit:
        commit.add("items", [{"item_id": f"i{n}", "title": f"Item {n}", "category": "Things"} for n in range(4)])
    with store.commit("more") as commit:
        commit.add("items", [{"item_id": "i2", "title": "Second", "category": ""}])
        start = datetime(2025, 5, 1)
        rows = [{"user_id": "u3", "ts": start + timedelta(days=n), "kind": "view", "item_id": "i2"} for n in range(3)]
        commit.add("events", [{**row, "event_id": f"x{n}"} for n, row in enumerate(rows)])
    users = ["u3", "u1", "nobody", "u22"]
    straight = list(build_histories(store, users))
    monkeypatch.setattr(persons, "MANY", 0)
    assert straight == list(build_histories(store, users))
    assert [history.user_id for history in straight] == ["u3", "u1", "u22"]
    assert "Second" in straight[0].text


def test_the_database_keeps_to_the_memory_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open(tmp_path / "w", create=True)
    monkeypatch.setenv("LIMNER_MEMORY", "700MiB")
    with store.read() as db:
        assert db.execute("SELECT current_setting('memory_limit')").fetchall() == [("700.0 MiB",)]
    monkeypatch.setenv("LIMNER_MEMORY", "much")
    with pytest.raises(UsageError, match="LIMNER_MEMORY"):
        memory_limit()
    monkeypatch.delenv("LIMNER_MEMORY")
    assert memory_limit().endswith("MiB")
