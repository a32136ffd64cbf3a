"""Labels that say the same thing, gathered under one: `coffee`, `咖啡` and `good coffee` are one topic.

Models word each user's traits freely and in the user's language. Without this, hardly a label would be shared by two
users, and nothing could be counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from limner.histories.language import detect
from limner.retrieval.space import Space
from limner.retrieval.vectors import Vectors

ALIKE = 0.65
"""Cosine from which two labels of one language are one topic. Of 76 planted traits, 30 % of the other wordings reach it
and 0.4 % of the pairs of different traits, most of them as near as `hand grinder` and `hand grinding`."""

TRANSLATED = 0.4
"""Cosine from which two topics that are each other's nearest in the other language are one. Where 60 % of 76 labels
were there in each language, 90 % of the pairs so found were translations, and 58 % of the translations were found."""

LARGEST = 5000
"""Distinct labels compared with each other, the most frequent first; rarer ones stay their own topics."""


@dataclass(frozen=True, slots=True)
class Topic:
    """Labels that say the same thing.

    Attributes:
        key: The most frequent label, which stands for the topic.
        wordings: The most frequent label in each language it occurs in.
    """

    key: str
    wordings: dict[str, str]

    def in_language(self, language: str) -> str:
        """How to say it in a language, if some user did; else as it is."""
        return self.wordings.get(language, self.key)


def find_topics(counts: dict[str, int], space: Space) -> dict[str, Topic]:
    """The topic of each label.

    Args:
        counts: How many users each label occurs with.
        space: How labels become vectors.
    """
    ordered = sorted(counts, key=lambda label: (-counts[label], label))
    compared = ordered[:LARGEST]
    vectors = space.passages(compared)
    groups = [
        group
        for chinese in (False, True)
        for group in _alike([i for i, label in enumerate(compared) if (detect(label) == "zh") == chinese], vectors)
    ]
    named = [[compared[i] for i in group] for group in _translated(groups, compared, vectors)]
    named += [[label] for label in ordered[LARGEST:]]
    return {label: topic for group in named for topic in [_topic(group)] for label in group}


def _alike(rows: Sequence[int], vectors: Vectors) -> list[list[int]]:
    """Groups rows around leaders, the most frequent label first: each joins the nearest leader that is near enough."""
    leaders: list[int] = []
    members: dict[int, list[int]] = {}
    for i in rows:
        near = vectors[leaders] @ vectors[i] if leaders else np.empty(0)
        leader = leaders[int(near.argmax())] if len(near) and near.max() >= ALIKE else i
        if leader == i:
            leaders.append(i)
        members.setdefault(leader, []).append(i)
    return list(members.values())


def _translated(groups: list[list[int]], labels: Sequence[str], vectors: Vectors) -> list[list[int]]:
    """Joins a Chinese and another group whose leaders are each other's nearest, and near enough."""
    chinese = [group for group in groups if detect(labels[group[0]]) == "zh"]
    others = [group for group in groups if detect(labels[group[0]]) != "zh"]
    if not chinese or not others:
        return groups
    near = vectors[[g[0] for g in chinese]] @ vectors[[g[0] for g in others]].T
    best, best_back = near.argmax(axis=1), near.argmax(axis=0)
    pairs = {i: int(j) for i, j in enumerate(best) if best_back[j] == i and near[i, j] >= TRANSLATED}
    joined = [sorted(chinese[i] + others[j]) for i, j in pairs.items()]
    alone = [group for i, group in enumerate(chinese) if i not in pairs]
    alone += [group for j, group in enumerate(others) if j not in pairs.values()]
    return joined + alone


def _topic(labels: list[str]) -> Topic:
    wordings: dict[str, str] = {}
    for label in labels:
        wordings.setdefault(detect(label), label)
    return Topic(labels[0], wordings)
