"""Facts: the numbers about each user, computed in SQL from events and never written by a model.

What each column means is said in `docs/facts.md`. Everything is done inside DuckDB, which spills to the workspace's
folder when memory is short; no row passes through Python.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from string import Template
from typing import Any

import duckdb
import pyarrow as pa

from limner.errors import UsageError
from limner.histories.language import detect_sql
from limner.histories.manifest import Manifest
from limner.histories.merged import SOCIAL
from limner.histories.store import Store
from limner.histories.texts import OWN, says

TOP = 5
"""How many categories, items, devices, places and channels are kept."""

TOP_TIMES = 3
"""How many hours and weekdays are kept."""

AT_ONCE = 8_000_000
"""About how many events are looked at together."""

USERS_AT_ONCE = 400_000
"""About how many users' facts are computed together: their lists take memory too, however few events they have."""

EVERYONE = (
    "SELECT user_id FROM (SELECT user_id FROM events UNION SELECT user_id FROM users UNION SELECT user_id FROM ties"
    " UNION SELECT other_id FROM ties) WHERE user_id <> ''"
)
"""SQL for all users a workspace knows of, whether or not they ever did anything."""

_WHOLE = f"""
SELECT
    coalesce(
        max(ts) FILTER (isfinite(ts) AND ts <= now()::TIMESTAMP + INTERVAL 1 DAY), max(ts) FILTER (isfinite(ts))
    ) AS newest,
    coalesce(bool_or(kind = 'order'), false) AS orders, EXISTS (FROM ties WHERE {SOCIAL}) AS ties
FROM events
"""
"""What depends on the whole workspace: its newest time, and whether anything is known of orders and of ties."""

_DAY = 86_400_000_000
"""Microseconds in a day."""


def _windows(days: int) -> str:
    """SQL for the whole windows between a time and `as_of`; wide numbers, which are slow, only where it needs them."""
    wide = "epoch_us(as_of)::HUGEINT - epoch_us(ts)::HUGEINT"
    return (
        f"CASE WHEN ts > as_of - INTERVAL 200 YEAR THEN (epoch_us(as_of) - epoch_us(ts)) // {days * _DAY}"
        f" ELSE (({wide}) // {days * _DAY})::BIGINT END AS window_{days}d"
    )


AMOUNT = "coalesce(CASE WHEN isfinite(amount) THEN amount END, price * if(isfinite(quantity), quantity, 1))"
"""SQL over `events`: what an order or return line came to; it may be infinite where the price is."""

_DEED = f"""
CREATE OR REPLACE TEMP TABLE deed AS
WITH told AS (
    SELECT person, kind, item_id, session_id, channel, device, place, title, category, text, text_title, lang,
        CASE WHEN isfinite(ts) THEN ts END AS ts, $as_of::TIMESTAMP AS as_of,
        CASE WHEN isfinite(rating) THEN rating END AS rating,
        {AMOUNT} AS amount,
        CASE WHEN currency IS NULL THEN '' ELSE trim(currency) END AS currency,
        CASE WHEN role IS NULL THEN true ELSE {OWN} END AS own,
        text IS NOT NULL OR text_title IS NOT NULL AS worded
    FROM events JOIN scope USING (user_id)
)
SELECT e.person, e.kind, e.item_id, e.channel, e.device, e.place, e.ts, e.rating, e.currency,
    coalesce(i.title, e.title) AS title,
    coalesce(e.category, i.category) AS category,
    CASE WHEN isfinite(amount) THEN amount END AS amount,
    own AND e.kind <> 'campaign' AS acted,
    CASE WHEN own AND worded THEN {says("e.text")} OR {says("text_title")} ELSE false END AS has_text,
    CASE WHEN own AND worded THEN coalesce(
        nullif(regexp_extract(lower(lang), '^[a-z]+'), ''),
        nullif({detect_sql("concat_ws(' ', text_title, e.text)")}, '')
    ) END AS lang,
    CASE WHEN e.kind IN ('order', 'return') THEN coalesce(
        's' || nullif(trim(session_id), ''), 'd' || ts::DATE, 'e' || uuid()
    ) END AS occasion,
    {_windows(30)}, {_windows(90)}
FROM told e LEFT JOIN items i ON i.item_id = e.item_id
WHERE ts IS NULL OR ts <= as_of
"""
"""One narrow row for each event that counts: finite numbers only, nothing later than `as_of`. What costs much (a
language) is computed only for the rows that have it. A user is a number, which is quicker to group by than an id."""


def _trend(days: int) -> str:
    """SQL aggregates over `deed`: events in the last window, before it, and the number of windows before it."""
    window = f"window_{days}d"
    return (
        f"count(*) FILTER (acted AND {window} = 0) AS events_{days}d,"
        f" count(*) FILTER (acted AND {window} > 0) AS before_{days}d,"
        f" max({window}) FILTER (acted)::DOUBLE AS windows_{days}d"
    )


_TOTALS = f"""
SELECT person,
    count(*) AS events,
    count(*) FILTER (has_text) AS texts,
    min(ts) FILTER (acted) AS first_seen,
    max(ts) FILTER (acted) AS last_seen,
    coalesce(max(ts) FILTER (kind = 'order'), max(ts) FILTER (acted)) AS recent,
    count(*) FILTER (kind = 'order') AS orders,
    count(*) FILTER (kind = 'return') AS returns,
    count(DISTINCT occasion) FILTER (kind = 'order') AS occasions,
    fsum(rating) / count(rating) AS rating_mean,
    count(rating) AS ratings,
    {_trend(30)},
    {_trend(90)}
FROM deed GROUP BY person
"""

_MONEY = """
WITH paid AS (SELECT * FROM deed WHERE kind IN ('order', 'return') AND amount IS NOT NULL),
main AS (
    SELECT person, currency FROM paid GROUP BY person, currency
    QUALIFY row_number() OVER (PARTITION BY person ORDER BY count(*) DESC, currency) = 1
)
SELECT person, nullif(currency, '') AS currency,
    fsum(CASE kind WHEN 'order' THEN amount ELSE -abs(amount) END) AS monetary,
    fsum(amount) FILTER (kind = 'order') / count(DISTINCT occasion) FILTER (kind = 'order') AS average_order
FROM paid JOIN main USING (person, currency) GROUP BY person, currency
"""

_LANG = """
SELECT person, lang FROM (
    SELECT d.person, d.lang, count(*) AS n, bool_or(d.lang = regexp_extract(lower(u.lang), '^[a-z]+')) AS declared
    FROM deed d JOIN scope USING (person) LEFT JOIN users u USING (user_id)
    WHERE has_text AND d.lang IS NOT NULL GROUP BY d.person, d.lang
) QUALIFY row_number() OVER (PARTITION BY person ORDER BY n DESC, declared DESC NULLS LAST, lang) = 1
"""

_TIES = f"""
CREATE TEMP TABLE tied AS SELECT user_id, count(*) AS ties FROM (
    SELECT user_id, other_id FROM ties WHERE {SOCIAL} UNION SELECT other_id, user_id FROM ties WHERE {SOCIAL}
) WHERE user_id <> other_id GROUP BY user_id
"""


@dataclass(frozen=True, slots=True)
class Counted:
    """A column that lists values with how often they occur, the most frequent first.

    Attributes:
        column: Column of `facts`.
        source: SQL over `deed` that gives (person, value, n); null and empty values are not counted.
        most: How many are kept; None for all.
        tie: SQL that orders equally frequent values.
    """

    column: str
    source: str
    most: int | None = TOP
    tie: str = "value"


def _plain(column: str) -> str:
    # Trimmed once for each value of a user, not for each event: so here and below.
    return f"""
    SELECT person, trim(value) AS value, sum(n)::BIGINT AS n FROM (
        SELECT person, {column} AS value, count(*) AS n FROM deed WHERE acted AND {column} IS NOT NULL GROUP BY ALL
    ) GROUP BY ALL
    """


_CATEGORIES = """
SELECT person, value, sum(n)::BIGINT AS n FROM (
    SELECT person, unnest(list_distinct(list_transform(string_split(category, '|'), lambda c: trim(c)))) AS value, n
    FROM (SELECT person, category, count(*) AS n FROM deed WHERE acted GROUP BY ALL)
) GROUP BY ALL
"""

_ITEMS = """
SELECT person, value, sum(n)::BIGINT AS n FROM (
    SELECT person, coalesce(max(nullif(trim(title), '')), item_id) AS value, count(*) AS n
    FROM deed WHERE acted GROUP BY person, item_id, CASE WHEN item_id IS NULL THEN title END
) GROUP BY ALL
"""

_HOURS = f"""
SELECT person, lpad(hour::VARCHAR, 2, '0') AS value, n FROM (
    SELECT person, hour(ts) AS hour, count(*) AS n FROM deed WHERE acted AND epoch_us(ts) % {_DAY} <> 0 GROUP BY ALL
)
"""

_WEEKDAYS = """
SELECT person, ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'][day] AS value, day, n FROM (
    SELECT person, isodow(ts) AS day, count(*) AS n FROM deed WHERE acted GROUP BY ALL
)
"""

COUNTED = (
    Counted("kinds", "SELECT person, kind AS value, count(*) AS n FROM deed GROUP BY ALL", most=None),
    Counted("top_categories", _CATEGORIES),
    Counted("top_items", _ITEMS),
    Counted("top_hours", _HOURS, TOP_TIMES),
    Counted("top_weekdays", _WEEKDAYS, TOP_TIMES, "day"),
    Counted("top_devices", _plain("device")),
    Counted("top_places", _plain("place")),
    Counted("top_channels", _plain("channel")),
)


def _listed(counted: Counted) -> str:
    """SQL that gives one row per user with the finished list."""
    entry = f"{{'less': -n, 'tie': {counted.tie}, 'value': value}}"
    least = f"list_sort(list({entry}))" if counted.most is None else f"min({entry}, {counted.most})"
    return f"""
    SELECT person, list_transform({least}, lambda e: {{'value': e.value, 'n': -e.less}}) AS {counted.column}
    FROM ({counted.source}) WHERE value <> '' GROUP BY person
    """


def _finite(value: str) -> str:
    """SQL: a number rounded to a millionth, so that the order of summing cannot be seen; null unless it is finite."""
    return f"CASE WHEN isfinite({value}) THEN CASE WHEN abs({value}) < 1e9 THEN round({value}, 6) ELSE {value} END END"


def _change(days: int) -> str:
    return (
        _finite(f"(CASE WHEN before_{days}d > 0 THEN events_{days}d * windows_{days}d / before_{days}d - 1 END)")
        + f" AS trend_{days}d"
    )


_FACTS = f"""
SELECT scope.user_id, $as_of::TIMESTAMP AS as_of,
    coalesce(events, 0) AS events, coalesce(texts, 0) AS texts, first_seen, last_seen,
    (epoch_us($as_of::TIMESTAMP)::HUGEINT - epoch_us(recent)::HUGEINT)::DOUBLE / {_DAY} AS recency_days,
    CASE WHEN $orders THEN coalesce(occasions, 0) END AS frequency,
    {_finite("monetary")} AS monetary, currency, {_finite("average_order")} AS average_order,
    CASE WHEN orders > 0 THEN least(1.0::DOUBLE, returns / orders) END AS return_rate,
    {_finite("rating_mean")} AS rating_mean, coalesce(ratings, 0) AS ratings,
    coalesce(events_30d, 0) AS events_30d, coalesce(events_90d, 0) AS events_90d, {_change(30)}, {_change(90)},
    {", ".join(f"coalesce({c.column}, []) AS {c.column}" for c in COUNTED)},
    CASE WHEN $ties THEN coalesce(ties, 0) END AS ties,
    coalesce(spoken.lang, nullif(regexp_extract(lower(users.lang), '^[a-z]+'), '')) AS lang
FROM scope
LEFT JOIN ({_TOTALS}) AS totals USING (person)
LEFT JOIN ({_MONEY}) AS money USING (person)
LEFT JOIN tied USING (user_id)
LEFT JOIN ({_LANG}) AS spoken USING (person)
LEFT JOIN users USING (user_id)
{"".join(f"LEFT JOIN ({_listed(c)}) AS counted_{c.column} USING (person)" for c in COUNTED)}
"""


def aggregate(store: Store, *, run: str, users: list[str] | None = None, as_of: datetime | None = None) -> int:
    """Computes the facts of users and commits them to the `facts` table.

    Args:
        store: The workspace's tables.
        run: The run this belongs to.
        users: Whose facts; everyone's if None. A user known only by a profile or a tie has facts too.
        as_of: The moment the facts hold for, UTC if it has no zone; later events are left out. By default the newest
            event of the whole workspace and not the present: data may be years old, and measured from today every
            customer of an old export would look lost, while measured from the data's own end the differences between
            them show. It is the whole workspace's, so that facts of users computed in different runs over the same
            events agree. An event dated more than a day into the future is taken for a slip and moves nothing.

    Returns:
        The number of users whose facts were written.

    Raises:
        UsageError: A named user is not in the workspace.
    """
    version = store.manifest()
    with store.read(version) as connection:
        whole = connection.execute(_WHOLE).fetchall()[0]
        moment = _utc(as_of) if as_of else whole[0]
        told = {"as_of": "NULL" if moment is None else f"'{moment.isoformat()}'"}
        told |= {"orders": str(whole[1]), "ties": str(whole[2])}
        connection.execute(_TIES)
        _choose(connection, users, store)
        rows = 0
        with store.commit("aggregate", run=run) as commit:
            people = connection.execute("SELECT count(*) FROM scope").fetchall()[0][0]
            split = commit.split("facts", people)
            for _ in _parts(connection, store, version, people if users is None else 0):
                connection.execute(_filled(_DEED, told))
                rows += commit.add_query("facts", connection, _filled(_FACTS, told), split=split)
            commit.summary.update(users=rows, as_of=None if moment is None else moment.isoformat())
    return rows


def _filled(query: str, told: dict[str, str]) -> str:
    return Template(query).substitute(told)


def _parts(connection: duckdb.DuckDBPyConnection, store: Store, version: Manifest, people: int) -> Iterator[None]:
    """For each part of the users, one after another: makes `scope`, and lets `events` show no less than their events.

    Everyone's facts are computed some buckets at a time, of `AT_ONCE` events or `USERS_AT_ONCE` about, so that what is
    held in memory does not grow with the workspace. Not where ids were merged: a person's events are then in several
    buckets.

    Args:
        connection: A connection of `store.read`, with the table `scope`.
        store: The workspace's tables.
        version: What is read.
        people: How many users there are if the facts are everyone's, else 0: those are in one part.
    """
    events = sum(file.rows for file in version.tables.get("events", ()))
    many = min(round(max(events / AT_ONCE, people / USERS_AT_ONCE)), version.buckets)
    if many <= 1 or not people or version.tables.get("identities"):
        yield
        return
    connection.execute(
        f"CREATE TEMP TABLE everyone AS SELECT *, md5_number_lower(user_id) % {version.buckets} AS bucket FROM scope"
    )
    for part in range(many):
        store.narrow(connection, version, "events", range(part, version.buckets, many))
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE scope AS SELECT * FROM everyone WHERE bucket % {many} = {part}"
        )
        yield


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _choose(connection: duckdb.DuckDBPyConnection, users: list[str] | None, store: Store) -> None:
    """Makes `scope(user_id, person)`: the users to compute, each with a number."""
    numbered = "row_number() OVER ()::INTEGER AS person"
    if users is None:
        connection.execute(f"CREATE TEMP TABLE scope AS SELECT *, {numbered} FROM ({EVERYONE})")
        return
    connection.register("named", pa.table({"user_id": pa.array(dict.fromkeys(users), pa.string())}))
    connection.execute(
        f"CREATE TEMP TABLE scope AS SELECT *, {numbered}"
        f" FROM (SELECT user_id FROM named SEMI JOIN ({EVERYONE}) USING (user_id))"
    )
    missing: list[tuple[Any, ...]] = connection.execute(
        "SELECT user_id FROM named ANTI JOIN scope USING (user_id) ORDER BY ALL LIMIT 6"
    ).fetchall()
    if missing:
        shown = ", ".join(repr(row[0]) for row in missing[:5]) + (" and others" if len(missing) > 5 else "")
        raise UsageError(f"No user {shown} in {store.path}. `limner export users` lists the known ones.")
