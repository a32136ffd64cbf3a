"""Whether a label's words stand in a quote."""

from __future__ import annotations

import re
import unicodedata

_LATIN_WORD = re.compile(r"[a-z0-9\u00c0-\u024f]+")
_WIDE = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u3041-\u30ff\uac00-\ud7a3]+")

_DOT = "\u0307"
"""The dot that case folding splits off a Turkish capital I."""

STEM = 4
"""Letters that two word forms must share at the beginning to count as one word (`noisy` and `noise`)."""

ENOUGH = 0.5
"""Share of a label's words that must stand in the quote."""


def shares_words(label: str, quote: str) -> bool:
    """Whether at least half of a label's words stand in a quote, in any inflected form, width and case.

    Latin words are equal if one begins with the first four letters of the other (shorter words: if they are equal);
    Chinese is compared by pairs of characters. A label without any word shares nothing.
    """
    wanted, there = _units(label), _units(quote)
    if not wanted:
        return False
    found = sum(1 for unit in wanted if unit in there or _any_form(unit, there))
    return found >= ENOUGH * len(wanted)


def _units(text: str) -> set[str]:
    """Latin words and pairs of Chinese characters (single characters where a run has one)."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace(_DOT, "")
    units = set(_LATIN_WORD.findall(folded))
    for run in _WIDE.findall(folded):
        units.update(run[i : i + 2] for i in range(max(1, len(run) - 1)))
    return units


def _any_form(unit: str, there: set[str]) -> bool:
    if _WIDE.match(unit):
        return len(unit) == 1 and any(unit in other for other in there)
    return len(unit) >= STEM and any(len(o) >= STEM and o[:STEM] == unit[:STEM] for o in there)
