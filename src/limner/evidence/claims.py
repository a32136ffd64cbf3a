"""A claim taken apart: the words that must be found in the quote, what it denies, what it feels, its figures."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from limner.evidence.figures import Figure
from limner.evidence.passage import Passage, read_passage
from limner.evidence.wordlists import segments, stem, word_lists

DENIERS = frozenset("不没無无未非别勿莫")
"""Chinese characters that deny what follows in a word."""

SHORTEST = 3
"""Letters of a framing word that can be all that a claim says are more than this (`this product`)."""

_LATIN = re.compile(r"[a-z0-9\u00df-\u024f]+")
_EXISTENCE = frozenset(["有", "has", "have", "had", "there", "includes"])
_EXTENT = frozenset(["很", "非常", "太", "挺", "超", "真", "最", "蛮", "好"])


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a claim that says something.

    Attributes:
        text: The word, folded.
        stem: Its common form; of a Chinese word the word.
        denied: Whether the claim denies it.
        judges: Whether it says a feeling by itself.
        standard: Whether the claim names it as what something is compared with.
        generic: Whether it says too little to be missed (`quality`, `life`).
        wide: Whether it is Chinese.
    """

    text: str
    stem: str
    denied: bool
    judges: bool
    standard: bool
    generic: bool
    wide: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim, taken apart.

    Attributes:
        words: What must be found, in order.
        figures: Its numbers and dates.
        sign: +1 or -1 if it says a feeling by itself, 0 if not or both.
        denies: Whether it holds a negator of its own.
        exists: Whether it says that something is there.
        stances: Why it is no plain statement itself (`stance`), if it is not.
    """

    words: tuple[Word, ...]
    figures: tuple[Figure, ...]
    sign: int
    denies: bool
    stances: frozenset[str]
    exists: bool


@lru_cache(maxsize=4096)
def read_claim(text: str) -> Claim:
    """Takes a claim apart."""
    passage = read_passage(text)
    words = tuple(_words(passage) or _words(passage, bare=True))
    signs = {opinion.sign for opinion in passage.opinions}
    sure = tuple(f for f in passage.figures if f.sure)
    return Claim(
        words,
        sure,
        signs.pop() if len(signs) == 1 else 0,
        any(word.denied for word in words) or _has_negator(passage),
        frozenset(stretch.why for stretch in passage.stretches),
        any(t.text in _EXISTENCE for c in passage.clauses for t in c.tokens),
    )


def _compares(passage: Passage, at: int) -> bool:
    """Whether the claim itself holds a comparison before an offset."""
    tokens = [t for c in passage.clauses for t in c.tokens if t.start < at]
    return any("standards" in t.tags or t.text == "as" for t in tokens)


def _has_negator(passage: Passage) -> bool:
    return any(t.tags & {"negators", "undoing"} for c in passage.clauses for t in c.tokens)


def _words(passage: Passage, *, bare: bool = False) -> list[Word]:
    """The words that must be found; for a `bare` claim (`this product`) also those that only frame it."""
    counted = {at for f in passage.figures for at in range(f.start, f.end)}
    english = word_lists("en").sections
    found = []
    for token in (raw for c in passage.clauses for t in c.tokens for raw in (t.parts or [t])):
        word, at = token.text, token.start
        if not _LATIN.fullmatch(word) or len(word) < 2 or at in counted:
            continue
        if (word in english["framing"] and not (bare and len(word) > SHORTEST)) or word in _SILENT:
            continue
        generic = word in english["generic"] or stem(word) in _undoing()
        found.append((at, word, stem(word), generic, False))
    for start, word in segments(passage.text):
        if start in counted:
            continue
        found += [(start + at, part, part, generic, True) for at, part, generic in _parts(word, bare)]
    found.sort()
    judged = {at: any(o.start < at + len(word) and at < o.end for o in passage.opinions) for at, word, *_ in found}
    needed = any(not generic and not judged[at] for at, _, _, generic, _ in found)
    return [
        Word(
            word,
            base,
            denied=passage.denied[at + len(word) - 1] % 2 == 1,
            judges=judged[at],
            standard=passage.zones[at] > 0 and _compares(passage, at),
            generic=generic and needed,
            wide=wide,
        )
        for at, word, base, generic, wide in found
    ]


_SILENT = frozenset("and or but not no never without none nothing cannot neither nor ever because since".split())


@lru_cache(maxsize=1)
def _undoing() -> frozenset[str]:
    return frozenset(stem(word) for word in word_lists("en").sections["undoing"] if " " not in word)


def _parts(word: str, bare: bool) -> list[tuple[int, str, bool]]:
    """What of a Chinese word says something: offset, the part, and whether it is generic."""
    chinese = word_lists("zh").sections
    framing = word in chinese["framing"] and not (bare and len(word) > 1)
    if framing or word in chinese["negators"] or word in chinese["contrast"]:
        return []
    at = 0
    while at < len(word) - 1 and (word[at] in DENIERS or word[at] in _EXTENT) and word not in chinese["neutral"]:
        at += 1
    part = word[at:]
    if part in chinese["framing"] and part != word and not bare:
        return []
    return [(at, part, part in chinese["generic"] or part in chinese["undoing"])]
