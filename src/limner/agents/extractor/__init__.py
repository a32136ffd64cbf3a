"""Reads histories with a model and keeps what the words prove: intents, sentiment, interests, needs, preferences."""

from limner.agents.extractor.plan import PLANS, Plan, choose_plan
from limner.agents.extractor.run import extract
from limner.agents.extractor.schema import ExtractSummary, Progress

__all__ = ["PLANS", "ExtractSummary", "Plan", "Progress", "choose_plan", "extract"]
