"""Comparison: which words name what something is compared with. What is said is not said of them."""

from __future__ import annotations

from collections.abc import Sequence

from limner.evidence.clauses import Clause
from limner.evidence.wordlists import Token

_JUDGING = frozenset(["positive", "negative", "praise", "blame", "dimensions"])

NOWHERE, TURNED, SAME = 0, 1, 2
"""Of a character: in no standard of comparison; in one that gets the opposite of what is said; in one that gets it."""


def standards(clauses: Sequence[Clause], denied: Sequence[int], length: int) -> list[int]:
    """For each character of a text whether it belongs to the standard of a comparison, and what that gets."""
    zones = [NOWHERE] * length
    named: list[str] = []
    sentence, pointed = -1, False
    for clause in clauses:
        named = named if clause.sentence == sentence else []
        pointed = pointed and clause.sentence == sentence
        sentence = clause.sentence
        found = _zones(clause.tokens, denied)
        for start, end, kind in found:
            zones[start:end] = [kind] * (end - start)
        if not found and (pointed or _is_of_another(clause, named)):
            zones[clause.start : clause.end] = [TURNED] * (clause.end - clause.start)
        pointed = "standards" in clause.tokens[0].tags and all(t.text in _THIS for t in clause.tokens[1:])
        named += [_last_name(clause, end) for start, end, kind in found if kind == TURNED]
    return zones


_THIS = frozenset(["this", "these", "it", "that", "one", "this one", "这个", "这款", "它", "这", "款", "个", "一"])


def _last_name(clause: Clause, end: int) -> str:
    """The last two Chinese characters of what something is compared with; nothing in English."""
    return "".join(t.text for t in clause.tokens if t.end <= end and t.text[0] >= "\u3400" and not t.tags)[-2:]


def _is_of_another(clause: Clause, named: list[str]) -> bool:
    """Whether a clause begins with another thing than the one in question (`my old one`, or what was compared with)."""
    tokens = clause.tokens
    first = next((i for i, t in enumerate(tokens) if "links" not in t.tags and "contrast" not in t.tags), 0)
    if "former" in tokens[first].tags:
        return True
    said = "".join(t.text for t in tokens[first:])
    return any(len(name) == 2 and said.startswith(name + "的") for name in named)


def _zones(tokens: list[Token], denied: Sequence[int]) -> list[tuple[int, int, int]]:
    found = []
    for index, token in enumerate(tokens):
        rest = tokens[index + 1 :]
        if token.text == "as" and rest:
            found += _as_good_as(tokens, index, denied)
        elif "standards" not in token.tags or not rest:
            continue
        elif token.text >= "\u2e80":
            if token.text == "比" and rest[0].text in ("较", "例", "如", "赛"):
                continue
            stop = next((t for t in rest[1:] if t.tags & _JUDGING or t.text in _CHINESE_STOPS), None)
            found.append((rest[0].start, stop.start if stop else rest[-1].end, TURNED))
        else:
            found.append((rest[0].start, rest[-1].end, TURNED))
    return found


_CHINESE_STOPS = frozenset(["更", "还", "要", "都", "很", "得", "差不多", "，", "强", "便"])


def _as_good_as(tokens: list[Token], index: int, denied: Sequence[int]) -> list[tuple[int, int, int]]:
    """What follows the second `as` of `as good as`: as good, or better if the goodness is denied."""
    for at in range(index + 2, min(index + 5, len(tokens) - 1)):
        if tokens[at].text == "as" and any(t.tags & _JUDGING for t in tokens[index + 1 : at]):
            turned = denied[tokens[at - 1].start] % 2 == 1
            return [(tokens[at + 1].start, tokens[-1].end, TURNED if turned else SAME)]
    return []
