"""Measuring limner: data sets with known answers, scored by code.

A task is a data set, a solver and a scorer (`limner.evals.task`); `run_tasks` runs them and gives a scorecard.
"""

from limner.evals.sentiment import SentimentScore, evaluate_sentiment

__all__ = ["SentimentScore", "evaluate_sentiment"]
