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


@dataclass(frozen=True, slots=True)
class Trait:
    """A user's accepted signals of one kind about one thing, merged.

    Attributes:
        trait_id: Stable within the user: a hash of user, kind and canonical label.
        mentions: Number of distinct pieces of evidence.
        first_seen, last_confirmed: Times of the first and the last evidence, UTC.
        evidence: The proofs, newest first.
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
