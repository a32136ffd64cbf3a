"""Evidence: signals with the words that prove them, traits that they add up to, personas that rest on both."""

from limner.evidence.judgement import check
from limner.evidence.verdict import REASONS, Verdict

__all__ = ["REASONS", "Verdict", "check"]
