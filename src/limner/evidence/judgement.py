"""Whether a quote proves a claim, judged by rules alone: no model, the same answer always.

    verdict = check(text, quote="recommend it", claim="would recommend")

The quote is found in the stored text, and the sentences around it are read, not only the quote: what stands outside it
can deny it. docs/evidence.md tells the rules in order.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from limner.evidence.claims import read_claim
from limner.evidence.clauses import sentence_around
from limner.evidence.finding import Place, folded_text
from limner.evidence.judge import Entails, Judge, Question
from limner.evidence.passage import read_passage
from limner.evidence.records import Polarity
from limner.evidence.verdict import Verdict, verdict
from limner.evidence.wordlists import stem

LONGEST_QUOTE = 4000
"""Characters. A longer quote points at nothing."""

LONGEST_CLAIM = 400
"""Characters of a claim that are read."""

_RANK = {"supported": 0, "contradicted": 1, "unsupported": 2}


def check(
    text: str,
    quote: str,
    claim: str | None,
    *,
    polarity: Polarity | None = None,
    lang: str | None = None,
    entails: Entails | None = None,
    allowed: Collection[str] = (),
    simplify: bool = True,
) -> Verdict:
    """Whether a quote from a text proves a claim about its writer.

    Args:
        text: The stored text, unchanged.
        quote: What is given as the proof.
        claim: A short label ("battery life") or a statement ("The customer would recommend it"). None if only the quote
            as a whole is judged: who says it, whether it is said to be so, and whether it feels as `polarity` says.
        polarity: How the writer is said to feel about it; None if the claim stands alone.
        lang: Language of the text; both languages are always read, so that it is needed for nothing yet.
        entails: Asked about a quote and a claim that share no word; without it such a claim is unsupported.
        allowed: Stances that are no objection: a wish is one where an intent is claimed (`asked`, `wished`, ...).
        simplify: Whether a quote in traditional characters is found in simplified ones and the other way round.

    Returns:
        The verdict of the occurrence of the quote that fits best, with its place in `text`.
    """
    del lang
    if not quote.strip():
        return verdict("empty_quote")
    if claim is not None and not claim.strip():
        return verdict("empty_claim")
    if len(quote) > LONGEST_QUOTE:
        return verdict("quote_too_long")
    folded = folded_text(text, simplify)
    places = folded.places(quote)
    if not places:
        return verdict("quote_not_in_text")
    return _best(text, places, Question(claim, polarity, entails, frozenset(allowed)))


def check_place(
    text: str,
    start: int,
    end: int,
    claim: str | None,
    *,
    polarity: Polarity | None = None,
    allowed: Collection[str] = (),
) -> Verdict:
    """As `check`, for a quote whose place is known: `text[start:end]`."""
    if not text[start:end].strip():
        return verdict("empty_quote")
    if claim is not None and not claim.strip():
        return verdict("empty_claim")
    if end - start > LONGEST_QUOTE:
        return verdict("quote_too_long", start, end)
    return _best(text, [Place(start, end, True)], Question(claim, polarity, None, frozenset(allowed)))


def _best(text: str, places: Sequence[Place], asked: Question) -> Verdict:
    """The verdict of the place that fits best, the first of several."""
    taken = read_claim((asked.claim or "")[:LONGEST_CLAIM])
    best: Verdict | None = None
    seen: dict[tuple[str, int, int], str] = {}
    for place in places:
        around = sentence_around(text, place.start, place.end)
        key = (text[around.start : around.end], place.start - around.start, place.end - around.start)
        if asked.claim is not None and cuts_a_word(text, place):
            found = verdict("part_of_a_word", place.start, place.end)
        else:
            if key not in seen:
                seen[key] = Judge(read_passage(key[0]), key[1], key[2], taken, asked).reason()
            found = verdict(seen[key], place.start, place.end)
        if best is None or _RANK[found.status] < _RANK[best.status]:
            best = found
        if found.supported:
            break
    assert best is not None
    return best


def cuts_a_word(text: str, place: Place) -> bool:
    """Whether a quote begins inside a word or a number, or ends in one but for a common ending (`recommend|ed`)."""
    first, last = text[place.start], text[place.end - 1]
    before, after = text[place.start - 1 : place.start], text[place.end : place.end + 1]
    if _letter(first) and _letter(before):
        return True
    if (first.isdigit() and _in_number(text, place.start)) or (last.isdigit() and _in_number(text, place.end)):
        return True
    if not (_letter(last) and _letter(after)):
        return False
    start = end = place.end
    while start > 0 and _letter(text[start - 1]) and place.end - start < 40:
        start -= 1
    while end < len(text) and _letter(text[end]) and end - place.end < 40:
        end += 1
    return stem(text[start : place.end].lower()) != stem(text[start:end].lower())


_PARTED = re.compile(r"\d[.:]\d|\d,\d{3}(?!\d)")


def _in_number(text: str, at: int) -> bool:
    """Whether a number goes on over an offset; `4,5天` are two, 1,500 is one."""
    if text[at - 1 : at].isdigit() and text[at : at + 1].isdigit():
        return at > 0
    return any(at > p >= 0 and _PARTED.match(text, p) is not None and p + 2 >= at for p in (at - 2, at - 1))


def _letter(character: str) -> bool:
    return character.isalpha() and ord(character) < 0x2E80
