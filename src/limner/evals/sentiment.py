"""The sentiment task: the question that extraction asks of each text, scored against labels."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limner.agents.extractor.check import sentiment_of
from limner.agents.extractor.prompt import sentiment_request
from limner.agents.extractor.schema import WORDINGS
from limner.errors import DataError
from limner.evals.labelled import LabelledText, balanced, read_labelled
from limner.histories.language import detect
from limner.serving.client import Client
from limner.serving.request import ChatAnswer


@dataclass(frozen=True, slots=True)
class SentimentScore:
    """How often the model was right.

    Attributes:
        n: Texts scored.
        accuracy: Share of them that were right.
        macro_f1: Mean of the F1 of both classes.
        seconds: Wall time of the questions, the model's loading left out.
        unscored: Texts that got no usable answer; they are in no other figure.
        model: The model.
        prompts: The prompts used.
        mistakes: The texts it got wrong, for reading.
    """

    n: int
    accuracy: float
    macro_f1: float
    seconds: float
    unscored: int
    model: str
    prompts: tuple[str, ...]
    mistakes: tuple[LabelledText, ...] = field(default_factory=tuple)

    def to_json(self) -> dict[str, Any]:
        """The score as `limner eval sentiment --json` prints it."""
        return {
            "n": self.n,
            "accuracy": round(self.accuracy, 4),
            "macro_f1": round(self.macro_f1, 4),
            "seconds": round(self.seconds, 2),
            "unscored": self.unscored,
            "model": self.model,
            "prompts": list(self.prompts),
        }


def evaluate_sentiment(
    client: Client,
    path: Path,
    text: Sequence[str],
    label: str,
    *,
    limit: int = 200,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> SentimentScore:
    """Scores the sentiment question on a labelled file, balanced and seeded.

    Args:
        client: The model.
        path: A CSV, JSON, JSONL or Parquet file.
        text: Columns of the text.
        label: Column of the label, see `labelled.read_labelled`.
        limit: Texts drawn, half of each class.
        seed: Seed of the draw.
        progress: Told how many of how many are answered.

    Raises:
        UsageError: There is no such file or column.
        DataError: There is nothing to score.
    """
    drawn = balanced(read_labelled(path, text, label), limit, seed)
    if not drawn:
        raise DataError(f"{path} has not at least one positive and one negative text. Check --label {label}.")
    languages = [detect(one.text) or "en" for one in drawn]
    requests = [sentiment_request(one.text, lang) for one, lang in zip(drawn, languages, strict=True)]
    said: dict[int, bool] = {}
    started = time.perf_counter()
    for done, (index, outcome) in enumerate(client.each(requests), 1):
        if isinstance(outcome, ChatAnswer):
            lang = languages[index]
            said[index], _ = sentiment_of(outcome, WORDINGS[lang].positive, client.model, lang)
        if progress is not None:
            progress(done, len(requests))
    seconds = time.perf_counter() - started
    if not said:
        raise DataError(f"None of the {len(drawn)} texts got a usable answer from {client.model}.")
    pairs = [(drawn[index].positive, answer) for index, answer in said.items()]
    return SentimentScore(
        n=len(pairs),
        accuracy=sum(truth == answer for truth, answer in pairs) / len(pairs),
        macro_f1=(_f1(pairs, True) + _f1(pairs, False)) / 2,
        seconds=seconds,
        unscored=len(drawn) - len(pairs),
        model=client.model,
        prompts=tuple(sorted({str(request.prompt) for request in requests})),
        mistakes=tuple(drawn[index] for index, answer in sorted(said.items()) if answer != drawn[index].positive),
    )


def _f1(pairs: Sequence[tuple[bool, bool]], of: bool) -> float:
    """F1 of one class over pairs of truth and answer; 0 where it neither is nor is said."""
    hit = sum(truth is of and answer is of for truth, answer in pairs)
    wrong = sum((truth is of) != (answer is of) for truth, answer in pairs)
    return 2 * hit / (2 * hit + wrong) if hit or wrong else 0.0
