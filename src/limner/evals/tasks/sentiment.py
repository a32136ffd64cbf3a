"""The sentiment task: the one-word question of extraction on labelled reviews of both languages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from limner.agents.extractor.check import sentiment_of
from limner.agents.extractor.prompt import sentiment_request
from limner.agents.extractor.schema import WORDINGS
from limner.evals.labelled import balanced, read_labelled
from limner.evals.score import Tally, macro_f1, shares
from limner.evals.task import AbsentData, EvalCase, Loaded, Setting, Task, Unscored

EACH = 100
"""Texts of a language, half of them positive."""


@dataclass(frozen=True, slots=True)
class Source:
    """A labelled set: its file and columns."""

    lang: Literal["en", "zh"]
    file: str
    text: tuple[str, ...]
    label: str


SOURCES = (
    Source("zh", "zh_reviews_labelled/reviews.parquet", ("text",), "sentiment"),
    Source("en", "amazon_musical_instruments/events.parquet", ("text_title", "text"), "rating"),
)


class SentimentCase(EvalCase):
    """A review and whether its writer was pleased."""

    text: str
    positive: bool
    lang: Literal["en", "zh"]


class Sentiment(Task[SentimentCase, bool]):
    """Balanced labelled reviews, one word each."""

    name = "sentiment"
    version = 1
    about = "the one-word sentiment question on balanced labelled reviews, Chinese and English"
    measure = "macro F1"

    def load(self, setting: Setting) -> Loaded[SentimentCase]:
        """Balanced, seeded draws of each language's set that is there."""
        cases: list[SentimentCase] = []
        gone: list[str] = []
        for source in SOURCES:
            try:
                texts = read_labelled(setting.file(source.file), source.text, source.label)
            except AbsentData as error:
                gone.append(str(error))
                continue
            drawn = balanced(texts, setting.limit or EACH, setting.seed)
            cases += [SentimentCase(text=one.text, positive=one.positive, lang=source.lang) for one in drawn]
        if not cases:
            raise AbsentData(gone[0] if gone else "no balanced texts in the data folder")
        return Loaded(tuple(cases), tuple(gone))

    def solve(self, cases: Sequence[SentimentCase], setting: Setting) -> Sequence[bool | Unscored]:
        """The model's answers, with the threshold that extraction uses."""
        answers = setting.ask([sentiment_request(case.text, case.lang) for case in cases])
        return [
            answer
            if isinstance(answer, Unscored)
            else sentiment_of(answer, WORDINGS[case.lang].positive, setting.model.model, case.lang)[0]
            for case, answer in zip(cases, answers, strict=True)
        ]

    def score(self, cases: Sequence[SentimentCase], answers: Sequence[bool]) -> list[Tally]:
        """Macro F1 and accuracy, together and by language."""
        pairs = [(case.lang, case.positive, answer) for case, answer in zip(cases, answers, strict=True)]
        tallies: list[Tally] = []
        for lang in ("", "zh", "en"):
            of = [(truth, said) for one, truth, said in pairs if lang in ("", one)]
            suffix = f", {lang}" if lang else ""
            tallies.append(Tally(f"macro F1{suffix}", two_classes(of), macro_f1))
            tallies.append(shares(f"accuracy{suffix}", [truth == said for truth, said in of]))
        return tallies


def two_classes(pairs: Sequence[tuple[bool, bool | None]]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Counts for `macro_f1` of (truth, answer) pairs, one row each; None is an answer that is neither."""
    rows = np.zeros((len(pairs), 6))
    for row, (truth, said) in zip(rows, pairs, strict=True):
        for start, value in ((0, True), (3, False)):
            row[start] = truth is value and said is value
            row[start + 1] = truth is not value and said is value
            row[start + 2] = truth is value and said is not value
    return rows
