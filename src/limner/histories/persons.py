"""What is stored of a few users, read straight from the files that hold it: the events behind a history, and the facts.

A view over a whole table costs more to plan than one person's rows cost to read. So the files of the users' buckets are
read by one plain statement each, on a database that the process keeps open; files are sorted by user, so that only the
groups of rows that hold them are unpacked. What is more than `MANY` events is left to the database as a whole.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from limner.errors import WorkspaceError
from limner.histories.manifest import Manifest
from limner.histories.schema import TABLES
from limner.histories.store import Store, damaged, number_of, quote_path
from limner.histories.texts import OWN_ROLES, TIME

if TYPE_CHECKING:
    import duckdb

MANY = 20_000
"""Events of all users asked for up to which they are put together in Python."""

_EVENTS = f"""
SELECT user_id, kind, item_id, coalesce(title, '') AS title, coalesce(category, '') AS category,
    coalesce(text_title, '') AS text_title, coalesce("text", '') AS text, lower(trim(coalesce(role, ''))) AS role,
    CASE WHEN isfinite(rating) THEN rating END AS rating, source, {TIME} AS ts, event_id
FROM {{files}} WHERE user_id IN {{users}} LIMIT {MANY + 1}
"""

_FACTS = "SELECT * EXCLUDE (run) FROM {files} WHERE user_id IN {users}"

_ITEMS = "SELECT item_id, title, category, seq FROM {files} WHERE item_id IN (SELECT unnest(?))"

_GROUPED = (
    "kind", "item_id", "title", "category", "text_title", "text", "role", "rating", "source",
)  # fmt: skip
"""What events of one row have in common."""

_lock = threading.Lock()
_kept: dict[int, duckdb.DuckDBPyConnection] = {}


def _database() -> duckdb.DuckDBPyConnection:
    """A connection to this process's database for small reads, for one thread; it remembers the files' footers."""
    import duckdb

    with _lock:
        kept = _kept.get(os.getpid())
        if kept is None:
            _kept.clear()  # Those of the process that this one was forked from.
            kept = duckdb.connect(config={"temp_directory": "", "threads": 1, "memory_limit": "2GB"})
            kept.execute("SET TimeZone = 'UTC'; SET parquet_metadata_cache = true")
            _kept[os.getpid()] = kept
        return kept.cursor()


@dataclass(frozen=True, slots=True)
class Stored:
    """What is stored of some users, in the order in which they were asked for.

    Attributes:
        events: Each user's by time, those that are the same in every respect but time as one row: `user_id`, what they
            have in common, `own` (whether the words are the customer's own), `ts` (of the latest) and `events` (time
            and id of each, oldest first).
        facts: The facts of those users that have some, each with `aggregated`.
    """

    events: list[dict[str, Any]]
    facts: list[dict[str, Any]]


def stored_of_few(store: Store, version: Manifest, user_ids: Sequence[str]) -> Stored | None:
    """Reads the events and facts of a few users.

    Returns:
        None where that is not so simple: one of them has several ids, or had once, or they have too many events.

    Raises:
        WorkspaceError: A file is missing or damaged.
    """
    if _several_ids(store, version, user_ids):
        return None
    events = _events(store, version, user_ids)
    return None if events is None else Stored(events, _facts(store, version, user_ids))


def _several_ids(store: Store, version: Manifest, user_ids: Sequence[str]) -> bool:
    """Whether ids of some users were ever merged, of which any file may tell."""
    files = [file.path for file in version.tables.get("identities", ())]
    users = list(dict.fromkeys(user_ids))
    if not files or not users:
        return False
    marks = f"({', '.join('?' * len(users))})"
    query = f"SELECT 1 AS found FROM {_source(store, files)} WHERE user_id IN {marks} OR member_id IN {marks} LIMIT 1"
    return bool(_query(store, "identities", query, [*users, *users]))


def _events(store: Store, version: Manifest, user_ids: Sequence[str]) -> list[dict[str, Any]] | None:
    found = _rows(store, version, "events", _EVENTS, user_ids)
    if len(found) > MANY:
        return None
    _entitle(store, version, found)
    same: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in found:
        same.setdefault((row["user_id"], *(row[name] for name in _GROUPED)), []).append(row)
    places = {user: place for place, user in enumerate(dict.fromkeys(user_ids))}
    rows = [_merged(group) for group in same.values()]
    return sorted(rows, key=lambda row: (places[row["user_id"]], *_moment(row["events"][-1])))


def _facts(store: Store, version: Manifest, user_ids: Sequence[str]) -> list[dict[str, Any]]:
    newest: dict[str, dict[str, Any]] = {}
    for row in sorted(_rows(store, version, "facts", _FACTS, user_ids), key=lambda row: int(row["seq"])):
        user_id = row.pop("user_id")
        del row["seq"]
        newest[user_id] = {**row, "user_id": user_id, "aggregated": True}
    return [newest[user] for user in dict.fromkeys(user_ids) if user in newest]


def _merged(group: list[dict[str, Any]]) -> dict[str, Any]:
    events = sorted(({"ts": row["ts"], "event_id": row["event_id"]} for row in group), key=_moment)
    first = group[0]
    shared = {name: first[name] for name in ("user_id", *_GROUPED)}
    return {**shared, "own": first["role"] in OWN_ROLES, "ts": events[-1]["ts"], "events": events}


def _moment(event: dict[str, Any]) -> tuple[bool, datetime, str]:
    """What events are sorted by: those without a time first."""
    return event["ts"] is not None, event["ts"] or datetime.min, event["event_id"]


def _entitle(store: Store, version: Manifest, rows: list[dict[str, Any]]) -> None:
    """Gives events without a title or category of their own their item's, as `schema.TITLED_EVENTS` does."""
    wanted = {row["item_id"] for row in rows if row["item_id"] is not None and not (row["title"] and row["category"])}
    files = [file.path for file in version.tables.get("items", ())]
    if not wanted or not files:
        return
    things = _query(store, "items", _ITEMS.format(files=_source(store, files)), [sorted(wanted)])
    latest = {thing["item_id"]: thing for thing in sorted(things, key=lambda thing: int(thing["seq"]))}
    for row in rows:
        if thing := latest.get(row["item_id"]):
            for name in ("title", "category"):
                row[name] = row[name] or thing[name] or ""


def _rows(store: Store, version: Manifest, name: str, query: str, user_ids: Iterable[str]) -> list[dict[str, Any]]:
    """The rows of a table of users that are about some of them."""
    users = list(dict.fromkeys(user_ids))
    files = [file.path for file in version.files_of(name, {number_of(user) for user in users})]
    if not files or not users:
        return []
    marks = f"({', '.join('?' * len(users))})"
    return _query(store, name, query.format(files=_source(store, files), users=marks), users)


def _source(store: Store, files: Collection[str]) -> str:
    paths = ", ".join(quote_path(Path(store.path / file).absolute()) for file in files)
    return f"read_parquet([{paths}], union_by_name = true, hive_partitioning = false)"


def _query(store: Store, name: str, query: str, parameters: list[Any]) -> list[dict[str, Any]]:
    import duckdb

    connection = _database()
    try:
        answer: pa.Table = connection.sql(query, params=parameters).to_arrow_table()
    except (duckdb.IOException, duckdb.InvalidInputException) as error:
        raise damaged(TABLES[name], store.path, error) from error
    except duckdb.Error as error:
        raise WorkspaceError(f"{store.path} cannot be read: {str(error).splitlines()[0]}") from error
    finally:
        connection.close()
    rows: list[dict[str, Any]] = answer.to_pylist()
    return rows
