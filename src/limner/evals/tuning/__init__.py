"""Measuring a model: which plan reads best with it, from where its word counts, how many calls at once it bears.

What comes out is a profile (`limner.serving.profiles`), from which extraction then takes how to ask.
"""

from limner.evals.tuning.run import Labelled, Tuned, quote_tuning, tune

__all__ = ["Labelled", "Tuned", "quote_tuning", "tune"]
