"""The stability task: is the same read when a history is read again with its lines in another order?

Both readings ask of the same users. The second shuffles the numbered lines of each history, asks everything anew in
another order (the ledger is passed by) and with another seed. Agreement is the Jaccard overlap of signals: their kind,
label, side and proof.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from limner.agents.extractor import Plan, choose_plan
from limner.agents.extractor.check import signals_of
from limner.agents.extractor.prompt import AboutHistory, Question, questions_of
from limner.agents.extractor.run import event_texts
from limner.evals.sample_reading import sample_store
from limner.evals.score import Tally, shares
from limner.evals.task import EvalCase, Loaded, Setting, Task, Unscored
from limner.evidence.records import Signal
from limner.histories.directives import directive_in
from limner.histories.lines import History, Line, build_histories
from limner.histories.store import Store
from limner.histories.texts import user_texts
from limner.sample.truth import read_truth

USERS = 8


class Reader(EvalCase):
    """A user whose history is read twice."""

    user_id: str


@dataclass(frozen=True, slots=True)
class Twice:
    """What both readings accepted, of texts and of the history's lines."""

    texts: tuple[frozenset[str], frozenset[str]]
    lines: tuple[frozenset[str], frozenset[str]]


class Stability(Task[Reader, Twice]):
    """Users of the bundled sample, read twice."""

    name = "stability"
    version = 1
    about = "the sample read twice, lines shuffled, asked anew in another order: overlap of signals"
    measure = "overlap of signals"

    def load(self, setting: Setting) -> Loaded[Reader]:
        """Users of the sample who wrote something."""
        users = [Reader(user_id=user.user_id) for user in read_truth().users if user.traits]
        return Loaded(tuple(setting.draw(users, setting.limit or USERS, lambda case: case.user_id)))

    def solve(self, cases: Sequence[Reader], setting: Setting) -> Sequence[Twice | Unscored]:
        """Reads every user twice."""
        store, plan = sample_store(setting.folder / "sample"), choose_plan(setting.spec)
        users = [case.user_id for case in cases]
        first = _read(store, setting, plan, users, again=None)
        second = _read(store, setting, plan, users, again=Random(f"{setting.seed}/again"))  # noqa: S311
        return [_twice(first[user], second[user]) for user in users]

    def score(self, cases: Sequence[Reader], answers: Sequence[Twice]) -> list[Tally]:
        """Mean overlap per user: of all signals, of those from texts, and of those from the history's lines."""
        both = [jaccard(one.texts[0] | one.lines[0], one.texts[1] | one.lines[1]) for one in answers]
        texts = [jaccard(*one.texts) for one in answers if any(one.texts)]
        lines = [jaccard(*one.lines) for one in answers if any(one.lines)]
        return [
            shares("overlap of signals", both),
            shares("overlap of signals from texts", texts),
            shares("overlap of signals from shuffled lines", lines),
        ]


def jaccard(one: frozenset[str], another: frozenset[str]) -> float:
    """Size of the intersection over that of the union; 1 of two empty sets."""
    return len(one & another) / len(one | another) if one or another else 1.0


def shuffled(history: History, random: Random) -> History:
    """The history with its lines in another order, numbered anew."""
    lines = random.sample(history.lines, len(history.lines))
    return replace(history, lines=tuple(_numbered(line, number) for number, line in enumerate(lines, 1)))


def _numbered(line: Line, number: int) -> Line:
    return replace(line, number=number, text=f"[{number}]" + line.text.partition("]")[2])


@dataclass(frozen=True, slots=True)
class _Once:
    """One user's signals of one reading, or why there are none."""

    texts: frozenset[str]
    lines: frozenset[str]
    problem: str = ""


def _read(store: Store, setting: Setting, plan: Plan, users: Sequence[str], again: Random | None) -> dict[str, _Once]:
    asked = list(_questions(store, plan, users, again))
    if again is not None:
        again.shuffle(asked)
        asked = [_anew(question, setting.seed + 1) for question in asked]
    answers = setting.ask([question.request for question in asked])
    texts: dict[str, set[str]] = {user: set() for user in users}
    lines: dict[str, set[str]] = {user: set() for user in users}
    problems: dict[str, str] = {}
    for question, answer in zip(asked, answers, strict=True):
        if isinstance(answer, Unscored):
            problems[question.user_id] = answer.reason
            continue
        place = lines if isinstance(question.about, AboutHistory) else texts
        for signal in signals_of(question, answer, plan, setting.model.model):
            if signal.status == "accepted":
                place[question.user_id].add(_key(signal))
    return {user: _Once(frozenset(texts[user]), frozenset(lines[user]), problems.get(user, "")) for user in users}


def _questions(store: Store, plan: Plan, users: Sequence[str], again: Random | None) -> Iterator[Question]:
    texts = {
        user: [text for text in user_texts(store, [user]) if not directive_in(text.text)][-plan.most_texts :]
        for user in users
    }
    histories = {h.user_id: h for h in build_histories(store, users, budget=plan.history_tokens)}
    events = event_texts(store, list(histories.values()))
    for user in users:
        history = histories.get(user)
        if history is not None and again is not None:
            history = shuffled(history, again)
        yield from questions_of(plan, texts[user], history, events)


def _anew(question: Question, seed: int) -> Question:
    """The same question under another key (its limit of tokens is one higher), so that no ledger answers it."""
    request = replace(question.request, max_tokens=question.request.max_tokens + 1, seed=seed)
    return replace(question, request=request)


def _key(signal: Signal) -> str:
    span = signal.evidence
    label = " ".join(signal.label.casefold().split())
    return "\0".join([signal.kind, label, signal.polarity, span.event_id, span.field, span.quote])


def _twice(first: _Once, second: _Once) -> Twice | Unscored:
    if first.problem or second.problem:
        return Unscored(first.problem or second.problem)
    return Twice((first.texts, second.texts), (first.lines, second.lines))
