"""A text in the one form that quotes are looked up in, with the way back to every original character.

Folding takes away only what does not change meaning: Unicode compatibility forms, full and half width, case, runs of
white space, invisible characters, the shape of quote marks and dashes and, if asked for, traditional characters.
Superscripts, fractions and circled digits stay: 10² is not 102.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any

_QUOTES = dict.fromkeys("“”„‟«»「」『』〝〞＂", '"') | dict.fromkeys("‘’‚‛`´＇ʼ", "'")
_DASHES = dict.fromkeys("‐‑‒–—―−﹣－﹘─", "-")
_KEPT_FORMS = ("<super>", "<sub>", "<fraction>", "<circle>")

WIDE = r"\u2e80-\u2fdf\u3001-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uffee"
"""Chinese characters and wide punctuation: white space beside them says nothing."""

_wide = re.compile(f"[{WIDE}]")
_han = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")


@lru_cache(maxsize=65536)
def fold_cluster(cluster: str) -> str:
    """One character with its combining marks, folded; a space for white space, nothing for what cannot be seen."""
    if cluster.isspace():
        return " "
    first = cluster[0]
    if first in _QUOTES:
        return _QUOTES[first]
    if first in _DASHES:
        return "-"
    if unicodedata.category(first) in ("Cf", "Cc", "Cs") or "\ufe00" <= first <= "\ufe0f":
        return ""
    if unicodedata.decomposition(first).startswith(_KEPT_FORMS):
        return cluster
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", cluster).casefold())
    return folded.replace("i\u0307", "i").replace("‘", "'").replace("’", "'")


def clusters(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each character of a text with the combining marks behind it."""
    start = 0
    for at in range(1, len(text) + 1):
        if at == len(text) or not unicodedata.combining(text[at]):
            yield start, at
            start = at


def fold(text: str, *, simplify: bool = True) -> tuple[str, list[int], list[int]]:
    """The folded text and, for each of its characters, where the character it comes from starts and ends.

    Args:
        text: Any text.
        simplify: Whether traditional characters become simplified ones.
    """
    table = simplified(frozenset(_han.findall(text))) if simplify else {}
    out: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for start, end in [(i, i + 1) for i in range(len(text))] if text.isascii() else clusters(text):
        character = text[start:end]
        folded = table.get(character) or fold_cluster(character)
        if folded in (" ", "-") and out and out[-1] == folded:
            ends[-1] = end
            continue
        if folded and out and out[-1] == " " and (_wide.match(folded) or (len(out) > 1 and _wide.match(out[-2]))):
            out.pop(), starts.pop(), ends.pop()
            if folded == "-" and out and out[-1] == "-":
                ends[-1] = end
                continue
        for part in folded:
            out.append(part)
            starts.append(start)
            ends.append(end)
    return "".join(out), starts, ends


@lru_cache(maxsize=256)
def simplified(characters: frozenset[str]) -> dict[str, str]:
    """The simplified form of each traditional character among some Chinese ones."""
    if not characters:
        return {}
    return {c: s for c in characters if (s := _simple(c)) != c}


@lru_cache(maxsize=65536)
def _simple(character: str) -> str:
    converted: str = _converter().convert(character)
    return converted if len(converted) == 1 else character


@cache
def _converter() -> Any:
    from opencc import OpenCC

    return OpenCC("t2s")


@lru_cache(maxsize=65536)
def _plain_character(character: str) -> str:
    if character.isspace():
        return " " if character != "\n" else "\n"
    if _han.match(character):
        return _simple(character)
    folded = fold_cluster(character)
    return folded if len(folded) == 1 else character.lower()[:1] or character


def plain(text: str) -> str:
    """The text folded character for character, so that all offsets stay: for reading, not for finding."""
    return text.lower() if text.isascii() else "".join(map(_plain_character, text))
