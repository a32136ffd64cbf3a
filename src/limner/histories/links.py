"""Which ids are one person's: from a ties file, from stored ties, or from a column of e-mails, phones or other ids."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from limner.errors import DataError, UsageError
from limner.histories.keys import FORMS, MARK, KeyForm, hashed_relation, secret_of
from limner.histories.load import ingest
from limner.histories.merged import SAME
from limner.histories.store import Store
from limner.histories.store import quote_path as literal

SHOWN_DIGITS = 12
"""Digits of a hash that are kept beside a merge: enough to see which ids share a key."""

SAMPLE = 1000
"""Values that the sort of a column's keys is told from."""

MOSTLY = 0.6
"""The share of them that must look like a sort of key."""


@dataclass(frozen=True, slots=True)
class Link:
    """Ids that one thing says are one person's.

    Attributes:
        ids: Two or more, each once.
        reason: `same_as`, `email`, `phone` or the name of another key.
        key: The hash of the key, shortened, or the name of the ties file.
        declared: Somebody says so of just these ids; it holds even if they were split.
    """

    ids: tuple[str, ...]
    reason: str
    key: str
    declared: bool = False


def find_links(store: Store, files: Iterable[Path], columns: Iterable[str], form: str = "") -> list[Link]:
    """What ties files and columns of keys say; what stored ties say where neither is named."""
    listed, named = list(files), list(columns)
    if not listed and not named:
        return links_of_ties(store)
    return [
        *(link for path in listed for link in links_of_file(path)),
        *(link for column in named for link in links_of_key(store, column, form)),
    ]


def links_of_file(path: Path) -> list[Link]:
    """The pairs of a ties file, in any format that `limner ingest` reads; with a column of kinds only those of `SAME`.

    Raises:
        UsageError: The file is not there.
        DataError: It cannot be read, or holds no pair.
    """
    with tempfile.TemporaryDirectory() as folder:
        scratch = Store.open(Path(folder) / "ties", create=True)
        read = ingest(scratch, [path], kind="ties")
        kinds = any("kind" in reading.mapping.columns for reading in read.readings)
        rows = scratch.rows("SELECT user_id, other_id, lower(trim(kind)) AS kind FROM ties ORDER BY user_id, other_id")
    pairs = [row for row in rows if row["user_id"] != row["other_id"] and (not kinds or row["kind"] in SAME)]
    if not pairs:
        why = f"has no pair whose kind is one of {', '.join(sorted(SAME)[:6])}, ..." if rows else "holds no pair of ids"
        raise DataError(f"{path} {why}. Give two columns of ids, such as user_id and other_id.")
    return [Link((row["user_id"], row["other_id"]), "same_as", path.name, declared=True) for row in pairs]


def links_of_ties(store: Store) -> list[Link]:
    """The pairs of the stored ties whose kind says that two ids are one person's."""
    kinds = ", ".join(map(literal, sorted(SAME)))
    with store.read(merged=False) as db:
        rows = db.execute(
            f"SELECT DISTINCT user_id, other_id FROM ties WHERE lower(trim(kind)) IN ({kinds}) AND user_id <> other_id"
            " ORDER BY ALL"
        ).fetchall()
    return [Link((str(one), str(other)), "same_as", "ties", declared=True) for one, other in rows]


def links_of_key(store: Store, column: str, form: str = "") -> list[Link]:
    """The groups of ids that share a value of a column which identifies a person.

    Args:
        store: The workspace's tables.
        column: A column without a field of its own, of profiles or events.
        form: `email`, `phone` or `exact`; told from the values if empty.

    Raises:
        UsageError: There is no such column, or no such sort of key.
        WorkspaceError: The workspace's secret cannot be read.
    """
    if form and form not in FORMS:
        raise UsageError(f"There is no sort of key {form!r}. Choose one of: {', '.join(FORMS)}.")
    with store.read(merged=False) as db:
        db.execute(f"CREATE TEMP TABLE said AS {_said(column)}")
        chosen = FORMS[form] if form else _form(db)
        if chosen is None:
            raise UsageError(f"No profile or event has a column {column!r} with values. {_have(db)}")
        hashed = hashed_relation("(SELECT user_id, v AS x FROM said)", chosen, secret_of(store.path))
        rows = db.execute(
            f"SELECT h, list(user_id ORDER BY user_id) FROM (SELECT DISTINCT h, user_id FROM {hashed})"
            " WHERE h IS NOT NULL GROUP BY h HAVING count(*) > 1 ORDER BY h"
        ).fetchall()
    reason = chosen.name if chosen.name != "exact" else column
    return [Link(tuple(map(str, ids)), reason, str(key)[:SHOWN_DIGITS]) for key, ids in rows]


def _said(column: str) -> str:
    """SQL for the values `v` of a column in the attributes of profiles and events, with their users."""
    pointer = literal("/" + column.replace("~", "~0").replace("/", "~1"))
    near = literal(json.dumps(column, ensure_ascii=False) + ":")
    return " UNION ".join(
        f"SELECT user_id, v FROM (SELECT user_id, json_extract_string(attrs, {pointer}) AS v FROM {table}"
        f" WHERE contains(attrs, {near})) WHERE v IS NOT NULL AND user_id <> ''"
        for table in ("users", "events")
    )


def _form(db: duckdb.DuckDBPyConnection) -> KeyForm | None:
    """The sort of keys that most values of `said` look like; None if there are none."""
    marked = db.execute(
        f"SELECT split_part(v, ':', 2), count(*) FROM said WHERE starts_with(v, {literal(MARK)})"
        " GROUP BY 1 ORDER BY 2 DESC"
    ).fetchall()
    if marked and marked[0][0] in FORMS:
        return FORMS[str(marked[0][0])]
    values = [str(row[0]).strip() for row in db.execute(f"SELECT v FROM said LIMIT {SAMPLE}").fetchall()]
    return _looks(values) if values else None


def _looks(values: Collection[str]) -> KeyForm:
    import re

    return next(
        form
        for form in FORMS.values()
        if form.name == "exact" or sum(bool(re.fullmatch(form.looks, v)) for v in values) >= MOSTLY * len(values)
    )


def _have(db: duckdb.DuckDBPyConnection) -> str:
    """What a message says of the columns that there are."""
    rows = db.execute(
        "SELECT DISTINCT unnest(json_keys(attrs)) AS k FROM ((SELECT attrs FROM users WHERE attrs <> '{}' LIMIT 1000)"
        " UNION ALL (SELECT attrs FROM events WHERE attrs <> '{}' LIMIT 1000)) ORDER BY k LIMIT 20"
    ).fetchall()
    names = ", ".join(str(row[0])[:40] for row in rows)
    return f"There are: {names}." if names else "Profiles and events have no columns beside limner's own fields."
