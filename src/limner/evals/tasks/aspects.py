"""The aspects task: what writers feel about which aspect, read clause by clause as extraction does, against gold.

Sentences are drawn from the test part of the sets. A lexicon that learnt its words from the train part only reads the
same sentences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from limner.agents.extractor.check import signals_of
from limner.agents.extractor.parts import split_parts
from limner.agents.extractor.plan import PLANS
from limner.agents.extractor.prompt import AboutPart, Question, questions_of
from limner.agents.extractor.schema import WORDINGS
from limner.evals.opinions_gold import LANGUAGES, AspectCase, GoldOpinion, read_gold
from limner.evals.opinions_lexicon import Lexicon
from limner.evals.score import Counts, Tally, f1, macro_f1, shares
from limner.evals.task import AbsentData, Loaded, Setting, Task, Unscored
from limner.evals.tasks.sentiment import two_classes
from limner.evidence.overlap import shares_words
from limner.histories.texts import TextOfUser

EACH = 100
"""Sentences of a language."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """An opinion that was read: which slice of the sentence it rests on, about what (empty if unnamed), how."""

    start: int
    end: int
    about: str
    positive: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """What the model and the lexicon read in one sentence."""

    model: tuple[Opinion, ...]
    lexicon: tuple[Opinion, ...]


class Aspects(Task[AspectCase, Reading]):
    """Opinions in sentences, per clause."""

    name = "aspects"
    version = 1
    about = "feelings about aspects, clause by clause, against gold opinions and a lexicon learnt from the train part"
    measure = "polarity macro F1"

    def load(self, setting: Setting) -> Loaded[AspectCase]:
        """Sentences of the test parts, each with the opinions marked in it."""
        cases: list[AspectCase] = []
        gone: list[str] = []
        for lang in LANGUAGES:
            try:
                tests = [case for case in read_gold(setting, lang) if not case.train]
            except AbsentData as error:
                gone.append(str(error))
                continue
            cases += setting.draw(tests, setting.limit or EACH, lambda case: case.text)
        if not cases:
            raise AbsentData(gone[0])
        return Loaded(tuple(cases), tuple(gone))

    def solve(self, cases: Sequence[AspectCase], setting: Setting) -> Sequence[Reading | Unscored]:
        """Asks the feeling question of every clause; a sentence is unscored if one of its clauses got no answer."""
        asked = [(at, question) for at, case in enumerate(cases) for question in questions(case)]
        answers = setting.ask([question.request for _, question in asked])
        found: dict[int, list[Opinion]] = {}
        failed: dict[int, Unscored] = {}
        for (at, question), answer in zip(asked, answers, strict=True):
            if isinstance(answer, Unscored):
                failed[at] = answer
                continue
            for signal in signals_of(question, answer, PLANS["small"], setting.model.model):
                if signal.status == "accepted" and signal.polarity in ("positive", "negative"):
                    span, lang = signal.evidence, cases[at].lang
                    about = "" if signal.label == WORDINGS[lang].overall else signal.label
                    found.setdefault(at, []).append(Opinion(span.start, span.end, about, signal.polarity == "positive"))
        lexicons = {
            lang: Lexicon.learnt(lang, [case for case in read_gold(setting, lang) if case.train])
            for lang in {case.lang for case in cases}
        }
        return [
            failed.get(at) or Reading(tuple(found.get(at, ())), by_lexicon(case, lexicons[case.lang]))
            for at, case in enumerate(cases)
        ]

    def score(self, cases: Sequence[AspectCase], answers: Sequence[Reading]) -> list[Tally]:
        """Polarity of gold opinions and overlap of aspect terms, of the model and of the lexicon."""
        readers: dict[str, Callable[[Reading], tuple[Opinion, ...]]] = {
            "": lambda reading: reading.model,
            "lexicon: ": lambda reading: reading.lexicon,
        }
        tallies: list[Tally] = []
        for prefix, of in readers.items():
            for lang in ("", *LANGUAGES):
                suffix = f", {lang}" if lang else ""
                pairs = [(c, of(a)) for c, a in zip(cases, answers, strict=True) if lang in ("", c.lang)]
                tallies.append(Tally(f"{prefix}polarity macro F1{suffix}", _polarity_rows(pairs), macro_f1))
                right = [
                    _said(gold, read) is gold.positive
                    for case, read in pairs
                    for gold in case.opinions
                    if _said(gold, read) is not None
                ]
                tallies.append(shares(f"{prefix}polarity right where one was read{suffix}", right))
                tallies.append(Tally(f"{prefix}aspect term overlap F1{suffix}", _term_rows(pairs), f1))
        return tallies


def questions(case: AspectCase) -> list[Question]:
    """The feeling questions that extraction would ask of a sentence."""
    text = TextOfUser("u", ("e",), "text", case.text, "", "", None, "review", None, case.lang, "")
    return [q for q in questions_of(PLANS["small"], [text], None, {}) if isinstance(q.about, AboutPart)]


def by_lexicon(case: AspectCase, lexicon: Lexicon) -> tuple[Opinion, ...]:
    """The lexicon's reading of the clauses that the model is asked about."""
    opinions = []
    for part in split_parts(case.text):
        positive = lexicon.feeling(part.text)
        if positive is not None:
            about = lexicon.aspects(part.text) or [""]
            opinions += [Opinion(part.start, part.end, term, positive) for term in about]
    return tuple(opinions)


def _said(gold: GoldOpinion, read: Sequence[Opinion]) -> bool | None:
    """The feeling read in the clause that holds the middle of a gold opinion's words; None if none was read."""
    middle = (gold.start + gold.end) / 2
    here = [opinion for opinion in read if opinion.start <= middle <= opinion.end]
    named = [opinion for opinion in here if opinion.about and gold.aspect and shares_words(opinion.about, gold.aspect)]
    chosen = named or here
    return chosen[0].positive if chosen else None


Pairs = Sequence[tuple[AspectCase, tuple[Opinion, ...]]]


def _polarity_rows(pairs: Pairs) -> Counts:
    """One row of class counts per sentence."""
    rows = [
        two_classes([(gold.positive, _said(gold, read)) for gold in case.opinions]).sum(axis=0) for case, read in pairs
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, 6)


def _term_rows(pairs: Pairs) -> Counts:
    """True positives, false positives and false negatives of aspect terms, one row per sentence.

    A named object is right if it shares words with a gold aspect; one that shares words only with a gold opinion that
    names no aspect is neither right nor wrong.
    """
    rows: list[tuple[float, float, float]] = []
    for case, read in pairs:
        terms = {gold.aspect for gold in case.opinions if gold.aspect}
        opinions = [gold.opinion for gold in case.opinions if gold.opinion]
        named = [opinion.about for opinion in read if opinion.about]
        found = {term for term in terms for label in named if _overlaps(label, term)}
        wrong = [
            label
            for label in named
            if not any(_overlaps(label, term) for term in terms) and not any(_overlaps(label, o) for o in opinions)
        ]
        rows.append((float(len(found)), float(len(wrong)), float(len(terms - found))))
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def _overlaps(label: str, term: str) -> bool:
    return shares_words(label, term) or shares_words(term, label)
