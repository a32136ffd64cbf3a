"""From answers to signals: every signal's quote is looked up in the stored text, and refused if it is not there."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from limner.agents.extractor.parts import Part, split_parts
from limner.agents.extractor.plan import PLANS, Plan, positive_from
from limner.agents.extractor.prompt import (
    MESSAGES,
    AboutHistory,
    AboutPart,
    AboutText,
    EventTexts,
    Question,
    language_of,
    sentiment_request,
)
from limner.agents.extractor.proof import judged, judged_quote
from limner.agents.extractor.relation import UNRELATED
from limner.agents.extractor.schema import FEELINGS, FIRST, WORDINGS
from limner.evidence.overlap import shares_words
from limner.evidence.records import Polarity, Signal, SignalKind, Span
from limner.evidence.sides import same_words
from limner.evidence.verdict import Verdict
from limner.histories.texts import TextOfUser
from limner.serving.request import ChatAnswer

UNSURE = -7.0
"""Log-probability of an answer under which a feeling is not taken from the model: on 100 clauses of real reviews, what
was below was garbled, what was above was read."""

SURE = 0.6
"""Confidence under which a text's sentiment is not taken: near the threshold most texts are questions or facts."""

LABEL_PRIOR = 0.9
"""Confidence in a one-word sentiment from an engine that tells no probabilities: about its measured accuracy."""

DIRECTIVE = "directive_"
"""Beginning of the reasons why texts that speak to a machine were shown to none (`histories.directives`)."""

LONGEST_LABEL = 60
LINES_PER_TAG = 3


def signals_of(question: Question, answer: ChatAnswer, plan: Plan, model: str) -> list[Signal]:
    """The signals, accepted and rejected, that an answer gives."""
    reader = _Reader(question, answer, plan, model)
    return list(_READERS[type(question.about), plan.joint](reader))


def refused(text: TextOfUser, model: str, sort: str) -> Signal:
    """A text that speaks to a machine, as one rejected signal: no model was shown it, and it proves nothing.

    Args:
        text: The text.
        model: The model that would have been asked.
        sort: What `directive_in` found.
    """
    lang = language_of(text)
    question = Question(text.user_id, lang, sentiment_request("", lang), AboutText(text))
    reader = _Reader(question, ChatAnswer("", 0, 0, 0.0), PLANS["small"], model)
    nothing = _unfound(text.event_ids[-1], text.field, text.text[:LONGEST_LABEL])
    return reader.signal("sentiment", reader.wording.overall, "neutral", 0.0, nothing, text.ts, f"{DIRECTIVE}{sort}")


class _Reader:
    """One answer being read: makes signals with what they have in common filled in."""

    def __init__(self, question: Question, answer: ChatAnswer, plan: Plan, model: str) -> None:
        self.question, self.answer, self.plan, self.model = question, answer, plan, model
        self.wording = WORDINGS[question.lang]

    def signal(
        self,
        kind: SignalKind,
        label: str,
        polarity: Polarity,
        confidence: float,
        span: Span,
        ts: datetime | None,
        rejected: str = "",
    ) -> Signal:
        user = self.question.user_id
        label = _clean_label(label)
        reason = rejected or ("" if label else "no_label")
        identity = [user, kind, label, polarity, span.event_id, span.field, span.start, span.end, span.quote]
        return Signal(
            signal_id=hashlib.sha256(json.dumps(identity).encode("utf-8")).hexdigest()[:16],
            user_id=user,
            kind=kind,
            label=label,
            polarity=polarity,
            confidence=round(min(max(confidence, 0.0), 1.0), 4),
            ts=ts,
            lang=self.question.lang,
            evidence=span,
            status="rejected" if reason else "accepted",
            reason=reason,
            prompt=str(self.question.request.prompt),
            model=self.model,
        )

    @property
    def certainty(self) -> float:
        """The geometric mean of the probabilities of the tokens written; the prior where the engine tells none."""
        if self.answer.logprob is None:
            return LABEL_PRIOR
        return math.exp(self.answer.logprob / max(1, self.answer.output_tokens))


def _unfound(event_id: str, field: str, quote: str) -> Span:
    return Span(event_id, field, -1, -1, quote)


def _clean_label(label: str) -> str:
    label = re.sub(r"\s+", " ", label).strip(" \"'“”‘’「」《》.,，。：:;；!！?？")
    return label[:LONGEST_LABEL].rstrip()


def _topic(text: Any, fallback: str) -> str:
    """What a text as a whole is about: its category (the first, of several), else its item, else nothing named."""
    first = re.split(r"[|/>]", text.category or "")[0].strip()
    return first or text.title or fallback


def _sentiment(reader: _Reader) -> Iterator[Signal]:
    about = cast(AboutText, reader.question.about)
    mood = reader.wording.moods.get(reader.answer.text.strip()) if about.text.kind in MESSAGES else None
    if mood is not None:
        if mood != "neutral":
            yield _whole(reader, about, mood, reader.certainty)
        return
    positive, confidence = sentiment_of(
        reader.answer, reader.wording.positive, reader.model, reader.question.lang, reader.plan
    )
    rejected = "model_unsure" if confidence < SURE else ""
    yield _whole(reader, about, "positive" if positive else "negative", confidence, rejected)


def sentiment_of(
    answer: ChatAnswer, positive_word: str, model: str, lang: str, plan: Plan | None = None
) -> tuple[bool, float]:
    """Whether a one-word sentiment answer counts as positive, and how sure that is (0.5 to 1).

    The model's probability of the positive word is held against the model's threshold for the language; the confidence
    is the distance to it. Of a model without a measured threshold the word is taken as it stands.
    """
    said_positive = answer.text.strip() == positive_word
    limit = positive_from(model, lang, plan)
    if answer.logprob is None or limit is None:
        return said_positive, LABEL_PRIOR
    said = math.exp(answer.logprob)
    probability = said if said_positive else 1.0 - said
    if probability >= limit:
        return True, 0.5 + 0.5 * (probability - limit) / (1.0 - limit)
    return False, 0.5 + 0.5 * (limit - probability) / limit


def _whole(reader: _Reader, about: AboutText, polarity: Polarity, confidence: float, rejected: str = "") -> Signal:
    text = about.text
    span = Span(text.event_ids[-1], text.field, 0, len(text.text), text.text)
    topic = _topic(text, reader.wording.overall)
    return reader.signal("sentiment", topic, polarity, confidence, span, text.ts, rejected)


def _feeling(reader: _Reader) -> Iterator[Signal]:
    about = cast(AboutPart, reader.question.about)
    wording = reader.wording
    word, _, named = reader.answer.text.strip().partition(wording.colon.strip())
    feeling = next((FEELINGS[name] for name, said in wording.feelings.items() if said == word.strip()), None)
    if feeling is None:
        return
    text, part = about.text, about.part
    span = Span(text.event_ids[-1], text.field, part.start, part.end, part.text)
    named = "" if named.strip() == wording.unnamed else named.strip()
    if reader.answer.logprob is not None and reader.answer.logprob < UNSURE:
        rejected = "model_unsure"
    else:
        rejected = _objection(text.text, part.start, part.end, feeling.kind, named, feeling.polarity)
    named = named or text.title or _topic(text, wording.overall)
    yield reader.signal(feeling.kind, named, feeling.polarity, reader.certainty, span, text.ts, rejected)


def _reading(reader: _Reader) -> Iterator[Signal]:
    about = cast(AboutText, reader.question.about)
    answer = json.loads(reader.answer.text)[FIRST]
    yield _whole(reader, about, answer["sentiment"], LABEL_PRIOR)
    text = about.text
    for found in answer["said"]:
        feeling, label, quote = FEELINGS[found["feeling"]], found["about"], found["quote"]
        verdict = judged_quote(text.text, quote, feeling.kind, _named(text, label), feeling.polarity)
        yield reader.signal(
            feeling.kind,
            label,
            feeling.polarity,
            reader.certainty,
            _span_of(text, verdict) or _unfound(text.event_ids[-1], text.field, quote),
            text.ts,
            "" if verdict.supported else verdict.reason,
        )


def _named(text: TextOfUser, about: str) -> str:
    """What a signal is about, as far as its quote must name it: not if that is the item or its category as a whole."""
    label = _clean_label(about)
    known = {same_words(name) for name in (text.title, text.category, *re.split(r"[|/>]", text.category or "")) if name}
    return "" if same_words(label) in known else label


def _span_of(text: TextOfUser, verdict: Verdict) -> Span | None:
    if verdict.start is None or verdict.end is None:
        return None
    words = text.text[verdict.start : verdict.end]
    return Span(text.event_ids[-1], text.field, verdict.start, verdict.end, words)


def _objection(text: str, start: int, end: int, kind: SignalKind, label: str, polarity: Polarity) -> str:
    """Why a slice of a text does not prove a signal; empty if it does."""
    verdict = judged(text, start, end, kind, label, polarity)
    return "" if verdict.supported else verdict.reason


def _history_lines(reader: _Reader) -> Iterator[Signal]:
    wording = reader.wording
    kinds: Mapping[str, SignalKind] = {wording.interest: "interest", wording.intent: "intent"}
    tags: dict[tuple[SignalKind, str], list[int]] = {}
    for line in reader.answer.text.strip().splitlines():
        name, _, rest = line.strip().partition(" ")
        tag, _, numbers = rest.rpartition(wording.colon.strip())
        if name in kinds and tag:
            tags.setdefault((kinds[name], tag.strip()), []).extend(int(n) for n in re.findall(r"\d+", numbers))
    for (kind, tag), lines in tags.items():
        yield from _tag(reader, kind, tag, lines)


def _history_json(reader: _Reader) -> Iterator[Signal]:
    answer = json.loads(reader.answer.text)
    kinds: tuple[tuple[str, SignalKind], ...] = (("interests", "interest"), ("intents", "intent"))
    for name, kind in kinds:
        for found in answer[name]:
            yield from _tag(reader, kind, found["tag"], found["lines"])


def _tag(reader: _Reader, kind: SignalKind, tag: str, numbers: list[int]) -> Iterator[Signal]:
    """One signal for each line that is said to show a tag, the newest lines first."""
    about = cast(AboutHistory, reader.question.about)
    lines = {line.number: line for line in about.history.lines}
    for number in sorted(dict.fromkeys(numbers), reverse=True)[:LINES_PER_TAG]:
        line = lines.get(number)
        if line is None:
            nowhere = _unfound("", "", f"[{number}]")
            yield reader.signal(kind, tag, "positive", reader.certainty, nowhere, None, "no_such_line")
            continue
        event_id = line.event_ids[-1]
        event = about.fields.get(event_id)
        proof = _proof(event_id, event, kind, tag) if event else None
        proof = proof or _Proof(_unfound(event_id, "", line.text[:LONGEST_LABEL]), "nothing_to_quote")
        yield reader.signal(kind, tag, "positive", reader.certainty, proof.span, line.ts, proof.rejected)


@dataclass(frozen=True, slots=True)
class _Proof:
    """The words of an event that are to show a tag, and why they do not, if they do not."""

    span: Span
    rejected: str = ""


def _proof(event_id: str, event: EventTexts, kind: SignalKind, tag: str) -> _Proof | None:
    """The words of an event that show a tag: those that share words with it, else what the person searched for.

    The title of an item may show an interest without sharing a word with it (a kettle, for `coffee`), but no intent: by
    its category, or if the meanings are near (`relation`). A review's prose that shares no word with the tag proves
    nothing.
    """
    refused = None
    for field, text in event.texts.items():
        own = field != "title" and event.kind != "search"
        for part in split_parts(text) if field == "text" else [Part(0, len(text), text)]:
            if not shares_words(tag, part.text):
                continue
            span = _stripped(event_id, field, text, part)
            rejected = _untold(text, span, kind, tag) if own else ""
            if not rejected:
                return _Proof(span)
            refused = refused or _Proof(span, rejected)
    whole = "text" if event.kind == "search" else "title" if kind == "interest" else ""
    text = event.texts.get(whole, "")
    if refused or not text.strip():
        return refused
    known = whole == "title" and shares_words(tag, event.category)
    return _Proof(_stripped(event_id, whole, text, Part(0, len(text), text)), "" if known else UNRELATED)


def _stripped(event_id: str, field: str, text: str, part: Part) -> Span:
    words = part.text.strip()
    start = part.start + part.text.index(words)
    return Span(event_id, field, start, start + len(words), words)


def _untold(text: str, span: Span, kind: SignalKind, tag: str) -> str:
    """Why the writer's own words do not show a tag of which they hold half the words."""
    rejected = _objection(text, span.start, span.end, kind, tag, "positive")
    if rejected in ("words_missing", "shares_no_words"):
        rejected = _objection(text, span.start, span.end, kind, "", "positive")
    return rejected


_READERS: Mapping[tuple[type, bool], Callable[[_Reader], Iterator[Signal]]] = {
    (AboutText, False): _sentiment,
    (AboutPart, False): _feeling,
    (AboutHistory, False): _history_lines,
    (AboutText, True): _reading,
    (AboutHistory, True): _history_json,
}
