"""Users whose reading is what it would be now: told without reading a text of theirs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat

from limner.agents.extractor.asking import UserReading
from limner.agents.extractor.plan import Plan
from limner.histories.ratings import best_ratings
from limner.histories.settled import Kind, Settled
from limner.histories.store import Store
from limner.histories.texts import register_wanted
from limner.serving.client import Client
from limner.serving.request import ChatRequest, PromptId

READINGS = Kind(
    "readings",
    sources="SELECT user_id, to_json(e)::VARCHAR AS words FROM (SELECT * EXCLUDE (run, seq) FROM titled_events) e"
    " UNION ALL SELECT user_id, concat('lang ', lang) FROM facts",
    stored="SELECT user_id, history_key AS key FROM extractions",
    shared=lambda store, version: sorted(best_ratings(store, version).items(), key=repr),
    results=frozenset({"extractions", "signals", "personas", "traits", "segments", "memberships"}),
)
"""What a user's questions are made of: the events with their items' names, the language, and the scales of ratings."""


@dataclass
class Unchanged:
    """What is stored of users whose stored reading is what it would be now.

    Attributes:
        users: How many they are.
        accepted: Their accepted signals.
        reasons: Their rejected ones, by reason.
        unread: Texts of theirs beyond the plan's limit.
        prompts: How many questions of each prompt would be asked.
    """

    users: int = 0
    accepted: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    unread: int = 0
    prompts: Counter[PromptId] = field(default_factory=Counter)

    def count(self, client: Client) -> None:
        """Counts their questions as answered before."""
        for prompt, times in self.prompts.items():
            client.count_cached(repeat(ChatRequest((), prompt), times))


def settled_readings(store: Store, model: str, plan: Plan, users: Sequence[str]) -> Settled:
    """Which users' readings need not be looked at: see `histories.settled`."""
    return Settled(store, READINGS, (model, repr(plan)), users)


def note_read(settled: Settled, model: str, readings: Iterable[UserReading]) -> None:
    """Notes that these users' stored signals are those of their questions as they are."""
    for reading in readings:
        requests = [question.request for question in reading.questions]
        settled.note(reading.user_id, reading.key(model), told_of(requests, reading.unread))


def told_of(requests: Iterable[ChatRequest], unread: int) -> str:
    """What is to be known of a reading: questions of each prompt, and texts that it leaves out."""
    prompts = Counter((r.prompt.name, r.prompt.version, r.prompt.lang) for r in requests)
    return json.dumps([unread, sorted([*prompt, times] for prompt, times in prompts.items())])


def unchanged(store: Store, told: Mapping[str, str]) -> Unchanged:
    """What is stored of users, and what was noted of them.

    Args:
        store: The workspace's tables.
        told: What `told_of` said, by user.
    """
    found = Unchanged(len(told))
    if not told:
        return found
    for words, times in Counter(told.values()).items():
        unread, prompts = json.loads(words)
        found.unread += unread * times
        for name, version, lang, asked in prompts:
            found.prompts[PromptId(name, version, lang)] += asked * times
    with store.read() as db:
        register_wanted(db, list(told))
        found.accepted = db.execute(
            "SELECT coalesce(sum(accepted), 0)::BIGINT FROM extractions SEMI JOIN wanted USING (user_id)"
        ).fetchall()[0][0]
        found.reasons.update(
            dict(
                db.execute(
                    "SELECT reason, count(*) FROM signals SEMI JOIN wanted USING (user_id)"
                    " WHERE status = 'rejected' GROUP BY reason"
                ).fetchall()
            )
        )
    return found
