"""The altered-claims suite: true claims and claims altered by rules, from real texts and by hand."""

from limner.evals.altered.case import SUITE_VERSION, Case, hand_written
from limner.evals.altered.make import fingerprint, make_suite

__all__ = ["SUITE_VERSION", "Case", "fingerprint", "hand_written", "make_suite"]
