"""Cases about the quote itself: from another text, with a word altered, or only written otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from random import Random

from limner.evals.altered.case import Case
from limner.evals.altered.material import Material
from limner.evals.altered.opinions import clear, label, shuffled
from limner.evals.altered.wording import squash, wording


def other_text(material: Material, random: Random) -> Iterator[Case]:
    """Altered: the quote proves the claim, but somebody else wrote it."""
    words = wording(material.lang)
    pool = clear(material)
    for gold in shuffled(pool, random):
        host = random.choice(pool)
        if squash(gold.quote) not in squash(host.text):
            yield Case(
                text=host.text,
                quote=gold.quote,
                claim=label(gold, words),
                polarity=gold.polarity,
                lang=material.lang,
                truth="altered",
                kind="other_text",
            )


def quote_altered(material: Material, random: Random) -> Iterator[Case]:
    """Altered: one word of the quote is not the text's."""
    words = wording(material.lang)
    for gold in shuffled(clear(material), random):
        swap = random.choice(words.swaps.words)
        wrong = random.choice([gold.aspect, gold.opinion])
        quote = gold.quote.replace(wrong, swap, 1)
        if squash(quote) not in squash(gold.text):
            yield Case(
                text=gold.text,
                quote=quote,
                claim=label(gold, words),
                polarity=gold.polarity,
                lang=material.lang,
                truth="altered",
                kind="quote_altered",
            )


def written_otherwise(material: Material, random: Random) -> Iterator[Case]:
    """True: the quote differs in width, case, white space or quote marks only."""
    words = wording(material.lang)
    ways = sorted(WAYS)
    turn = 0
    for gold in shuffled(clear(material), random):
        way = ways[turn % len(ways)]
        quote = WAYS[way](gold.quote)
        if quote != gold.quote and squash(quote) == squash(gold.quote):
            turn += 1
            yield Case(
                text=gold.text,
                quote=quote,
                claim=label(gold, words),
                polarity=gold.polarity,
                lang=material.lang,
                truth="true",
                kind=f"quote_{way}",
            )
        elif not re.search(r"[a-z0-9]", gold.quote):
            turn += 1


def _wide(text: str) -> str:
    """Full-width letters, digits and signs."""
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def _spaced(text: str) -> str:
    """Other white space; between Chinese characters a space that is not there."""
    return re.sub(r"(?<=[一-鿿])(?=[一-鿿])", " ", re.sub(r"\s+", "  ", text), count=1)


WAYS: dict[str, Callable[[str], str]] = {
    "in_capitals": str.upper,
    "full_width": _wide,
    "other_white_space": _spaced,
    "in_quote_marks": lambda text: f"“{text}”",
}
"""Ways of writing that change no meaning."""
