"""Whether what was found bears on what was asked, so that an answer can be refused instead of made up.

    hits = index.search(question)
    bearing = relevant(hits)
    if not bearing:
        abstain()

A hit's score is the cosine of levelled vectors (space.py). One threshold holds for both languages, and for questions in
another language than the texts: docs/decisions/0003-relevance.md has what was measured.
"""

from __future__ import annotations

from collections.abc import Iterable

from limner.retrieval.index import Hit

THRESHOLD = 0.31
"""From here on a hit counts as bearing on the question."""


def relevant(hits: Iterable[Hit], *, at_least: float = THRESHOLD) -> list[Hit]:
    """The hits that bear on the question they were found for, in the order given; none means: abstain.

    Args:
        hits: What `Index.search` found.
        at_least: The lowest score that counts (-1 to 1). Raise it to refuse more, lower it to answer more.
    """
    return [hit for hit in hits if hit.score >= at_least]
