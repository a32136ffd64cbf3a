"""A lexicon baseline: opinion words and aspect terms counted in a train part, looked up clause by clause."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from limner.evals.opinions_gold import AspectCase, Lang

NEGATORS: dict[Lang, re.Pattern[str]] = {
    "zh": re.compile(r"(?:不是很|不太|不怎么|不够|不|没有|没|无|别)$"),
    "en": re.compile(r"(?i)(?:\b(?:not|no|never|hardly|without|isn't|wasn't|doesn't|don't|didn't)(?: \w+)?)\s*$"),
}
"""What turns an opinion round when it stands right before it."""


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Words and what they meant most often.

    Attributes:
        lang: The language.
        opinions: Opinion words to whether they were positive more often than negative.
        terms: Aspect terms.
    """

    lang: Lang
    opinions: dict[str, bool]
    terms: frozenset[str]
    _pattern: re.Pattern[str] | None = field(default=None, repr=False)

    @classmethod
    def learnt(cls, lang: Lang, cases: Iterable[AspectCase]) -> Lexicon:
        """Counts the opinion words and aspect terms of the cases."""
        counted: dict[str, Counter[bool]] = {}
        terms: set[str] = set()
        for case in cases:
            for gold in case.opinions:
                if gold.opinion:
                    counted.setdefault(gold.opinion.casefold(), Counter())[gold.positive] += 1
                if gold.aspect:
                    terms.add(gold.aspect.casefold())
        opinions = {word: counts[True] >= counts[False] for word, counts in counted.items()}
        return cls(lang, opinions, frozenset(terms), _any_of(lang, opinions))

    def feeling(self, clause: str) -> bool | None:
        """Whether the opinion words of a clause are mostly positive; None if it has none."""
        if self._pattern is None:
            return None
        said = clause.casefold()
        votes = 0
        for match in self._pattern.finditer(said):
            positive = self.opinions[match.group()]
            if NEGATORS[self.lang].search(said[: match.start()]):
                positive = not positive
            votes += 1 if positive else -1
        return votes > 0 if votes else None

    def aspects(self, clause: str) -> list[str]:
        """The known aspect terms in a clause, longer ones before parts of them."""
        pattern = _any_of(self.lang, self.terms)
        return [] if pattern is None else list(dict.fromkeys(m.group() for m in pattern.finditer(clause.casefold())))


def _any_of(lang: Lang, words: Iterable[str]) -> re.Pattern[str] | None:
    """A pattern that finds any of the words, the longest first; whole words in English."""
    ordered: Sequence[str] = sorted(words, key=lambda word: (-len(word), word))
    if not ordered:
        return None
    joined = "|".join(map(re.escape, ordered))
    return re.compile(joined if lang == "zh" else rf"(?<!\w)(?:{joined})(?!\w)")
