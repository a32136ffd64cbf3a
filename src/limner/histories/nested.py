"""Nested documents as a table: a column for each key, members of objects as `user.address.city`, lists as rows.

JSON and XML come here as one table `document` of objects. Keys that are nested are offered under their dotted path, so
that a mapping and the guess can name them; the whole value stays in the column of its outermost key.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import duckdb

from limner.errors import DataError
from limner.histories.columns import Column, Raw, find
from limner.histories.delimited import unique_names
from limner.histories.mapping import Mapping
from limner.histories.quarantine import Quarantine
from limner.histories.store import quote_path as literal

MAX_COLUMNS = 2_000
"""Columns a source may have. More are keys that are really values, such as one key per user."""

SAMPLE = 1_000
"""Rows in which nested objects are looked for, to offer `user.id` as a column. A mapping may name rarer ones."""

MEMBERS = 50
"""Members of one object that are offered; more are keys that are really values."""

DEPTH = 5
"""Levels of nesting that are offered. A mapping may name deeper ones."""

OFFERED = 300
"""Nested columns offered in all."""


def spread(
    connection: duckdb.DuckDBPyConnection,
    quarantine: Quarantine,
    source: str,
    records: str = "",
    *,
    wrapped: bool = True,
) -> Raw:
    """Turns the table `document` (`_row`, `j`) into the table `raw` with a column for each key.

    Args:
        connection: Holds `document`; it is used up.
        quarantine: Takes what is no object.
        source: The source's name.
        records: The dotted path of a list inside each object; each of its members becomes a row.
        wrapped: A single object may be a mere wrapping around a list of the rows.

    Raises:
        DataError: There is no object, or too many keys.
    """
    try:
        if wrapped:
            _unwrap(connection, records)
        if records:
            _explode(connection, records, source)
        _refuse_others(connection, quarantine, source)
        keys = _keys(connection, source)
        listed = ", ".join(f"x[{i + 1}] AS c{i}" for i in range(len(keys)))
        pointers = "[" + ", ".join(literal(pointer(key)) for key in keys) + "]::VARCHAR[]"
        connection.execute(
            f"CREATE TEMP TABLE raw AS SELECT _row, {listed}"
            f" FROM (SELECT _row, json_extract(j, {pointers}) AS x FROM document)"
        )
    finally:
        connection.execute("DROP TABLE IF EXISTS document")
    columns: list[Column] = []
    left = OFFERED
    for i, (key, name) in enumerate(zip(keys, unique_names(keys), strict=True)):
        columns.append(Column(name, f"(c{i} ->> '$')", f"nullif(c{i}, 'null')", holds=True))
        members = _members(connection, f"c{i}", key, DEPTH)[:left]
        left -= len(members)
        columns.extend(members)
    return Raw("raw", "_row", tuple(columns))


def with_paths(connection: duckdb.DuckDBPyConnection, raw: Raw, mapping: Mapping) -> Raw:
    """The source with the dotted paths that a mapping names and that some row has, beside those offered already.

    A part of a path may also be a place in a list, counted from 0: `lines.0.sku`.
    """
    named = [name for names in mapping.columns.values() for name in names]
    added: list[Column] = []
    for name in dict.fromkeys(named):
        if "." in name and find(raw, name) is None and (column := _at_path(raw, name)):
            query = f"SELECT 1 FROM {raw.table} WHERE {column.text} IS NOT NULL LIMIT 1"
            if connection.execute(query).fetchall():
                added.append(column)
    return replace(raw, columns=(*raw.columns, *added)) if added else raw


def _at_path(raw: Raw, name: str) -> Column | None:
    """The column at a dotted path: below the column whose name is the longest beginning of it."""
    parts = name.split(".")
    for end in range(len(parts) - 1, 0, -1):
        above = find(raw, ".".join(parts[:end]))
        if above is not None and above.holds:
            return _member(name, above.json, parts[end:])
    return None


def _member(name: str, json: str, parts: Iterable[str]) -> Column:
    """The column of what lies at a path inside JSON."""
    path = literal("".join(pointer(part) for part in parts))
    text, inner = f"json_extract_string({json}, {path})", f"nullif(json_extract({json}, {path}), 'null')"
    return Column(name, text, inner, nested=True)


def pointer(key: str) -> str:
    """One step of a JSON pointer."""
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _unwrap(connection: duckdb.DuckDBPyConnection, records: str) -> None:
    """Replaces one object that only wraps a list of objects, such as `{"data": [...]}`, by the list's members.

    Not where `records` names a list from that object on.
    """
    count, named = connection.execute(
        f"SELECT count(*), bool_or(json_exists(j, {literal(pointer(records.split('.')[0]))})) FROM document"
    ).fetchall()[0]
    if count != 1 or (records and named):
        return
    at = "'/' || replace(replace(k, '~', '~0'), '/', '~1')"
    lists = connection.execute(
        f"SELECT k FROM (SELECT unnest(json_keys(j)) AS k, j FROM document)"
        f" WHERE json_type(j, {at}) = 'ARRAY' AND json_type(j, {at} || '/0') = 'OBJECT'"
    ).fetchall()
    if len(lists) == 1:
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE document AS SELECT row_number() OVER () AS _row, j FROM"
            " (SELECT unnest(json_extract(j, $path)::JSON[]) AS j FROM document)",
            {"path": pointer(str(lists[0][0]))},
        )


def _explode(connection: duckdb.DuckDBPyConnection, records: str, source: str) -> None:
    """Gives each member of the list at a path a row: the object it lies in, with the member in the list's place.

    An object without the list, or with an empty one, stays one row. Lists on the way to it are taken apart too.
    """
    parts = records.split(".")
    seen = False
    for end in range(1, len(parts) + 1):
        path = literal("".join(pointer(part) for part in parts[:end]))
        found = f"SELECT bool_or(json_type(j, {path}) = 'ARRAY') FROM document"
        if not connection.execute(found).fetchall()[0][0]:
            continue
        seen = True
        placed = "m"
        for part in reversed(parts[:end]):
            placed = f"json_object({literal(part)}, {placed})"
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE document AS"
            " SELECT row_number() OVER (ORDER BY _row, p) AS _row,"
            f" CASE WHEN p IS NULL THEN j ELSE json_merge_patch(j, {placed}) END AS j"
            " FROM (SELECT _row, j, unnest(ms) AS m, unnest(ps) AS p FROM (SELECT _row, j,"
            f" CASE WHEN n > 0 THEN json_extract(j, {path})::JSON[] ELSE [NULL] END AS ms,"
            " CASE WHEN n > 0 THEN range(n) ELSE [NULL] END AS ps FROM (SELECT _row, j,"
            f" CASE WHEN json_type(j, {path}) = 'ARRAY' THEN json_array_length(j, {path})::BIGINT ELSE 0 END AS n"
            " FROM document)))"
        )
    if not seen:
        raise DataError(f"{source} has no list at {records!r}. Correct `records` in the mapping.")


def _refuse_others(connection: duckdb.DuckDBPyConnection, quarantine: Quarantine, source: str) -> None:
    """Sets aside what is no JSON object."""
    cursor = connection.execute("SELECT _row, j::VARCHAR FROM document WHERE json_type(j) <> 'OBJECT' ORDER BY ALL")
    while rows := cursor.fetchmany(1_000):
        for row, raw in rows:
            quarantine.add(source, int(row), "not a JSON object", raw)
    connection.execute("DELETE FROM document WHERE json_type(j) <> 'OBJECT'")


def _keys(connection: duckdb.DuckDBPyConnection, source: str) -> list[str]:
    """The keys of all objects, in the order in which they come up."""
    rows = connection.execute(
        "SELECT k FROM (SELECT unnest(json_keys(j)) AS k, generate_subscripts(json_keys(j), 1) AS p, _row"
        " FROM document) GROUP BY k ORDER BY min(_row), min(p)"
    ).fetchall()
    if not rows:
        raise DataError(f"{source} holds no JSON objects. limner reads one object for each row.")
    if len(rows) > MAX_COLUMNS:
        raise DataError(
            f"{source} has {len(rows):,} different keys; {MAX_COLUMNS:,} are the most. Write one object a row."
        )
    return [str(row[0]) for row in rows]


def _members(connection: duckdb.DuckDBPyConnection, json: str, name: str, depth: int) -> list[Column]:
    """The members of a column of objects, as columns named `name.member`, each followed by its own members."""
    found = connection.execute(
        f"SELECT k FROM (SELECT unnest(json_keys(x)) AS k, generate_subscripts(json_keys(x), 1) AS p"
        f" FROM (SELECT {json} AS x FROM raw LIMIT {SAMPLE}) WHERE json_type(x) = 'OBJECT')"
        f" GROUP BY k ORDER BY min(p) LIMIT {MEMBERS}"
    ).fetchall()
    columns: list[Column] = []
    for (key,) in found:
        member = _member(f"{name}.{key}", json, [str(key)])
        columns.append(member)
        if depth > 1:
            columns.extend(_members(connection, member.json, member.name, depth - 1))
    return columns
