"""From which probability of the positive word a text counts as positive, found on labelled texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from limner.serving.request import ChatAnswer

FEWEST = 10
"""Texts of each class below which no threshold is looked for."""

FOLDS = 5

GRID = np.round(np.arange(0.05, 0.96, 0.01), 2)


@dataclass(frozen=True, slots=True)
class Answered:
    """A labelled text, and the probability of the positive word as the model gave it."""

    positive: bool
    probability: float


def probability_of(answer: ChatAnswer, positive_word: str) -> float | None:
    """The probability of the positive word; None where the engine tells none."""
    if answer.logprob is None:
        return None
    said = math.exp(min(0.0, answer.logprob))
    return said if answer.text.strip() == positive_word else 1.0 - said


def fitted(answers: Sequence[Answered], present: float | None) -> float | None:
    """The threshold to use from now on: a new one if it is surely better than the present one, else that.

    A threshold is chosen on four fifths of the texts and tried on the fifth it has not seen, five times. It must get
    more texts right than the present one, by more than one standard error: on few texts the best of ninety thresholds
    always looks better on the texts that it was chosen on.

    Args:
        answers: The labelled texts, in an order that says nothing.
        present: The threshold in use, None for the bare word.

    Returns:
        The threshold, None for the bare word.
    """
    truth = np.array([one.positive for one in answers], dtype=bool)
    if min(int(truth.sum()), int((~truth).sum())) < FEWEST:
        return present
    given = np.array([one.probability for one in answers])
    held = np.zeros(len(truth), dtype=bool)
    for fold in range(FOLDS):
        out = np.arange(len(truth)) % FOLDS == fold
        held[out] = (given[out] >= best(given[~out], truth[~out])) == truth[out]
    now = (given >= (0.5 if present is None else present)) == truth
    gain = held.astype(float) - now.astype(float)
    error = float(gain.std(ddof=1)) / math.sqrt(len(gain))
    return best(given, truth) if gain.mean() > error and gain.mean() > 0 else present


def best(given: npt.NDArray[np.float64], truth: npt.NDArray[np.bool_]) -> float:
    """The threshold that gets most right; of several that do, the middle one."""
    right = ((given[None, :] >= GRID[:, None]) == truth[None, :]).sum(axis=1)
    among = np.flatnonzero(right == right.max())
    return float(GRID[among[len(among) // 2]])
