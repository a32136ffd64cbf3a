"""What a task measures: figures with bootstrap intervals, and what is needed to trust and repeat them.

A task tells per case a row of counts, such as (right, all) or (true positives, false positives, false negatives). A
figure is a function of the rows' sum, so that one bootstrap serves shares, F1 and mean ranks alike: cases are drawn
again with replacement, their rows are summed, and the function is applied (Efron and Tibshirani 1993, the percentile
interval).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

Counts = npt.NDArray[np.float64]

RESAMPLES = 2000
"""Draws of a bootstrap. With 2,000 the ends of a 95 % interval of a share are stable to about a tenth of its width."""

CONFIDENCE = 0.95

_AT_ONCE = 2_000_000
"""Numbers drawn at a time: bounds the memory of a bootstrap over many cases."""


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """One figure before it is computed.

    Attributes:
        name: The figure's name; the task's main figure comes first in its list.
        rows: Counts, float64 of shape (cases, counts). A row is one independent case: a text, a user.
        value: From summed counts of shape (..., counts) to figures of shape (...); not-a-number where undefined.
    """

    name: str
    rows: Counts
    value: Callable[[Counts], Counts]


class Figure(BaseModel):
    """A measured number and its 95 % interval; None where nothing could be measured.

    Attributes:
        n: Cases it rests on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    value: float | None
    low: float | None
    high: float | None
    n: int


class Score(BaseModel):
    """What one task measured of one model.

    Attributes:
        task, version: The task; figures of different versions are not compared.
        measure: Name of the main figure, the first of `figures`.
        model: The model's name; empty where no model takes part.
        n: Cases scored.
        unscored: Cases that are in no figure, with the reasons counted. A missing data set counts as one.
        figures: The main figure, others, and those of baselines.
        prompts: Names and versions of all prompts used.
        seconds: Wall time of the whole task, the loading of models included.
        calls: Distinct questions to the model, answered from the ledger or anew.
        cached_calls: Of those, answered from the ledger.
        input_tokens, output_tokens: Of all those questions, whenever they were paid for.
        seed: Seed of draws and of the bootstrap.
        suite: Fingerprint of the cases: two scores with the same one are of the same cases.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    version: int
    measure: str
    model: str = ""
    n: int
    unscored: int = 0
    reasons: dict[str, int] = Field(default_factory=dict)
    figures: tuple[Figure, ...] = ()
    prompts: tuple[str, ...] = ()
    seconds: float = 0.0
    calls: int = 0
    cached_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    seed: int = 0
    suite: str = ""

    @property
    def main(self) -> Figure | None:
        """The main figure; None if nothing was scored."""
        return self.figures[0] if self.figures else None

    def figure(self, name: str) -> Figure:
        """The figure of a name.

        Raises:
            KeyError: There is none.
        """
        return {figure.name: figure for figure in self.figures}[name]


def ratio(sums: Counts) -> Counts:
    """The first count over the second: a share, or a mean."""
    return _over(sums[..., 0], sums[..., 1])


def f1(sums: Counts) -> Counts:
    """F1 of counts (true positives, false positives, false negatives)."""
    return _over(2 * sums[..., 0], 2 * sums[..., 0] + sums[..., 1] + sums[..., 2])


def macro_f1(sums: Counts) -> Counts:
    """Mean F1 of classes, each with three counts as `f1` takes them; classes that do not occur are left out."""
    of_class = np.stack([f1(sums[..., start : start + 3]) for start in range(0, sums.shape[-1], 3)])
    known = ~np.isnan(of_class)
    return _over(np.where(known, of_class, 0.0).sum(axis=0), known.sum(axis=0).astype(np.float64))


def _over(top: Counts, bottom: Counts) -> Counts:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(bottom > 0, top / bottom, np.nan), dtype=np.float64)


def shares(name: str, hits: list[bool] | list[float]) -> Tally:
    """The mean of one number per case."""
    return Tally(name, np.array([(float(hit), 1.0) for hit in hits], dtype=np.float64).reshape(-1, 2), ratio)


def measured(tally: Tally, seed: int, *, resamples: int = RESAMPLES) -> Figure:
    """Computes a figure and its percentile bootstrap interval.

    Args:
        tally: The counts.
        seed: Seed of the draws.
        resamples: Number of draws, at least 1,000.

    Returns:
        The figure; `value` is None where it is undefined, and the interval is None with fewer than two cases.
    """
    n = len(tally.rows)
    value = float(tally.value(tally.rows.sum(axis=0))) if n else float("nan")
    if np.isnan(value):
        return Figure(name=tally.name, value=None, low=None, high=None, n=n)
    low, high = _interval(tally, seed, max(1000, resamples)) if n > 1 else (None, None)
    return Figure(name=tally.name, value=value, low=low, high=high, n=n)


def _interval(tally: Tally, seed: int, resamples: int) -> tuple[float | None, float | None]:
    n = len(tally.rows)
    random = np.random.default_rng(seed)
    each = max(1, _AT_ONCE // n)
    sums = []
    for start in range(0, resamples, each):
        times = random.multinomial(n, np.full(n, 1.0 / n), size=min(each, resamples - start))
        sums.append(times.astype(np.float64) @ tally.rows)
    values = tally.value(np.concatenate(sums))
    values = values[~np.isnan(values)]
    if not len(values):
        return None, None
    tail = (1.0 - CONFIDENCE) / 2
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return float(low), float(high)


def counted(reasons: Mapping[str, int]) -> dict[str, int]:
    """Reasons, the most frequent first."""
    return dict(sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0])))
