"""Figures and their intervals: against scikit-learn, against the exact binomial, and seeded."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.metrics import f1_score

from limner.evals.score import RESAMPLES, Figure, Score, Tally, macro_f1, measured, ratio, shares
from limner.evals.tasks.next_item import CUTOFF, expected_rank
from limner.evals.tasks.sentiment import two_classes
from limner.evals.tasks.stability import jaccard


def test_a_share_and_its_interval() -> None:
    figure = measured(shares("right", [True] * 80 + [False] * 20), 0)
    assert (figure.n, figure.value) == (100, 0.8)
    # The normal approximation: 0.8 ± 1.96 × sqrt(0.8 × 0.2 / 100).
    assert figure.low == pytest.approx(0.8 - 0.0784, abs=0.012)
    assert figure.high == pytest.approx(0.8 + 0.0784, abs=0.012)


def test_intervals_are_seeded_and_rest_on_enough_draws() -> None:
    tally = shares("mean", [math.sqrt(n) for n in range(60)])
    assert measured(tally, 1) == measured(tally, 1)
    assert measured(tally, 1) != measured(tally, 2)
    drawn: list[int] = []

    def counting(
        sums: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        if sums.ndim == 2:
            drawn.append(len(sums))
        return ratio(sums)

    measured(Tally("x", tally.rows, counting), 1, resamples=10)
    measured(Tally("x", tally.rows, counting), 1)
    assert drawn == [1000, RESAMPLES]


def test_a_large_draw_is_taken_in_parts_with_the_same_spread() -> None:
    figure = measured(shares("right", [n % 2 == 0 for n in range(20_000)]), 0)
    assert figure.value == 0.5
    assert figure.high - figure.low == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(20_000), rel=0.1)  # type: ignore[operator]


def test_what_cannot_be_measured_is_none_and_not_zero() -> None:
    nothing = measured(shares("right", []), 0)
    assert (nothing.n, nothing.value, nothing.low) == (0, None, None)
    undefined = measured(Tally("x", np.array([[0.0, 0.0], [0.0, 0.0]]), ratio), 0)
    assert (undefined.n, undefined.value) == (2, None)
    one = measured(shares("right", [True]), 0)
    assert (one.value, one.low, one.high) == (1.0, None, None)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_macro_f1_agrees_with_scikit_learn(pairs: list[tuple[bool, bool]]) -> None:
    truth, said = zip(*pairs, strict=True)
    there = sorted(set(truth) | set(said))
    expected = f1_score(truth, said, labels=there, average="macro", zero_division=0)
    assert float(macro_f1(two_classes(pairs).sum(axis=0))) == pytest.approx(expected)


def test_no_answer_counts_against_recall_alone() -> None:
    rows = two_classes([(True, None), (True, True), (False, None)])
    assert rows.sum(axis=0).tolist() == [1, 0, 1, 0, 0, 1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=30), st.randoms(use_true_random=False))
def test_ties_count_as_the_mean_of_random_orders(scores: list[int], random: object) -> None:
    hit, reciprocal = expected_rank([float(score) for score in scores])
    own = scores[0]
    above, ties = sum(s > own for s in scores[1:]), sum(s == own for s in scores[1:])
    ranks = [above + 1 + place for place in range(ties + 1)]
    assert hit == pytest.approx(np.mean([rank <= CUTOFF for rank in ranks]))
    assert reciprocal == pytest.approx(np.mean([1 / rank for rank in ranks]))


def test_the_best_of_a_hundred_is_rank_one_and_equals_are_spread() -> None:
    assert expected_rank([2.0] + [1.0] * 99) == (1.0, 1.0)
    assert expected_rank([0.0] + [1.0] * 99) == (0.0, 0.01)
    assert expected_rank([0.0] * 100)[0] == pytest.approx(0.1)


def test_overlap_of_sets() -> None:
    assert jaccard(frozenset("abc"), frozenset("bcd")) == 0.5
    assert jaccard(frozenset(), frozenset()) == 1.0
    assert jaccard(frozenset("a"), frozenset()) == 0.0


def test_a_score_knows_its_figures_and_refuses_unknown_keys() -> None:
    figure = Figure(name="f", value=0.5, low=0.4, high=0.6, n=10)
    score = Score(task="t", version=1, measure="f", n=10, figures=(figure,))
    assert score.main == score.figure("f") == figure
    assert Score(task="t", version=1, measure="f", n=0).main is None
    with pytest.raises(KeyError):
        score.figure("g")
    with pytest.raises(ValidationError):
        Score.model_validate({**score.model_dump(), "extra": 1})
