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
reading AS (SELECT user_id, max(seq) AS seq FROM raw_extractions GROUP BY user_id)
SELECT n.user_id,
       r.seq IS NULL AS unread,
       n.seq > coalesce(r.seq, (SELECT max(seq) FROM raw_extractions), -1) AS touched
FROM newest n JOIN facts USING (user_id) LEFT JOIN reading r USING (user_id)
WHERE r.seq IS NULL OR n.seq > r.seq
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
    """

    changed: tuple[str, ...]
    new: tuple[str, ...]
    unread: tuple[str, ...]
    flagged: int = 0


def touched_users(store: Store) -> Touched:
    """Finds them by the numbers of commits, in one query and without reading a text. Flagged accounts are left out."""
    flagged = flagged_users(store)
    with store.read() as db:
        found = db.execute(_QUERY).fetchall()
    rows = [row for row in found if row[0] not in flagged]
    return Touched(
        changed=tuple(user for user, unread, _ in rows if not unread),
        new=tuple(user for user, unread, touched in rows if unread and touched),
        unread=tuple(user for user, unread, touched in rows if unread and not touched),
        flagged=len(found) - len(rows),
    )
