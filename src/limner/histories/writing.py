"""Writing many rows of users: bucket by bucket, some buckets at a time, so that memory does not grow with the load.

The rows of some buckets are sorted in one go and each bucket's are then copied to its file. Where the rows come from is
read once for each such part, and only the rows of the part's users are looked at any further.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import duckdb

from limner.histories.store import Commit

AT_ONCE = 8_000_000
"""About how many rows are sorted together."""

FEW = 50_000
"""Rows up to which they are written in one go."""

CHOSEN = "chosen"
"""The table of the users (`user_id`, `bucket`) whose rows a part has."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows to be written.

    Attributes:
        query: Gives SQL for the rows with `user_id`, those of users in a table alone, or everyone's for an empty name;
            it may also give rows of others.
        count: How many rows there are, about.
        computed: SQL for columns that are computed from a row only when it is written.
    """

    query: Callable[[str], str]
    count: int
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
    columns = ", ".join(["*", *(f"{sql} AS {column}" for column, sql in rows.computed.items())])
    if rows.count <= FEW:
        return commit.add_query(name, connection, f"SELECT {columns} FROM ({rows.query('')})")
    buckets = commit.store.manifest().buckets
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE user_buckets AS SELECT user_id, (md5_number_lower(user_id) % {buckets})::INTEGER"
        f" AS bucket FROM (SELECT DISTINCT user_id FROM ({rows.query('')}))"
    )
    parts = min(max(1, round(rows.count / AT_ONCE)), buckets)
    written = 0
    folder = commit.new_folder(name)
    for part in range(parts):
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {CHOSEN} AS SELECT * FROM user_buckets WHERE bucket % {parts} = {part}"
        )
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE in_order AS"
            f" SELECT r.*, c.bucket FROM ({rows.query(CHOSEN if parts > 1 else '')}) r JOIN {CHOSEN} c USING (user_id)"
            " ORDER BY c.bucket, r.user_id, r.ts"
        )
        for (bucket,) in connection.execute(f"SELECT DISTINCT bucket FROM {CHOSEN} ORDER BY ALL").fetchall():
            query = f"SELECT {columns} FROM in_order WHERE bucket = {bucket}"
            written += commit.write_file(name, connection, query, folder / f"bucket={bucket}" / "data_0.parquet")
        connection.execute("DROP TABLE in_order")
    commit.take(name, folder)
    return written
