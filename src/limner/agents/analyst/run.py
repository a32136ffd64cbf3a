"""Answering a question: refuse, plan, restrict, retrieve, count, tell; code decides, the model words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from limner.agents.analyst import tables
from limner.agents.analyst.check import check_answer
from limner.agents.analyst.gather import NO_USERS, Scene, gather, why_nothing
from limner.agents.analyst.plan import CheckedPlan, check_plan
from limner.agents.analyst.prompt import answer_request, plan_request
from limner.agents.analyst.refusal import refusal
from limner.agents.analyst.retrieve import Judge, Searcher, bearing, nearness_judge, open_index
from limner.agents.analyst.schema import (
    AskAnswer,
    Citation,
    CitationType,
    Finding,
    Language,
    Lead,
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
    question = _printable(question)
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
    words = _words(client, scene, told)
    cited = _cited(db, scene, words, told)
    remarks = (*checked.remarks, *words.remarks)
    return AskAnswer(question, language, cited.text, cited.citations, cited.n, False, remarks)


def _printable(question: str) -> str:
    """The question on one line, without control characters and broken code units."""
    whole = question.encode("utf-8", "replace").decode("utf-8")
    return " ".join("".join(c if c.isprintable() else " " for c in whole).split())


@dataclass(frozen=True, slots=True)
class _Words:
    """What the model made of the findings: its lead (None if it was refused), and the findings to tell after it."""

    lead: Lead | None
    marks: tuple[int, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Cited:
    """The answer's text, what its marks point to, and how many users it rests on."""

    text: str
    citations: tuple[Citation, ...]
    n: int


def _plan(
    client: Asker, question: str, language: Language, segments: Sequence[str], named: Sequence[str]
) -> CheckedPlan:
    [outcome] = client.ask([plan_request(question, language, segments)])
    return check_plan(outcome.text if isinstance(outcome, ChatAnswer) else None, question, segments, named)


def _restricted(plan: Plan, named: Sequence[str]) -> bool:
    return bool(plan.thresholds or plan.segment or named) or plan.language != "any"


def _words(client: Asker, scene: Scene, told: Sequence[Finding]) -> _Words:
    """The answer's sentences: the model's lead if it passes, after one repair at most, and the findings it rests on."""
    problems: tuple[str, ...] = ()
    remarks: list[str] = []
    for _ in range(2):
        request = answer_request(scene.question, scene.language, told, problems)
        [outcome] = client.ask([request])
        if not isinstance(outcome, ChatAnswer):
            remarks.append(f"the model did not word the answer: {outcome.error}")
            continue
        checked = check_answer(outcome.text, scene.question, scene.language, told, request.messages, scene.plan.measure)
        if checked.lead is not None and not checked.problems:
            return _Words(checked.lead, tuple(sorted(checked.lead.marks)), tuple(remarks))
        problems = checked.problems
        remarks.append("refused the model's wording: " + "; ".join(problems))
    return _Words(None, tuple(range(1, len(told) + 1)), tuple(remarks))


def _cited(db: duckdb.DuckDBPyConnection, scene: Scene, words: _Words, told: Sequence[Finding]) -> _Cited:
    """The answer's text with its citations numbered in the order in which the findings name them."""
    findings = [told[mark - 1] for mark in words.marks]
    known = _known(db, [citation for finding in findings for citation in finding.citations])
    numbers: dict[Citation, int] = {}
    parts = []
    for finding in findings:
        own = [citation for citation in finding.citations if citation in known]
        for citation in own:
            numbers.setdefault(citation, len(numbers) + 1)
        parts.append(finding.text + _marks(sorted(numbers[citation] for citation in own), scene.language))
    if words.lead is not None:
        parts.insert(0, words.lead.text)
    text = ("" if scene.language == "zh" else " ").join(parts)
    return _Cited(text, tuple(numbers), len({user for finding in findings for user in finding.users}))


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
