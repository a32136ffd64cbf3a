"""Measuring limner: data sets with known answers, scored by code."""

from limner.evals.sentiment import SentimentScore, evaluate_sentiment

__all__ = ["SentimentScore", "evaluate_sentiment"]
