"""The intent task: of a label set given in advance, which label names what a message wants?

A small model cannot choose among 150 labels, so the nearest few by embedding are its choices. The nearest one alone is
the baseline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limner.evals.score import Tally, shares
from limner.evals.task import AbsentData, EvalCase, Loaded, Setting, Task, Unscored
from limner.prompts import load
from limner.serving.request import ChatRequest

CANDIDATES = 8
"""Labels offered to the model."""

EACH = 100
"""Messages of a set."""


@dataclass(frozen=True, slots=True)
class Source:
    """A labelled set, and which of its rows are not training rows."""

    name: str
    file: str
    where: str


SOURCES = (
    Source("banking77", "intents_en/banking77.parquet", "true"),
    Source("clinc150", "intents_en/clinc150.parquet", "orig_split IN ('val', 'test')"),
)


class IntentCase(EvalCase):
    """A message, its intent, and the label set."""

    source: str
    text: str
    intent: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sorted:
    """The labels offered, the nearest first, and the model's choice among them."""

    candidates: tuple[str, ...]
    chosen: str


class Intent(Task[IntentCase, Sorted]):
    """Messages with one of 77 and of 150 intents."""

    name = "intent"
    version = 1
    about = "intents of a given label set: the nearest labels by embedding, then the model's choice"
    measure = "accuracy"

    def load(self, setting: Setting) -> Loaded[IntentCase]:
        """A seeded draw of each set that is there."""
        cases: list[IntentCase] = []
        gone: list[str] = []
        for source in SOURCES:
            try:
                rows = setting.rows(f"SELECT DISTINCT text, intent, {source.where} FROM {{0}}", source.file)
            except AbsentData as error:
                gone.append(str(error))
                continue
            labels = tuple(sorted({spoken(intent) for _, intent, _ in rows}))
            drawn = setting.draw(sorted(row for row in rows if row[2]), setting.limit or EACH, lambda row: str(row[0]))
            cases += [IntentCase(source=source.name, text=t, intent=spoken(i), labels=labels) for t, i, _ in drawn]
        if not cases:
            raise AbsentData(gone[0] if gone else "no messages in the data folder")
        return Loaded(tuple(cases), tuple(gone))

    def solve(self, cases: Sequence[IntentCase], setting: Setting) -> Sequence[Sorted | Unscored]:
        """The model's choice among the nearest labels."""
        offered = _nearest(cases, setting)
        answers = setting.ask([intent_request(case.text, labels) for case, labels in zip(cases, offered, strict=True)])
        return [
            answer if isinstance(answer, Unscored) else Sorted(labels, answer.text.strip())
            for labels, answer in zip(offered, answers, strict=True)
        ]

    def score(self, cases: Sequence[IntentCase], answers: Sequence[Sorted]) -> list[Tally]:
        """Accuracy of the model and of the nearest label alone, and how often the right label is offered."""
        pairs = list(zip(cases, answers, strict=True))
        tallies: list[Tally] = []
        for name in ("", *(source.name for source in SOURCES)):
            of = [(case.intent, answer) for case, answer in pairs if name in ("", case.source)]
            suffix = f", {name}" if name else ""
            tallies.append(shares(f"accuracy{suffix}", [said.chosen == truth for truth, said in of]))
            tallies.append(shares(f"nearest label alone{suffix}", [said.candidates[0] == truth for truth, said in of]))
            tallies.append(shares(f"right label offered{suffix}", [truth in said.candidates for truth, said in of]))
        return tallies


def spoken(intent: str) -> str:
    """A label as people say it: `card_arrival` is `card arrival`."""
    return " ".join(intent.replace("_", " ").split())


def intent_request(text: str, labels: Sequence[str]) -> ChatRequest:
    """Asks which label names what a message wants."""
    prompt = load("intent", "en")
    messages = prompt.render(labels="; ".join(labels), text=text)
    return ChatRequest(messages, prompt.id, choices=tuple(labels), max_tokens=24)


def _nearest(cases: Sequence[IntentCase], setting: Setting) -> list[tuple[str, ...]]:
    """The nearest labels of each case's set, best first."""
    import numpy as np

    labels = sorted({label for case in cases for label in case.labels})
    vectors = dict(zip(labels, setting.space.passages(labels), strict=True))
    asked = setting.space.questions([case.text for case in cases])
    sets = {case.labels: np.stack([vectors[label] for label in case.labels]) for case in cases}
    offered = []
    for case, vector in zip(cases, asked, strict=True):
        order = np.argsort(-(sets[case.labels] @ vector), kind="stable")[:CANDIDATES]
        offered.append(tuple(case.labels[at] for at in order))
    return offered
