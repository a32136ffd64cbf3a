"""When two labels say the same: their common form, and what keeps near neighbours apart.

An embedding puts `fast delivery` beside `slow delivery` and a 12-string guitar beside a 6-string one. So words decide
first: labels with different numbers or opposite qualities are never one, and a label that only adds a word to another
(`hotel breakfast`, `breakfast`) is at most proposed.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

_ARTICLE = re.compile(r"^(?:the|a|an|this|that|these|those|my|your|his|her|its|our|their)\s+")
_WORD = re.compile(r"[a-z\u00c0-\u024f]+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*|[一两二三四五六七八九十百千]+(?=[个件条弦寸升斤克米口人层年月天周岁集部本季次])")
_MODEL = re.compile(r"[a-z]*\d[a-z\d]*")
_WIDE = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]+")

_STOPWORDS = frozenset(
    "the a an this that these those my your his her its our their of for with in on at to from by and or is are was"
    " were it very too so pair bit some really how".split()
)
_FILLERS = re.compile("[的了很太真挺蛮和与吧呢啊吗]|非常|特别|比较|有点")

Likeness = Literal["same", "open", "narrower", "different"]
"""What the words alone say of two labels: the same words, nothing against it, one only adds words to the other or names
a quality that the other does not, or they cannot be the same."""


@cache
def canonical(label: str) -> str:
    """The form under which labels count as the same: no width, case, articles, edge punctuation or plural `s`."""
    folded = unicodedata.normalize("NFKC", label).casefold()
    folded = re.sub(r"[\s_]+", " ", folded).strip(" \t.,;:!?。，；：！？\"'")
    folded = _ARTICLE.sub("", folded)
    return re.sub(r"(?<=[a-z]{3}[^s\W])s$", "", folded)


@dataclass(frozen=True, slots=True)
class Wording:
    """What a label's words say, as far as it keeps labels apart.

    Attributes:
        words: English words in their base form and the Chinese text without fillers.
        numbers: Numbers and model names with a digit.
        poles: Qualities named, as (axis, pole).
    """

    words: frozenset[str]
    numbers: frozenset[str]
    poles: frozenset[tuple[str, str]]


def likeness(one: str, other: str) -> Likeness:
    """What the words of two labels say about whether they are the same, whatever an embedding says."""
    a, b = wording(one), wording(other)
    if a.numbers != b.numbers or any((axis, _OPPOSITE[pole]) in b.poles for axis, pole in a.poles):
        return "different"
    if a.words == b.words and a.words:
        return "same"
    if a.poles != b.poles or a.words < b.words or b.words < a.words or _one_adds(one, other):
        return "narrower"
    return "open"


_OPPOSITE = {"low": "high", "high": "low"}


@cache
def wording(label: str) -> Wording:
    """The words, numbers and qualities of a label."""
    text = canonical(label)
    models = frozenset(_MODEL.findall(text))
    plain = _MODEL.sub(" ", text)
    words = {_base(word) for word in _WORD.findall(plain) if word not in _STOPWORDS}
    words |= {_FILLERS.sub("", run) for run in _WIDE.findall(plain)} - {""}
    return Wording(frozenset(words), models | frozenset(_NUMBER.findall(text)), _poles(text))


def _base(word: str) -> str:
    """A word without the endings that only inflect it."""
    for ending, instead in (("ies", "y"), ("sses", "ss"), ("s", "")):
        if word.endswith(ending) and len(word) > len(ending) + 2 and not word.endswith(("ss", "us", "is")):
            return word[: -len(ending)] + instead
    return word


def _one_adds(one: str, other: str) -> bool:
    """Whether one Chinese label is the other with more around it: 话筒架 and 话筒."""
    a, b = (_FILLERS.sub("", canonical(label)) for label in (one, other))
    return bool(_WIDE.search(a) and _WIDE.search(b)) and (a in b or b in a)


def _poles(text: str) -> frozenset[tuple[str, str]]:
    for word in _neutral():
        text = text.replace(word, " ")
    words = set(_WORD.findall(text))
    found = {(axis, pole) for axis, pole, word in _english() if word in words}
    rest = text
    for axis, pole, word in _chinese():
        if word in rest:
            found.add((axis, pole))
            rest = rest.replace(word, " ")
    return frozenset(found)


@cache
def _opposites() -> dict[str, Any]:
    return tomllib.loads(files("limner.evidence").joinpath("opposites.toml").read_text(encoding="utf-8"))


@cache
def _neutral() -> tuple[str, ...]:
    return tuple(_opposites()["neutral"])


@cache
def _axes() -> tuple[tuple[str, str, str], ...]:
    raw = _opposites()
    return tuple((axis["name"], pole, word) for axis in raw["axis"] for pole in _OPPOSITE for word in axis[pole])


@cache
def _english() -> tuple[tuple[str, str, str], ...]:
    return tuple(entry for entry in _axes() if not _WIDE.search(entry[2]))


@cache
def _chinese() -> tuple[tuple[str, str, str], ...]:
    """The longest first, so that 不好 is read before 好 and 不."""
    return tuple(sorted((e for e in _axes() if _WIDE.search(e[2])), key=lambda e: (-len(e[2]), e[2])))
