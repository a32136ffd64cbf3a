"""What in a column is spoken against by another: each check is one query that counts rows, with its words.

A contradiction is something to look at, not an error: an amount may be below price times quantity for a discount.
"""

from __future__ import annotations

from dataclasses import dataclass

TOLERANCE = 0.01
"""The share by which an amount may differ from price times quantity, for rounding."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """One check of a column.

    Attributes:
        words: What is held against what.
        count: SQL that counts the rows.
    """

    words: str
    count: str


def _spelled(kind: str, field: str) -> Contradiction:
    """Ids that are one but for letter case, blanks and leading zeros, as a spreadsheet loses them."""
    plain = f"nullif(ltrim(lower(replace({field}, ' ', '')), '0'), '')"
    return Contradiction(
        "the same but for letter case, blanks or leading zeros",
        f"SELECT sum(n) FROM (SELECT sum(n) AS n, count(*) AS ways FROM (SELECT {field}, {plain} AS p, count(*) AS n"
        f" FROM {kind} WHERE {field} IS NOT NULL GROUP BY ALL) WHERE p IS NOT NULL GROUP BY p) WHERE ways > 1",
    )


def _differs(field: str) -> Contradiction:
    """Rows whose value for an item is not the one that most rows have."""
    return Contradiction(
        f"the item has another {field} in more rows",
        f"SELECT sum(rows - most) FROM (SELECT item_id, sum(n) AS rows, max(n) AS most FROM (SELECT item_id, {field},"
        f" count(*) AS n FROM events WHERE item_id IS NOT NULL AND {field} IS NOT NULL GROUP BY ALL) GROUP BY item_id)",
    )


CONTRADICTIONS: dict[tuple[str, str], Contradiction] = {
    ("events", "user_id"): _spelled("events", "user_id"),
    ("events", "item_id"): _spelled("events", "item_id"),
    ("users", "user_id"): _spelled("users", "user_id"),
    ("items", "item_id"): _spelled("items", "item_id"),
    ("events", "title"): _differs("title"),
    ("events", "category"): _differs("category"),
    ("events", "ts"): Contradiction(
        "later than the load that brought it",
        "SELECT count(*) FROM events JOIN (SELECT run, max(committed) AS committed FROM loads GROUP BY run) USING (run)"
        " WHERE ts > committed",
    ),
    ("events", "amount"): Contradiction(
        "not price times quantity",
        f"SELECT count(*) FROM events WHERE abs(abs(amount) - abs(price * quantity))"
        f" > greatest(0.011, {TOLERANCE} * abs(price * quantity))",
    ),
    ("events", "quantity"): Contradiction(
        "of another sign than the amount", "SELECT count(*) FROM events WHERE sign(quantity) * sign(amount) < 0"
    ),
    ("events", "price"): Contradiction("below zero", "SELECT count(*) FROM events WHERE price < 0"),
    ("events", "rating"): Contradiction(
        "below zero, or above the highest of the scales 1, 5, 10, 100 that its source uses",
        """SELECT count(*) FROM events
        JOIN (SELECT source, quantile_cont(rating, 0.99) AS top FROM events GROUP BY source) USING (source)
        WHERE rating < 0
        OR rating > CASE WHEN top <= 1 THEN 1 WHEN top <= 5 THEN 5 WHEN top <= 10 THEN 10 ELSE 100 END""",
    ),
    ("events", "session_id"): Contradiction(
        "a session of several users",
        "SELECT sum(n) FROM (SELECT session_id, count(*) AS n, count(DISTINCT user_id) AS users FROM events"
        " WHERE session_id IS NOT NULL GROUP BY session_id) WHERE users > 1",
    ),
    ("events", "currency"): Contradiction(
        "the item is sold in another currency in more rows",
        _differs("currency").count,
    ),
    ("ties", "other_id"): Contradiction("a tie to oneself", "SELECT count(*) FROM ties WHERE user_id = other_id"),
}
"""For each table and field that something is held against, the check."""
