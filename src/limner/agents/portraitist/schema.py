"""The form of a narrative answer: lines of support marks and a sentence with slots, and never a digit in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MOST_TRAITS = 8
"""Traits a narrative is written from, the best supported."""

MOST_WORDS = 120
"""Words of a narrative; Chinese characters count one each."""

_LINE = r"\[T[1-8](,T[1-8]){0,3}\] [^\n0-9０-９\[\]<>{}]{6,120}"

NARRATIVE_PATTERN = rf"{_LINE}(\n{_LINE}){{0,2}}"
"""Regular expression of the answer: up to three lines such as `[T1,T3] Likes strong coffee and quiet mornings`, without
digits: the sentence of facts is code's alone. (Given slots to fill, the default model put the main category where a
size belonged.)"""

FACT_CLAUSES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "en": (
        ("frequency", "{} so far"),
        ("monetary", "{} spent"),
        ("top_category", "mostly {}"),
        ("rating_mean", "rates {} on average"),
        ("last_seen", "last seen {}"),
    ),
    "zh": (
        ("frequency", "共{}"),
        ("monetary", "消费{}"),
        ("top_category", "主要类目是{}"),
        ("rating_mean", "平均评分{}"),
        ("last_seen", "最近一次出现在{}"),
    ),
}
"""The sentence of facts: slot and clause, in order; unknown slots are left out."""


@dataclass(frozen=True, slots=True)
class KindWords:
    """How a kind of trait is put to the model and in a plain sentence."""

    short: str
    plain: str


KINDS: Mapping[str, Mapping[str, KindWords]] = {
    "en": {
        "interest": KindWords("interest", "Interested in {}."),
        "intent": KindWords("wants", "Wants {}."),
        "need": KindWords("needs", "Needs {}."),
        "preference": KindWords("likes", "Likes {}."),
        "objection": KindWords("dislikes", "Dislikes {}."),
        "sentiment": KindWords("writes about", "Writes about {}."),
    },
    "zh": {
        "interest": KindWords("兴趣", "对{}感兴趣。"),
        "intent": KindWords("想要", "想要：{}。"),
        "need": KindWords("需要", "需要：{}。"),
        "preference": KindWords("喜欢", "喜欢：{}。"),
        "objection": KindWords("不满", "不满：{}。"),
        "sentiment": KindWords("评价过", "评价过：{}。"),
    },
}

SENTIMENTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "positive": "mostly pleased with {}",
        "negative": "mostly unhappy with {}",
        "mixed": "of two minds about {}",
    },
    "zh": {"positive": "对{}大多满意", "negative": "对{}大多不满", "mixed": "对{}褒贬都有"},
}
