"""Social ties as features: how many a user has, in what community they lie, and how alike the users are that they join.

`limner export society` writes one row for each user, `limner export mixing` one for each feature of the whole network.
Both are computed when they are asked for. DuckDB makes the ties into pairs of numbers; what follows is numpy over
those, so that ten million of them take some hundred megabytes.

A neighbour is one neighbour, told once or twice, by either side and in however many kinds. Where the sides differ is
counted beside it. Nothing is told of a user whose own value is not known: what friends are like says what friends are
like.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from limner.histories.communities import Places, communities
from limner.histories.facts import EVERYONE
from limner.histories.merged import SOCIAL
from limner.histories.mixing import UNKNOWN, Mixed, mix, p_value, standard_error
from limner.histories.store import arrow

DIGITS = 6
"""Shares are rounded to a millionth, as facts are."""

FEATURES: dict[str, str] = {
    "category": "SELECT user_id, top_categories[1].value AS value FROM facts",
    "place": "SELECT user_id, top_places[1].value AS value FROM facts",
    "device": "SELECT user_id, top_devices[1].value AS value FROM facts",
    "segment": "SELECT user_id, min(segment_id) AS value FROM memberships WHERE origin = 'discovered' GROUP BY user_id",
}
"""In what users may be alike, and SQL for the value of each user: the most frequent of the facts."""

_NETWORK = f"""
CREATE OR REPLACE TEMP TABLE told_ties AS
SELECT DISTINCT user_id, other_id, trim(coalesce(kind, '')) AS kind FROM ties
WHERE user_id <> other_id AND user_id <> '' AND other_id <> '' AND {SOCIAL};
CREATE OR REPLACE TEMP TABLE tied_users AS
SELECT user_id, (row_number() OVER (ORDER BY user_id) - 1)::INTEGER AS place
FROM (SELECT user_id FROM told_ties UNION SELECT other_id FROM told_ties);
CREATE OR REPLACE TEMP TABLE network AS
SELECT least(a.place, b.place) AS one, greatest(a.place, b.place) AS other, kind,
    bool_or(a.place < b.place) AS there, bool_or(a.place > b.place) AS back
FROM told_ties t JOIN tied_users a ON a.user_id = t.user_id JOIN tied_users b ON b.user_id = t.other_id
GROUP BY ALL;
DROP TABLE told_ties
"""
"""Users with a tie by number, in the order of their ids, and the ties between them: one row for a pair and kind, with
whether the first named the second (`there`) and the second the first (`back`)."""

_SIDED = """
WITH sided AS (SELECT kind FROM network GROUP BY kind HAVING bool_or(there AND back) AND NOT bool_and(there AND back)),
ends AS (
    SELECT one AS place, other AS neighbour, kind, there AS told, back AS heard FROM network
    UNION ALL SELECT other, one, kind, back, there FROM network
),
kinds AS (
    SELECT place, list({'value': kind, 'n': n} ORDER BY n DESC, kind) AS tie_kinds
    FROM (SELECT place, kind, count(*) AS n FROM ends GROUP BY ALL) GROUP BY place
),
returned AS (
    SELECT place, round(count(*) FILTER (heard) / count(*), $digits) AS reciprocity
    FROM ends SEMI JOIN sided USING (kind) WHERE told GROUP BY place
),
sides AS (
    SELECT place, count(*) FILTER (told) AS ties_out, count(*) FILTER (heard) AS ties_in
    FROM (SELECT place, neighbour, bool_or(told) AS told, bool_or(heard) AS heard FROM ends GROUP BY ALL) GROUP BY place
)
SELECT place, tie_kinds, ties_out, ties_in, reciprocity
FROM kinds JOIN sides USING (place) LEFT JOIN returned USING (place)
"""
"""What hangs on kinds and directions. A kind has directions if some of its ties stand in both and some in one only: if
all stand in one, or all in both, the source may just have written each pair once, or twice."""


@dataclass(frozen=True, slots=True)
class Network:
    """Who is tied to whom.

    Attributes:
        users: Ids of the users with a tie, in order.
        one: One end of each tie, as places in `users`; every pair once.
        other: Its other end.
    """

    users: pa.Array
    one: Places
    other: Places


def define_society(connection: duckdb.DuckDBPyConnection) -> None:
    """Makes `society`, a row for each known user.

    Args:
        connection: A connection of `Store.read` with all tables.
    """
    network = _network(connection)
    columns: dict[str, object] = {"place": np.arange(len(network.users), dtype=np.int32)}
    labels = communities(network.one, network.other, len(network.users))
    columns |= _placed(network, labels)
    for feature, query in FEATURES.items():
        codes = _codes(connection, query, len(network.users))
        columns |= _shares(feature, codes, mix(network.one, network.other, codes))
    connection.register("found_society", pa.table(columns))
    connection.execute(f"CREATE OR REPLACE TEMP TABLE sided AS {_SIDED}".replace("$digits", str(DIGITS)))
    connection.execute(_SOCIETY.format(known=f"EXISTS (FROM ties WHERE {SOCIAL})"))


def define_mixing(connection: duckdb.DuckDBPyConnection) -> None:
    """Makes `mixing`, a row for each feature of the whole network.

    Args:
        connection: A connection of `Store.read` with all tables.
    """
    network = _network(connection)
    labels = communities(network.one, network.other, len(network.users))
    rows = [_row("community", mix(network.one, network.other, labels))]
    for feature, query in FEATURES.items():
        codes = _codes(connection, query, len(network.users))
        mixed = mix(network.one, network.other, codes)
        rows.append(_row(feature, mixed) | _tested(network, codes, mixed))
    connection.register("mixing", pa.Table.from_pylist(rows, schema=_MIXING))


_SOCIETY = f"""
CREATE OR REPLACE TEMP VIEW society AS
SELECT user_id, CASE WHEN {{known}} THEN coalesce(ties, 0) END AS ties,
    CASE WHEN {{known}} THEN coalesce(tie_kinds, []) END AS tie_kinds,
    CASE WHEN {{known}} THEN coalesce(ties_out, 0) END AS ties_out,
    CASE WHEN {{known}} THEN coalesce(ties_in, 0) END AS ties_in,
    reciprocity, f.* EXCLUDE (place, ties)
FROM ({EVERYONE}) LEFT JOIN tied_users USING (user_id) LEFT JOIN sided USING (place)
LEFT JOIN found_society f USING (place)
"""

_MIXING = pa.schema(
    [
        ("feature", pa.string()),
        ("users", pa.int64()),
        ("ties", pa.int64()),
        ("values", pa.int64()),
        ("same", pa.float64()),
        ("expected", pa.float64()),
        ("assortativity", pa.float64()),
        ("standard_error", pa.float64()),
        ("p_value", pa.float64()),
    ]
)


def _network(connection: duckdb.DuckDBPyConnection) -> Network:
    connection.execute(_NETWORK)
    users = arrow(connection, "SELECT user_id FROM tied_users ORDER BY place")["user_id"].combine_chunks()
    pairs = arrow(connection, "SELECT DISTINCT one, other FROM network")
    return Network(users, pairs["one"].to_numpy(), pairs["other"].to_numpy())


def _codes(connection: duckdb.DuckDBPyConnection, query: str, users: int) -> Places:
    """The value of each user in the network as a number, `UNKNOWN` where there is none."""
    found = arrow(
        connection,
        f"SELECT place, (dense_rank() OVER (ORDER BY value) - 1)::INTEGER AS code FROM ({query}) JOIN tied_users"
        " USING (user_id) WHERE value <> ''",
    )
    codes = np.full(users, UNKNOWN, dtype=np.int32)
    codes[found["place"].to_numpy()] = found["code"].to_numpy()
    return codes


def _placed(network: Network, labels: Places) -> dict[str, object]:
    """The columns of neighbours and communities."""
    mixed = mix(network.one, network.other, labels)
    return {
        "ties": mixed.known,
        "community": network.users.take(pa.array(labels)),
        "community_users": np.bincount(labels, minlength=len(labels))[labels],
        "community_ties": mixed.same,
    }


def _shares(feature: str, codes: Places, mixed: Mixed) -> dict[str, object]:
    """A feature's columns: the share of neighbours alike, of how many that is known, and what chance gives."""
    known = codes != UNKNOWN
    shared = known & (mixed.known > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        same = np.round(mixed.same / mixed.known, DIGITS)
        expected = np.round(mixed.expected_of(codes), DIGITS)
    return {
        f"same_{feature}": pa.array(same, mask=~shared),
        f"{feature}_known": pa.array(mixed.known, mask=~known),
        f"{feature}_expected": pa.array(expected, mask=~shared),
    }


def _row(feature: str, mixed: Mixed) -> dict[str, object]:
    counted = {"users": mixed.users, "ties": mixed.ties, "values": mixed.values}
    told = {"same": mixed.share, "expected": mixed.chance, "assortativity": mixed.assortativity}
    return {"feature": feature, **counted, **_rounded(told)}


def _tested(network: Network, codes: Places, mixed: Mixed) -> dict[str, object]:
    """Whether the assortativity could be chance. Not for communities: they were found on the very ties."""
    error = standard_error(network.one, network.other, codes, mixed)
    return _rounded({"standard_error": error, "p_value": p_value(network.one, network.other, codes, mixed)})


def _rounded(told: dict[str, float | None]) -> dict[str, object]:
    return {name: None if value is None else round(value, DIGITS) for name, value in told.items()}
