"""Tables as they are once ids are merged: what was stored under several ids of one person is read as one person's.

Nothing is rewritten. The table `identities` says for each merged id whose it is; a workspace that has any is read
through it, so that taking the run back that merged them, or splitting them, gives every row back its own id.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import duckdb
import pyarrow as pa

SPLIT = "split"
"""The reason of ids that a person took apart."""

MAPPED: dict[str, tuple[str, ...]] = {"events": ("user_id",), "users": ("user_id",), "ties": ("user_id", "other_id")}
"""The tables of what sources said, and the columns in which a merged id gives way to the person's."""

DERIVED = frozenset({"facts", "extractions", "signals", "personas", "traits", "memberships", "flags"})
"""Tables of what was worked out for each user: of a merged id nothing is shown."""

READINGS = frozenset({"extractions", "signals", "personas", "traits"})
"""Those of them that a model wrote: what was written before a split may speak of somebody else, and is not shown."""

SAME = frozenset(
    "same_as same sameas same_person same_user identical alias duplicate duplicate_of merged merged_into linked_account"
    " 同一人 同一用户 同一 同人 重复 别名 合并".split()
)
"""Kinds of ties that say that two ids are one person's."""

_SAME_LISTED = ", ".join(f"'{kind}'" for kind in sorted(SAME))
SOCIAL = f"coalesce(lower(trim(kind)), '') NOT IN ({_SAME_LISTED})"
"""SQL over `ties`: whether a tie joins two people; what says that two ids are one person's does not."""

_PEOPLE = """
CREATE TABLE merged_into AS SELECT member_id, user_id FROM told_identities
QUALIFY row_number() OVER (PARTITION BY member_id ORDER BY seq DESC) = 1;
DELETE FROM merged_into WHERE member_id = user_id;
CREATE TABLE taken_apart AS SELECT user_id, max(seq) AS seq FROM told_identities
WHERE seq IN (SELECT seq FROM told_identities WHERE reason = '{split}') GROUP BY user_id
"""

CURRENT_USERS = """
SELECT user_id,
    first(lang ORDER BY told_as = user_id DESC, seq DESC) FILTER (lang IS NOT NULL) AS lang,
    CASE WHEN count(*) = 1 THEN any_value(attrs) ELSE list_reduce(
        list(coalesce(attrs, '{{}}')::JSON ORDER BY told_as = user_id, seq), lambda x, y: json_merge_patch(x, y)
    )::VARCHAR END AS attrs,
    first(source ORDER BY told_as = user_id DESC, seq DESC) AS source,
    first(run ORDER BY seq DESC) AS run, max(seq) AS seq
FROM (SELECT * FROM {raw} QUALIFY row_number() OVER (PARTITION BY told_as ORDER BY seq DESC) = 1)
GROUP BY user_id
"""
"""Profiles: what a person's ids say together; of two different values that of the person's own id, else the newer."""


def define_people(connection: duckdb.DuckDBPyConnection, source: str) -> None:
    """Makes `merged_into(member_id, user_id)` and `taken_apart(user_id, seq)`.

    Args:
        connection: Where they are made.
        source: SQL for the rows of `identities`.
    """
    connection.execute(f"CREATE VIEW told_identities AS SELECT * FROM {source}")
    connection.execute(_PEOPLE.format(split=SPLIT))


def with_members(connection: duckdb.DuckDBPyConnection, users: Collection[str]) -> list[str]:
    """Users and all ids that were merged into them."""
    connection.register("asked_for", pa.table({"user_id": pa.array(users, pa.string())}))
    rows = connection.execute(
        "SELECT user_id FROM asked_for UNION SELECT member_id FROM merged_into SEMI JOIN asked_for USING (user_id)"
    ).fetchall()
    connection.unregister("asked_for")
    return [str(row[0]) for row in rows]


def as_people(table: str, source: str) -> str:
    """SQL for the rows of a table with people in place of merged ids.

    Args:
        table: The table's name.
        source: SQL for its rows as they are stored.
    """
    if table in MAPPED:
        columns = MAPPED[table]
        replaced = ", ".join(f"coalesce(m{n}.user_id, r.{c}) AS {c}" for n, c in enumerate(columns))
        joins = " ".join(f"LEFT JOIN merged_into m{n} ON m{n}.member_id = r.{c}" for n, c in enumerate(columns))
        extra = ", r.user_id AS told_as" if table == "users" else ""
        return f"(SELECT r.* REPLACE ({replaced}){extra} FROM {source} r {joins})"
    if table in DERIVED:
        shown = f"SELECT r.* FROM {source} r ANTI JOIN merged_into m ON m.member_id = r.user_id"
        if table in READINGS:
            shown += " ANTI JOIN taken_apart a ON a.user_id = r.user_id AND a.seq > r.seq"
        return f"({shown})"
    return source


def resolve(connection: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> list[str]:
    """For each id the person's: itself, or what it was merged into.

    Args:
        connection: A connection of `Store.read`.
        ids: Ids, of whomever.
    """
    into = members_of(connection, ids, by="member_id")
    return [into.get(id_, [id_])[0] for id_ in ids]


def members_of(
    connection: duckdb.DuckDBPyConnection, ids: Sequence[str] | None = None, *, by: str = "user_id"
) -> dict[str, list[str]]:
    """The ids merged into each person (`by` is `user_id`), or the person of each merged id (`member_id`).

    Args:
        connection: A connection of `Store.read`.
        ids: Of whom; of all if None.
        by: What is asked about.
    """
    other = "member_id" if by == "user_id" else "user_id"
    among = "" if ids is None else f"AND {by} IN (SELECT unnest($1::VARCHAR[]))"
    rows = connection.execute(
        f"SELECT {by}, {other} FROM identities WHERE member_id <> user_id {among} ORDER BY ALL",
        [] if ids is None else [list(ids)],
    ).fetchall()
    found: dict[str, list[str]] = {}
    for asked, answer in rows:
        found.setdefault(str(asked), []).append(str(answer))
    return found
