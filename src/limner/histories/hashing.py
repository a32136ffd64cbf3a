"""Columns that are hashed as they are read, so that the workspace never holds what they say: e-mails, phones, ids.

The hash is the one by which `identity merge` compares keys, so hashed and plain columns find each other.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from limner.errors import UsageError
from limner.histories.columns import Column, Raw, find_column
from limner.histories.keys import FORMS, MARK, hashed_relation, secret_of
from limner.histories.mapping import Mapping
from limner.histories.store import quote_path as literal


def with_hashes(connection: duckdb.DuckDBPyConnection, raw: Raw, mapping: Mapping, source: str, place: Path) -> Raw:
    """The source with the columns that the mapping hashes in place of what they said.

    A value that is no such key (no e-mail address in a column of them) is left out.

    Args:
        connection: Where the raw table is.
        raw: The source.
        mapping: What to hash.
        source: Its name, for errors.
        place: The workspace folder, which holds the secret.

    Raises:
        UsageError: There is no such column, or it lies inside another one that would still say it.
    """
    if not mapping.hashed:
        return raw
    columns = {c.name: c for c in raw.columns}
    relation = f"(SELECT *, {raw.row} AS _hash_at FROM {raw.table})"
    for number, (name, sort) in enumerate(mapping.hashed.items()):
        column = find_column(raw, name, source, "a hashed column")
        if column.nested or (column.holds and _members(raw, column)):
            raise UsageError(
                f"The column {name!r} of {source} cannot be hashed: it is part of another one. Drop that one, or write"
                " the members as columns of their own."
            )
        hashed = hashed_relation(f"(SELECT *, {column.text} AS x FROM {relation})", FORMS[sort], secret_of(place))
        relation = f"(SELECT * EXCLUDE (h), {literal(f'{MARK}{sort}:')} || h AS _hash{number} FROM {hashed})"
        columns[column.name] = Column(column.name, f"_hash{number}", f"to_json(_hash{number})")
    connection.execute(f"CREATE OR REPLACE TEMP VIEW raw_hashed AS SELECT * FROM {relation}")
    return Raw("raw_hashed", "_hash_at", tuple(columns.values()), raw.bad, raw.newest)


def _members(raw: Raw, column: Column) -> bool:
    return any(c.nested and c.name.startswith(f"{column.name}.") for c in raw.columns)
