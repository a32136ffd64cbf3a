"""Storing what was read of users: signals and what they come from, many users in one commit."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from limner.agents.extractor.asking import UserReading
from limner.agents.extractor.relation import Related, with_relations
from limner.agents.extractor.schema import Progress
from limner.agents.extractor.unchanged import note_read
from limner.evidence.records import Signal
from limner.histories.settled import Settled
from limner.histories.store import Store
from limner.serving.client import Client

TELL_SECONDS = 0.2
"""Between two tellings of one user who is being read."""


@dataclass
class Totals:
    """What an extraction has done so far."""

    users: int
    done: int = 0
    accepted: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    unread: int = 0


@dataclass
class Storing:
    """Users that were read and are not stored yet.

    Attributes:
        store: The workspace's tables.
        client: The model.
        run: The run's id.
        related: Tells which tags are near in meaning to what shows them.
        settled: Noted of what is stored.
        totals: Counted by what is stored.
        waiting: Those users.
        held: What stands in their signals.
    """

    store: Store
    client: Client
    run: str
    related: Related
    settled: Settled
    totals: Totals
    waiting: list[UserReading] = field(default_factory=list)
    held: Counter[str] = field(default_factory=Counter)

    def take(self, readings: Sequence[UserReading]) -> None:
        """Takes the users that were read whole; the others are let go."""
        whole = [reading for reading in readings if not reading.open]
        self.waiting += whole
        self.held += counted(whole)

    def commit(self) -> None:
        """Stores the users that wait."""
        readings, self.waiting, self.held = self.waiting, [], Counter()
        if not readings:
            return
        _relate(readings, self.related)
        rows: list[dict[str, Any]] = []
        heads: list[dict[str, Any]] = []
        for reading in readings:
            self._count(reading, rows, heads)
        if heads:
            with self.store.commit("extract", run=self.run) as commit:
                commit.add("signals", rows)
                commit.add("extractions", heads)
                commit.summary.update(users=len(heads), signals=len(rows))
        note_read(self.settled, self.client.model, (reading for reading in readings if not reading.failure))
        self.client.forget([request for reading in readings if reading.failure for request in reading.malformed])

    def _count(self, reading: UserReading, rows: list[dict[str, Any]], heads: list[dict[str, Any]]) -> None:
        """Counts one user, and adds the rows to be stored."""
        totals = self.totals
        totals.done += 1
        if reading.failure:
            totals.failed[reading.user_id] = reading.failure
            return
        unique = list({s.signal_id: s for s in reading.signals}.values())
        rejected = [s.reason for s in unique if s.status == "rejected"]
        totals.accepted += len(unique) - len(rejected)
        totals.reasons.update(rejected)
        rows += [_row(signal) for signal in unique]
        heads.append(
            {
                "user_id": reading.user_id,
                "history_key": reading.key(self.client.model),
                "model": self.client.model,
                "accepted": len(unique) - len(rejected),
                "rejected": len(rejected),
            }
        )


@dataclass
class Telling:
    """Tells where an extraction stands: after every user, and now and then in between."""

    storing: Storing
    progress: Callable[[Progress], None] | None
    users: int = -1
    at: float = 0.0

    def tell(self, readings: Sequence[UserReading] = ()) -> None:
        """Tells it, with users who are being read."""
        if self.progress is None:
            return
        users, now = sum(not reading.open for reading in readings), time.monotonic()
        if readings and users == self.users and now - self.at < TELL_SECONDS:
            return
        self.users, self.at = users, now
        totals, found = self.storing.totals, self.storing.held + counted(readings)
        self.progress(
            Progress(
                totals.users,
                totals.done + found["users"],
                len(totals.failed),
                totals.accepted + found["accepted"],
                sum(totals.reasons.values()) + found["rejected"],
            )
        )


def counted(readings: Sequence[UserReading]) -> Counter[str]:
    """Users that are read whole, and signals by their status, those of others included."""
    found: Counter[str] = Counter(signal.status for reading in readings for signal in reading.signals)
    found["users"] = sum(not reading.open for reading in readings)
    return found


def _relate(readings: Sequence[UserReading], related: Related) -> None:
    """Accepts the tags of some users that share no word with their proof but are near it in meaning."""
    signals = {s.signal_id: s for reading in readings for s in reading.signals}
    categories = {id_: category for reading in readings for id_, category in reading.categories.items()}
    settled = {s.signal_id: s for s in with_relations(list(signals.values()), categories, related)}
    for reading in readings:
        reading.signals = [settled[s.signal_id] for s in reading.signals]
        for signal in reading.signals:
            reading.verify(signal)


def _row(signal: Signal) -> dict[str, Any]:
    row = asdict(signal)
    return {**row, **row.pop("evidence")}
