"""The fixed words of every report (`words.toml`), and the words for a confidence."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from limner.reports.wording import clean

if TYPE_CHECKING:
    from limner.evidence.records import Trait

LANGUAGES = ("en", "zh")

Words = Mapping[str, Mapping[str, str]]
"""Word by group (`kind`, `polarity`, `ui`, ...) and key."""


@dataclass(frozen=True, slots=True)
class ConfidenceWord:
    """The key of the word for a confidence of `at_least` or more."""

    key: str
    at_least: float


CONFIDENCE_WORDS = (ConfidenceWord("strong", 0.8), ConfidenceWord("fair", 0.6), ConfidenceWord("weak", 0.0))
"""The strongest first. People read three steps; the number stands beside the word for those who want it."""

KIND_ORDER = ("interest", "preference", "need", "intent", "sentiment", "objection")
"""The order in which kinds of traits are shown: what a person is about first, what stands in the way last."""

POLARITY_SIGNS: Mapping[str, str] = {"positive": "▲", "negative": "▼", "mixed": "◆", "neutral": "●"}
"""A shape beside the colour, for those who do not see the colour."""


@cache
def all_words() -> Mapping[str, Words]:
    """The words of every language."""
    loaded: Mapping[str, Words] = tomllib.loads(files("limner.reports").joinpath("words.toml").read_text("utf-8"))
    return loaded


def language(lang: str | None) -> str:
    """The report language for a language code: Chinese for any `zh`, English for all else."""
    return "zh" if (lang or "").lower().startswith("zh") else "en"


def majority(languages: Iterable[str]) -> str:
    """The report language most of these codes ask for; English if none does, or half of them."""
    codes = [language(code) for code in languages]
    return "zh" if codes.count("zh") * 2 > len(codes) else "en"


def say(lang: str | None, key: str, *values: object) -> str:
    """A phrase of the interface, its numbered gaps filled."""
    return all_words()[language(lang)]["ui"][key].format(*values)


def word(lang: str | None, group: str, key: str) -> str:
    """A single word of a group; the key itself, spaced, where the group has no such word (a source's own kind)."""
    return all_words()[language(lang)][group].get(key, key.replace("_", " "))


def counted(lang: str | None, one: str, many: str, number: int) -> str:
    """A phrase with a count, in the singular where the language has one."""
    return say(lang, one) if number == 1 else say(lang, many, f"{number:,}")


def confidence_key(confidence: float | None) -> str:
    """The key of a confidence's word: `strong`, `fair`, `weak`, or `unknown` where there is none."""
    if confidence is None or not math.isfinite(confidence):
        return "unknown"
    return next((step.key for step in CONFIDENCE_WORDS if confidence >= step.at_least), "weak")


def status_marks(trait: Trait, lang: str | None) -> tuple[str, ...]:
    """What a trait's status adds to it; nothing for one that merely holds now.

    A superseded or expired one says since when, a declared one in which profile field.
    """
    if trait.status == "current":
        return ()
    marks = [word(lang, "status", trait.status)]
    if trait.closed is not None:
        marks.append(say(lang, "since", trait.closed.date().isoformat()))
    if trait.declared_in:
        marks.append(say(lang, "in_profile", clean(trait.declared_in, 40)))
    return tuple(marks)
