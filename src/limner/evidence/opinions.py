"""Words that judge: where a clause praises or blames, after negation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limner.evidence.clauses import Clause
from limner.evidence.wordlists import Token

_BEFORE_LIKE = frozenset(
    "i we you they she he who not never always do did have had has 've 'd really also absolutely truly actually will "
    "would to just still even both all particularly especially everyone people kids".split()
)
"""Words before `like` that make it a feeling and no comparison."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """One judging word or phrase.

    Attributes:
        start, end: Where it stands.
        sign: +1 for praise, -1 for blame, after negation.
        clause: Number of its clause.
        comparing: Whether it compares (better, worse).
    """

    start: int
    end: int
    sign: int
    clause: int
    comparing: bool = False


def opinions(clauses: Sequence[Clause], denied: Sequence[int]) -> list[Opinion]:
    """All judging words of some clauses, in order."""
    found = []
    for number, clause in enumerate(clauses):
        tokens = clause.tokens
        for index, token in enumerate(tokens):
            sign = _sign(tokens, index, token)
            if sign:
                turned = -sign if denied[token.start] % 2 else sign
                comparing = (
                    token.text in ("better", "worse") or "worse_than" in token.tags or "better_than" in token.tags
                )
                found.append(Opinion(token.start, token.end, turned, number, comparing))
    return found


def _sign(tokens: list[Token], index: int, token: Token) -> int:
    tags = token.tags
    before = tokens[index - 1] if index else None
    after = tokens[index + 1] if index + 1 < len(tokens) else None
    if "worse_than" in tags:
        return -1
    if tags & {"praise", "better_than"}:
        return 1
    if "blame" in tags:
        return -1
    if "neutral" in tags:
        return 0
    if token.text in ("like", "likes", "liked", "liking"):
        return 1 if before is not None and before.text in _BEFORE_LIKE and token.text != "liking" else 0
    if "dimensions" in tags:
        too = before is not None and "degree" in before.tags
        if too:
            return -1
    if "positive" in tags and "negative" in tags:
        return 0
    if "positive" in tags:
        if (
            token.text == "好"
            and after is not None
            and (after.tags & {"negative", "blame", "dimensions", "praise", "positive"})
        ):
            return 0
        if token.text == "well" and before is None:
            return 0
        return 1
    if "negative" in tags:
        return -1
    return 0
