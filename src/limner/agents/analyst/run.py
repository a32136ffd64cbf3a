"""Answering a question: refuse, plan, restrict, retrieve, count, tell; code decides, the model words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from limner.agents.analyst import tables
from limner.agents.analyst.check import check_answer
from limner.agents.analyst.gather import NO_USERS, Scene, gather, why_nothing
from limner.agents.analyst.plan import CheckedPlan, check_plan
from limner.agents.analyst.prompt import answer_request, plan_request
from limner.agents.analyst.refusal import refusal
from limner.agents.analyst.retrieve import Judge, Searcher, bearing, nearness_judge, open_index
from limner.agents.analyst.schema import (
    AnswerSentence,
    AskAnswer,
    Citation,
    CitationType,
    Finding,
    Language,
    Plan,
)
from limner.agents.quantities import fold
from limner.errors import UsageError
from limner.histories.language import detect
from limner.histories.store import Store
from limner.serving.request import ChatAnswer, ChatRequest, Outcome

if TYPE_CHECKING:
    import duckdb

QUESTION_LENGTH = 500
"""Characters of the longest question taken; more is a pasted document, not a question."""


class Asker(Protocol):
    """The part of a client that the analyst uses."""

    def ask(self, requests: Sequence[ChatRequest]) -> list[Outcome]:
        """The outcomes of the requests, in their order."""
        ...


def ask(
    store: Store, client: Asker, question: str, *, index: Searcher | None = None, judge: Judge | None = None
) -> AskAnswer:
    """Answers a question about the customers of a workspace, or abstains with the reason.

    Args:
        store: The workspace.
        client: What asks the model; its answers are checked, and replaced by templated findings if they fail.
        question: In Chinese or English, at most `QUESTION_LENGTH` characters.
        index: The search index; the workspace's own if None.
        judge: Says which hits bear on the topic; the index's own threshold if None.

    Raises:
        UsageError: The question is empty or too long.
        ModelError: The model cannot be reached at all.
    """
    question = " ".join(question.split())
    if not any(character.isalnum() for character in question):
        raise UsageError('The question is empty. Ask one: limner ask "Who likes quiet keyboards?"')
    if len(question) > QUESTION_LENGTH:
        raise UsageError(
            f"The question has {len(question)} characters; at most {QUESTION_LENGTH} are taken. Shorten it."
        )
    language: Language = "zh" if detect(question) == "zh" else "en"
    reason = refusal(question, language)
    if reason:
        return _abstained(question, language, reason)
    with store.read() as db:
        return _answer(db, store, client, question, language, index, judge)


def _answer(
    db: duckdb.DuckDBPyConnection,
    store: Store,
    client: Asker,
    question: str,
    language: Language,
    index: Searcher | None,
    judge: Judge | None,
) -> AskAnswer:
    if not tables.count(db, "SELECT count(*) FROM facts"):
        return _abstained(question, language, NO_USERS[language])
    segments = tables.segments(db)
    named = tables.users_named(db, fold(question))
    checked = _plan(client, question, language, [s.name for s in segments], named)
    segment = next((s for s in segments if s.name == checked.plan.segment), None) if checked.plan.segment else None
    eligible = tables.restrict(db, checked.plan, named, segment.segment_id if segment else None)
    scene = Scene(db, question, language, checked.plan, segments, segment, named, eligible)
    found = None
    if checked.plan.topic and eligible:
        within = set(tables.eligible_users(db)) if _restricted(checked.plan, named) else None
        found = bearing(index or open_index(store), judge or nearness_judge, checked.plan.topic, within)
    told = gather(scene, found)
    if not told:
        return _abstained(question, language, why_nothing(scene), checked.remarks)
    sentences, remarks = _words(client, scene, told)
    return _cited(db, scene, sentences, told, (*checked.remarks, *remarks))


def _plan(
    client: Asker, question: str, language: Language, segments: Sequence[str], named: Sequence[str]
) -> CheckedPlan:
    [outcome] = client.ask([plan_request(question, language, segments)])
    return check_plan(outcome.text if isinstance(outcome, ChatAnswer) else None, question, segments, named)


def _restricted(plan: Plan, named: Sequence[str]) -> bool:
    return bool(plan.thresholds or plan.segment or named) or plan.language != "any"


def _words(client: Asker, scene: Scene, told: Sequence[Finding]) -> tuple[tuple[AnswerSentence, ...], tuple[str, ...]]:
    """The answer's sentences: the model's if they pass, after one repair at most, else the findings themselves."""
    problems: tuple[str, ...] = ()
    remarks: list[str] = []
    ids = scene.plan.measure == "list"
    for _ in range(2):
        request = answer_request(scene.question, scene.language, told, problems)
        [outcome] = client.ask([request])
        if not isinstance(outcome, ChatAnswer):
            remarks.append(f"the model did not word the answer: {outcome.error}")
            problems = ("the answer was not the JSON asked for",)
            continue
        checked = check_answer(outcome.text, scene.question, scene.language, told, request.messages, ids=ids)
        if not checked.problems:
            return checked.sentences, tuple(remarks)
        problems = checked.problems
        remarks.append("refused the model's wording: " + "; ".join(problems))
    plain = tuple(AnswerSentence(text=finding.text, marks=(mark,)) for mark, finding in enumerate(told, start=1))
    return plain, tuple(remarks)


def _cited(
    db: duckdb.DuckDBPyConnection,
    scene: Scene,
    sentences: Sequence[AnswerSentence],
    told: Sequence[Finding],
    remarks: tuple[str, ...],
) -> AskAnswer:
    """The answer with its citations numbered in the order in which the sentences name them."""
    cited = [told[mark - 1] for sentence in sentences for mark in sentence.marks]
    known = _known(db, [citation for finding in cited for citation in finding.citations])
    numbers: dict[Citation, int] = {}
    parts = []
    for sentence in sentences:
        own = [c for mark in sentence.marks for c in told[mark - 1].citations if c in known]
        for citation in own:
            numbers.setdefault(citation, len(numbers) + 1)
        parts.append(sentence.text + _marks(sorted({numbers[c] for c in own}), scene.language))
    users = {user for finding in cited for user in finding.users}
    text = ("" if scene.language == "zh" else " ").join(parts)
    return AskAnswer(scene.question, scene.language, text, tuple(numbers), len(users), False, remarks)


def _known(db: duckdb.DuckDBPyConnection, citations: Sequence[Citation]) -> set[Citation]:
    """The citations that are in the workspace."""
    types: tuple[CitationType, ...] = ("user", "segment", "event")
    known: set[Citation] = set()
    for kind in types:
        ids = [citation.id for citation in citations if citation.type == kind]
        if ids:
            known |= {Citation(kind, found) for found in tables.existing(db, kind, ids)}
    return known


def _marks(numbers: Sequence[int], language: Language) -> str:
    """`[1-3,5]` of 1, 2, 3, 5."""
    if not numbers:
        return ""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return (
        (" [" if language == "en" else "[")
        + ",".join(str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs)
        + "]"
    )


def _abstained(question: str, language: Language, reason: str, remarks: tuple[str, ...] = ()) -> AskAnswer:
    return AskAnswer(question, language, reason, (), 0, True, remarks)
