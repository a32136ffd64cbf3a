"""The sentences around a quote, read once: clauses, denial, judging words, who says what, comparison, figures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from limner.evidence.clauses import Clause, split_clauses
from limner.evidence.comparison import standards
from limner.evidence.figures import Figure, figures
from limner.evidence.folding import plain
from limner.evidence.negation import denials
from limner.evidence.opinions import Opinion, opinions
from limner.evidence.stance import Stretch, stretches

KEPT = 8192
"""Passages that are kept read: quotes of one text often share their sentences."""


@dataclass(frozen=True)
class Passage:
    """A stretch of text, read.

    Attributes:
        text: The stretch, folded character for character.
        clauses: Its clauses.
        denied: For each character how many negators deny it.
        zones: For each character whether it stands in what something is compared with.
        opinions: Its judging words.
        stretches: Where its writer does not state a fact or a feeling of their own.
        figures: Its numbers and dates.
    """

    text: str
    clauses: tuple[Clause, ...]
    denied: tuple[int, ...]
    zones: tuple[int, ...]
    opinions: tuple[Opinion, ...]
    stretches: tuple[Stretch, ...]
    figures: tuple[Figure, ...]

    def touched(self, start: int, end: int) -> list[int]:
        """Numbers of the clauses that a slice overlaps."""
        return [n for n, c in enumerate(self.clauses) if c.start < end and start < c.end]


@lru_cache(maxsize=KEPT)
def read_passage(text: str) -> Passage:
    """Reads a stretch of text."""
    clauses = split_clauses(text)
    denied = denials(clauses, len(text))
    zones = standards(clauses, denied, len(text))
    return Passage(
        plain(text),
        tuple(clauses),
        tuple(denied),
        tuple(zones),
        tuple(opinions(clauses, denied)),
        tuple(stretches(clauses)),
        tuple(figures(plain(text))),
    )
