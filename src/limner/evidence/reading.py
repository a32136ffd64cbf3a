"""What traits are made of, read from a workspace: a user's signals, declared attributes, and the names in force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from limner.evidence.aliases import read_aliases
from limner.evidence.declared import Declared, declared_of
from limner.evidence.names import Names, names_of
from limner.evidence.records import Signal, Span
from limner.evidence.taxonomy import stored_taxonomy
from limner.evidence.traits import latest
from limner.histories.store import Store, arrow


@dataclass(frozen=True, slots=True)
class UserEvidence:
    """What one user's traits are made of.

    Attributes:
        facts: The user's row of the `facts` table, without bookkeeping.
        lang: `zh` or `en`.
        at: The moment traits are of: the newest event of the whole workspace, as facts are; None if nothing is dated.
        signals: The accepted signals of the latest extraction.
        declared: What the profile declares.
    """

    user_id: str
    facts: dict[str, Any]
    lang: str
    at: datetime | None
    signals: tuple[Signal, ...]
    declared: tuple[Declared, ...]


def read_evidence(store: Store, users: Sequence[str]) -> list[UserEvidence]:
    """The evidence of some users, ordered by id; users without facts are left out."""
    among = "WHERE user_id IN (SELECT unnest($1::VARCHAR[]))"
    with store.read() as db:
        facts = arrow(db, f"SELECT * EXCLUDE (run, seq) FROM facts {among} ORDER BY user_id", [list(users)]).to_pylist()
        rows = arrow(db, f"SELECT * FROM signals {among} AND status = 'accepted'", [list(users)]).to_pylist()
        profiles = dict(db.execute(f"SELECT user_id, attrs FROM users {among}", [list(users)]).fetchall())
    signals: dict[str, list[Signal]] = {}
    for row in rows:
        signals.setdefault(row["user_id"], []).append(signal_from_row(row))
    return [
        UserEvidence(
            row["user_id"],
            row,
            row["lang"] if row["lang"] in ("zh", "en") else "en",
            row["as_of"] or latest(signals.get(row["user_id"], [])),
            tuple(signals.get(row["user_id"], [])),
            tuple(declared_of(row["user_id"], profiles.get(row["user_id"]))),
        )
        for row in facts
    ]


def signal_from_row(row: dict[str, Any]) -> Signal:
    """A signal from a row of the `signals` table."""
    span = Span(row["event_id"], row["field"], row["start"], row["end"], row["quote"])
    names = ("signal_id", "user_id", "kind", "label", "polarity", "confidence", "ts", "lang", "status", "reason")
    return Signal(**{n: row[n] for n in names}, evidence=span, prompt=row["prompt"], model=row["model"])


def read_names(store: Store) -> Names:
    """The names that the workspace's alias table and taxonomy put in force.

    Raises:
        UsageError: One of the files was edited into something else.
    """
    return names_of(read_aliases(store.path), stored_taxonomy(store.path))
