"""Whose histories changed since they were read."""

from __future__ import annotations

from dataclasses import dataclass

from limner.histories.flags import flagged_users
from limner.histories.store import Store

_QUERY = """
WITH told AS (
    SELECT user_id, max(seq) AS seq FROM (
        SELECT user_id, seq FROM raw_events UNION ALL
        SELECT user_id, seq FROM raw_users UNION ALL
        SELECT e.user_id, i.seq FROM raw_events e JOIN raw_items i USING (item_id) WHERE i.seq > e.seq
    ) WHERE user_id <> '' GROUP BY user_id
),
changed AS (SELECT user_id, max(seq) AS seq FROM identities GROUP BY user_id),
newest AS (
    SELECT t.user_id, greatest(t.seq, coalesce(c.seq, t.seq)) AS seq FROM told t LEFT JOIN changed c USING (user_id)
),
reading AS (SELECT user_id, max(seq) AS seq FROM raw_extractions GROUP BY user_id),
portrait AS (SELECT user_id, max(seq) AS seq FROM raw_personas GROUP BY user_id)
SELECT n.user_id,
       CASE WHEN r.seq IS NULL
                THEN CASE WHEN n.seq > coalesce((SELECT max(seq) FROM raw_extractions), -1) THEN 'new' ELSE 'unread' END
            WHEN n.seq > r.seq THEN 'changed' ELSE 'unfinished' END AS state
FROM newest n JOIN facts USING (user_id) LEFT JOIN reading r USING (user_id) LEFT JOIN portrait p USING (user_id)
WHERE r.seq IS NULL OR n.seq > r.seq OR p.seq IS NULL OR r.seq > p.seq
ORDER BY n.user_id
"""


@dataclass(frozen=True, slots=True)
class Touched:
    """Users that an update is about, by id.

    Attributes:
        changed: Read before, and something about them was stored since.
        new: Never read, and first stored after the last reading of anybody; everyone where nobody was read.
        unread: Never read, though there was a reading since they were stored: left out of it, or failed.
        flagged: How many more there are that look like bots or tests, and are left out.
        unfinished: Read, but their personas are older: a run died or was stopped in between.
    """

    changed: tuple[str, ...]
    new: tuple[str, ...]
    unread: tuple[str, ...]
    flagged: int = 0
    unfinished: tuple[str, ...] = ()


def touched_users(store: Store) -> Touched:
    """Finds them by the numbers of commits, in one query and without reading a text. Flagged accounts are left out."""
    flagged = flagged_users(store)
    with store.read() as db:
        found = db.execute(_QUERY).fetchall()
    states: dict[str, list[str]] = {}
    for user, state in found:
        states.setdefault("flagged" if user in flagged else state, []).append(user)
    listed = {name: tuple(states.get(name, ())) for name in ("changed", "new", "unread", "unfinished")}
    return Touched(**listed, flagged=len(states.get("flagged", ())))
