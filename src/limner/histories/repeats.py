"""Repeats within a load and duplicates of what is stored: which of the staged rows are new.

An event's id is a hash of what it says. Rows of one load that say exactly the same are repeats: two equal order lines
may be two sales and are kept, told apart by their ordinal; two equal reviews are one, and the second is dropped. As
the ordinal starts at nought in every load, loading a file twice gives the same ids and adds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import duckdb

from limner.histories.schema import EVENT_KINDS, TABLES
from limner.histories.staging import said_sql
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


def settle_events(connection: duckdb.DuckDBPyConnection, policy: Policy | None) -> Counts:
    """Makes the view `new_events`: the staged events with ids, without dropped repeats and duplicates.

    The staged rows stream past small tables of the exceptions; they are never sorted or held whole.

    Args:
        connection: Holds `staged_events` and the view `events` of the workspace.
        policy: Keep or drop repeats of every kind; None: as `schema.EVENT_KINDS` says.
    """
    hashed = f"SELECT rowid AS r, *, {said_sql()} AS h FROM staged_events"
    connection.execute(
        f"CREATE TEMP TABLE said AS SELECT r, _order, kind, h FROM ({hashed});"
        "CREATE TEMP TABLE again AS SELECT r, kind, (row_number() OVER (PARTITION BY h ORDER BY _order) - 1)::INTEGER"
        " AS ordinal FROM said WHERE h IN (SELECT h FROM said GROUP BY h HAVING count(*) > 1);"
        "DELETE FROM again WHERE ordinal = 0"
    )
    kept_kinds = ", ".join(literal(k.name) for k in EVENT_KINDS.values() if k.repeats)
    keeps = {"keep": "true", "drop": "false", None: f"kind IN ({kept_kinds})"}[policy]
    kept, dropped = _row(connection, f"SELECT count(*) FILTER ({keeps}), count(*) FILTER (NOT ({keeps})) FROM again")

    def identified(rows: str) -> str:
        """Rows with `r` and `h`, with their ids, without dropped repeats."""
        return (
            f"SELECT s.*, coalesce(a.ordinal, 0) AS ordinal, CASE WHEN a.ordinal IS NULL THEN left(s.h, {ID_LENGTH})"
            f" ELSE left(md5(s.h || '#' || a.ordinal), {ID_LENGTH}) END AS event_id"
            f" FROM ({rows}) s LEFT JOIN again a USING (r)"
            f" WHERE a.ordinal IS NULL OR ({keeps.replace('kind', 'a.kind')})"
        )

    connection.execute(
        f"CREATE TEMP TABLE held AS SELECT event_id FROM events SEMI JOIN ({identified('FROM said')}) USING (event_id);"
        f"CREATE TEMP VIEW new_events AS SELECT * FROM ({identified(hashed)}) ANTI JOIN held USING (event_id)"
    )
    staged, duplicates = _row(connection, "SELECT (SELECT count(*) FROM said), (SELECT count(*) FROM held)")
    return Counts(kept, dropped, duplicates, staged - dropped - duplicates)


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
