"""Repeats within a load and duplicates of what is stored: which of the staged rows are new.

An event's id is a hash of what it says. Rows of one load that say exactly the same are repeats: two equal order lines
may be two sales and are kept, told apart by their ordinal; two equal reviews are one, and the second is dropped. As
the ordinal starts at nought in every load, loading a file twice gives the same ids and adds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import duckdb

from limner.histories.said import IDENTITY, alike_sql, said_sql
from limner.histories.schema import EVENT_KINDS, TABLES
from limner.histories.store import quote_path as literal

Policy = Literal["keep", "drop"]

ID_LENGTH = 24
"""Hex digits of an event id: 96 bits; among 100 million events the odds of one collision are below 1 in 10^12."""

KEYS: dict[str, str] = {"items": "item_id", "users": "user_id", "ties": "user_id, other_id, kind"}
"""What identifies a row of the tables that hold one row for each thing; the last one in a load wins."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the good rows of one table.

    Attributes:
        kept: Exact repeats that were kept as happenings of their own.
        dropped: Repeats that were dropped.
        duplicates: Rows that the workspace held already.
        new: Rows left to be stored.
    """

    kept: int
    dropped: int
    duplicates: int
    new: int


@dataclass(frozen=True, slots=True)
class Settled:
    """Events of a load of which it is known which are new.

    Attributes:
        counts: What became of all of them.
        given: The fields that may have a value.
        rows: SQL over a relation with the columns of `staged_events` that gives those of its rows that are new, with
            their `ordinal`; `{rows}` stands for the relation.
        event_id: SQL over such rows for their ids.
    """

    counts: Counts
    given: frozenset[str]
    rows: str
    event_id: str


def settle_events(
    connection: duckdb.DuckDBPyConnection, policy: Policy | None, given: frozenset[str] = frozenset(IDENTITY)
) -> Settled:
    """Finds repeats within the load and duplicates of what is stored.

    Rows that may be alike are found by a quick number; only for those the ids are compared. The staged rows stream
    past small tables of the exceptions; they are never sorted or held whole.

    Args:
        connection: Holds `staged_events`, whose rows are told apart by `_r`, and the view `events` of the workspace.
        policy: Keep or drop repeats of every kind; None: as `schema.EVENT_KINDS` says.
        given: The fields that may have a value.
    """
    alike = alike_sql(given)
    connection.execute(
        f"CREATE TEMP TABLE alike AS SELECT k FROM (SELECT {alike} AS k FROM staged_events)"
        " GROUP BY k HAVING count(*) > 1"
    )
    some = f"WHERE {alike} IN (SELECT k FROM alike)" if _row(connection, "SELECT count(*) FROM alike")[0] else "LIMIT 0"
    connection.execute(
        f"CREATE TEMP TABLE said AS SELECT _r, _order, kind, {said_sql(given)} AS h FROM staged_events {some};"
        "CREATE TEMP TABLE again AS SELECT _r, kind, (row_number() OVER (PARTITION BY h ORDER BY _order) - 1)::INTEGER"
        " AS ordinal FROM said WHERE h IN (SELECT h FROM said GROUP BY h HAVING count(*) > 1);"
        "DELETE FROM again WHERE ordinal = 0"
    )
    kept_kinds = ", ".join(literal(k.name) for k in EVENT_KINDS.values() if k.repeats)
    keeps = {"keep": "true", "drop": "false", None: f"kind IN ({kept_kinds})"}[policy]
    kept, dropped = _row(connection, f"SELECT count(*) FILTER ({keeps}), count(*) FILTER (NOT ({keeps})) FROM again")
    rows, event_id = "SELECT *, 0 AS ordinal FROM ({rows})", f"left({said_sql(given)}, {ID_LENGTH})"
    if kept or dropped:
        # Without dropped repeats; those kept are told apart by their ordinal.
        rows = (
            "SELECT s.*, coalesce(a.ordinal, 0) AS ordinal FROM ({rows}) s LEFT JOIN again a USING (_r)"
            f" WHERE a.ordinal IS NULL OR ({keeps.replace('kind', 'a.kind')})"
        )
        repeated = f"left(md5({said_sql(given)} || '#' || ordinal), {ID_LENGTH})"
        event_id = f"CASE WHEN ordinal = 0 THEN {event_id} ELSE {repeated} END"
    duplicates = 0
    if _row(connection, "SELECT count(*) FROM (FROM events LIMIT 1)")[0]:
        everything = rows.replace("{rows}", "SELECT * FROM staged_events")
        connection.execute(
            f"CREATE TEMP TABLE named AS SELECT _r, {event_id} AS event_id FROM ({everything});"
            "CREATE TEMP TABLE held AS SELECT _r FROM named WHERE event_id IN ("
            "SELECT event_id FROM events SEMI JOIN named USING (event_id))"
        )
        duplicates = _row(connection, "SELECT count(*) FROM held")[0]
        if duplicates:
            rows = f"SELECT * FROM ({rows}) ANTI JOIN held USING (_r)"
    staged = _row(connection, "SELECT count(*) FROM staged_events")[0]
    return Settled(Counts(kept, dropped, duplicates, staged - dropped - duplicates), given, rows, event_id)


def settle_things(connection: duckdb.DuckDBPyConnection, kind: str) -> Counts:
    """Makes the table `new_KIND`: for each item, user or tie its last staged row, unless it is stored just so."""
    key = KEYS[kind]
    connection.execute(
        f"CREATE TEMP TABLE last_{kind} AS SELECT * FROM staged_{kind}"
        f" QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY _order DESC) = 1"
    )
    said = [f'"{c}"' for c, _ in TABLES[kind].columns if c != "source"]
    same = " AND ".join(f"l.{c} IS NOT DISTINCT FROM t.{c}" for c in said)
    joined = " AND ".join(f"l.{c} = t.{c}" for c in key.split(", "))
    connection.execute(
        f"CREATE TEMP TABLE new_{kind} AS SELECT * FROM last_{kind} l"
        f" WHERE NOT EXISTS (SELECT 1 FROM {kind} t WHERE {joined} AND {same})"
    )
    staged, last, new = _row(
        connection,
        f"SELECT {', '.join(f'(SELECT count(*) FROM {state}_{kind})' for state in ('staged', 'last', 'new'))}",
    )
    return Counts(0, staged - last, last - new, new)


def _row(connection: duckdb.DuckDBPyConnection, query: str) -> list[int]:
    return [int(value) for value in connection.execute(query).fetchall()[0]]
