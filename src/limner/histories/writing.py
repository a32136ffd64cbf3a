"""Writing many rows of users: bucket by bucket, some buckets at a time, so that memory does not grow with the load.

Each user gets a number that grows with bucket and id. The rows of some buckets are sorted by it in one go, what of them
is new is settled, and each bucket's are then copied to its file. Where the rows come from is read once for each such
part, and only the rows of the part's users are looked at any further.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import duckdb

from limner.histories.store import Commit

AT_ONCE = 12_000_000
"""About how many rows are sorted together."""

FEW = 50_000
"""Rows up to which they are written in one go."""

CHOSEN = "chosen"
"""The table of the users (`user_id`, `bucket`, `turn`) whose rows a part has."""

IN_ORDER = "in_order"
"""The table of a part's rows, by `turn` (one number for each user) and `ts`."""

WRITERS = "writers"
"""The table of all users (`user_id`, `bucket`, `turn`) of what was written last."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows to be written.

    Attributes:
        query: Gives SQL for the rows with `user_id`, those of users in a table alone, or everyone's for an empty name;
            it may also give rows of others.
        count: How many rows there are, about.
        settle: Takes what is not to be written out of the table `IN_ORDER`, given the buckets that its rows are of.
        computed: SQL for columns that are computed from a row only when it is written.
    """

    query: Callable[[str], str]
    count: int
    settle: Callable[[Collection[int]], None]
    computed: Mapping[str, str] = field(default_factory=dict)


def write_by_user(commit: Commit, connection: duckdb.DuckDBPyConnection, name: str, rows: Rows) -> int:
    """Adds rows to a table of users in a commit; returns how many.

    Args:
        commit: Where to.
        connection: Where the rows are.
        name: The table.
        rows: The rows.

    Raises:
        WorkspaceError: The workspace cannot be written.
    """
    buckets = commit.store.manifest().buckets
    split = commit.split(name, rows.count)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {WRITERS} AS SELECT *, row_number() OVER (ORDER BY bucket, user_id)::INTEGER"
        f" AS turn FROM (SELECT user_id, (md5_number_lower(user_id) % {buckets * split})::INTEGER AS bucket"
        f" FROM (SELECT DISTINCT user_id FROM ({rows.query('')})))"
    )
    parts = min(max(1, round(rows.count / AT_ONCE)), buckets)
    columns = ", ".join(["*", *(f"{sql} AS {column}" for column, sql in rows.computed.items())])
    written = 0
    folder = None
    for part in range(parts):
        _sort(connection, rows, f"bucket % {buckets} % {parts} = {part}" if parts > 1 else "")
        rows.settle([bucket for bucket in range(buckets) if bucket % parts == part])
        if rows.count <= FEW:
            some = connection.execute(f"FROM {IN_ORDER} LIMIT 1").fetchall()
            return commit.add_query(name, connection, f"SELECT {columns} FROM {IN_ORDER}") if some else 0
        for bucket, first, last in _left(connection):
            folder = folder or commit.new_folder(name)
            query = f"SELECT {columns} FROM {IN_ORDER} WHERE turn BETWEEN {first} AND {last}"
            written += commit.write_file(name, connection, query, folder / f"bucket={bucket}" / "data_0.parquet")
    connection.execute(f"DROP TABLE {IN_ORDER}")
    if folder:
        commit.take(name, folder, split)
    return written


def _left(connection: duckdb.DuckDBPyConnection) -> list[tuple[int, int, int]]:
    """The buckets that have rows in a part, each with the first and the last turn of its users."""
    found: list[tuple[int, int, int]] = connection.execute(
        f"SELECT bucket, min(turn), max(turn) FROM {CHOSEN}"
        f" SEMI JOIN (SELECT DISTINCT turn FROM {IN_ORDER}) USING (turn) GROUP BY bucket ORDER BY bucket"
    ).fetchall()
    return found


def _sort(connection: duckdb.DuckDBPyConnection, rows: Rows, among: str) -> None:
    """Makes the table of a part's rows, given SQL for its buckets, or nothing where it is all of them."""
    connection.execute(f"DROP TABLE IF EXISTS {IN_ORDER}")
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {CHOSEN} AS SELECT * FROM {WRITERS} WHERE {among or 'true'}")
    connection.execute(
        f"CREATE TEMP TABLE {IN_ORDER} AS SELECT r.*, 0 AS ordinal, c.turn"
        f" FROM ({rows.query(CHOSEN if among else '')}) r JOIN {CHOSEN} c USING (user_id) ORDER BY c.turn, r.ts"
    )
