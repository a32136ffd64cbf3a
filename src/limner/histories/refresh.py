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
SELECT user_id FROM newest n LEFT JOIN facts f USING (user_id) WHERE f.seq IS NULL OR f.seq < n.seq
"""
"""Users about whom something was stored after their facts were computed, also by a run that died in between."""


def refresh_facts(store: Store, run: str) -> int:
    """Computes the facts of all users about whom something new is stored; returns how many."""
    with store.read() as connection:
        stale = [str(row[0]) for row in connection.execute(_STALE).fetchall()]
        known = connection.execute("SELECT count(*) FROM facts").fetchall()[0][0]
    if not stale:
        return 0
    return aggregate(store, run=run, users=None if known == 0 else stale)
