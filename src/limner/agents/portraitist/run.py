"""Personas of many users: merge signals into traits, ask for a narrative, check it, store both in one commit."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

from limner.agents.portraitist.check import Refusal, fact_sentence, plain_sentences, read_narrative, within_limit
from limner.agents.portraitist.labels import refresh_names
from limner.agents.portraitist.prompt import narrative_request, repair_request, told_traits
from limner.evidence.names import Names
from limner.evidence.persona import Persona, Sentence
from limner.evidence.reading import read_evidence
from limner.evidence.records import Trait
from limner.evidence.traits import merge
from limner.histories.pacing import Due
from limner.histories.settled import Kind, Settled
from limner.histories.store import Store, new_run_id
from limner.prompts import latest_version
from limner.reports.facts_text import fact_phrases
from limner.serving.client import Client
from limner.serving.engine import slots_of
from limner.serving.request import ChatAnswer, ChatFailure, ChatRequest

CHUNK = 32
"""Users whose narratives are asked for together, at least."""

USERS_PER_SLOT = 8
"""So many users for each call that the engine has under way at once: a narrative is one call."""

LOOKED_AT = 1000
"""Users whose evidence is read from the tables together: a query takes about as long for one as for a thousand."""

PERSONAS = Kind(
    "personas",
    sources="SELECT user_id, to_json(f)::VARCHAR AS words FROM (SELECT * EXCLUDE (run, seq) FROM facts) f"
    " UNION ALL SELECT user_id, to_json(s)::VARCHAR FROM (SELECT * EXCLUDE (run, seq) FROM signals) s"
    " UNION ALL SELECT user_id, concat('declared ', attrs) FROM users"
    " UNION ALL SELECT user_id, concat('read ', max(seq)) FROM raw_extractions GROUP BY user_id",
    stored="SELECT user_id, traits_key AS key FROM personas",
    shared=None,
    results=frozenset({"personas", "traits", "segments", "memberships"}),
)
"""What a persona is made of: the user's facts, signals and profile, and which reading it tells of."""

_STORED = """
WITH wanted AS (SELECT unnest($1::VARCHAR[]) AS user_id)
SELECT user_id, traits_key
FROM (FROM personas SEMI JOIN wanted USING (user_id)) p
LEFT JOIN (SELECT user_id, max(seq) AS read FROM raw_extractions SEMI JOIN wanted USING (user_id) GROUP BY user_id)
USING (user_id)
WHERE p.seq > coalesce(read, -1)
"""
"""Content addresses of the personas of some users that are newer than what was read of them."""

MADE_BY = "portrait.v4"
"""Version of merging, checking and plain sentences: personas made by another one are made again."""


@dataclass(frozen=True, slots=True)
class PortraySummary:
    """What one round of portraits did.

    Attributes:
        users: Personas looked at.
        written: Personas written anew; the others were up to date.
        by_model, by_code: Of the written: narratives of the model, and plain ones of code.
        sentences: Sentences of the model that were kept.
        refused: Sentences of the model that did not hold.
        repaired: Kept sentences that came from the one repair question.
        replaced: Plain sentences of code that stand where the model's did not hold.
    """

    run: str
    users: int
    written: int
    by_model: int
    by_code: int
    sentences: int = 0
    refused: int = 0
    repaired: int = 0
    replaced: int = 0

    def told(self) -> dict[str, int]:
        """What became of the model's sentences, as `limner extract --json` prints it."""
        return {
            "kept": self.sentences,
            "refused": self.refused,
            "repaired": self.repaired,
            "replaced": self.replaced,
        }


@dataclass
class _Portrait:
    user_id: str
    lang: str
    facts: dict[str, Any]
    traits: list[Trait]
    told: list[Trait]
    fact: Sentence | None
    key: str
    sentences: tuple[Sentence, ...] = ()
    wrong: tuple[Refusal, ...] = ()
    by_model: bool = False
    kept_of_model: int = 0
    refused: int = 0
    repaired: int = 0
    replaced: int = 0
    malformed: list[ChatRequest] = field(default_factory=list)

    def read(self, answer: ChatAnswer) -> None:
        """Takes what holds of the first answer."""
        found = read_narrative(answer.text, self.lang, self.told, cut=answer.finish == "length")
        self.sentences, self.wrong = found.sentences, found.refused
        self.refused = len(found.refused)

    def repair(self, answer: ChatAnswer) -> None:
        """Takes what holds of the second answer and was not told yet."""
        found = read_narrative(answer.text, self.lang, self.told, told=self._told_ids(), cut=answer.finish == "length")
        self.repaired = len(found.sentences)
        self.sentences += found.sentences

    def finish(self) -> None:
        """Tells the traits of lines that stayed wrong in plain sentences, adds the facts, and keeps to the length."""
        self.by_model, self.kept_of_model = bool(self.sentences), len(self.sentences)
        missing = {t.trait_id: t for refusal in self.wrong for t in refusal.traits}
        left = [t for t in self.told if t.trait_id in missing and t.trait_id not in self._told_ids()]
        plain = plain_sentences(self.lang, left if self.by_model else self.told)
        self.replaced = len(plain) if self.wrong else 0
        first = (self.fact,) if self.fact else ()
        kept = within_limit([*first, *self.sentences, *plain])[len(first) :]
        self.sentences = (*kept, *first)

    def _told_ids(self) -> set[str]:
        return {mark for sentence in self.sentences for mark in sentence.supports}


def portray(
    store: Store,
    client: Client | None,
    *,
    users: Sequence[str] | None = None,
    run: str | None = None,
    told: Callable[[Persona], None] | None = None,
    chunk: int | None = None,
) -> PortraySummary:
    """Writes the personas of users whose traits or facts changed since they were last written.

    The alias table is brought up to date first, over the labels of all users, so that the same thing has one name.

    Args:
        store: The workspace's tables.
        client: The model that writes narratives; None for plain sentences only.
        users: Whose; everyone with facts if None.
        run: The run's id.
        told: Given every persona, as it is ready.
        chunk: Users whose narratives go out together; by what the engine has under way at once if None.

    Raises:
        ModelError: The model as a whole is unusable; what was written before is kept.
    """
    run = run or new_run_id("portray")
    names = refresh_names(store)
    chosen = users if users is not None else _all_users(store)
    settled = Settled(store, PERSONAS, _way(client, names), chosen)
    counts: Counter[str] = Counter()
    chunk = chunk or max(CHUNK, USERS_PER_SLOT * slots_of(client.engine) if client else CHUNK)
    looked_at, due, ready = _due(store, client, settled, names), Due(), list[_Portrait]()

    def store_ready() -> None:
        portraits, ready[:] = list(ready), ()
        if portraits:
            _commit(store, client, run, portraits)
            if client is not None:
                client.forget([request for portrait in portraits for request in portrait.malformed])
        for portrait in portraits:
            settled.note(portrait.user_id, portrait.key)
            _count(counts, portrait)
            if told is not None:
                told(_persona(portrait, client))

    try:
        while portraits := list(islice(looked_at, chunk)):
            _narrate(client, portraits)
            ready += portraits
            if due.now():
                store_ready()
    finally:
        store_ready()
        settled.keep()
    return PortraySummary(
        run,
        len(chosen),
        counts["written"],
        counts["by_model"],
        counts["written"] - counts["by_model"],
        counts["sentences"],
        counts["refused"],
        counts["repaired"],
        counts["replaced"],
    )


def _count(counts: Counter[str], portrait: _Portrait) -> None:
    counts["written"] += 1
    counts["by_model"] += portrait.by_model
    counts["sentences"] += portrait.kept_of_model
    for name in ("refused", "repaired", "replaced"):
        counts[name] += getattr(portrait, name)


def _all_users(store: Store) -> list[str]:
    with store.read() as db:
        return [row[0] for row in db.execute("SELECT user_id FROM facts ORDER BY user_id").fetchall()]


def _way(client: Client | None, names: Names) -> list[str]:
    """What else than a user's own evidence determines personas."""
    known = None if names.known is None else sorted(names.known.items())
    return [client.model if client else "", json.dumps([sorted(names.of.items()), known])]


def _due(store: Store, client: Client | None, settled: Settled, names: Names) -> Iterator[_Portrait]:
    """The users whose persona is not what it would be now."""
    for start in range(0, len(settled.open), LOOKED_AT):
        users = settled.open[start : start + LOOKED_AT]
        with store.read(tables=("personas", "extractions")) as db:
            keys = dict(db.execute(_STORED, [users]).fetchall())
        for user in read_evidence(store, users):
            traits = merge(user.signals, names=names, declared=user.declared, at=user.at)
            key = _key(user.facts, traits, user.lang, client)
            if keys.get(user.user_id) == key:
                settled.note(user.user_id, key)
                continue
            known = {name: value for name, value in user.facts.items() if value != 0}
            fact = fact_sentence(user.lang, fact_phrases(known, user.lang))
            yield _Portrait(user.user_id, user.lang, user.facts, traits, told_traits(traits), fact, key)


def _key(facts: dict[str, Any], traits: Sequence[Trait], lang: str, client: Client | None) -> str:
    """What determines a persona: facts, traits, the narrative prompt and the model."""
    material = [
        MADE_BY,
        latest_version("narrative", lang),
        client.model if client else "",
        {name: str(value) for name, value in facts.items()},
        [asdict(trait) for trait in traits],
    ]
    return hashlib.sha256(json.dumps(material, ensure_ascii=True, default=str).encode("ascii")).hexdigest()


def _narrate(client: Client | None, portraits: list[_Portrait]) -> None:
    """Fills in narratives: the model's sentences that hold, plain ones in place of the others, and the facts by code.

    An answer with lines that do not hold gets one repair question. A sentence of facts comes last and is never left out
    for length: the others give way.
    """
    if client is not None:
        asked = [(p, narrative_request(p.lang, p.told)) for p in portraits if len(p.told) > 1]
        repairs = []
        for portrait, request, answer in _answers(client, asked):
            portrait.read(answer)
            if portrait.wrong:
                again = repair_request(request, portrait.lang, answer.text, portrait.wrong)
                repairs.append((portrait, again))
        for portrait, _, answer in _answers(client, repairs):
            portrait.repair(answer)
    for portrait in portraits:
        portrait.finish()


def _answers(
    client: Client, asked: Sequence[tuple[_Portrait, ChatRequest]]
) -> Iterator[tuple[_Portrait, ChatRequest, ChatAnswer]]:
    for index, outcome in client.each([request for _, request in asked], recall=True):
        if isinstance(outcome, ChatFailure) and outcome.malformed:
            portrait, request = asked[index]
            portrait.malformed.append(request)
            outcome = ChatAnswer(outcome.text, outcome.input_tokens, outcome.output_tokens, outcome.seconds)
        if isinstance(outcome, ChatAnswer):
            yield (*asked[index], outcome)


def _commit(store: Store, client: Client | None, run: str, portraits: list[_Portrait]) -> None:
    personas = [
        {
            "user_id": p.user_id,
            "language": p.lang,
            "narrative": [{"text": s.text, "supports": list(s.supports)} for s in p.sentences],
            "narrated_by": "model" if p.by_model else "code",
            "model": client.model if client and p.by_model else "",
            "traits_key": p.key,
        }
        for p in portraits
    ]
    traits = [asdict(trait) for p in portraits for trait in p.traits]
    with store.commit("portray", run=run) as commit:
        commit.add("personas", personas)
        commit.add("traits", traits)
        commit.summary.update(users=len(personas), traits=len(traits))


def _persona(portrait: _Portrait, client: Client | None) -> Persona:
    facts = {name: value for name, value in portrait.facts.items() if name != "user_id"}
    model = client.model if client and portrait.by_model else ""
    return Persona(portrait.user_id, portrait.lang, facts, tuple(portrait.traits), portrait.sentences, model)
