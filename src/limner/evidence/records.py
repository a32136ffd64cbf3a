"""Signals and traits: what was read in a history, and what it adds up to."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

SignalKind = Literal["interest", "intent", "sentiment", "need", "preference", "objection"]
Polarity = Literal["positive", "negative", "mixed", "neutral"]


@dataclass(frozen=True, slots=True)
class Span:
    """An exact slice of an event's stored text: `event[field][start:end] == quote`, in characters."""

    event_id: str
    field: str
    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True)
class Signal:
    """One thing a model read in one text or history.

    Attributes:
        signal_id: Stable id (a hash of user, kind, label, polarity and evidence).
        user_id: Whose it is.
        kind: What sort of thing.
        label: What it is about, in the customer's language, as a short phrase.
        polarity: How the user feels about it.
        confidence: 0 to 1.
        ts: Time of the event that proves it, UTC; None if the event has no time.
        lang: `zh` or `en`.
        evidence: The proof. For a rejected signal: what was claimed, with start and end -1 where it was not found.
        status: `accepted` or `rejected`.
        reason: Why it was rejected; empty if accepted.
        prompt: Name and version of the prompt.
        model: The model that answered.
    """

    signal_id: str
    user_id: str
    kind: SignalKind
    label: str
    polarity: Polarity
    confidence: float
    ts: datetime | None
    lang: str
    evidence: Span
    status: Literal["accepted", "rejected"]
    reason: str
    prompt: str
    model: str


TraitStatus = Literal["declared", "current", "conflict", "superseded", "expired"]

HOLDING: frozenset[TraitStatus] = frozenset({"declared", "current", "conflict"})
"""Statuses of traits that speak of the user as of now; the others are history."""


@dataclass(frozen=True, slots=True)
class Trait:
    """A user's accepted signals about one thing, merged.

    Attributes:
        trait_id: Stable within the user: a hash of user, family of kinds, name and side.
        label: What it is about, in the user's own most frequent wording.
        polarity: How the user feels about it; `mixed` if neither side outweighs the other.
        confidence: How well it is proved, 0 to 1, whatever the age of the proofs.
        mentions: Number of distinct texts among the evidence, however often each was repeated.
        first_seen, last_confirmed: Times of the first and the last evidence, UTC.
        evidence: The proofs, newest first; of a mixed trait those of both sides.
        canonical: The name that all wordings share, of this user and of others.
        strength: The weight of the evidence, faded with age: 1 is one sure mention of today. None if not known.
        status: `declared` by the user, `current`, `conflict` (both sides, close in time or of like weight),
            `superseded` by a later opposite opinion, or `expired`.
        superseded_by: The trait that took its place; empty otherwise.
        closed: When it was superseded or expired.
        against: What speaks against it, newest first; of a mixed trait the negative side.
        declared_in: The profile field in which the user declared it; empty otherwise.
    """

    trait_id: str
    user_id: str
    kind: SignalKind
    label: str
    polarity: Polarity
    confidence: float
    mentions: int
    first_seen: datetime | None
    last_confirmed: datetime | None
    evidence: tuple[Span, ...] = field(default_factory=tuple)
    canonical: str = ""
    strength: float | None = None
    status: TraitStatus = "current"
    superseded_by: str = ""
    closed: datetime | None = None
    against: tuple[Span, ...] = field(default_factory=tuple)
    declared_in: str = ""

    @property
    def holds(self) -> bool:
        """Whether it speaks of the user as of now; what does not must steer nothing."""
        return self.status in HOLDING

    @property
    def contested(self) -> bool:
        """Whether there is evidence on both sides."""
        return bool(self.against) and bool(self.evidence or self.declared_in)
