"""The analyst answers questions about customers: a typed plan, findings counted by code, words by a model."""

from limner.agents.analyst.run import ask
from limner.agents.analyst.schema import AskAnswer, Citation, Finding, Plan

__all__ = ["AskAnswer", "Citation", "Finding", "Plan", "ask"]
