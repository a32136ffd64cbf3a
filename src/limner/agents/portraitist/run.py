"""Personas of many users: merge signals into traits, ask for a narrative, check it, store both in one commit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from limner.agents.portraitist.check import checked_sentences, fact_sentence, plain_sentences, within_limit
from limner.agents.portraitist.labels import refresh_names
from limner.agents.portraitist.prompt import narrative_request, told_traits
from limner.evidence.names import Names
from limner.evidence.persona import Persona, Sentence
from limner.evidence.reading import read_evidence
from limner.evidence.records import Trait
from limner.evidence.traits import merge
from limner.histories.store import Store, new_run_id
from limner.prompts import latest_version
from limner.reports.facts_text import fact_phrases
from limner.serving.client import Client
from limner.serving.request import ChatAnswer

CHUNK = 32
"""Users whose narratives are written together."""

MADE_BY = "portrait.v2"
"""Version of merging, checking and plain sentences: personas made by another one are made again."""


@dataclass(frozen=True, slots=True)
class PortraySummary:
    """What one round of portraits did.

    Attributes:
        users: Personas looked at.
        written: Personas written anew; the others were up to date.
        by_model, by_code: Of the written: narratives of the model, and plain ones of code.
        refused: Sentences of the model that were refused.
    """

    run: str
    users: int
    written: int
    by_model: int
    by_code: int
    refused: int


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
    by_model: bool = False
    refused: int = 0


def portray(
    store: Store,
    client: Client | None,
    *,
    users: Sequence[str] | None = None,
    run: str | None = None,
    told: Callable[[Persona], None] | None = None,
) -> PortraySummary:
    """Writes the personas of users whose traits or facts changed since they were last written.

    The alias table is brought up to date first, over the labels of all users, so that the same thing has one name.

    Args:
        store: The workspace's tables.
        client: The model that writes narratives; None for plain sentences only.
        users: Whose; everyone with facts if None.
        run: The run's id.
        told: Given every persona, as it is ready.

    Raises:
        ModelError: The model as a whole is unusable; what was written before is kept.
    """
    run = run or new_run_id("portray")
    names = refresh_names(store)
    chosen = users if users is not None else _all_users(store)
    written = by_model = refused = 0
    for start in range(0, len(chosen), CHUNK):
        portraits = list(_due(store, client, chosen[start : start + CHUNK], names))
        _narrate(client, portraits)
        if portraits:
            _commit(store, client, run, portraits)
        for portrait in portraits:
            written += 1
            by_model += portrait.by_model
            refused += portrait.refused
            if told is not None:
                told(_persona(portrait, client))
    return PortraySummary(run, len(chosen), written, by_model, written - by_model, refused)


def _all_users(store: Store) -> list[str]:
    with store.read() as db:
        return [row[0] for row in db.execute("SELECT user_id FROM facts ORDER BY user_id").fetchall()]


def _due(store: Store, client: Client | None, users: Sequence[str], names: Names) -> Iterator[_Portrait]:
    """The users whose persona is not what it would be now."""
    with store.read() as db:
        among = "WHERE user_id IN (SELECT unnest($1::VARCHAR[]))"
        keys = dict(db.execute(f"SELECT user_id, traits_key FROM personas {among}", [list(users)]).fetchall())
    for user in read_evidence(store, users):
        traits = merge(user.signals, names=names, declared=user.declared, at=user.at)
        key = _key(user.facts, traits, user.lang, client)
        if keys.get(user.user_id) != key:
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
    """Fills in narratives: the model's sentences that hold, else plain ones, and the facts, always by code.

    A sentence of facts comes last and is never left out for length: the others give way.
    """
    asked = [p for p in portraits if client is not None and len(p.told) > 1]
    if client is not None:
        for index, outcome in client.each([narrative_request(p.lang, p.told) for p in asked]):
            portrait = asked[index]
            if isinstance(outcome, ChatAnswer):
                cut = outcome.finish == "length"
                held = checked_sentences(outcome.text, portrait.lang, portrait.told, cut=cut)
                portrait.sentences = tuple(held)
                said = len([line for line in outcome.text.splitlines() if line.strip()])
                portrait.refused = said - len(portrait.sentences)
    for portrait in portraits:
        portrait.by_model = bool(portrait.sentences)
        sentences = portrait.sentences or plain_sentences(portrait.lang, portrait.told)
        first = (portrait.fact,) if portrait.fact else ()
        kept = within_limit([*first, *sentences])[len(first) :]
        portrait.sentences = (*kept, *first)


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
