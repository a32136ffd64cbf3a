"""A page's data as JSON that is safe inside HTML: nothing in it can end the element it stands in."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from limner.evidence.persona import Persona
from limner.evidence.records import Span, Trait
from limner.reports.facts_text import FACTS, fact_lines
from limner.reports.material import Material, Row
from limner.reports.wording import money
from limner.reports.words import CONFIDENCE_WORDS, KIND_ORDER, POLARITY_SIGNS, all_words, language

_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}
"""Without `<` no text can end a script element or open a comment; the line separators end old JavaScript strings."""


def embed_json(value: Any) -> str:
    """A value as JSON for the inside of `<script type="application/json">`.

    Dates become ISO text, numbers that are not finite become null, lone surrogates become U+FFFD.
    """
    text = json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"), default=_plain, allow_nan=False)
    return text.encode("utf-8", "replace").decode("utf-8").translate(_ESCAPES)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def page_data(material: Material, *, title: str, lang: str, single: bool, made: datetime) -> dict[str, Any]:
    """Everything the page's script shows, as plain data.

    Args:
        material: What to show.
        title: The page's title.
        lang: Language in which the interface starts, `zh` or `en`.
        single: Show one person and nothing else.
        made: When the page was made.
    """
    members = _by_user(material.memberships)
    return {
        "title": title,
        "lang": language(lang),
        "single": single,
        "made": made,
        "words": all_words(),
        "kinds": KIND_ORDER,
        "signs": POLARITY_SIGNS,
        "confidence": [[step.key, step.at_least] for step in CONFIDENCE_WORDS],
        "facts": [{"slot": f.slot, "column": f.column, "en": f.label_en, "zh": f.label_zh} for f in FACTS],
        "totals": asdict(material.totals),
        "segments": [_segment(row) for row in material.segments],
        "people": [_person(p, material, members.get(p.user_id, [])) for p in material.personas],
        "events": {row["event_id"]: _event(row) for row in material.events},
    }


def _by_user(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["user_id"], []).append(row)
    return found


def _segment(row: Row) -> dict[str, Any]:
    kept = ("name", "description", "origin", "users", "criterion")
    features = [{"label": f["label"], "lift": f["lift"], "share": f["share"]} for f in row.get("features") or ()]
    return {"id": row["segment_id"], **{name: row.get(name) for name in kept}, "features": features}


def _person(persona: Persona, material: Material, memberships: list[Row]) -> dict[str, Any]:
    english, chinese = (fact_lines(persona.facts, lang) for lang in ("en", "zh"))
    refused = material.refused.get(persona.user_id)
    return {
        "id": persona.user_id,
        "merged": list(persona.merged),
        "lang": language(persona.language),
        "model": persona.model,
        "facts": {e.slot: [e.value, z.value] for e, z in zip(english, chinese, strict=True) if e.known},
        "narrative": [[sentence.text, sentence.supports] for sentence in persona.narrative],
        "traits": [_trait(trait) for trait in persona.traits],
        "segments": [[row["segment_id"], row.get("confidence"), row.get("reason")] for row in memberships],
        "refused": refused.count if refused else 0,
        "rejected": [_rejected(row) for row in refused.shown] if refused else [],
        "activity": [[month.month, month.events] for month in material.activity.get(persona.user_id, ())],
    }


def _trait(trait: Trait) -> dict[str, Any]:
    return {
        "id": trait.trait_id,
        "kind": trait.kind,
        "label": trait.label,
        "polarity": trait.polarity,
        "confidence": trait.confidence,
        "mentions": trait.mentions,
        "last": trait.last_confirmed,
        "status": trait.status,
        "holds": trait.holds,
        "closed": trait.closed,
        "field": trait.declared_in,
        "evidence": _spans(trait.evidence),
        "against": _spans([span for span in trait.against if span not in trait.evidence]),
    }


def _spans(spans: Iterable[Span]) -> list[list[Any]]:
    return [[s.event_id, s.field, s.start, s.end, s.quote] for s in spans]


def _rejected(row: Row) -> dict[str, Any]:
    evidence = [row["event_id"], row["field"], row["start"], row["end"], row["quote"]]
    return {**{name: row[name] for name in ("kind", "label", "polarity", "reason")}, "evidence": [evidence]}


def _event(row: Row) -> dict[str, Any]:
    kept = ("user_id", "ts", "kind", "item_id", "title", "text_title", "text", "rating", "role")
    found = {name: row.get(name) for name in kept if row.get(name) is not None}
    amount = row.get("amount")
    if isinstance(amount, int | float) and math.isfinite(amount):
        found["amount"] = [money(amount, row.get("currency"), lang) for lang in ("en", "zh")]
    return found
