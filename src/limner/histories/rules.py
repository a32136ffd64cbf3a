"""Declared rules: what a source's values must be, and what becomes of those that are not.

    [rules.rating]
    range = [1, 5]
    otherwise = "refuse"

Rules stand in the mapping and become conditions of the one statement that stages a source, so that they cost no pass of
their own. A value that breaks a rule is refused with its row (into quarantine, with the rule's name), taken for
missing, or brought to the nearest end of its range; a missing value breaks only the rule `required`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from limner.errors import UsageError
from limner.histories.store import quote_path as literal

OTHERWISE = ("refuse", "empty", "nearest")
"""What becomes of a value that breaks a rule."""

RANGED = frozenset({"rating", "price", "quantity", "amount", "weight", "ts"})
"""Fields that may have a range: numbers, and the time."""

SHOWN = 60
"""Characters of a value that a reason shows."""

Bound = float | str | None


@dataclass(frozen=True, slots=True)
class Rule:
    """What a field's values must be.

    Attributes:
        field: The field.
        low, high: The range, ends included; a time as text. None: no end.
        allowed: The only values; any if empty.
        matches: A regular expression (RE2) that the whole value matches; empty: any value.
        required: Whether there must be a value.
        otherwise: What becomes of a value that breaks the rule, one of `OTHERWISE`.
    """

    field: str
    low: Bound = None
    high: Bound = None
    allowed: tuple[str, ...] = ()
    matches: str = ""
    required: bool = False
    otherwise: str = "refuse"

    def broken(self) -> list[tuple[str, str]]:
        """Each way to break the rule: its name, and SQL that is true where it is, never null."""
        value = f'"{self.field}"'
        ways: list[tuple[str, str]] = []
        if self.required:
            ways.append(("required", f"{value} IS NULL"))
        if self.low is not None:
            ways.append(("range", f"coalesce({value} < {self._bound(self.low)}, false)"))
        if self.high is not None:
            ways.append(("range", f"coalesce({value} > {self._bound(self.high)}, false)"))
        if self.allowed:
            listed = ", ".join(map(literal, self.allowed))
            ways.append(("allowed", f"coalesce({value}::VARCHAR NOT IN ({listed}), false)"))
        if self.matches:
            whole = f"regexp_full_match({value}::VARCHAR, {literal(self.matches)})"
            ways.append(("matches", f"NOT coalesce({whole}, true)"))
        return ways

    def faults(self) -> list[tuple[str, str]]:
        """For rows that the rule refuses: SQL that is true for one, and SQL for what the quarantine says of it."""
        refused = [way for way in self.broken() if self.otherwise == "refuse" or way[0] == "required"]
        shown = f"coalesce(left(\"{self.field}\"::VARCHAR, {SHOWN}), 'nothing')"
        return [(sql, f"{literal(f'rule {self.field} {name}: ')} || {shown}") for name, sql in refused]

    def repaired(self) -> dict[str, str]:
        """SQL for the columns that the rule changes, of the value and of what was said for it."""
        value = f'"{self.field}"'
        ways = [sql for name, sql in self.broken() if name != "required"]
        if self.otherwise == "refuse" or not ways:
            return {}
        if self.otherwise == "empty":
            broken = " OR ".join(ways)
            columns = (self.field, f"{self.field}_said")
            return {column: f'CASE WHEN {broken} THEN NULL ELSE "{column}" END' for column in columns}
        ends = [(sign, self._bound(end)) for sign, end in (("<", self.low), (">", self.high)) if end is not None]
        branches = " ".join(f"WHEN {value} {sign} {end} THEN {end}" for sign, end in ends)
        return {self.field: f"CASE {branches} ELSE {value} END"}

    def to_dict(self) -> dict[str, Any]:
        """As a mapping file says it."""
        said: dict[str, Any] = {}
        if self.low is not None or self.high is not None:
            said["range"] = ["" if end is None else end for end in (self.low, self.high)]
        if self.allowed:
            said["allowed"] = list(self.allowed)
        if self.matches:
            said["matches"] = self.matches
        if self.required:
            said["required"] = True
        if self.otherwise != "refuse":
            said["otherwise"] = self.otherwise
        return said

    def _bound(self, end: Bound) -> str:
        return f"TIMESTAMP {literal(str(end))}" if self.field == "ts" else f"{end}::DOUBLE"


def read_rules(key: str, said: Any) -> tuple[Rule, ...]:
    """The rules of a mapping file.

    Args:
        key: What the table is called there.
        said: What it says: for each field a table.

    Raises:
        UsageError: It says something that has no meaning.
    """
    if not isinstance(said, dict) or not all(isinstance(rule, dict) for rule in said.values()):
        raise UsageError(f"[{key}] must have a table for each field, such as [{key}.rating]")
    return tuple(_rule(f"{key}.{field}", str(field), rule) for field, rule in said.items())


def _rule(key: str, field: str, said: Mapping[str, Any]) -> Rule:
    known = ("range", "allowed", "matches", "required", "otherwise")
    for name in said:
        if name not in known:
            raise UsageError(f"[{key}] has an unknown key {name!r}. Known: {', '.join(known)}")
    low, high = _range(key, field, said.get("range", ["", ""]))
    allowed, matches = said.get("allowed", []), said.get("matches", "")
    required, otherwise = said.get("required", False), said.get("otherwise", "refuse")
    if not isinstance(allowed, list) or not all(isinstance(word, str | int | float) for word in allowed):
        raise UsageError(f'{key}.allowed must be a list such as ["EUR", "CNY"]')
    if not isinstance(matches, str) or not _is_pattern(matches):
        raise UsageError(f"{key}.matches must be a regular expression in quotes")
    if not isinstance(required, bool):
        raise UsageError(f"{key}.required must be true or false")
    if otherwise not in OTHERWISE:
        raise UsageError(f"{key}.otherwise = {otherwise!r} must be one of: {', '.join(OTHERWISE)}")
    rule = Rule(field, low, high, tuple(map(str, allowed)), matches, required, otherwise)
    if otherwise == "nearest" and (rule.allowed or rule.matches or (low is None and high is None)):
        raise UsageError(f"{key}.otherwise = 'nearest' goes with a range alone")
    if not rule.broken():
        raise UsageError(f"[{key}] says nothing that a value must be. Give range, allowed, matches or required")
    return rule


def _range(key: str, field: str, said: Any) -> tuple[Bound, Bound]:
    """The ends of a range; an empty text is no end."""
    if not isinstance(said, Sequence) or isinstance(said, str) or len(said) != 2:
        raise UsageError(f'{key}.range must be two ends such as [1, 5]; "" is no end')
    ends = [_end(key, field, end) for end in said]
    low, high = ends
    if low is not None and high is not None and low > high:  # type: ignore[operator]
        raise UsageError(f"{key}.range ends before it begins")
    return low, high


def _end(key: str, field: str, said: Any) -> Bound:
    if said == "":
        return None
    if field == "ts":
        try:
            return datetime.fromisoformat(str(said)).replace(tzinfo=None).isoformat(" ")
        except ValueError as error:
            raise UsageError(f"{key}.range has no time {said!r}. Write it as 2024-01-31") from error
    if isinstance(said, bool) or not isinstance(said, int | float):
        raise UsageError(f"{key}.range has {said!r}, which is no number")
    return float(said)


def _is_pattern(said: str) -> bool:
    """Whether the database, which will match it, takes a regular expression."""
    import duckdb

    with duckdb.connect() as connection:
        try:
            connection.execute(f"SELECT regexp_full_match('x', {literal(said)})")
        except duckdb.Error:
            return False
    return True
