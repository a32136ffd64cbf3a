"""What customers themselves wrote: each user's distinct texts, the raw material that a model reads.

A text that a user sent five times is one text with five event ids, so that it is read once and cited whole. What an
agent or a system said in a conversation is not the customer's and is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb
import pyarrow as pa

from limner.histories.store import Store

OWN_ROLES = ("", "customer", "user")
"""Values of `role` under which a message is the customer's own. Ingest maps other words to these."""

OWN = f"lower(trim(coalesce(role, ''))) IN {OWN_ROLES}"
"""SQL over `events`: the event's words are the customer's own."""

ACTED = f"{OWN} AND kind <> 'campaign'"
"""SQL over `events`: something that the customer did, not what was sent to them or said by others."""

TIME = "CASE WHEN ts BETWEEN TIMESTAMP '0001-01-01' AND TIMESTAMP '9999-12-31' THEN ts END"
"""SQL over `events`: the time, null where Python has no date for it (infinity, years beyond 9999)."""


def says(column: str) -> str:
    """SQL that is true where a text column holds more than white space and control characters."""
    return f"regexp_matches(coalesce({column}, ''), '[^\\s\\p{{Z}}\\p{{C}}]')"


BATCH_ROWS = 2_000
"""Rows taken from the database at a time: what is held in memory, whatever the number of users."""


@dataclass(frozen=True, slots=True)
class TextOfUser:
    """One distinct text of one user.

    Attributes:
        user_id: Who wrote it.
        event_ids: All events with exactly this text in this field, oldest first; the last is the one described below.
        field: Event field, `text_title` or `text`.
        text: The stored text, unchanged.
        title: The item's title, or empty.
        category: The item's category, or empty.
        rating: The rating given with it, None if there was none.
        kind: Event kind (`schema.EVENT_KINDS`).
        ts: Time of the latest event, UTC; None if it has no time.
        lang: Language of the text as stored with the event, or empty.
        role: Who speaks, in a conversation; empty elsewhere.
    """

    user_id: str
    event_ids: tuple[str, ...]
    field: str
    text: str
    title: str
    category: str
    rating: float | None
    kind: str
    ts: datetime | None
    lang: str
    role: str


_TEXTS = f"""
WITH own AS (
    SELECT w.place AS turn, e.* REPLACE ({TIME} AS ts)
    FROM titled_events e
    JOIN wanted w ON w.user_id = e.user_id
    WHERE {OWN}
), written AS (
    SELECT *, 1 AS part, 'text_title' AS field, text_title AS words FROM own WHERE {says("text_title")}
    UNION ALL
    SELECT *, 2 AS part, 'text' AS field, "text" AS words FROM own WHERE {says('"text"')}
), merged AS (
    SELECT turn, user_id, part, field, words,
        list(event_id ORDER BY ts NULLS FIRST, event_id) AS event_ids,
        last({{
            'title': coalesce(title, ''), 'category': coalesce(category, ''),
            'rating': CASE WHEN isfinite(rating) THEN rating END, 'kind': kind, 'ts': ts,
            'lang': coalesce(lang, ''), 'role': coalesce(role, '')
        }} ORDER BY ts NULLS FIRST, event_id) AS latest
    FROM written
    GROUP BY turn, user_id, part, field, words
)
SELECT user_id, event_ids, field, words, latest
FROM merged
ORDER BY turn, latest.ts NULLS FIRST, event_ids[-1], part
"""


def register_wanted(connection: duckdb.DuckDBPyConnection, user_ids: Sequence[str]) -> None:
    """Makes `wanted(user_id, place)` on a connection: the users asked for, once each, in the order given."""
    distinct = list(dict.fromkeys(user_ids))
    columns = {"user_id": pa.array(distinct, pa.string()), "place": pa.array(range(len(distinct)), pa.int64())}
    connection.register("wanted", pa.table(columns))


def user_texts(store: Store, user_ids: Sequence[str]) -> Iterator[TextOfUser]:
    """The distinct texts that users wrote, user by user in the order given, each user's by time, oldest first.

    Users without texts, and unknown ones, give nothing. The database does the grouping out of core and rows are taken
    from it a batch at a time, so the number of users is not bound by memory.

    Args:
        store: The workspace's tables.
        user_ids: Whose texts.

    Yields:
        One `TextOfUser` for each distinct (user, field, text). A text of white space only is none.
    """
    with store.read(tables=("events", "items")) as connection:
        register_wanted(connection, user_ids)
        for batch in connection.sql(_TEXTS).to_arrow_reader(BATCH_ROWS):
            for row in batch.to_pylist():
                yield TextOfUser(
                    user_id=row["user_id"],
                    event_ids=tuple(row["event_ids"]),
                    field=row["field"],
                    text=row["words"],
                    **row["latest"],
                )
