"""The form of a narrative answer: lines with an opening and slots for traits, and the words that code puts around."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MOST_TRAITS = 8
"""Traits a narrative is written from, the best supported."""

MOST_WORDS = 120
"""Words of a narrative; Chinese characters count one each."""

OPENINGS: Mapping[str, Mapping[str, frozenset[str]]] = {
    "en": {
        "Interested in": frozenset({"interest"}),
        "Keen on": frozenset({"interest", "preference"}),
        "Likes": frozenset({"interest", "preference", "pleased"}),
        "Cares about": frozenset({"interest", "preference", "need"}),
        "Pleased with": frozenset({"preference", "pleased"}),
        "Dislikes": frozenset({"objection"}),
        "Let down by": frozenset({"objection", "unhappy"}),
        "Unhappy with": frozenset({"objection", "unhappy"}),
        "Of two minds about": frozenset({"torn"}),
        "Wants": frozenset({"intent", "need"}),
        "Looking for": frozenset({"intent", "need"}),
        "Needs": frozenset({"need", "intent"}),
    },
    "zh": {
        "关注": frozenset({"interest", "preference"}),
        "热衷": frozenset({"interest", "preference"}),
        "喜欢": frozenset({"interest", "preference", "pleased"}),
        "看重": frozenset({"interest", "preference", "need"}),
        "满意": frozenset({"preference", "pleased"}),
        "不满": frozenset({"objection", "unhappy"}),
        "不喜欢": frozenset({"objection", "unhappy"}),
        "褒贬不一": frozenset({"torn"}),
        "想要": frozenset({"intent", "need"}),
        "正在找": frozenset({"intent", "need"}),
        "打算": frozenset({"intent"}),
        "需要": frozenset({"need", "intent"}),
    },
}
"""What a sentence may begin with, and the standings of the traits it can then rest on (see `standing`). With a free
beginning the default model wrote of a parent that she was "a baby who loves cute toys"."""


def told_kind(kind: str, polarity: str) -> str:
    """The kind a trait is told as: what a user does not want is told as a dislike, whatever kind it was read as."""
    return "objection" if polarity == "negative" and kind != "sentiment" else kind


def standing(kind: str, polarity: str) -> str:
    """How a trait stands to its label: its kind, or `pleased`, `unhappy` or `torn`."""
    if polarity == "mixed":
        return "torn"
    if kind != "sentiment":
        return told_kind(kind, polarity)
    return {"positive": "pleased", "negative": "unhappy"}.get(polarity, "torn")


def narrative_pattern(lang: str, standings: Sequence[str]) -> str:
    """Regular expression of the answer: up to four lines such as `Keen on {T1} and {T2}`.

    The model chooses what belongs together and how it is put; code fills the slots with the traits' own words. Free to
    write them itself, the default model told a complaint as a like ("喜欢味道好大") and repeated itself to the end.
    An opening is followed only by traits that it can be said of, so none can be told as its opposite.

    Args:
        lang: `zh` or `en`.
        standings: How each trait that is shown stands to its label (see `standing`), in their order; at most 9.
    """
    of_slots: dict[str, list[str]] = {}
    for opening, fitting in OPENINGS[lang].items():
        ids = "".join(str(number) for number, kind in enumerate(standings, 1) if kind in fitting)
        if ids:
            of_slots.setdefault(ids, []).append(opening)
    line = f"({'|'.join(_line(lang, openings, ids) for ids, openings in of_slots.items())})"
    return rf"{line}(\n{line}){{0,3}}"


def _line(lang: str, openings: Sequence[str], ids: str) -> str:
    slot = rf"\{{T[{ids}]\}}"
    start = f"({'|'.join(openings)}){'' if lang == 'zh' else ' '}{slot}"
    if len(ids) == 1:
        return start
    more, last = ("、", "[和、]") if lang == "zh" else (", ", " and ")
    return f"{start}(({more}{slot}){{0,{min(len(ids), 4) - 2}}}{last}{slot})?"


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
