"""A mapping: which of a source's columns mean what, and how its words, times and amounts are to be read.

Kept as TOML, so that a person can read, correct and commit it. `docs/ingest.md` explains every key.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping as Dict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args
from zoneinfo import ZoneInfo

from limner.errors import UsageError
from limner.histories.rules import RANGED, Rule, read_rules
from limner.histories.schema import EVENT_KINDS

Kind = Literal["events", "items", "users", "ties"]
Undated = Literal["quarantine", "keep"]
DateOrder = Literal["", "DMY", "MDY"]

KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class TableFields:
    """What may be mapped into one table.

    Attributes:
        required: Fields without which a row is bad.
        optional: Further fields.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...]

    @property
    def every(self) -> tuple[str, ...]:
        """All fields, the required first."""
        return self.required + self.optional


FIELDS: dict[str, TableFields] = {
    "events": TableFields(
        ("user_id",),
        tuple(
            (
                "ts kind item_id title category text_title text rating price quantity amount currency channel device"
                " place session_id role lang"
            ).split()
        ),
    ),
    "items": TableFields(("item_id",), ("title", "category", "price", "currency", "text")),
    "users": TableFields(("user_id",), ("lang",)),
    "ties": TableFields(("user_id", "other_id"), ("kind", "weight", "ts")),
}

HASHED = ("email", "phone", "exact")
"""Sorts of keys that can be hashed as they are read; `keys.FORMS` says how."""

JOINS: dict[str, str] = {"ts": " ", "text": "\n", "text_title": "\n", "title": " ", "category": " > "}
"""What stands between several columns joined into one field; a colon for all others, ids first of all."""


@dataclass(frozen=True, slots=True)
class Mapping:
    """How to read a source.

    Attributes:
        kind: The table its rows go to.
        columns: For each field, the source's column, or several that are joined.
        constants: For each field, one value for all rows (a mapped column wins where it has a value).
        kinds: The source's words for kinds of events, and the event kind each means; other words are looked up in
            limner's own table, and what is not there becomes `other`.
        timezone: The zone of times that name none.
        currency: The currency of amounts that name none.
        dates: The order of day and month in dates such as 03/04/2024; empty: found from the column.
        undated: What becomes of an event without a readable time.
        encoding: The text encoding, where it cannot be found out.
        drop: Columns to leave out altogether.
        hashed: Columns of keys of persons, and the sort of each (`email`, `phone` or `exact`); only a hash is kept.
        volatile: Columns kept in `attrs` that are no part of what identifies an event, such as a count of likes.
        negative: The kind of events whose quantity or amount is below zero, such as `return`; empty: as they are.
        rules: What values must be, and what becomes of those that are not.
        records: The dotted path of a list inside each JSON or XML record whose members are the rows; empty: no list.
        element: The XML element that is a row; empty: the one that repeats.
    """

    kind: Kind = "events"
    columns: Dict[str, tuple[str, ...]] = field(default_factory=dict)
    constants: Dict[str, str] = field(default_factory=dict)
    kinds: Dict[str, str] = field(default_factory=dict)
    timezone: str = "UTC"
    currency: str = ""
    dates: DateOrder = ""
    undated: Undated = "quarantine"
    encoding: str = ""
    drop: tuple[str, ...] = ()
    volatile: tuple[str, ...] = ()
    hashed: Dict[str, str] = field(default_factory=dict)
    negative: str = ""
    rules: tuple[Rule, ...] = ()
    records: str = ""
    element: str = ""

    def __post_init__(self) -> None:
        _check(self)

    @classmethod
    def load(cls, path: Path | str) -> Mapping:
        """Reads a mapping file.

        Raises:
            UsageError: It is not there, not TOML, or says something that has no meaning.
        """
        path = Path(path).expanduser()
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except FileNotFoundError as error:
            hint = f"`limner ingest FILE --save-map {path}` makes one."
            raise UsageError(f"There is no mapping file {path}. {hint}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} is not a TOML file: {error}. See docs/ingest.md for its form.") from error
        except OSError as error:
            raise UsageError(f"Cannot read {path}: {error.strerror}. Check the path and its permissions.") from error
        if not raw:
            raise UsageError(f"{path} is empty. `limner ingest FILE --save-map {path}` makes one to start from.")
        try:
            return cls.from_dict(raw)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error

    @classmethod
    def from_dict(cls, raw: Dict[str, Any]) -> Mapping:
        """A mapping from what its TOML says.

        Raises:
            UsageError: A key is unknown or has a value of a wrong type.
        """
        values: dict[str, Any] = {}
        for key, value in raw.items():
            if key not in _KEYS:
                raise UsageError(f"unknown key {key!r}{_closest(key, _KEYS)}")
            values[key] = _KEYS[key](key, value)
        return cls(**values)

    def to_toml(self) -> str:
        """The mapping as TOML that `load` reads back to an equal mapping."""
        default = Mapping(kind=self.kind)
        simple = [f"kind = {_toml(self.kind)}"]
        tables: list[str] = []
        for key in _KEYS:
            value = getattr(self, key)
            if key == "kind" or (value == getattr(default, key) and key not in {"timezone"}):
                continue
            if key == "rules":
                tables += [f"[rules.{_toml_key(rule.field)}]\n{_body(rule.to_dict())}" for rule in value]
            elif isinstance(value, dict):
                tables.append(f"[{key}]\n{_body(value)}")
            else:
                simple.append(f"{key} = {_toml(list(value) if isinstance(value, tuple) else value)}")
        return "\n\n".join(["\n".join(simple), *tables]) + "\n"

    def save(self, path: Path | str) -> None:
        """Writes the mapping as TOML.

        Raises:
            UsageError: The file cannot be written.
        """
        try:
            Path(path).expanduser().write_text(self.to_toml(), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"Cannot write {path}: {error.strerror}. Choose another file with --save-map.") from error

    def with_kind(self, kind: str) -> Mapping:
        """This mapping for another table."""
        return replace(self, kind=cast("Kind", kind))


def _strings(key: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(v, str | int | float | bool) for v in value.values()):
        raise UsageError(f"[{key}] must be a table of names and plain values")
    return {str(k): str(v).lower() if isinstance(v, bool) else str(v) for k, v in value.items()}


def _columns(key: str, value: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise UsageError(f'[{key}] must be a table such as user_id = "customer"')
    return {name: _names(f"{key}.{name}", column) for name, column in value.items()}


def _names(key: str, value: Any) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not listed or not all(isinstance(v, str) for v in listed):
        raise UsageError(f"{key} must be a column's name or a list of names")
    return tuple(listed)


def _word(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{key} must be a text in quotes")
    return value


_KEYS: dict[str, Any] = {
    "kind": _word,
    "timezone": _word,
    "currency": _word,
    "dates": _word,
    "undated": _word,
    "encoding": _word,
    "negative": _word,
    "records": _word,
    "element": _word,
    "drop": _names,
    "volatile": _names,
    "columns": _columns,
    "constants": _strings,
    "kinds": _strings,
    "hashed": _strings,
    "rules": read_rules,
}
"""Every key of a mapping file and the function that reads its value, in the order in which they are written."""


def _closest(word: str, known: Dict[str, Any] | tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else f". Known: {', '.join(known)}"


def _check(mapping: Mapping) -> None:
    """Refuses a mapping whose values have no meaning."""
    choices = (("kind", KINDS), ("undated", get_args(Undated)), ("dates", get_args(DateOrder)))
    for key, allowed in choices:
        value = getattr(mapping, key)
        if value not in allowed:
            raise UsageError(f"{key} = {value!r} must be one of: {', '.join(repr(a) for a in allowed)}")
    known = FIELDS[mapping.kind].every
    for table in (mapping.columns, mapping.constants, {rule.field: rule for rule in mapping.rules}):
        for name in table:
            if name not in known:
                raise UsageError(f"{mapping.kind} have no field {name!r}{_closest(name, known)}")
    for rule in mapping.rules:
        if rule.field not in RANGED and (rule.low, rule.high) != (None, None):
            raise UsageError(f"{rule.field} is no number and no time, and has no range. Use allowed or matches")
    for sort in mapping.hashed.values():
        if sort not in HASHED:
            raise UsageError(f"there is no sort of key {sort!r}{_closest(sort, HASHED)}")
    words = [*mapping.kinds.values(), *([mapping.negative] if mapping.negative else [])]
    if mapping.kind == "events":
        words += [mapping.constants["kind"]] if "kind" in mapping.constants else []
    for word in words:
        if word not in EVENT_KINDS:
            raise UsageError(f"there is no event kind {word!r}{_closest(word, tuple(EVENT_KINDS))}")
    try:
        ZoneInfo(mapping.timezone)
    except (ValueError, OSError, LookupError) as error:
        hint = "Use a name such as Asia/Shanghai or UTC."
        raise UsageError(f"there is no time zone {mapping.timezone!r}. {hint}") from error


def _body(table: Dict[str, Any]) -> str:
    return "\n".join(f"{_toml_key(k)} = {_toml(_unwrapped(v))}" for k, v in table.items())


def _unwrapped(value: Any) -> Any:
    if isinstance(value, tuple):
        return value[0] if len(value) == 1 else list(value)
    return value


def _toml(value: Any) -> str:
    """A text or list of texts as TOML; JSON's escapes are TOML's."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml_key(key: str) -> str:
    return key if key.isascii() and key.replace("_", "").isalnum() else _toml(key)
