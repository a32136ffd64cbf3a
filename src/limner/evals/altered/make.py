"""Makes the altered-claims suite: the same cases from the same folder, always."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from limner.evals.altered import figures, opinions, quotes, reviews
from limner.evals.altered.case import Case, Lang, exclusions, hand_written
from limner.evals.altered.material import Material, missing, read_material

LANGUAGES: tuple[Lang, ...] = ("en", "zh")
SEED = 20
EACH = 22
"""Cases of a kind in a language."""

SAME_CLAIM = 5
"""Cases of a rule that may make one and the same claim: half of all marked opinions are of the delivery."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One way of making cases; `kinds` may come of it."""

    make: Callable[[Material, Random], Iterator[Case]]
    kinds: tuple[str, ...]


RULES = (
    Rule(reviews.natural, ("cut_negator", "negation_removed", "hearsay", "comparison", "conditional")),
    Rule(opinions.negation_removed, ("negation_removed",)),
    Rule(opinions.negation_inserted, ("negation_inserted",)),
    Rule(opinions.polarity_flipped, ("polarity_flipped",)),
    Rule(figures.figures, ("number_changed", "unit_changed", "number_kept", "number_spelled")),
    Rule(figures.dates, ("date_changed", "date_kept", "date_written_otherwise")),
    Rule(quotes.other_text, ("other_text",)),
    Rule(quotes.quote_altered, ("quote_altered",)),
    Rule(opinions.framed, ("hearsay", "comparison", "conditional", "question")),
    Rule(opinions.other_aspect, ("other_aspect",)),
    Rule(opinions.unrelated, ("unrelated",)),
    Rule(opinions.marked_pair, ("marked_pair",)),
    Rule(opinions.marked_aspect, ("marked_aspect",)),
    Rule(opinions.marked_negated, ("marked_negated",)),
    Rule(opinions.near, ("near_hearsay", "near_negation", "near_question")),
    Rule(opinions.after_contrast, ("negated_neighbour",)),
    Rule(quotes.written_otherwise, tuple(f"quote_{way}" for way in quotes.WAYS)),
    Rule(reviews.natural, ("plain_words", "negated_words")),
)
"""All rules. Where two make one kind, each makes up to half of it."""


def make_suite(folder: Path | None, *, seed: int = SEED, each: int = EACH) -> list[Case]:
    """The suite of both languages.

    Args:
        folder: The evaluation data folder; without one (or without its files) only the hand-written cases are there.
        seed: Seed of every draw.
        each: Made cases of a kind and language, at most.

    Returns:
        Hand-written cases first, then made ones by language and rule; no case twice.
    """
    cases = list(hand_written())
    if folder is not None and not missing(folder):
        for lang in LANGUAGES:
            cases += made(read_material(folder, lang), seed, each)
    return list({case.case_id: case for case in cases}.values())


def made(material: Material, seed: int, each: int) -> list[Case]:
    """The made cases of one language. No two cases of a rule are of one text."""
    makers = Counter(kind for rule in RULES for kind in rule.kinds)
    cases: list[Case] = []
    for number, rule in enumerate(RULES):
        random = Random(f"{seed}/{material.lang}/{number}")  # noqa: S311
        quota = {kind: each // makers[kind] for kind in rule.kinds}
        texts: set[str] = set()
        claims: Counter[str] = Counter()
        for case in rule.make(material, random):
            usual = claims[case.claim] >= SAME_CLAIM
            if (
                quota.get(case.kind, 0) > 0
                and case.text not in texts
                and not usual
                and case.case_id not in exclusions()
            ):
                quota[case.kind] -= 1
                claims[case.claim] += 1
                texts.add(case.text)
                cases.append(case)
            if not any(quota.values()):
                break
    return cases


def fingerprint(cases: list[Case]) -> str:
    """A short hash of a suite: equal for equal cases with equal labels, whatever their order."""
    said = sorted(f"{case.case_id} {case.truth} {case.kind}" for case in cases)
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:12]
