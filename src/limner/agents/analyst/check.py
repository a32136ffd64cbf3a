"""Checks a model's lead against the findings it was given: it may retell them and nothing else.

Every check compares with the findings the lead names, not with all: a number that belongs to another finding is as
wrong as an invented one. What fails is named, so that one repair question can say it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from pydantic import ValidationError

from limner.agents.analyst import cues
from limner.agents.analyst.phrases import SHOWN_USERS
from limner.agents.analyst.schema import Finding, Language, Lead, Measure
from limner.agents.quantities import fold, quantities
from limner.histories.language import detect
from limner.serving.request import Message

COVERAGE = 0.7
"""Share of the lead's content words (Chinese: pairs of characters) that must stand in its findings or question."""

ECHO = 0.8
"""From this likeness on, an answer is the question again."""

LEAKED = {"en": 28, "zh": 12}
"""Characters in a row that, shared with our own instructions and not with a finding, count as printing the prompt."""


@dataclass(frozen=True, slots=True)
class CheckedLead:
    """A model's lead, and what is wrong with it; usable only if nothing is."""

    lead: Lead | None
    problems: tuple[str, ...]


def check_answer(
    answer: str,
    question: str,
    language: Language,
    findings: Sequence[Finding],
    messages: Sequence[Message],
    measure: Measure = "describe",
) -> CheckedLead:
    """Checks a lead.

    Args:
        answer: The model's JSON.
        question: As asked.
        language: The language to answer in.
        findings: The findings in the order of their numbers.
        messages: The request's messages, to see whether the answer repeats our instructions.
        measure: What the question asks for; a count must be told.
    """
    try:
        lead = _with_marks_in_text(Lead.model_validate(json.loads(answer)))
    except (ValueError, ValidationError, RecursionError):
        return CheckedLead(None, (_say(language, "the answer was not the JSON asked for", "答案不是所要的 JSON"),))
    unknown = [mark for mark in lead.marks if not 1 <= mark <= len(findings)]
    if unknown:
        return CheckedLead(
            lead, (_say(language, f"there is no finding {unknown[0]}", f"没有编号为 {unknown[0]} 的发现"),)
        )
    cited = [findings[mark - 1] for mark in lead.marks]
    problems = _problems(fold(lead.text), cited, fold(question), language, messages)
    if 1 not in lead.marks:
        problems.append(_say(language, "finding 1 is missing", "缺少第 1 条发现"))
    if not problems and measure == "count" and not quantities(_QUOTED.sub(" ", lead.text)):
        problems.append(_say(language, "say how many", "要说出数量"))
    return CheckedLead(lead, tuple(dict.fromkeys(problems)))


_MARK = re.compile(r"\s*[\[【]\s*(?:finding\s*|发现\s*)?(\d+(?:\s*[,，、]\s*\d+)*)\s*[\]】]", re.IGNORECASE)


def _with_marks_in_text(lead: Lead) -> Lead:
    """Moves marks that the model wrote into the text, such as `[2]`, to the marks; ends the text with a stop."""
    marks = [int(number) for match in _MARK.finditer(lead.text) for number in re.findall(r"\d+", match[1])]
    text = " ".join(_MARK.sub("", lead.text).split()).lstrip(",.;:，。；：、 ") or "-"
    if text[-1] not in ".!?。！？…":
        text += "。" if detect(text) == "zh" else "."
    return Lead(text=text, marks=tuple(dict.fromkeys((*lead.marks, *marks)))[:6])


def _say(language: Language, english: str, chinese: str) -> str:
    return chinese if language == "zh" else english


def _problems(
    text: str, cited: Sequence[Finding], question: str, language: Language, messages: Sequence[Message]
) -> list[str]:
    source = fold(" ".join(finding.text for finding in cited))
    known = source + " " + question
    users = [user for finding in cited for user in finding.users]
    problems = [
        *_shape(text, question, source, users, language),
        *_numbers(_counts_only(text, users), _counts_only(source, users), language),
        *_names(text, known, language),
        *_people(text, cited, language),
        *_foreign(text, language),
        *_feeling(text, cited, _QUOTED.sub(" ", source), language),
    ]
    if _leaks(text, known, language, messages):
        problems.append(_say(language, "do not repeat your instructions", "不要复述你的指令"))
    if not problems and _coverage(text, known) < COVERAGE:
        problems.append(_say(language, "say only what the findings say", "只说发现里有的内容"))
    return problems


_REASON = cues.cue(
    ["because", "since", "due to", "therefore", "as a result", "in order to", "should", "would bring", "could"],
    ["因为", "由于", "因此", "所以", "导致", "为了", "应该", "建议", "可以通过"],
)


def _shape(text: str, question: str, source: str, users: Sequence[str], language: Language) -> list[str]:
    """Whether it is a statement at all: not a bare id, not the question again, no reasons that nothing gives."""
    said = _IDENTIFIER.sub(" ", _counts_only(text, users))
    units = re.findall(r"[A-Za-z]+|[\u3400-\u9fff]", said)
    alike = SequenceMatcher(None, text.lower(), question.lower()).ratio() > ECHO
    news = len(quantities(_counts_only(text, users))) > len(quantities(question))
    if text.rstrip()[-1:] in "?？" or (alike and not news):
        return [_say(language, "answer the question, do not repeat it", "要回答问题，不要重复问题")]
    if len(units) < 3:
        return [_say(language, "write a whole sentence", "要写完整的句子")]
    if _REASON.found(_QUOTED.sub(" ", text)) and not _REASON.found(source):
        return [_say(language, "the findings give no reasons or advice", "发现里没有原因或建议")]
    return []


def _people(text: str, cited: Sequence[Finding], language: Language) -> list[str]:
    """Whether users are named in part, or next to findings that are not about them."""
    users = {user for finding in cited for user in finding.users}
    named = {user for user in users if _stands_in(user, text)}
    if not named:
        return []
    if len(cited) > 1:
        return [_say(language, "name users of one finding only", "只写一条发现里的用户")]
    if named != users and len(users) <= SHOWN_USERS:
        missing = sorted(users - named)
        return [_say(language, f"users are missing: {', '.join(missing)}", f"漏了用户：{'、'.join(missing)}")]
    return []


def _counts_only(text: str, users: Sequence[str]) -> str:
    """The text without quotations and user ids: digits in those count nothing."""
    plain = _QUOTED.sub(" ", text)
    for user in sorted(set(users), key=len, reverse=True):
        plain = plain.replace(fold(user), " ")
    return plain


def _stands_in(user: str, text: str) -> bool:
    return re.search(rf"(?<![A-Za-z0-9_-]){re.escape(fold(user))}(?![A-Za-z0-9_-])", text) is not None


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
_QUOTED = re.compile(r""""([^"]+)"|“([^”]+)”|「([^」]+)」|『([^』]+)』|‘([^’]+)’|(?<!\w)'([^']+)'(?!\w)""")
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
