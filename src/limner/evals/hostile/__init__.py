"""Hostile texts: what they try, and code that tells whether they got it."""

from limner.evals.hostile.cases import Case, read_cases
from limner.evals.hostile.suite import HostileScore, attack

__all__ = ["Case", "HostileScore", "attack", "read_cases"]
