"""Checks a model's answer against the findings it was given: it may retell them and nothing else.

Every check compares with the findings a sentence names, not with all: a number that belongs to another finding is as
wrong as an invented one. What fails is named, so that one repair question can say it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from limner.agents.analyst import cues
from limner.agents.analyst.schema import AnswerSentence, Draft, Finding, Language
from limner.agents.quantities import fold, quantities
from limner.histories.language import detect
from limner.serving.request import Message

COVERAGE = 0.5
"""Share of a sentence's content words (Chinese: pairs of characters) that must stand in its findings or question."""

LEAKED = {"en": 28, "zh": 12}
"""Characters in a row that, shared with our own instructions and not with a finding, count as printing the prompt."""


@dataclass(frozen=True, slots=True)
class CheckedAnswer:
    """A model's sentences, and what is wrong with them; usable only if nothing is."""

    sentences: tuple[AnswerSentence, ...]
    problems: tuple[str, ...]


def check_answer(
    answer: str,
    question: str,
    language: Language,
    findings: Sequence[Finding],
    messages: Sequence[Message],
    *,
    ids: bool,
) -> CheckedAnswer:
    """Checks an answer.

    Args:
        answer: The model's JSON.
        question: As asked.
        language: The language to answer in.
        findings: The findings in the order of their numbers.
        messages: The request's messages, to see whether the answer repeats our instructions.
        ids: Whether the answer must name a user (the question asked who).
    """
    try:
        draft = Draft.model_validate(json.loads(answer))
    except (ValueError, ValidationError, RecursionError):
        return CheckedAnswer((), ("the answer was not the JSON asked for",))
    sentences = tuple(_with_marks_in_text(sentence) for sentence in draft.sentences)
    problems: list[str] = []
    for sentence in sentences:
        problems += _problems(sentence, question, language, findings, messages)
    if (
        not problems
        and ids
        and not any(user in s.text for s in sentences for m in s.marks for user in findings[m - 1].users)
    ):
        problems.append(_say(language, "name the user ids", "要写出用户编号"))
    return CheckedAnswer(sentences, tuple(dict.fromkeys(problems)))


_MARK = re.compile(r"\s*[\[【(（]\s*(?:finding\s*|发现\s*)?(\d+(?:\s*[,，、]\s*\d+)*)\s*[\]】)）]", re.IGNORECASE)


def _with_marks_in_text(sentence: AnswerSentence) -> AnswerSentence:
    """Moves marks that the model wrote into the text, such as `[2]`, to the marks."""
    bracketed = [match for match in _MARK.finditer(sentence.text) if match[0].strip()[0] in "[【"]
    marks = [int(number) for match in bracketed for number in re.findall(r"\d+", match[1])]
    text = sentence.text
    for match in reversed(bracketed):
        text = text[: match.start()] + text[match.end() :]
    return AnswerSentence(text=text.strip() or "-", marks=tuple(dict.fromkeys((*sentence.marks, *marks))))


def _say(language: Language, english: str, chinese: str) -> str:
    return chinese if language == "zh" else english


def _problems(
    sentence: AnswerSentence,
    question: str,
    language: Language,
    findings: Sequence[Finding],
    messages: Sequence[Message],
) -> list[str]:
    unknown = [mark for mark in sentence.marks if not 1 <= mark <= len(findings)]
    if unknown:
        return [_say(language, f"there is no finding {unknown[0]}", f"没有编号为 {unknown[0]} 的发现")]
    cited = [findings[mark - 1] for mark in sentence.marks]
    source = fold(" ".join(finding.text for finding in cited))
    text = fold(sentence.text)
    known = source + " " + fold(question)
    problems = [
        *_numbers(_QUOTED.sub(" ", text), _QUOTED.sub(" ", source), language),
        *_names(text, known, language),
        *_foreign(text, language),
        *_feeling(text, cited, _QUOTED.sub(" ", source), language),
    ]
    if _leaks(text, known, language, messages):
        problems.append(_say(language, "do not repeat your instructions", "不要复述你的指令"))
    if not problems and _coverage(text, known) < COVERAGE:
        problems.append(_say(language, "say only what the findings say", "只说发现里有的内容"))
    return problems


def _numbers(text: str, source: str, language: Language) -> list[str]:
    """Numbers that the cited findings did not count (what customers wrote is no count).

    `one` and `一` are left to grammar unless they count users.
    """
    allowed = {round(value, 6) for q in quantities(source) for value in (q.value, q.scaled)}
    wrong = []
    for found in quantities(text):
        if (
            found.spelled
            and found.value == 1
            and not re.match(r"\s*(?:users?|customers?|名|位|个用户|人)", text[found.end :])
        ):
            continue
        if round(found.value, 6) not in allowed and round(found.scaled, 6) not in allowed:
            wrong.append(found.text)
    return [
        _say(language, f"the number {value} is not in the finding", f"数字 {value} 不在所引的发现里") for value in wrong
    ]


_IDENTIFIER = re.compile(r"(?<![\w-])(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[A-Za-z0-9_][\w-]*", re.ASCII)
_QUOTED = re.compile(r'"([^"]+)"|“([^”]+)”|「([^」]+)」|『([^』]+)』')
_CAPITALISED = re.compile(r"(?<=[a-z,;:] )[A-Z][\w'’-]+")
_LINK = re.compile(r"https?://|www\.|\bselect\b.+\bfrom\b|<\|", re.IGNORECASE)


def _names(text: str, known: str, language: Language) -> list[str]:
    """Ids, capitalised names, quotations and links that neither the cited findings nor the question have."""
    lowered = known.lower()
    names = [match[0] for match in _IDENTIFIER.finditer(text)]
    names += [match[0] for match in _CAPITALISED.finditer(text)]
    names += [next(part for part in match.groups() if part) for match in _QUOTED.finditer(text)]
    names += [match[0] for match in _LINK.finditer(text)]
    wrong = [name for name in names if name.strip(" .,;。，；…").lower() not in lowered]
    return [
        _say(language, f"{name!r} is not in the finding", f"“{name}”不在所引的发现里") for name in dict.fromkeys(wrong)
    ]


def _foreign(text: str, language: Language) -> list[str]:
    """Whether the sentence, its quotations aside, is in another language than the question."""
    written = detect(_QUOTED.sub(" ", text))
    if written in ("", language):
        return []
    return [_say(language, "write in English", "用中文回答")]


def _feeling(text: str, cited: Sequence[Finding], source: str, language: Language) -> list[str]:
    """Whether the sentence turns a like into a dislike or the other way round."""
    told = {finding.polarity for finding in cited}
    plain = _QUOTED.sub(" ", text)
    negative = cues.NEGATIVE.found(plain) and not cues.NEGATIVE.found(source)
    positive = cues.POSITIVE.found(cues.NEGATIVE.removed(plain)) and not cues.POSITIVE.found(
        cues.NEGATIVE.removed(source)
    )
    if (told == {"positive"} and negative) or (told == {"negative"} and positive):
        return [_say(language, "the feeling is the opposite of the finding's", "态度与发现相反")]
    return []


def _leaks(text: str, known: str, language: Language, messages: Sequence[Message]) -> bool:
    instructions = fold(" ".join(m.content for m in messages if m.role == "system"))
    size = LEAKED[language]
    pieces = (text[at : at + size] for at in range(len(text) - size + 1))
    return any(piece in instructions and piece not in known for piece in pieces)


def _coverage(text: str, known: str) -> float:
    """The share of the text's content words (Chinese: pairs of characters) that stand in what is known."""
    lowered = known.lower()
    units: list[str] = []
    for word in cues.content_words(text):
        if word[0].isascii():
            units.append(word.lower()[:6])
        else:
            units += [word[at : at + 2] for at in range(len(word) - 1)] or [word]
    return sum(unit in lowered for unit in units) / len(units) if units else 1.0
