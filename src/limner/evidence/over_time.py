"""Traits over time, read from a workspace: how one user's changed, and where users contradict themselves."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from limner.errors import UsageError
from limner.evidence.changes import Change, TraitHistory, history
from limner.evidence.persona import trait_from_row, trait_json
from limner.evidence.reading import read_evidence, read_names
from limner.evidence.records import Span, Trait
from limner.histories.store import Store, arrow


@dataclass(frozen=True, slots=True)
class UserHistory:
    """How one user's traits changed.

    Attributes:
        user_id: The user.
        language: `zh` or `en`, the language the user mostly writes.
        at: The moment up to which it is told: the newest event of the data, UTC.
        traits: One history for each thing the user spoke of, what holds now first.
    """

    user_id: str
    language: str
    at: datetime | None
    traits: tuple[TraitHistory, ...]

    def to_json(self) -> dict[str, Any]:
        """The history as `limner persona history --json` prints it."""
        return {
            "user_id": self.user_id,
            "language": self.language,
            "at": _iso(self.at),
            "traits": [_history_json(told) for told in self.traits],
        }


def _history_json(told: TraitHistory) -> dict[str, Any]:
    return {
        "label": told.label,
        "canonical": told.name,
        "traits": [trait_json(trait) for trait in told.traits],
        "changes": [_change_json(change) for change in told.changes],
    }


def _change_json(change: Change) -> dict[str, Any]:
    return {
        "at": _iso(change.at),
        "change": change.kind,
        "polarity": change.polarity,
        "status": change.status,
        "strength": change.strength,
        "evidence": [asdict(span) for span in change.evidence],
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def read_history(store: Store, user_id: str) -> UserHistory:
    """How one user's traits changed over time.

    Raises:
        UsageError: The workspace has no such user, or its alias table or taxonomy was edited into something else.
    """
    found = read_evidence(store, [user_id])
    if not found:
        raise UsageError(
            f"No user {user_id} in {store.path}. `limner export users --out users.csv` lists the known ones."
        )
    user = found[0]
    told = history(user.signals, names=read_names(store), declared=user.declared, at=user.at)
    return UserHistory(user.user_id, user.lang, user.at, tuple(told))


@dataclass(frozen=True, slots=True)
class Said:
    """Words on one side, with their date."""

    span: Span
    ts: datetime | None


@dataclass(frozen=True, slots=True)
class Conflict:
    """A trait on which the evidence, or the user's own word and the evidence, disagree.

    Attributes:
        trait: The trait; its status is `conflict`, or `declared` where the profile says otherwise than the texts.
        positive, negative: The words on both sides, newest first.
    """

    trait: Trait
    positive: tuple[Said, ...]
    negative: tuple[Said, ...]

    def to_json(self) -> dict[str, Any]:
        """The conflict as `limner persona conflicts --json` prints it."""
        sides = {"for": self.positive, "against": self.negative}
        return {
            "user_id": self.trait.user_id,
            "trait": trait_json(self.trait),
            **{side: [{"at": _iso(said.ts), **asdict(said.span)} for said in sides[side]] for side in sides},
        }


_CONTESTED = (
    "SELECT * FROM traits WHERE status = 'conflict' OR (status = 'declared' AND len(against) > 0)"
    " ORDER BY user_id, strength DESC, trait_id"
)


def read_conflicts(store: Store) -> list[Conflict]:
    """The present traits that have clear words on both sides, by user."""
    with store.read() as db:
        traits = [trait_from_row(row) for row in arrow(db, _CONTESTED).to_pylist()]
        named = sorted({span.event_id for t in traits for span in (*t.evidence, *t.against)})
        dates = dict(
            db.execute(
                "SELECT event_id, max(ts) FROM events WHERE event_id IN (SELECT unnest($1::VARCHAR[])) GROUP BY 1",
                [named],
            ).fetchall()
        )
    return [_conflict(trait, dates) for trait in traits]


def _conflict(trait: Trait, dates: dict[str, datetime | None]) -> Conflict:
    own = tuple(Said(span, dates.get(span.event_id)) for span in trait.evidence if span not in trait.against)
    against = tuple(Said(span, dates.get(span.event_id)) for span in trait.against)
    return Conflict(trait, against, own) if trait.polarity == "negative" else Conflict(trait, own, against)
