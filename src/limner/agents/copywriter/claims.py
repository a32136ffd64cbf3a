"""Claims that copy must not make: absolute words never, others only where the product sheet makes them too."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from limner.agents.quantities import fold


@dataclass(frozen=True, slots=True)
class Claims:
    """The word lists of `claims.toml`, compiled."""

    absolute: re.Pattern[str]
    harmless: re.Pattern[str]
    supported: tuple[re.Pattern[str], ...]


def _pattern(words: Mapping[str, Sequence[str]]) -> re.Pattern[str]:
    en, zh = ("|".join(sorted(words[lang], key=len, reverse=True)) for lang in ("en", "zh"))
    return re.compile(rf"(?<![\w])(?:{en})(?![\w])|{zh}", re.IGNORECASE | re.ASCII)


@cache
def claims() -> Claims:
    """Reads the word lists."""
    given = tomllib.loads(files("limner.agents.copywriter").joinpath("claims.toml").read_text(encoding="utf-8"))
    return Claims(
        _pattern(given["absolute"]), _pattern(given["not_absolute"]), tuple(_pattern(g) for g in given["supported"])
    )


def absolute_words(text: str, name: str = "") -> list[str]:
    """Absolute words in a text, the product's own name and harmless words (最近) aside, in order, without repeats."""
    rest = claims().harmless.sub(" ", fold(text).replace(fold(name), " ") if name else fold(text))
    return list(dict.fromkeys(match[0] for match in claims().absolute.finditer(rest)))


def unsupported_claims(text: str, sheet: str) -> list[str]:
    """Claims in a text that the product sheet does not make."""
    folded, given = fold(text), fold(sheet)
    found = []
    for group in claims().supported:
        if not group.search(given):
            found += [match[0] for match in group.finditer(folded)]
    return list(dict.fromkeys(found))
