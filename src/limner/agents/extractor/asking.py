"""Asking everything about some users: which calls it takes, what is asked again, and what each answer belongs to."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from limner.agents.extractor.check import DIRECTIVE, signals_of
from limner.agents.extractor.packs import packable, packed, packs_of, parts_of
from limner.agents.extractor.plan import Plan
from limner.agents.extractor.prompt import Question, repair_of
from limner.errors import AnswerError
from limner.evidence.records import Signal
from limner.evidence.spans import holds
from limner.serving.client import Client
from limner.serving.request import ChatAnswer, ChatFailure, ChatRequest, Outcome

Known = Callable[[Iterable[ChatRequest]], set[str]]
"""Gives the keys of those requests that are answered."""


@dataclass
class UserReading:
    """One user being read.

    Attributes:
        questions: Everything that is asked about the user, each text by itself.
        open: How many of them have no outcome yet.
        texts: The stored texts that evidence may quote, by event id and field.
        signals: What came of the answers.
        malformed: Requests whose answers could not be used.
        failure: Why the user failed, empty if not.
        categories: The category of each event's item, by event id.
        unread: Texts beyond the plan's limit, which are not read.
        way: What else than the questions decides what comes of the answers, see `Plan.way`.
    """

    user_id: str
    questions: list[Question]
    open: int
    texts: dict[tuple[str, str], str]
    signals: list[Signal] = field(default_factory=list)
    malformed: list[ChatRequest] = field(default_factory=list)
    failure: str = ""
    categories: dict[str, str] = field(default_factory=dict)
    unread: int = 0
    way: str = ""

    @property
    def lang(self) -> str:
        """The language of most of the questions."""
        found = Counter(question.lang for question in self.questions).most_common(1)
        return found[0][0] if found else "en"

    def key(self, model: str) -> str:
        """The content address of everything asked about the user."""
        refused = [s.signal_id for s in self.signals if s.reason.startswith(DIRECTIVE)]
        keys = "\n".join(sorted([*filter(None, [self.way]), *refused, *(q.request.key(model) for q in self.questions)]))
        return hashlib.sha256(keys.encode("ascii")).hexdigest()

    def take(self, question: Question, outcome: Outcome, plan: Plan, model: str) -> None:
        """Takes the last outcome of a question."""
        self.open -= 1
        if isinstance(outcome, ChatFailure):
            self.failure = self.failure or f"{question.request.prompt}: {outcome.error}"
            return
        for signal in signals_of(question, outcome, plan, model):
            self.verify(signal)
            self.signals.append(signal)

    def verify(self, signal: Signal) -> None:
        """Raises AnswerError if an accepted signal's evidence is no exact slice of its event's stored text."""
        stored = self.texts.get((signal.evidence.event_id, signal.evidence.field))
        if signal.status == "accepted" and not holds(stored, signal.evidence):
            raise AnswerError(f"Evidence of {signal.signal_id} is not a slice of its event's text; this is a defect.")


@dataclass
class _Asked:
    """A question as it would be asked alone, and for whom: the same text of several users is asked about once."""

    request: ChatRequest
    of: list[tuple[UserReading, Question]]


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the model, and the questions that its answer answers: several if it is a pack.

    Attributes:
        request: What is asked.
        asked: The questions, and for whom.
        known: Whether a text's answer is in the ledger.
        repairs: Whether it is a repair question.
    """

    request: ChatRequest
    asked: tuple[_Asked, ...]
    known: bool = False
    repairs: bool = False


def planned_calls(readings: Iterable[UserReading], known: Known, model: str, plan: Plan) -> list[Call]:
    """The calls that reading some users takes, those that the ledger answers included.

    A text that several of the users wrote is in one call only, and one that is answered in none with others.
    """
    readings = list(readings)
    texts = [q.request for reading in readings for q in reading.questions if packable(q)]
    answered = known(texts) if texts else set()
    waiting: dict[str, _Asked] = {}
    calls = []
    for reading in readings:
        for pack in packs_of(filter(packable, reading.questions), plan.pack_tokens):
            fresh: list[_Asked] = []
            for question in pack:
                key = question.request.key(model)
                if key in waiting:
                    waiting[key].of.append((reading, question))
                    continue
                waiting[key] = asked = _Asked(question.request, [(reading, question)])
                if key in answered:
                    calls.append(Call(question.request, (asked,), known=True))
                else:
                    fresh.append(asked)
            if fresh:
                calls.append(Call(packed([asked.of[0][1] for asked in fresh]), tuple(fresh)))
        single = (question for question in reading.questions if not packable(question))
        calls += [Call(question.request, (_Asked(question.request, [(reading, question)]),)) for question in single]
    return calls


def answered(client: Client, plan: Plan, readings: Sequence[UserReading]) -> Iterator[None]:
    """Asks everything about some users; yields after each answer.

    The texts of a pack whose answer cannot be used are asked about one by one; of any other question with such an
    answer one repair question is asked.
    """
    calls = planned_calls(readings, client.known, client.model, plan)
    while calls:
        again: list[Call] = []
        for index, outcome in client.each([call.request for call in calls], recall=True):
            call = calls[index]
            unusable = isinstance(outcome, ChatFailure) and outcome.malformed
            if unusable:
                _note_malformed(call)
            if unusable and not call.repairs:
                again += _again(call, outcome)
            else:
                _hand_out(client, call, outcome, plan)
            yield
        calls = again


def _note_malformed(call: Call) -> None:
    for asked in call.asked:
        for reading, _ in asked.of:
            reading.malformed.append(call.request)


def _again(call: Call, outcome: Outcome) -> list[Call]:
    """What is asked after an unusable answer."""
    if len(call.asked) > 1:
        return [Call(asked.request, (asked,)) for asked in call.asked]
    (asked,) = call.asked
    assert isinstance(outcome, ChatFailure)
    repairs = [(reading, repair_of(question, outcome.text, outcome.error)) for reading, question in asked.of]
    request = repairs[0][1].request
    return [Call(request, (_Asked(request, repairs),), repairs=True)]


def _hand_out(client: Client, call: Call, outcome: Outcome, plan: Plan) -> None:
    """Gives each question of a call its part of the outcome."""
    parts: list[Outcome] = [outcome] * len(call.asked)
    if isinstance(outcome, ChatAnswer):
        client.count_cached(asked.request for asked in call.asked for _ in asked.of[1:])
        if len(call.asked) > 1:
            answers = parts_of(outcome, len(call.asked))
            client.keep(call.request, zip((asked.request for asked in call.asked), answers, strict=True))
            parts = [*answers]
    for asked, part in zip(call.asked, parts, strict=True):
        for reading, question in asked.of:
            reading.take(question, part, plan, client.model)
