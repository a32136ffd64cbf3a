"""The quote of an extraction: its questions, the repairs that they will need, a narrative for each user read anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from limner.agents.extractor.plan import Plan
from limner.agents.extractor.run import UserQuestions, planned_questions
from limner.agents.extractor.unchanged import Unchanged, settled_readings, unchanged
from limner.histories.store import Store
from limner.prompts import load
from limner.serving.client import Client
from limner.serving.quote import FEWEST_CALLS, Comparison, Quote, Quoter, compare
from limner.serving.request import ChatRequest, Message, PromptId
from limner.serving.tokens import EstimatingCounter, TokenCounter

WRITTEN: Mapping[tuple[str, str], float] = {
    ("feeling", "en"): 4.3,
    ("feeling", "zh"): 4.9,
    ("interests", "en"): 28.0,
    ("interests", "zh"): 47.0,
    ("mood", "en"): 2.8,
    ("mood", "zh"): 2.0,
    ("sentiment", "en"): 2.0,
    ("sentiment", "zh"): 2.0,
    ("narrative", "en"): 40.0,
    ("narrative", "zh"): 33.0,
    ("reading", "en"): 300.0,
    ("reading", "zh"): 300.0,
    ("history", "en"): 90.0,
    ("history", "zh"): 90.0,
    ("repair", "en"): 45.0,
    ("repair", "zh"): 50.0,
}
"""Tokens written per answer, where the ledger does not know better: measured with the embedded default on the bundled
sample and two real sets; `reading`, `history` and `repair` are assumed."""

MALFORMED_SHARE: Mapping[str, float] = {"reading": 0.02, "history": 0.02, "narrative": 0.02}
"""Share of answers that need a repair question, where the ledger does not know better. Assumed for models that are not
held to the form of their answer; one that is (the embedded engine) needed 1 in 1,700, and none in 30 narratives."""

MOST_TRAITS = 8
"""Traits that a narrative is written from, at most; on three sets a user with seven clauses or more had as many."""

FEWEST_PERSONAS = 10
"""Personas from which the share of users with a narrative is taken."""

_TRAITS = {"en": "likes: battery life", "zh": "喜欢：电池耐用"}
"""A trait as long as most."""


@dataclass
class ExtractionQuote:
    """Quotes an extraction, chunk by chunk: all of it before the run, or each chunk before it is asked.

    Attributes:
        quoter: Adds up.
        narrated: The share of users read before who have enough traits for a narrative; None if too few were read.
    """

    quoter: Quoter
    narrated: float | None = None

    def add(self, users: Iterable[UserQuestions]) -> None:
        """Adds users' questions and the narratives that will be written of them."""
        for user in users:
            self.quoter.users += 1
            self.quoter.add(user.requests)
            self.quoter.add(user.cached, stored=True)
            if user.changed:
                self.quoter.asked_users += 1
                self._expect_narrative(user)

    def pass_over(self, found: Unchanged) -> None:
        """Adds users of whom nothing will be asked, as nothing about them changed."""
        self.quoter.users += found.users
        for prompt, times in found.prompts.items():
            self.quoter.add_stored(prompt, times)

    def _expect_narrative(self, user: UserQuestions) -> None:
        share = self.narrated if self.narrated is not None else float(user.read > 0)
        if share:
            lines = [f"T{n} {_TRAITS[user.lang]}" for n in range(1, min(MOST_TRAITS, user.read + 2) + 1)]
            prompt = load("narrative", user.lang)
            self.quoter.expect(ChatRequest(prompt.render(traits="\n".join(lines)), prompt.id, max_tokens=80), share)

    def result(self) -> Quote:
        """The quote of all that was added, repairs included. Add nothing afterwards."""
        for prompt in self.quoter.prompts():
            calls = self.quoter.calls(prompt)
            if calls and prompt.name != "repair":
                self.quoter.expect(_repair(prompt), calls * self._repaired(prompt))
        return self.quoter.quote()

    def _repaired(self, prompt: PromptId) -> float:
        """The share of a prompt's answers that are asked again."""
        seen = self.quoter.seen
        if prompt.name != "narrative":
            return self.quoter.share(prompt, MALFORMED_SHARE.get(prompt.name, 0.0))
        narratives = seen.get(prompt)
        if narratives is None or narratives.calls < FEWEST_CALLS:
            return MALFORMED_SHARE["narrative"]
        # A repair's record does not say of what; those of the other prompts are as many as their malformed answers.
        repairs = sum(s.calls for p, s in seen.items() if p.name == "repair" and p.lang == prompt.lang)
        others = sum(s.malformed for p, s in seen.items() if p.name not in ("repair", "narrative"))
        return min(1.0, max(0, repairs - others) / narratives.calls)

    def compared(self, client: Client) -> Comparison:
        """The quote against what the client's run took."""
        usage = client.usage
        return compare(self.result(), client.prompts, client.meter.price, usage.seconds)


def _repair(prompt: PromptId) -> ChatRequest:
    """A repair question, about as long as one of that prompt's."""
    repair = load("repair", prompt.lang)
    problem = "the answer does not fit" if prompt.lang == "en" else "回答不符合要求"
    first = load(prompt.name, prompt.lang, prompt.version)
    shown = {"narrative": "traits", "feeling": "part", "interests": "history", "history": "history"}
    words = _TRAITS[prompt.lang] * 4
    values: dict[str, Any] = {shown.get(prompt.name, "text"): words}
    if prompt.name == "reading":
        values = {"texts": [{"about": "", "text": words}]}
    messages = (*first.render(**values), Message("assistant", words), repair.render(problem=problem)[-1])
    return ChatRequest(messages, repair.id, max_tokens=80)


def narrated_share(store: Store) -> float | None:
    """The share of personas with at least two things to tell; None where fewer than ten were written."""
    query = (
        "SELECT count(*), count(*) FILTER (labels > 1) FROM (SELECT p.user_id, count(DISTINCT t.label) AS labels"
        " FROM personas p JOIN extractions e USING (user_id) LEFT JOIN traits t USING (user_id) GROUP BY 1)"
    )
    with store.read() as db:
        known, told = db.execute(query).fetchall()[0]
    return told / known if known >= FEWEST_PERSONAS else None


def quote_of(store: Store, client: Client, counter: Callable[[], TokenCounter] | None = None) -> ExtractionQuote:
    """An empty quote for a client's model, as its ledger is now.

    Args:
        store: The workspace's tables.
        client: Whose model will be asked.
        counter: Gives what counts tokens, once there is something to count; if None, the client's engine where it can,
            else an estimate.
    """

    def chosen() -> TokenCounter:
        return counter() if counter else client.counter or EstimatingCounter()

    quoter = Quoter(client.ledger, client.model, chosen, client.meter.price, WRITTEN)
    return ExtractionQuote(quoter, narrated_share(store))


def quote(
    store: Store,
    client: Client,
    plan: Plan,
    *,
    users: Sequence[str],
    counter: Callable[[], TokenCounter] | None = None,
) -> Quote:
    """What an extraction of some users will take. No model is asked.

    Args:
        store: The workspace's tables.
        client: The model that would be asked, behind its ledger.
        plan: How much is asked at once.
        users: Whose histories.
        counter: Gives what counts tokens, see `quote_of`.
    """
    quoted = quote_of(store, client, counter)
    settled = settled_readings(store, client.model, plan, users)
    quoted.pass_over(unchanged(store, settled.told))
    for chunk in planned_questions(store, client.model, plan, settled.open, client.known):
        quoted.add(chunk)
    return quoted.result()
