"""The extractor's questions: which are asked of a user, and how each is put."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from limner.agents.extractor.parts import Part, split_parts
from limner.agents.extractor.plan import Plan
from limner.agents.extractor.schema import HISTORY_SCHEMA, HISTORY_TOKENS, WORDINGS, reading_schema
from limner.histories.language import detect
from limner.histories.lines import History
from limner.histories.texts import TextOfUser
from limner.prompts import load, neutralise
from limner.serving.request import ChatRequest, Message

LONGEST_TEXT = 1500
"""Characters of a text that a one-word sentiment question shows: its first two thirds and its last third."""

LONGEST_READ = 6000
"""Characters of a text that the joint plan shows."""

LONGEST_ABOUT = 60
"""Characters of an item's title before a text: titles in shops go on with sizes, colours and makers. Of neighbours that
are about the same item (a review and its heading) only the first has it."""

FIRST_ANSWER, NEXT_ANSWER = 600, 120
"""Tokens that the answer about one text may have, and that each further text adds: few texts say six things."""

CUT = " … "

MESSAGES = ("chat", "support")
"""Kinds of events that are messages to the shop: most are questions, neither positive nor negative."""


@dataclass(frozen=True, slots=True)
class AboutText:
    """A question about a whole text: its sentiment or, in the joint plan, everything it says."""

    text: TextOfUser


@dataclass(frozen=True, slots=True)
class AboutPart:
    """A question about one clause of a text."""

    text: TextOfUser
    part: Part


@dataclass(frozen=True, slots=True)
class AboutHistory:
    """A question about a user's lines; `fields` holds the stored texts of the events that the lines stand for."""

    history: History
    fields: Mapping[str, EventTexts]


@dataclass(frozen=True, slots=True)
class EventTexts:
    """The stored texts of one event that evidence may quote, by field; its kind, time, and its item's category."""

    kind: str
    ts: object
    texts: Mapping[str, str]
    category: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """One question to a model, and what it is about."""

    user_id: str
    lang: str
    request: ChatRequest
    about: AboutText | AboutPart | AboutHistory


def questions_of(
    plan: Plan, texts: Iterable[TextOfUser], history: History | None, events: Mapping[str, EventTexts]
) -> Iterator[Question]:
    """All questions about one user: of each text, and of the history as a whole.

    Args:
        plan: How much is asked at once.
        texts: The user's distinct texts.
        history: The user's lines; None or without lines for a user with nothing to read.
        events: Stored texts of the events of the history's lines, by event id.
    """
    for text in texts:
        if text.kind == "search":
            continue
        if plan.joint:
            yield _reading(text)
            continue
        if text.field == "text":
            yield _sentiment(text)
        for part in split_parts(text.text):
            yield _feeling(text, part)
    if history is not None and history.lines:
        yield _history(plan, history, events)


def language_of(text: TextOfUser) -> str:
    """The language a text is asked about in: its own, as its letters show, else as stored."""
    return detect(text.text) or (text.lang if text.lang in WORDINGS else "en")


def _sentiment(text: TextOfUser) -> Question:
    lang = language_of(text)
    asked = mood_request if text.kind in MESSAGES else sentiment_request
    return Question(text.user_id, lang, asked(text.text, lang), AboutText(text))


def mood_request(text: str, lang: str) -> ChatRequest:
    """Asks for the mood of a message in one word, in the language given."""
    prompt = load("mood", lang)
    choices = tuple(WORDINGS[lang].moods)
    return ChatRequest(prompt.render(text=shortened(text)), prompt.id, choices=choices, max_tokens=6)


def sentiment_request(text: str, lang: str) -> ChatRequest:
    """Asks for the sentiment of a text in one word, in the language given."""
    wording = WORDINGS[lang]
    prompt = load("sentiment", lang)
    messages = prompt.render(text=shortened(text))
    return ChatRequest(messages, prompt.id, choices=(wording.positive, wording.negative), max_tokens=6)


def _feeling(text: TextOfUser, part: Part) -> Question:
    lang = language_of(text)
    prompt = load("feeling", lang)
    request = ChatRequest(
        prompt.render(part=part.text), prompt.id, pattern=WORDINGS[lang].feeling_pattern, max_tokens=16
    )
    return Question(text.user_id, lang, request, AboutPart(text, part))


def _reading(text: TextOfUser) -> Question:
    lang = language_of(text)
    return Question(text.user_id, lang, reading_request([text], lang), AboutText(text))


def reading_request(texts: Sequence[TextOfUser], lang: str) -> ChatRequest:
    """Asks for the sentiment of each of some texts of one user, and for what they say, in the language given."""
    prompt = load("reading", lang)
    abouts = ["", *((text.title or text.category)[:LONGEST_ABOUT] for text in texts)]
    shown = [
        {"about": about if about != before else "", "text": shortened(text.text, LONGEST_READ)}
        for before, about, text in zip(abouts, abouts[1:], texts, strict=False)
    ]
    most = FIRST_ANSWER + (len(texts) - 1) * NEXT_ANSWER
    return ChatRequest(prompt.render(texts=shown), prompt.id, schema=reading_schema(len(texts)), max_tokens=most)


def _history(plan: Plan, history: History, events: Mapping[str, EventTexts]) -> Question:
    lang = history.lang if history.lang in WORDINGS else "en"
    lines = "\n".join(line.text for line in history.lines)
    prompt = load("history" if plan.joint else "interests", lang)
    request = ChatRequest(prompt.render(history=lines), prompt.id, max_tokens=500 if plan.joint else HISTORY_TOKENS)
    if plan.joint:
        request = replace(request, schema=HISTORY_SCHEMA)
    else:
        request = replace(request, pattern=WORDINGS[lang].history_pattern)
    return Question(history.user_id, lang, request, AboutHistory(history, events))


def repair_of(question: Question, answer: str, problem: str) -> Question:
    """The same question once more, with the unusable answer and what is wrong with it."""
    prompt = load("repair", question.lang)
    again = prompt.render(problem=problem)[-1]
    messages = (*question.request.messages, Message("assistant", neutralise(answer[:500])), again)
    return replace(question, request=replace(question.request, messages=messages, prompt=prompt.id))


def shortened(text: str, longest: int = LONGEST_TEXT) -> str:
    """A text of at most so many characters, cut in the middle."""
    if len(text) <= longest:
        return text
    head = longest * 2 // 3
    return text[:head] + CUT + text[-(longest - head) :]
