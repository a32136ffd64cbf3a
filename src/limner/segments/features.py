"""What sets a segment apart: features its users have more often than everyone else, counted by code.

Lift is the share inside over the share outside, both with add-one smoothing (Laplace), so that a thing seen once
outside and never inside stays finite and small numbers do not shout.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from limner.retrieval.space import Space
from limner.segments.records import Feature
from limner.segments.topics import Topic, find_topics
from limner.segments.views import UserViews, fact_values

SHOWN = 12
"""Features kept per segment."""

LEAST_USERS = 2
LEAST_SHARE = 0.15
"""A feature counts if at least two users and 15 % of the segment have it."""

LEAST_LIFT = 1.2


@dataclass(frozen=True, slots=True)
class Key:
    """A feature before it is put in words: its kind and a value that does not hang on a language."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class Level:
    """What lying in the upper or lower quarter of a fact is called, in English and Chinese; empty if not a feature."""

    column: str
    high: tuple[str, str]
    low: tuple[str, str]
    money: bool = False


LEVELS = (
    Level("recency_days", ("not seen for long", "很久没来"), ("seen lately", "最近来过")),
    Level("frequency", ("orders often", "下单频繁"), ("orders seldom", "很少下单")),
    Level("monetary", ("spends much", "消费高"), ("spends little", "消费低"), money=True),
    Level("average_order", ("large orders", "客单价高"), ("small orders", "客单价低"), money=True),
    Level("return_rate", ("returns often", "退货多"), ("", "")),
    Level("rating_mean", ("rates high", "打分高"), ("rates low", "打分低")),
    Level("ties", ("has many ties", "关系多"), ("", "")),
    Level("trend_90d", ("more active than before", "近期更活跃"), ("less active than before", "活跃度下降")),
)
"""Facts as features: the top and the bottom quarter of the users of whom the fact is known."""

_LANGUAGES = {"zh": ("writes Chinese", "用中文"), "en": ("writes English", "用英文")}

_LISTS = {"category": "top_categories", "activity": "kinds", "device": "top_devices", "place": "top_places"}
"""Kinds of features that stand in the facts as counted values."""


@dataclass(frozen=True, slots=True)
class Features:
    """The features of all users.

    Attributes:
        of: The features of each user, in the views' order.
        topics: The topic behind each trait's and complaint's value.
    """

    of: tuple[frozenset[Key], ...]
    topics: Mapping[str, Topic]

    def words(self, key: Key, language: str) -> str:
        """A feature in words, in a segment's language where we have them."""
        if key.kind in ("trait", "complaint"):
            return self.topics[key.value].in_language(language)
        if key.kind in ("fact", "language"):
            return _WORDS[key][language == "zh"]
        return key.value


_WORDS: dict[Key, tuple[str, str]] = {
    **{Key("fact", f"{level.column}:high"): level.high for level in LEVELS},
    **{Key("fact", f"{level.column}:low"): level.low for level in LEVELS},
    **{Key("language", lang): words for lang, words in _LANGUAGES.items()},
}


def user_features(views: UserViews, space: Space) -> Features:
    """Collects every user's features."""
    place = {user: i for i, user in enumerate(views.users)}
    found: list[set[Key]] = [set() for _ in views.users]
    label_users = Counter(label for _, label in {(trait.user_id, trait.label) for trait in views.traits})
    topics = find_topics(dict(label_users), space)
    for trait in views.traits:
        kind = "complaint" if trait.minds else "trait"
        found[place[trait.user_id]].add(Key(kind, topics[trait.label].key))
    for i, row in enumerate(views.facts):
        for kind, column in _LISTS.items():
            found[i].update(Key(kind, str(item["value"])) for item in row[column] or ())
        if row["lang"] in _LANGUAGES:
            found[i].add(Key("language", row["lang"]))
    for level in LEVELS:
        _add_level(found, level, views.facts)
    return Features(tuple(frozenset(keys) for keys in found), {topic.key: topic for topic in topics.values()})


def _add_level(found: list[set[Key]], level: Level, facts: Sequence[dict[str, Any]]) -> None:
    """Marks the users in the upper and lower quarter of a fact, within the currency for money."""
    values = fact_values(facts, level.column)
    groups: dict[str, list[int]] = {}
    for i, row in enumerate(facts):
        if not np.isnan(values[i]):
            groups.setdefault((row["currency"] or "") if level.money else "", []).append(i)
    for rows in groups.values():
        low, middle, high = np.quantile(values[rows], (0.25, 0.5, 0.75))
        for i in rows:
            if level.high[0] and values[i] >= high and values[i] > middle:
                found[i].add(Key("fact", f"{level.column}:high"))
            elif level.low[0] and values[i] <= low and values[i] < middle:
                found[i].add(Key("fact", f"{level.column}:low"))


@dataclass(frozen=True, slots=True)
class Scored:
    """A feature of a segment with its counts."""

    key: Key
    share: float
    lift: float

    @property
    def weight(self) -> float:
        """How telling it is: common inside and rare outside."""
        return self.share * math.log(self.lift) if self.lift > 1 else self.share * 1e-6


def distinctive(features: Features, inside: npt.NDArray[np.bool_]) -> list[Scored]:
    """What users inside have more often than those outside, the most telling first. Without an outside: what is common.

    Args:
        features: All users' features.
        inside: Which users are in the segment.
    """
    members, others = int(inside.sum()), int((~inside).sum())
    counts: Counter[Key] = Counter()
    elsewhere: Counter[Key] = Counter()
    for keys, is_inside in zip(features.of, inside, strict=True):
        (counts if is_inside else elsewhere).update(keys)
    least = max(min(LEAST_USERS, members), math.ceil(LEAST_SHARE * members))
    scored = []
    for key, n in counts.items():
        lift = ((n + 1) / (members + 2)) / ((elsewhere[key] + 1) / (others + 2)) if others else 1.0
        if n >= least and (lift >= LEAST_LIFT or not others):
            scored.append(Scored(key, n / members, lift))
    return sorted(scored, key=lambda s: (-s.weight, s.key.kind, s.key.value))[:SHOWN]


def worded(features: Features, scored: Sequence[Scored], language: str) -> tuple[Feature, ...]:
    """The features in words; two that read the same are one."""
    found: dict[tuple[str, str], Feature] = {}
    for one in scored:
        label = features.words(one.key, language)
        found.setdefault((one.key.kind, label), Feature(label, one.key.kind, round(one.share, 4), round(one.lift, 3)))
    return tuple(found.values())
