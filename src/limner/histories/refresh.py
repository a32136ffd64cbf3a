"""Keeping facts up to date: computing again those of users about whom something new is stored."""

from __future__ import annotations

from limner.histories.facts import aggregate
from limner.histories.store import Store

_STALE = """
WITH newest AS (
    SELECT user_id, max(seq) AS seq FROM (
        SELECT user_id, seq FROM raw_events UNION ALL
        SELECT user_id, seq FROM raw_users UNION ALL
        SELECT user_id, seq FROM raw_ties UNION ALL
        SELECT other_id, seq FROM raw_ties UNION ALL
        SELECT e.user_id, i.seq FROM raw_events e JOIN raw_items i USING (item_id) WHERE i.seq > e.seq
    ) WHERE user_id <> '' GROUP BY user_id
)
SELECT user_id FROM newest n LEFT JOIN facts f USING (user_id)
LEFT JOIN (SELECT user_id, max(seq) AS seq FROM identities GROUP BY user_id) i USING (user_id)
WHERE f.seq IS NULL OR f.seq < greatest(n.seq, coalesce(i.seq, n.seq))
"""
"""Users about whom something was stored after their facts were computed, or whose ids were merged or split since, also
by a run that died in between."""

_COMPARABLE = """
SELECT count(DISTINCT as_of) <= 1 AND count(frequency) IN (0, count(*)) AND count(ties) IN (0, count(*)) FROM facts
"""
"""Whether everyone's facts are of one time, and what is known of one user is known of all."""


def refresh_facts(store: Store, run: str) -> int:
    """Computes the facts of all users about whom something new is stored; returns how many.

    Recency and trends are counted back from the workspace's newest event, and a count is unknown until the workspace
    has anything of its kind. When new rows change either, the facts of everyone are computed again: those of before
    could not be compared with those of now. So they are, too, where a run died between the two.
    """
    tables = store.manifest().tables
    if not tables.get("facts"):
        return aggregate(store, run=run) if any(tables.get(name) for name in ("events", "users", "ties")) else 0
    with store.read() as connection:
        stale = [str(row[0]) for row in connection.execute(_STALE).fetchall()]
        known = connection.execute("SELECT count(*) FROM facts").fetchall()[0][0]
    if stale and known == 0:
        return aggregate(store, run=run)
    refreshed = aggregate(store, run=run, users=stale) if stale else 0
    with store.read() as connection:
        comparable = connection.execute(_COMPARABLE).fetchall()[0][0]
    return refreshed if comparable else aggregate(store, run=run)
