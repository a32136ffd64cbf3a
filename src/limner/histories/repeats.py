"""Repeats within a load and duplicates of what is stored: which of the staged rows are new.

An event's id is a hash of what it says. Rows of one load that say exactly the same are repeats: two equal order lines
may be two sales and are kept, told apart by their ordinal; two equal reviews are one, and the second is dropped. As
the ordinal starts at nought in every load, loading a file twice gives the same ids and adds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Literal

import duckdb

from limner.histories.said import alike_sql, said_sql
from limner.histories.schema import EVENT_KINDS, TABLES
from limner.histories.store import quote_path as literal
from limner.histories.writing import IN_ORDER

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


@dataclass(slots=True)
class Settling:
    """Finds repeats within a load and duplicates of what is stored, some users' rows after another's.

    All rows of a user are in one part. Rows that may be alike stand beside each other there, with one user and one
    time, and only for those that share a quick number too the ids are compared.

    Attributes:
        connection: Holds the part, `writing.IN_ORDER`, and the view `events` of the workspace.
        policy: Keep or drop repeats of every kind; None: as `schema.EVENT_KINDS` says.
        given: The fields, and `said.OTHERS`, that may have a value.
        narrow: Lets the view `events` show only some buckets.
        counts: What became of the parts so far.
    """

    connection: duckdb.DuckDBPyConnection
    policy: Policy | None
    given: frozenset[str]
    narrow: Callable[[Collection[int]], None]
    counts: Counts = field(default_factory=lambda: Counts(0, 0, 0, 0))

    @property
    def event_id(self) -> str:
        """SQL over the rows left of a part for their ids."""
        said = said_sql(self.given)
        repeated = f"left(md5({said} || '#' || ordinal), {ID_LENGTH})"
        return f"CASE WHEN ordinal = 0 THEN left({said}, {ID_LENGTH}) ELSE {repeated} END"

    def settle(self, buckets: Collection[int]) -> None:
        """Numbers the repeats that are kept in a part, and takes out those that are dropped and what is stored."""
        staged = _row(self.connection, f"SELECT count(*) FROM {IN_ORDER}")[0]
        kept, dropped = self._repeats()
        self.counts = replace(self.counts, kept=self.counts.kept + kept, dropped=self.counts.dropped + dropped)
        duplicates = self._duplicates(buckets)
        self.counts = replace(
            self.counts,
            duplicates=self.counts.duplicates + duplicates,
            new=self.counts.new + staged - dropped - duplicates,
        )

    def _repeats(self) -> tuple[int, int]:
        """Settles the repeats; returns how many were kept, and dropped."""
        alike = alike_sql(self.given)
        self.connection.execute(
            "CREATE OR REPLACE TEMP TABLE beside AS SELECT DISTINCT turn, ts FROM (SELECT turn, ts,"
            f" lag(turn) OVER () AS turn_before, lag(ts) OVER () AS ts_before FROM {IN_ORDER})"
            " WHERE turn = turn_before AND ts IS NOT DISTINCT FROM ts_before"
        )
        if not _row(self.connection, "SELECT count(*) FROM beside")[0]:
            return 0, 0
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE near AS SELECT r, {alike} AS k"
            f" FROM (SELECT i.*, i.rowid AS r FROM {IN_ORDER} i SEMI JOIN beside b"
            " ON i.turn = b.turn AND i.ts IS NOT DISTINCT FROM b.ts);"
            "CREATE OR REPLACE TEMP TABLE alike AS SELECT r FROM near WHERE k IN ("
            "SELECT k FROM near GROUP BY k HAVING count(*) > 1)"
        )
        if not _row(self.connection, "SELECT count(*) FROM alike")[0]:
            return 0, 0
        kinds = ", ".join(literal(kind.name) for kind in EVENT_KINDS.values() if kind.repeats)
        keeps = {"keep": "true", "drop": "false", None: f"kind IN ({kinds})"}[self.policy]
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE said AS SELECT rowid AS r, _order, kind, {said_sql(self.given)} AS h"
            f" FROM {IN_ORDER} WHERE rowid IN (SELECT r FROM alike);"
            f"CREATE OR REPLACE TEMP TABLE again AS SELECT r, {keeps} AS keeps,"
            " (row_number() OVER (PARTITION BY h ORDER BY _order) - 1)::INTEGER AS ordinal"
            " FROM said WHERE h IN (SELECT h FROM said GROUP BY h HAVING count(*) > 1);"
            "DELETE FROM again WHERE ordinal = 0"
        )
        kept, dropped = _row(self.connection, "SELECT count(*) FILTER (keeps), count(*) FILTER (NOT keeps) FROM again")
        if kept:
            self.connection.execute(
                f"UPDATE {IN_ORDER} SET ordinal = a.ordinal FROM again a WHERE a.r = {IN_ORDER}.rowid AND a.keeps"
            )
        if dropped:
            self.connection.execute(f"DELETE FROM {IN_ORDER} WHERE rowid IN (SELECT r FROM again WHERE NOT keeps)")
        return kept, dropped

    def _duplicates(self, buckets: Collection[int]) -> int:
        """Takes out what the workspace holds already; returns how many rows that were."""
        self.narrow(buckets)
        if not _row(self.connection, "SELECT count(*) FROM (FROM events LIMIT 1)")[0]:
            return 0
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE named AS SELECT rowid AS r, {self.event_id} AS event_id FROM {IN_ORDER};"
            "CREATE OR REPLACE TEMP TABLE held AS SELECT r FROM named WHERE event_id IN ("
            "SELECT event_id FROM events SEMI JOIN named USING (event_id))"
        )
        held = _row(self.connection, "SELECT count(*) FROM held")[0]
        if held:
            self.connection.execute(f"DELETE FROM {IN_ORDER} WHERE rowid IN (SELECT r FROM held)")
        return held


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
