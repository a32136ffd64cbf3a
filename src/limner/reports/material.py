"""What a page is made of: personas, the events their claims cite, refused claims, segments and totals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import duckdb

from limner.evidence.persona import Persona, read_personas
from limner.histories.store import Store, arrow

Row = Mapping[str, Any]

PAGE_USERS = 2_000
"""Without named users, a page shows this many at most: the file stays a few megabytes and opens at once."""

REFUSED_SHOWN = 40
"""Refused claims shown per user; the count is always of all."""

EVENT_COLUMNS = (
    "event_id", "user_id", "ts", "kind", "item_id", "title", "category", "text_title", "text", "rating", "amount",
    "currency", "role", "channel",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts over everyone the page speaks of, shown or not; None where the workspace does not say.

    Attributes:
        users: All users.
        events: Their events.
        texts: Their texts with words.
        accepted: Claims that passed the checks.
        rejected: Claims that did not.
        first: Time of the first event, UTC.
        last: Time of the last event, UTC.
    """

    users: int
    events: int | None = None
    texts: int | None = None
    accepted: int | None = None
    rejected: int | None = None
    first: datetime | None = None
    last: datetime | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A user's refused claims: how many, and the first of them as rows of the `signals` table."""

    count: int
    shown: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Month:
    """How many events a user has in one month, written `2025-03`."""

    month: str
    events: int


@dataclass(frozen=True, slots=True)
class Material:
    """Everything one page shows.

    Attributes:
        personas: The people, in the order in which they are listed.
        events: Rows of the `events` table that claims cite.
        segments: Rows of the `segments` table.
        memberships: Rows of the `memberships` table of these people.
        refused: Refused claims by user.
        activity: Events per month by user.
        totals: Counts.
    """

    personas: tuple[Persona, ...]
    events: tuple[Row, ...]
    totals: Totals
    segments: tuple[Row, ...] = ()
    memberships: tuple[Row, ...] = ()
    refused: Mapping[str, Refused] = field(default_factory=dict)
    activity: Mapping[str, tuple[Month, ...]] = field(default_factory=dict)


def gather(store: Store, users: Sequence[str] | None = None, cited: Iterable[str] = ()) -> Material:
    """Reads what a page shows.

    Args:
        store: The workspace.
        users: Whom to show, in this order; the `PAGE_USERS` with the most traits if None.
        cited: Ids of further events to include, such as those an answer cites.

    Raises:
        UsageError: A named user is not in the workspace.
    """
    with store.read() as db:
        chosen = list(dict.fromkeys(users)) if users is not None else _most_known(db)
    by_id = {persona.user_id: persona for persona in read_personas(store, chosen)}
    personas = tuple(by_id[user] for user in chosen)
    with store.read() as db:
        refused = _refused(db, chosen)
        wanted = {span.event_id for p in personas for trait in p.traits for span in (*trait.evidence, *trait.against)}
        wanted |= {row["event_id"] for claims in refused.values() for row in claims.shown if row["event_id"]}
        wanted |= set(cited)
        return Material(
            personas=personas,
            events=tuple(_events(db, sorted(wanted))),
            totals=_totals(db, None if users is None else chosen),
            segments=tuple(arrow(db, "SELECT * FROM segments ORDER BY users DESC, name").to_pylist()),
            memberships=tuple(_of_users(db, "SELECT * FROM memberships", chosen, "confidence DESC, segment_id")),
            refused=refused,
            activity=_activity(db, chosen),
        )


def _of_users(db: duckdb.DuckDBPyConnection, query: str, users: list[str], order: str) -> list[Row]:
    """Rows of a query for these users; users a query does not know give none."""
    query = f"SELECT * FROM ({query}) WHERE user_id IN (SELECT unnest($1::VARCHAR[])) ORDER BY {order}"
    rows: list[Row] = arrow(db, query, [users]).to_pylist()
    return rows


def _most_known(db: duckdb.DuckDBPyConnection) -> list[str]:
    rows = arrow(
        db,
        "SELECT f.user_id FROM facts f LEFT JOIN (SELECT user_id, count(*) AS n FROM traits GROUP BY user_id) t"
        " USING (user_id) ORDER BY coalesce(t.n, 0) DESC, f.events DESC, f.user_id LIMIT $1",
        [PAGE_USERS],
    ).to_pylist()
    return [row["user_id"] for row in rows]


def _events(db: duckdb.DuckDBPyConnection, event_ids: list[str]) -> list[Row]:
    """The events with these ids; an item's title comes from the catalogue where the event has none."""
    titled = "coalesce(e.title, i.title) AS title"
    columns = ", ".join(titled if name == "title" else f"e.{name}" for name in EVENT_COLUMNS)
    rows: list[Row] = arrow(
        db,
        f"SELECT {columns} FROM events e LEFT JOIN items i ON e.item_id = i.item_id"
        " WHERE e.event_id IN (SELECT unnest($1::VARCHAR[])) ORDER BY e.event_id",
        [event_ids],
    ).to_pylist()
    return rows


def _refused(db: duckdb.DuckDBPyConnection, users: list[str]) -> dict[str, Refused]:
    query = (
        "SELECT *, count(*) OVER (PARTITION BY user_id) AS of_all FROM signals WHERE status = 'rejected'"
        f" QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY confidence DESC, signal_id) <= {REFUSED_SHOWN}"
    )
    rows: dict[str, list[Row]] = {}
    for row in _of_users(db, query, users, "confidence DESC, signal_id"):
        rows.setdefault(row["user_id"], []).append(row)
    return {user: Refused(found[0]["of_all"], tuple(found)) for user, found in rows.items()}


def _activity(db: duckdb.DuckDBPyConnection, users: list[str]) -> dict[str, tuple[Month, ...]]:
    query = (
        "SELECT user_id, strftime(ts, '%Y-%m') AS month, count(*) AS n FROM events"
        " WHERE ts IS NOT NULL AND isfinite(ts) GROUP BY ALL"
    )
    months: dict[str, list[Month]] = {}
    for row in _of_users(db, query, users, "month"):
        months.setdefault(row["user_id"], []).append(Month(row["month"], row["n"]))
    return {user: tuple(found) for user, found in months.items()}


def _totals(db: duckdb.DuckDBPyConnection, users: list[str] | None) -> Totals:
    where = "" if users is None else "WHERE user_id IN (SELECT unnest($1::VARCHAR[]))"
    values = [] if users is None else [users]
    facts = arrow(
        db,
        "SELECT count(*) AS users, sum(events)::BIGINT AS events, sum(texts)::BIGINT AS texts,"
        f" min(first_seen) AS first, max(last_seen) AS last FROM facts {where}",
        values,
    ).to_pylist()[0]
    read = arrow(
        db,
        f"SELECT sum(accepted)::BIGINT AS accepted, sum(rejected)::BIGINT AS rejected FROM extractions {where}",
        values,
    ).to_pylist()[0]
    return Totals(**facts, **read)
