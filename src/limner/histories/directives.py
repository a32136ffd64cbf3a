"""Texts that speak to a machine: instructions to a model, orders to label, chat mark-up, templates, faked lines.

A customer's text is data. One that tries to be more than that is shown to no model and proves nothing about anybody,
however much a model would obey it; it stays in the workspace and is counted. That people hardly ever write so is
measured on real reviews (docs/evidence.md), so nothing of theirs is lost.
"""

from __future__ import annotations

import base64
import binascii
import re
import tomllib
import unicodedata
from functools import cache, lru_cache
from importlib.resources import files

LONGEST_LOOKED_AT = 20_000
"""Characters of a text that are looked at, from its beginning and as many from its end: beyond them nothing is read."""

_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{24,4000}={0,2}")
_SPACED = re.compile(r"(?<!\w)(?:\w[ .\-_*]){5,}\w(?!\w)")
_SPACES = re.compile(r"[^\S\n]+")
_LINES = re.compile(r"\s*\n\s*")
_QUOTES = str.maketrans("‘’“”「」『』〔〕【】", '\'\'""""""[][]')
_STARTS = r"(?:^|(?<=\n)|(?<=[.!?。！？;；:][ ]))"


@lru_cache(maxsize=50_000)
def directive_in(text: str) -> str | None:
    """What sort of speech to a machine a text has: `instructions`, `labelling` or `markup`; None if it has none.

    Looked for in the text with compatibility forms, case, white space and quote marks evened out and invisible and
    direction-changing characters taken out; also in words written letter by letter, and in base64. Linear in the
    text's length.
    """
    if len(text) > 2 * LONGEST_LOOKED_AT:
        text = text[:LONGEST_LOOKED_AT] + "\n" + text[-LONGEST_LOOKED_AT:]
    plain = _plain(text)
    found = _matched(plain)
    if found:
        return found
    joined = _SPACED.sub(lambda m: re.sub(r"[ .\-_*]", "", m[0]), plain)
    if joined != plain and (found := _matched(joined) or _matched_unspaced(joined)):
        return found
    return next((sort for inner in _decoded(text) if (sort := _matched(_plain(inner)))), None)


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).translate(_QUOTES).casefold()
    shown = "".join(c for c in folded if c == "\n" or unicodedata.category(c) not in ("Cf", "Cc", "Co", "Cn", "Mn"))
    return _LINES.sub("\n", _SPACES.sub(" ", shown)).strip()


def _matched(plain: str) -> str | None:
    return next((sort for sort, pattern in _patterns() if pattern.search(plain)), None)


def _matched_unspaced(plain: str) -> str | None:
    """Whole sentences written letter by letter have no spaces left between words."""
    squeezed = re.sub(r"[^\w]", "", plain)
    return (
        "instructions" if re.search(r"(?:ignore|disregard|forget)\w{0,20}(?:instructions|prompt)", squeezed) else None
    )


def _decoded(text: str) -> list[str]:
    """What runs of base64 in a text say, those that say text."""
    found = []
    for match in _ENCODED.finditer(text):
        run = match[0].rstrip("=").replace("-", "+").replace("_", "/")
        try:
            said = base64.b64decode(run[: len(run) // 4 * 4], validate=True).decode("utf-8", "ignore")
        except (binascii.Error, ValueError):
            continue
        if len(said) >= 12 and sum(c.isprintable() for c in said) > 0.95 * len(said):
            found.append(said)
    return found


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    lists = tomllib.loads(files("limner.histories").joinpath("directives.toml").read_text(encoding="utf-8"))
    return [
        (sort, re.compile("|".join([*rules["any"], *(_STARTS + rule for rule in rules["start"])])))
        for sort, rules in lists.items()
    ]
