"""A persona: facts, traits with their evidence, and a short narrative whose sentences name what they rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from limner.errors import UsageError
from limner.evidence.records import Span, Trait
from limner.evidence.traits import order
from limner.histories.merged import members_of, resolve
from limner.histories.store import Store, arrow


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of a narrative and the ids it rests on: trait ids, or fact names such as `fact:frequency`."""

    text: str
    supports: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Persona:
    """Who a user is, as far as the data says.

    Attributes:
        user_id: The user.
        language: `zh` or `en`, the language the user mostly writes.
        facts: Numbers computed in SQL (the columns of the `facts` table; None where the data does not say).
        traits: Merged signals: those that hold now first, of them the best supported; then what was superseded or has
            expired.
        narrative: At most 120 words; empty until a narrative was written.
        model: The model that wrote the narrative, or empty.
        merged: Further ids of the same person, merged into `user_id`.
    """

    user_id: str
    language: str
    facts: Mapping[str, Any]
    traits: tuple[Trait, ...]
    narrative: tuple[Sentence, ...] = field(default_factory=tuple)
    model: str = ""
    merged: tuple[str, ...] = ()

    @property
    def present(self) -> tuple[Trait, ...]:
        """The traits that hold now."""
        return tuple(trait for trait in self.traits if trait.holds)

    def to_json(self) -> dict[str, Any]:
        """The persona as `limner persona show --format json` prints it; `ids` only where there are several."""
        return {
            "user_id": self.user_id,
            **({"ids": [self.user_id, *self.merged]} if self.merged else {}),
            "language": self.language,
            "facts": {name: _plain(value) for name, value in self.facts.items()},
            "traits": [trait_json(trait) for trait in self.traits],
            "narrative": [{"text": s.text, "supports": list(s.supports)} for s in self.narrative],
        }


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def trait_json(trait: Trait) -> dict[str, Any]:
    """A trait as every command prints it in JSON."""
    return {
        "id": trait.trait_id,
        "kind": trait.kind,
        "label": trait.label,
        "polarity": trait.polarity,
        "status": trait.status,
        "canonical": trait.canonical,
        "strength": trait.strength,
        "confidence": trait.confidence,
        "mentions": trait.mentions,
        "first_seen": _plain(trait.first_seen),
        "last_confirmed": _plain(trait.last_confirmed),
        "closed": _plain(trait.closed),
        "superseded_by": trait.superseded_by,
        "declared_in": trait.declared_in,
        "evidence": [asdict(span) for span in trait.evidence],
        "against": [asdict(span) for span in trait.against],
    }


def trait_from_row(row: Mapping[str, Any]) -> Trait:
    """A trait from a row of the `traits` table."""
    return Trait(
        trait_id=row["trait_id"],
        user_id=row["user_id"],
        kind=row["kind"],
        label=row["label"],
        polarity=row["polarity"],
        confidence=row["confidence"],
        mentions=row["mentions"],
        first_seen=row["first_seen"],
        last_confirmed=row["last_confirmed"],
        evidence=_spans(row["evidence"]),
        canonical=row["canonical"],
        strength=row["strength"],
        status=row["status"],
        superseded_by=row["superseded_by"],
        closed=row["closed"],
        against=_spans(row["against"]),
        declared_in=row["declared_in"],
    )


def _spans(rows: list[dict[str, Any]] | None) -> tuple[Span, ...]:
    return tuple(Span(e["event_id"], e["field"], e["start"], e["end"], e["quote"]) for e in rows or ())


_BOOKKEEPING = ("run", "seq", "user_id")


def read_persona(store: Store, user_id: str) -> Persona:
    """Reads one user's persona from the workspace. A user without traits still has facts; a merged id is its person's.

    Raises:
        UsageError: The workspace has no such user.
    """
    return next(iter(read_personas(store, [user_id])))


def read_personas(store: Store, user_ids: list[str] | None = None) -> list[Persona]:
    """Reads personas, of all users with facts if none are named, ordered by user id.

    Raises:
        UsageError: A named user is not in the workspace.
    """
    chosen = "" if user_ids is None else "WHERE user_id IN (SELECT unnest($1::VARCHAR[]))"
    with store.read() as db:
        user_ids = None if user_ids is None else resolve(db, user_ids)
        values = [] if user_ids is None else [user_ids]
        merged = members_of(db, user_ids)
        facts = arrow(db, f"SELECT * FROM facts {chosen} ORDER BY user_id", values).to_pylist()
        written = arrow(db, f"SELECT * FROM personas {chosen}", values).to_pylist()
        found = arrow(db, f"SELECT * FROM traits {chosen}", values).to_pylist()
    unknown = sorted(set(user_ids or ()) - {row["user_id"] for row in facts})
    if unknown:
        shown = ", ".join(unknown[:5]) + (" and others" if len(unknown) > 5 else "")
        raise UsageError(
            f"No user {shown} in {store.path}. `limner export users --out users.csv` lists the known ones."
        )
    persona_of = {row["user_id"]: row for row in written}
    traits_of: dict[str, list[Trait]] = {}
    for trait in sorted(map(trait_from_row, found), key=order):
        traits_of.setdefault(trait.user_id, []).append(trait)
    return [
        _assemble(row, persona_of.get(user), traits_of.get(user, []), merged.get(user, []))
        for row in facts
        for user in (row["user_id"],)
    ]


def _assemble(facts: dict[str, Any], written: dict[str, Any] | None, traits: list[Trait], merged: list[str]) -> Persona:
    narrative = tuple(Sentence(s["text"], tuple(s["supports"])) for s in (written or {}).get("narrative") or ())
    return Persona(
        user_id=facts["user_id"],
        language=(written or {}).get("language") or facts["lang"] or "en",
        facts={name: value for name, value in facts.items() if name not in _BOOKKEEPING},
        traits=tuple(traits),
        narrative=narrative,
        model=(written or {}).get("model") or "",
        merged=tuple(merged),
    )
