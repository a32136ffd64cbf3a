"""Sessions and journeys: how users move between looking, searching and buying, on what devices and in what places.

All of it is SQL over the stored events, computed when it is asked for: `limner export sessions` and `limner export
journeys`. Only the user's own doings count, and only those with a clock time: a time of exactly midnight is a date, and
dates have no sessions.

A session is what has one `session_id`; of events without one, those that follow each other by no more than
`GAP_MINUTES` (the half hour of web analytics since Catledge and Pitkow, 1995, rounded as the field rounds it).
"""

from __future__ import annotations

from typing import Any

from limner.histories.store import Store
from limner.histories.texts import ACTED, TIME, register_wanted

GAP_MINUTES = 30
"""A longer pause begins another session."""

RECENT_DAYS = 90
"""Days before a user's last doing whose devices and places are held against those before."""

FEWEST = 3
"""Events on either side of that border that tell of a change."""

_TOP = 5

_LOOKED = "('view', 'click')"
_FOLLOWED = "('view', 'click', 'cart', 'favourite', 'order')"


def _doings(among: str = "") -> str:
    """CTEs: users' own doings, each with its session; then without looks at the item that was being looked at."""
    return f"""
doings AS (
    SELECT user_id, event_id, kind, nullif(item_id, '') AS item_id, {TIME} AS ts, text,
        nullif(trim(session_id), '') AS given, nullif(trim(device), '') AS device, nullif(trim(place), '') AS place
    FROM titled_events {among} WHERE {ACTED} AND {TIME} IS NOT NULL
),
opened AS (
    SELECT *, coalesce(ts - lag(ts) OVER by_time > INTERVAL {GAP_MINUTES} MINUTE, true) AS opens
    FROM doings WHERE ts::TIME <> TIME '00:00:00' OR given IS NOT NULL
    WINDOW by_time AS (PARTITION BY user_id, given IS NULL ORDER BY ts, event_id)
),
placed AS (
    SELECT *, coalesce(
        'id ' || given, 'gap ' || sum(opens::INT) OVER (PARTITION BY user_id, given IS NULL ORDER BY ts, event_id)
    ) AS session
    FROM opened
),
turns AS (
    SELECT *, kind IN {_LOOKED} AND lag(kind) OVER within IN {_LOOKED} AND lag(item_id) OVER within = item_id AS same
    FROM placed WINDOW within AS (PARTITION BY user_id, session ORDER BY ts, event_id)
),
steps AS (
    SELECT *, lead(ts) OVER within AS next_ts, lead(kind) OVER within AS next_kind
    FROM turns WHERE same IS NOT TRUE WINDOW within AS (PARTITION BY user_id, session ORDER BY ts, event_id)
)"""


SESSIONS = f"""
WITH {_doings()}
SELECT user_id, row_number() OVER (PARTITION BY user_id ORDER BY min(ts), min(event_id)) AS session,
    min(ts) AS started, max(ts) AS ended, count(*) AS events,
    count(*) FILTER (kind IN {_LOOKED}) AS views, count(*) FILTER (kind = 'search') AS searches,
    count(*) FILTER (kind = 'cart') AS carts, count(*) FILTER (kind = 'order') AS orders,
    count(DISTINCT item_id) AS items,
    mode(device ORDER BY ts, event_id) AS device, mode(place ORDER BY ts, event_id) AS place
FROM placed GROUP BY user_id, session
"""
"""One row for each session."""


def _uses(column: str) -> str:
    """CTEs over `doings`: main and second value of a column, and whether the main one changed lately, by user."""
    return f"""
{column}_uses AS (
    SELECT user_id, {column} AS value, count(*) AS n,
        count(*) FILTER (recent) AS late, count(*) FILTER (NOT recent) AS early
    FROM (
        SELECT *, ts > max(ts) OVER (PARTITION BY user_id) - INTERVAL {RECENT_DAYS} DAY AS recent FROM doings
    ) WHERE {column} IS NOT NULL GROUP BY user_id, value
),
{column}s AS (
    SELECT user_id,
        list(value ORDER BY n DESC, value)[1] AS main_{column},
        list(value ORDER BY n DESC, value)[2] AS second_{column},
        CASE WHEN sum(late) >= {FEWEST} AND sum(early) >= {FEWEST}
            THEN list(value ORDER BY late DESC, value)[1] <> list(value ORDER BY early DESC, value)[1]
        END AS {column}_changed
    FROM {column}_uses GROUP BY user_id
)"""


def _journeys(among: str = "") -> str:
    """One row for each user with a doing that has a time."""
    return f"""
WITH {_doings(among)},
sessions AS (
    SELECT user_id, count(*) AS sessions, median(seconds) / 60 AS session_minutes, avg(events) AS session_events
    FROM (SELECT user_id, epoch(max(ts) - min(ts)) AS seconds, count(*) AS events FROM placed GROUP BY user_id, session)
    GROUP BY user_id
),
looks AS (
    SELECT user_id, median(epoch(next_ts - ts)) FILTER (kind IN {_LOOKED}) AS dwell_seconds,
        avg((coalesce(next_kind, '') IN {_FOLLOWED})::INT) FILTER (kind = 'search') AS search_clicks
    FROM steps GROUP BY user_id
),
asked AS (
    SELECT user_id, sum(n)::BIGINT AS searches,
        list({{'value': query, 'n': n}} ORDER BY n DESC, query)[:{_TOP}] AS queries
    FROM (
        SELECT user_id, lower(trim(nfc_normalize(text))) AS query, count(*) AS n
        FROM doings WHERE kind = 'search' AND trim(coalesce(text, '')) <> '' GROUP BY ALL
    ) GROUP BY user_id
),
moves AS (
    SELECT user_id, item_id, min(ts) FILTER (kind IN {_LOOKED}) AS looked, max(ts) FILTER (kind = 'cart') AS carted,
        max(ts) FILTER (kind = 'order') AS ordered, min(ts) FILTER (kind = 'cart') AS first_carted
    FROM doings WHERE item_id IS NOT NULL GROUP BY user_id, item_id
),
funnel AS (
    SELECT user_id, count(looked) AS viewed_items, count(carted) AS carted_items, count(ordered) AS ordered_items,
        avg(coalesce(carted >= looked OR ordered >= looked, false)::INT) FILTER (looked IS NOT NULL) AS view_to_cart,
        avg(coalesce(ordered >= first_carted, false)::INT) FILTER (carted IS NOT NULL) AS cart_to_order
    FROM moves GROUP BY user_id
),{_uses("device")},{_uses("place")}
SELECT u.user_id, s.* EXCLUDE (user_id), l.* EXCLUDE (user_id), a.* EXCLUDE (user_id), f.* EXCLUDE (user_id),
    d.* EXCLUDE (user_id), p.* EXCLUDE (user_id)
FROM (SELECT DISTINCT user_id FROM doings) u
LEFT JOIN sessions s USING (user_id) LEFT JOIN looks l USING (user_id) LEFT JOIN asked a USING (user_id)
LEFT JOIN funnel f USING (user_id) LEFT JOIN devices d USING (user_id) LEFT JOIN places p USING (user_id)
"""


JOURNEYS = _journeys()
"""One row for each user with a doing that has a time."""


def read_journeys(store: Store, users: list[str]) -> list[dict[str, Any]]:
    """The journeys of some users, in the order given; those without a doing that has a time are left out.

    Args:
        store: The workspace's tables.
        users: Whose.

    Returns:
        Rows as `limner export journeys` writes them; see docs/facts.md for the columns.
    """
    with store.read(users=users, tables=("events", "items")) as db:
        register_wanted(db, users)
        mine = _journeys("SEMI JOIN wanted USING (user_id)")
        rows = db.sql(f"SELECT j.* FROM ({mine}) j JOIN wanted w USING (user_id) ORDER BY w.place")
        return list(rows.to_arrow_table().to_pylist())
