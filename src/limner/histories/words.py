"""The words that sources use: column names and kinds of events, in Chinese and English.

The tables are in `words.toml` beside this file, so that a word can be added without touching code. `guessing` looks
names up here; `cleaning` and `staging` turn the tables into SQL.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

_tables: dict[str, Any] = tomllib.loads(files("limner.histories").joinpath("words.toml").read_text(encoding="utf-8"))


def _listed(name: str) -> dict[str, tuple[str, ...]]:
    return {meaning: tuple(words.split()) for meaning, words in _tables[name].items()}


def _by_word(name: str) -> dict[str, str]:
    return {word: meaning for meaning, words in _listed(name).items() for word in words}


FIELD_NAMES: Mapping[str, tuple[str, ...]] = _listed("fields")
"""For each field, the names that sources give its column, the commonest first."""

MORE_NAMES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "items": _listed("item_fields"),
    "users": _listed("user_fields"),
    "ties": _listed("tie_fields"),
}
"""For each table but events, further names of a field."""

FILE_WORDS: Mapping[str, tuple[str, ...]] = _listed("files")
"""For each table, words in a file's name that tell that its rows are of it."""

VOLATILE_NAMES = frozenset(_tables["volatile"].split())
"""Names of columns that change while the event stays the same one."""

KIND_WORDS: Mapping[str, str] = _by_word("kinds")
"""For each word that sources use for a kind of events, the kind."""

ROLE_WORDS: Mapping[str, str] = _by_word("roles")
"""For each word for who speaks, `user` for the customer or `agent` for anyone on the other side."""

LANGUAGE_WORDS: Mapping[str, str] = _by_word("languages")
"""For each name of a language, `zh` or `en`."""

CURRENCY_SIGNS: tuple[tuple[str, str], ...] = (
    ("HK$", "HKD"),
    ("NT$", "TWD"),
    ("US$", "USD"),
    ("$", "USD"),
    ("＄", "USD"),
    ("€", "EUR"),
    ("£", "GBP"),
    ("¥", "CNY"),
    ("￥", "CNY"),
    ("元", "CNY"),
    ("₩", "KRW"),
    ("₹", "INR"),
)
"""Signs in amounts and the currency each means, the longer first. The yen sign is read as yuan."""

_separators = re.compile(r"[\s_\-.:/]+")


def plain_name(name: str) -> str:
    """A column name made comparable: lower case, camel case opened, separators as one underscore."""
    opened = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return _separators.sub("_", opened.lower()).strip("_")


_known = {name.replace("_", "") for names in FIELD_NAMES.values() for name in names}


def is_known_name(cell: str) -> bool:
    """Whether a cell is a name that sources give a column."""
    return plain_name(cell).replace("_", "") in _known
