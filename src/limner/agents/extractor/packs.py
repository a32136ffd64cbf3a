"""Several texts of one user in one question, for models that read well: the instructions are paid for once.

A pack is a matter of transport. Each text stays a question of its own, with its own content address: the answer to a
pack is taken apart, each part is kept in the ledger as the answer to its text, and a text that is answered, whoever
wrote it, is left out of the pack that it would be in. How texts fall into packs depends on a user's texts and the plan
and not on what is answered, so that an extraction that was killed goes on with the same questions.

Texts of different users never share a question: nothing that one customer wrote can colour the reading of another.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from limner.agents.extractor.prompt import AboutText, Question, reading_request
from limner.agents.extractor.schema import FIRST
from limner.histories.language import estimate_tokens
from limner.histories.texts import TextOfUser
from limner.serving.request import ChatAnswer, ChatRequest

MOST_TEXTS = 12
"""Texts in a pack, at most."""


def packable(question: Question) -> bool:
    """Whether a question may be asked together with others: one that reads a whole text in the joint plan."""
    return isinstance(question.about, AboutText) and question.request.prompt.name == "reading"


def packs_of(questions: Iterable[Question], most_tokens: int) -> Iterator[tuple[Question, ...]]:
    """The packs of one user's questions, in order: neighbours in one language, as many as fit.

    Args:
        questions: The questions, all of them packable.
        most_tokens: Estimated tokens of a pack's texts, unless it is one text.
    """
    pack: list[Question] = []
    tokens = 0
    for question in questions:
        more = estimate_tokens(_text(question).text)
        full = len(pack) == MOST_TEXTS or tokens + more > most_tokens
        if pack and (full or question.lang != pack[0].lang):
            yield tuple(pack)
            pack, tokens = [], 0
        pack.append(question)
        tokens += more
    if pack:
        yield tuple(pack)


def packed(questions: Sequence[Question]) -> ChatRequest:
    """One question about the texts of several; of a single one it is that question."""
    if len(questions) == 1:
        return questions[0].request
    return reading_request([_text(question) for question in questions], questions[0].lang)


def parts_of(answer: ChatAnswer, questions: int) -> list[ChatAnswer]:
    """The answer to each question of a pack, in order and in the form in which it would be answered alone.

    Args:
        answer: The pack's answer, which fits its schema.
        questions: How many questions the pack has.
    """
    whole: Mapping[str, Any] = json.loads(answer.text)
    parts = ({FIRST: whole[str(number)]} for number in range(1, questions + 1))
    return [replace(answer, text=json.dumps(part, ensure_ascii=False, separators=(",", ":"))) for part in parts]


def _text(question: Question) -> TextOfUser:
    assert isinstance(question.about, AboutText)
    return question.about.text
