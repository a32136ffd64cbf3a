"""The words and patterns of one language from which cases are made (`english.toml`, `chinese.toml`)."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict

from limner.evals.altered.case import Lang, Pole, Truth

FILES: Mapping[Lang, str] = {"en": "english.toml", "zh": "chinese.toml"}


class _Typed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Clear(_Typed):
    """Opinions whose feeling is plain."""

    positive: tuple[str, ...]
    negative: tuple[str, ...]


class Between(_Typed):
    """What may stand between an aspect and its opinion, and behind both, where they are one statement."""

    aspect_first: str
    opinion_first: str
    behind: str


class Negated(_Typed):
    """Pairs of pattern and replacement that turn an opinion round, or take the negator off a negated one."""

    forms: tuple[tuple[str, str], ...]
    removed: tuple[tuple[str, str], ...]


class Natural(_Typed):
    """A pattern searched in real reviews; `claim` is filled with its groups."""

    kind: str
    pattern: str
    claim: str
    polarity: Pole | None = None
    truth: Truth = "altered"


class Frame(_Typed):
    """A sentence put behind a real text, filled with an aspect and an opinion."""

    kind: str
    sentence: str
    quote: str
    claim: str


class Figures(_Typed):
    """How numbers with units and dates are found, changed, and written otherwise."""

    pattern: str
    before: int
    dates: str
    months: tuple[str, ...]
    date_claim: str
    date_written: str
    units: dict[str, str]


class Swaps(_Typed):
    """Words that take a word's place where a quote is altered."""

    words: tuple[str, ...]


class Wording(_Typed):
    """Everything of one language."""

    breaks: str
    sentence_ends: str
    joiner: Literal["", " "]
    unsafe: str
    negator: str
    vague: str
    between: Between
    clear: Clear
    negated: Negated
    natural: tuple[Natural, ...]
    frame: tuple[Frame, ...]
    near: dict[str, tuple[str, ...]]
    figures: Figures
    swaps: Swaps

    def pole(self, opinion: str) -> Pole | None:
        """The feeling of an opinion, if it is plain."""
        if opinion in self.clear.positive:
            return "positive"
        return "negative" if opinion in self.clear.negative else None


@cache
def wording(lang: Lang) -> Wording:
    """The wording of a language."""
    source = files("limner.evals.altered").joinpath(FILES[lang]).read_text(encoding="utf-8")
    return Wording.model_validate(tomllib.loads(source))


def around(text: str, start: int, end: int, ends: str) -> tuple[int, int]:
    """Offsets of the clause or sentence that holds `text[start:end]`, where `ends` is what ends one."""
    first, last = 0, len(text)
    for found in re.finditer(ends, text):
        if found.end() <= start:
            first = found.end()
        elif found.start() >= end:
            last = found.start()
            break
    return first, last


def squash(text: str) -> str:
    """A text without width, case, white space and punctuation: what no writing of it can change."""
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())


def other(pole: Pole) -> Pole:
    """The other feeling."""
    return "negative" if pole == "positive" else "positive"
