"""Texts that say nearly the same: the share of them, the largest groups, and who wrote them.

Long texts only: that five people call a thing very good is no copy. What is compared is what is left without signs,
letter case and width, each different text once, so that the work is that of the different texts.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import pyarrow as pa

from limner.histories.cleaning import step_sql
from limner.histories.keys import HALF_WIDTH
from limner.histories.minhash import near_clusters
from limner.histories.store import arrow
from limner.histories.texts import OWN

LEAST = 60
"""How long a text must be: Latin letters, of which a Chinese character counts as three."""

COMPARED = 2_000
"""Characters of a text that are compared."""

MOST_TEXTS = 2_000_000
"""Different texts that are compared; of more, those with the lowest hashes, which are as good as drawn by chance."""

SHOWN = 10
"""Groups that a profile shows, the largest first."""

_HALF = step_sql(HALF_WIDTH, "concat_ws(' ', text_title, text)")
_PLAIN = f"trim(regexp_replace(lower({_HALF}), '[^\\p{{L}}\\p{{N}}]+', ' ', 'g'))"

_WRITTEN = f"""
CREATE OR REPLACE TEMP TABLE written AS SELECT user_id, md5_number_lower(p) AS key, left(p, {COMPARED}) AS p FROM (
    SELECT user_id, {_PLAIN} AS p FROM events
    WHERE ({OWN}) AND kind NOT IN ('search', 'campaign') AND length(text) >= {LEAST // 3}
) WHERE length(p) + 2 * length(regexp_replace(p, '[^\\p{{Han}}]', '', 'g')) >= {LEAST};
CREATE OR REPLACE TEMP TABLE different AS
SELECT key, any_value(p) AS p, count(*) AS events FROM written GROUP BY key ORDER BY key LIMIT {MOST_TEXTS}
"""


@dataclass(frozen=True, slots=True)
class NearGroup:
    """Texts that are nearly the same.

    Attributes:
        text: One that was written most often.
        texts: Different ones.
        events: Events with one of them.
        users: Users who wrote one of them.
    """

    text: str
    texts: int
    events: int
    users: int


@dataclass(frozen=True, slots=True)
class NearTexts:
    """What is nearly the same among the long texts of a workspace.

    Attributes:
        events: Events with a long text.
        texts: Different long texts that were compared.
        same: Events that say, signs aside, just what another one says.
        near: Different texts that are nearly the same as another one.
        groups: The largest groups, by events.
        sampled: Whether there were too many texts to compare all.
    """

    events: int
    texts: int
    same: int
    near: int
    groups: tuple[NearGroup, ...]
    sampled: bool


def near_texts(connection: duckdb.DuckDBPyConnection) -> str:
    """Finds near-duplicates among the long texts of a connection's events.

    Makes the tables `written` (`user_id`, `key` of the text, `p` what is compared), `different` (each text once) and
    `near` (`key`, and the `first` text of its group).

    Returns:
        SQL that gives, for each event with a long text, `user_id` and `same`: equal where texts are nearly the same.
    """
    connection.execute(_WRITTEN)
    keys, texts = arrow(connection, "SELECT key, p FROM different ORDER BY key").columns
    groups = near_clusters(texts.to_pylist())
    known = keys.to_pylist()
    members = [(known[place], known[group[0]]) for group in groups for place in group]
    columns = [pa.array([row[n] for row in members], pa.uint64()) for n in (0, 1)]
    connection.register("near_found", pa.table(columns, names=["key", "first"]))
    connection.execute("CREATE OR REPLACE TEMP TABLE near AS SELECT * FROM near_found")
    connection.unregister("near_found")
    return 'SELECT user_id, coalesce(n."first", w.key) AS same FROM written w LEFT JOIN near n USING (key)'


def describe(connection: duckdb.DuckDBPyConnection) -> NearTexts:
    """What is nearly the same among the long texts of a connection's events."""
    near_texts(connection)
    events, distinct, texts, near = connection.execute(
        "SELECT (SELECT count(*) FROM written), (SELECT count(DISTINCT key) FROM written),"
        " (SELECT count(*) FROM different), (SELECT count(*) FROM near)"
    ).fetchall()[0]
    rows = connection.execute(
        f"""SELECT (SELECT arg_max(d.p, d.events) FROM different d JOIN near m USING (key) WHERE m."first" = g."first"),
            texts, events, users FROM (
            SELECT n."first", count(DISTINCT key) AS texts, count(*) AS events, count(DISTINCT user_id) AS users
            FROM written JOIN near n USING (key) GROUP BY n."first" ORDER BY events DESC, n."first" LIMIT {SHOWN}
        ) g ORDER BY events DESC, users DESC, g."first" """
    ).fetchall()
    groups = tuple(NearGroup(str(text), int(t), int(e), int(u)) for text, t, e, u in rows)
    return NearTexts(int(events), int(texts), int(events - distinct), int(near), groups, distinct > texts)
