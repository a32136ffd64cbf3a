"""Where the words of a claim stand in the clauses of a passage."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from limner.evidence.claims import Word
from limner.evidence.passage import Passage
from limner.evidence.wordlists import Token, stem, word_lists

SHARED_LETTERS = 0.7
"""Share of the longer of two English words that both must begin with to count as one word."""

_LATIN = re.compile(r"[a-z0-9\u00df-\u024f]+")


@dataclass(frozen=True, slots=True)
class Hit:
    """One place where a word of a claim stands.

    Attributes:
        start, end: Where, in the passage.
        denied: Whether the passage denies it there.
        clause: Number of the clause.
    """

    start: int
    end: int
    denied: bool
    clause: int


def hits(word: Word, passage: Passage, clause: int) -> list[Hit]:
    """Every place where a word of a claim stands in one clause, in any form of the word."""
    found = _wide_hits(word, passage, clause) if word.wide else _latin_hits(word, passage, clause)
    return list(found)


def _latin_hits(word: Word, passage: Passage, clause: int) -> Iterator[Hit]:
    start, end = passage.clauses[clause].start, passage.clauses[clause].end
    for match in _LATIN.finditer(passage.text, start, end):
        turned = _related(word, match[0])
        if turned is not None:
            denied = passage.denied[match.end() - 1] + turned
            yield Hit(match.start(), match.end(), denied % 2 == 1, clause)


def _related(word: Word, other: str) -> int | None:
    """0 if two English words are forms of one, 1 if one is the other turned round (`uncomfortable`), else None."""
    base = stem(other)
    if base == word.stem or _alike(word.text, other):
        return 0
    for prefix in word_lists("en").sections["unlike"]:
        for longer, shorter in ((other, word.text), (word.text, other)):
            if longer.startswith(prefix) and len(shorter) > 3 and stem(longer[len(prefix) :]) == stem(shorter):
                return 1
    return None


def _alike(one: str, other: str) -> bool:
    shorter, longer = sorted((one, other), key=len)
    if len(shorter) < 4:
        return False
    common = next((i for i, (a, b) in enumerate(zip(shorter, longer, strict=False)) if a != b), len(shorter))
    return common >= 4 and common >= SHARED_LETTERS * len(longer)


def _wide_hits(word: Word, passage: Passage, clause: int) -> Iterator[Hit]:
    start, end = passage.clauses[clause].start, passage.clauses[clause].end
    at = passage.text.find(word.text, start, end)
    whole = at >= 0
    while at >= 0:
        yield Hit(at, at + len(word.text), passage.denied[at + len(word.text) - 1] % 2 == 1, clause)
        at = passage.text.find(word.text, at + 1, end)
    if whole or len(word.text) < 2:
        return
    places = [passage.text.find(c, start, end) for c in word.text]
    there = [p for p in places if p >= 0]
    if len(there) == len(word.text) or (len(there) >= 2 and 3 * len(there) >= 2 * len(word.text)):
        last = max(there)
        yield Hit(min(there), last + 1, passage.denied[last] % 2 == 1, clause)


def token_at(passage: Passage, clause: int, at: int) -> Token | None:
    """The token of a clause that covers an offset."""
    return next((t for t in passage.clauses[clause].tokens if t.start <= at < t.end), None)
