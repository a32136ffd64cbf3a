"""What users declared of themselves: profile fields that say what they like, want or avoid.

Profiles differ from source to source, so a field is known by its name; its value is a list, or words between commas. A
piece that begins with a negation (`no coffee`, 不爱户外) is against.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from limner.evidence.labels import canonical
from limner.evidence.records import Polarity, SignalKind

_NAMES: Mapping[SignalKind, str] = {
    "interest": "interest interests hobby hobbies topics 兴趣 爱好 兴趣爱好 关注",
    "preference": "like likes preference preferences favourite favourites favorite favorites 喜欢 偏好 喜好",
    "objection": "dislike dislikes avoid avoids 不喜欢 讨厌 忌口",
    "need": "need needs 需求 需要",
    "intent": "intent intents wishlist wish_list wants 想要 心愿单 意向",
}

FIELDS: Mapping[str, SignalKind] = {name: kind for kind, names in _NAMES.items() for name in names.split()}
"""Field names, without a leading `declared_` or `user_`, and what they declare."""

LONGEST = 60
"""Characters of a piece that can be a label; longer ones are prose and are left out."""

MOST = 40
"""Declared labels of one user that are taken, the first."""

_PREFIX = re.compile(r"^(?:declared|stated|self|user|customer|profile)[_\s-]+")
_BETWEEN = re.compile(r"[,;|/，；、\n]+")
_NEGATED = re.compile(
    r"^(?:no|not|never|avoids?|dislikes?|hates?|(?:don't|do not|doesn't|does not) (?:like|want|need))\s+"
    r"|^(?:不(?:太|怎么|再)?(?:喜欢|爱|想|要|吃|喝|用)|讨厌|没兴趣|不)"
)


@dataclass(frozen=True, slots=True)
class Declared:
    """One thing a user declared, and the profile field it stands in."""

    user_id: str
    kind: SignalKind
    label: str
    polarity: Polarity
    field: str


def declared_of(user_id: str, attrs: str | None) -> list[Declared]:
    """What a user's profile (a JSON object, as the `users` table has it) declares.

    >>> [(d.label, d.polarity) for d in declared_of("u", '{"declared_interests": "tea, no coffee"}')]
    [('tea', 'positive'), ('coffee', 'negative')]
    """
    try:
        profile = json.loads(attrs) if attrs else {}
    except ValueError:
        return []
    if not isinstance(profile, dict):
        return []
    found = {(d.kind, canonical(d.label)): d for d in reversed(list(_pieces(user_id, profile)))}
    return list(reversed(found.values()))[:MOST]


def _pieces(user_id: str, profile: Mapping[str, Any]) -> Iterator[Declared]:
    for name in sorted(profile, key=str):
        kind = FIELDS.get(_PREFIX.sub("", unicodedata.normalize("NFKC", str(name)).casefold().strip()))
        if kind is None:
            continue
        for text in _texts(profile[name]):
            negated = _NEGATED.match(text.casefold())
            label = text[negated.end() :].strip() if negated else text
            if canonical(label) and len(label) <= LONGEST:
                against = bool(negated) != (kind == "objection")
                yield Declared(user_id, kind, label, "negative" if against else "positive", str(name))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from (piece.strip() for piece in _BETWEEN.split(value) if piece.strip())
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
