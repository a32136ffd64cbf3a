"""What an event says, as SQL: the hash that is its id, and a quicker number that equal events share."""

from __future__ import annotations

from collections.abc import Collection

from limner.histories.plans import NUMBERS

IDENTITY = (
    "user_id ts kind item_id title category text_title text rating price quantity amount currency channel device place"
    " session_id role"
).split()
"""What an event says, besides `attrs`: the fields whose hash is its id. Where it was read from is no part of it."""

OTHERS = "_said_attrs"
"""The column of what an event says besides: the part of `attrs` that identifies it."""

SEPARATOR = "chr(31)"
"""Between fields under the hash: the unit separator, which cleaning takes out of every value."""


def said_sql(given: Collection[str]) -> str:
    """SQL for the hash of what an event says, given the fields, and `OTHERS`, that may have a value."""
    return f"md5(concat({', '.join(_said_parts(given))}))"


def alike_sql(given: Collection[str]) -> str:
    """SQL for a number that events share if they say the same: quicker than the hash, not sure to differ otherwise."""
    fields = [f"coalesce({f}, '')" if f not in _VALUES else f for f in IDENTITY if f in given]
    return f"hash({', '.join([*fields, *_others(given)])})"


def _said_parts(given: Collection[str]) -> list[str]:
    """What stands under the hash, in order: the fields with separators between them, those without a value left out."""
    parts: list[str] = []
    gap = 0
    for place, field in enumerate(IDENTITY):
        gap += place > 0
        if field in given:
            parts += [f"repeat({SEPARATOR}, {gap})"] * (gap > 0) + [f"CAST({field} AS VARCHAR)"]
            gap = 0
    return [*parts, f"repeat({SEPARATOR}, {gap + 1})", *_others(given)]


def _others(given: Collection[str]) -> list[str]:
    """What the other columns say, without its quotes, so that a number and the same number as text say the same."""
    return [f"replace(coalesce({OTHERS}, ''), '\"', '')"] if OTHERS in given else []


_VALUES = frozenset({"ts", "rating", *NUMBERS})
"""Fields that are no text."""
