"""Cases from the words of real reviews: patterns that a person would read in one way only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random

from limner.evals.altered.case import Case
from limner.evals.altered.material import Material, Review
from limner.evals.altered.wording import Natural, Wording, around, squash, wording


def natural(material: Material, random: Random) -> Iterator[Case]:
    """Cases of every pattern of the language's wording, the patterns taken in turn."""
    words = wording(material.lang)
    streams = [_found(one, material, words, random) for one in words.natural]
    while streams:
        for stream in list(streams):
            case = next(stream, None)
            if case is None:
                streams.remove(stream)
            else:
                yield case


def _found(rule: Natural, material: Material, words: Wording, random: Random) -> Iterator[Case]:
    pattern = re.compile(rule.pattern)
    for review in random.sample(material.reviews, len(material.reviews)):
        match = pattern.search(review.text)
        if match is None or not _usable(rule, review, match, words):
            continue
        groups = {name: value or "" for name, value in match.groupdict().items()}
        claim = " ".join(rule.claim.format(**groups).split()).strip("\"'“”* ")
        yield Case(
            text=review.text,
            quote=match["quote"].strip(),
            claim=claim,
            polarity=rule.polarity,
            lang=material.lang,
            truth=rule.truth,
            kind=rule.kind,
        )


def _usable(rule: Natural, review: Review, match: re.Match[str], words: Wording) -> bool:
    """Whether nothing beside the match spoils what the pattern says of it."""
    text = review.text
    if squash(text).count(squash(match["quote"])) != 1:
        return False
    ends = words.sentence_ends if rule.truth == "true" else words.breaks
    first, last = around(text, match.start(), match.end(), ends)
    beside = text[first : match.start()] + " | " + text[match.end() : last]
    asked = "?" in text[match.end() : last + 2] or "？" in text[match.end() : last + 2]
    if asked or "吗" in beside:
        return False
    if rule.truth == "true":
        agrees = rule.polarity is None or review.positive is (rule.polarity == "positive")
        inside = rule.kind == "plain_words" and re.search(words.negator, match["quote"].replace("stopped", ""))
        return agrees and not inside and not re.search(words.unsafe, beside)
    return not re.search(words.negator, beside)
