"""Merging signals into traits: what a user's accepted signals of one kind about one thing add up to."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from limner.evidence.records import Polarity, Signal, Span, Trait

MOST_EVIDENCE = 12
"""Pieces of evidence that a trait keeps, the newest; `mentions` counts all of them."""

ONE_SIDED = 2 / 3
"""Share of the weight that one polarity needs to be the trait's; below it the trait is `mixed`."""

_ARTICLE = re.compile(r"^(?:the|a|an|this|that|these|those|my|your|his|her|its|our|their)\s+")
_EARLIEST = datetime.min


def canonical(label: str) -> str:
    """The form under which labels count as the same: no width, case, articles, edge punctuation or plural `s`."""
    folded = unicodedata.normalize("NFKC", label).casefold()
    folded = re.sub(r"[\s_]+", " ", folded).strip(" \t.,;:!?。，；：！？\"'")
    folded = _ARTICLE.sub("", folded)
    return re.sub(r"(?<=[a-z]{3}[^s\W])s$", "", folded)


def trait_id(user_id: str, kind: str, label: str) -> str:
    """The stable id of a user's trait."""
    return hashlib.sha256("\0".join((user_id, kind, canonical(label))).encode("utf-8", "replace")).hexdigest()[:12]


def merge(signals: Iterable[Signal]) -> list[Trait]:
    """The traits of one user, the best supported first.

    Signals of one kind whose labels are equal in `canonical` form become one trait, under the label most often used.
    Confidence is w / (w + v + 1), where w is the summed confidence of the signals of the winning polarity and v that of
    the others, the same words counting once: one sure mention gives 0.5, contradiction lowers it, repetition raises it
    toward 1 (the rule of succession with one imagined mention against).
    """
    groups: dict[tuple[str, str], list[Signal]] = {}
    for signal in signals:
        if signal.status == "accepted":
            groups.setdefault((signal.kind, canonical(signal.label)), []).append(signal)
    traits = [_merged(group) for group in groups.values()]
    return sorted(traits, key=lambda t: (-t.confidence, -t.mentions, t.kind, t.label))


def _merged(group: Sequence[Signal]) -> Trait:
    first = group[0]
    newest = sorted(group, key=lambda s: (s.ts or _EARLIEST, s.signal_id), reverse=True)
    spans: dict[Span, None] = {signal.evidence: None for signal in newest}
    label = Counter(s.label for s in newest).most_common(1)[0][0]
    polarity, weight, against = _polarity(newest)
    times = [s.ts for s in group if s.ts is not None]
    return Trait(
        trait_id=trait_id(first.user_id, first.kind, label),
        user_id=first.user_id,
        kind=first.kind,
        label=label,
        polarity=polarity,
        confidence=round(weight / (weight + against + 1.0), 4),
        mentions=len(spans),
        first_seen=min(times, default=None),
        last_confirmed=max(times, default=None),
        evidence=tuple(spans)[:MOST_EVIDENCE],
    )


def _polarity(group: Sequence[Signal]) -> tuple[Polarity, float, float]:
    """The group's polarity, the weight for it and the weight against it."""
    surest: dict[tuple[Span, Polarity], float] = {}
    for signal in group:
        said = (signal.evidence, signal.polarity)
        surest[said] = max(signal.confidence, surest.get(said, 0.0))
    weights: dict[Polarity, float] = {}
    for (_, polarity), confidence in surest.items():
        weights[polarity] = weights.get(polarity, 0.0) + confidence
    total = sum(weights.values())
    winner, weight = max(weights.items(), key=lambda pair: (pair[1], pair[0]))
    if weight >= ONE_SIDED * total:
        return winner, weight, total - weight
    return "mixed", weight, total - weight
