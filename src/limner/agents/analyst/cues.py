"""The words by which a question says what it wants, in Chinese and English; they stand in `cues.toml`.

They check what a model read (a polarity the question has no word for is dropped) and stand in where it read nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from limner.agents.analyst.schema import FACT_COLUMNS, Language, Measure, Operator


@dataclass(frozen=True, slots=True)
class Cue:
    """Words that mean one thing, found in either language."""

    pattern: re.Pattern[str]

    def found(self, text: str) -> bool:
        """Whether the text has one of the words."""
        return self.pattern.search(text) is not None

    def removed(self, text: str) -> str:
        """The text without the words."""
        return self.pattern.sub(" ", text)


def cue(english: Sequence[str], chinese: Sequence[str]) -> Cue:
    """A cue of whole English words and Chinese strings, both as regular expressions; longer ones are tried first."""
    en, zh = ("|".join(sorted(words, key=len, reverse=True)) for words in (english, chinese))
    return Cue(re.compile(rf"\b(?:{en})\b|{zh}", re.IGNORECASE))


@cache
def word_list(file: str) -> dict[str, Any]:
    """A TOML file of this folder."""
    return tomllib.loads(files("limner.agents.analyst").joinpath(file).read_text(encoding="utf-8"))


def _cue(name: str) -> Cue:
    words = word_list("cues.toml")[name]
    return cue(words["en"], words["zh"])


NEGATIVE = _cue("negative")
POSITIVE = _cue("positive")
INTENT = _cue("intent")
NEED = _cue("need")
COUNT = _cue("count")
LIST = _cue("list")
COMPARE = _cue("compare")
LEAVING = _cue("leaving")
INACTIVE = _cue("inactive")
AVERAGE = _cue("average")
HIGHEST = _cue("highest")
LOWEST = _cue("lowest")
COMPARISON = _cue("comparison")
SPEAKS_CHINESE = _cue("speaks_chinese")
SPEAKS_ENGLISH = _cue("speaks_english")
SEGMENTS = _cue("segments")

FACT_CUES = {
    column.name: cue(words["en"], words["zh"])
    for column in FACT_COLUMNS.values()
    for words in [word_list("cues.toml")["fact"][column.name]]
}
"""A threshold or an order on a fact is kept only if the question has one of the fact's words."""

_BEFORE: tuple[tuple[re.Pattern[str], Operator], ...] = (
    (
        re.compile(r"(?:less than|fewer than|under|below|lower than)\s*$|(?:少于|低于|小于|不到|不足)\D{0,3}$", re.I),
        "<",
    ),
    (re.compile(r"(?:at most|up to|no more than|within)\s*$|(?:不超过|至多|最多)\D{0,3}$", re.I), "<="),
    (
        re.compile(
            r"(?:more than|over|above|greater than|higher than|exceed\w*)\s*$|(?:超过|多于|高于|大于)\D{0,3}$", re.I
        ),
        ">",
    ),
    (re.compile(r"(?:at least|no less than|no fewer than)\s*$|(?:至少|不少于|不低于)\D{0,3}$", re.I), ">="),
    (re.compile(r"exactly\s*$|(?:正好|恰好|刚好)\D{0,3}$", re.I), "=="),
)
_COUNTED = r"^\s*(?:次|单|元|块|天|分|星|条|times|orders|stars|days)?\s*"
_AFTER: tuple[tuple[re.Pattern[str], Operator], ...] = (
    (re.compile(_COUNTED + r"(?:or (?:less|fewer|lower|below)|以下|以内|之内)", re.I), "<="),
    (re.compile(_COUNTED + r"(?:(?:or|and) (?:more|higher|above)|\+|及?以上|或更多)", re.I), ">="),
)


def operator_near(text: str, start: int, end: int) -> Operator | None:
    """The comparison that the words around a number ask for; None if they do not say."""
    before, after = text[max(0, start - 24) : start], text[end : end + 24]
    for pattern, operator in _AFTER:
        if pattern.search(after):
            return operator
    for pattern, operator in _BEFORE:
        if pattern.search(before):
            return operator
    return None


def measure_of(text: str) -> Measure | None:
    """What the question's words ask for; None if they do not say."""
    asked: tuple[tuple[Cue, Measure], ...] = ((COMPARE, "compare"), (COUNT, "count"), (LIST, "list"))
    return next((measure for found, measure in asked if found.found(text)), None)


_GENERIC_ENGLISH = frozenset(word_list("cues.toml")["generic"]["en"])
_GENERIC_CHINESE = re.compile("|".join(sorted(word_list("cues.toml")["generic"]["zh"], key=len, reverse=True)))
_WORD = re.compile(r"[a-z0-9][a-z0-9'’-]*|[\u3400-\u9fff]+", re.IGNORECASE)


def content_words(text: str) -> list[str]:
    """The words of a text that name its subject: neither grammar nor what every question about customers says."""
    words: list[str] = []
    for word in _WORD.findall(text):
        if word[0].isascii():
            if word.lower().replace("’", "'").removesuffix("'s") not in _GENERIC_ENGLISH:
                words.append(word)
        else:
            words += [part for part in _GENERIC_CHINESE.split(word) if part]
    return words


def language_asked(text: str) -> tuple[Language, ...]:
    """The languages whose users the question names."""
    asked: tuple[tuple[Cue, Language], ...] = ((SPEAKS_CHINESE, "zh"), (SPEAKS_ENGLISH, "en"))
    return tuple(language for found, language in asked if found.found(text))
