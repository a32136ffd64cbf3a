"""Names for segments: a model words what sets a segment apart; code checks the words and has its own where they fail.

A name may hold no number that is not in the features, must be in the segment's language, and no two segments of a
discovery may share one. A segment whose answer fails gets one repair question; if that fails too, its name is put
together from the features. Descriptions are code's alone: asked for a sentence, the default model gave a segment of
coffee drinkers "walls in their homes".
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from limner.histories.language import detect
from limner.prompts import load
from limner.segments.records import Feature, fold_name
from limner.serving.client import Client
from limner.serving.request import ChatAnswer, ChatRequest, Outcome

NAME_CHARACTERS = 40

FEATURES_SHOWN = 8
"""Features the model is shown: small models name from the first few anyway."""

_SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 2, "maxLength": NAME_CHARACTERS},
    },
    "required": ["name"],
    "additionalProperties": False,
}

_KINDS = {
    "trait": ("likes or wants", "喜欢或想要"),
    "complaint": ("minds", "不满"),
    "category": ("category", "品类"),
    "activity": ("does often", "常做"),
    "fact": ("behaviour", "行为"),
    "language": ("language", "语言"),
    "device": ("device", "设备"),
    "place": ("place", "地点"),
}
"""How the prompt and the templated description speak of a feature's kind, in English and Chinese."""


@dataclass(frozen=True, slots=True)
class Nameless:
    """A segment that needs a name: its language, `zh` or `en`, and what sets it apart."""

    language: str
    features: tuple[Feature, ...]


@dataclass(frozen=True, slots=True)
class Naming:
    """A name and a description. `model` is empty if the name was put together from the features."""

    name: str
    description: str
    model: str


def name_segments(client: Client, segments: Sequence[Nameless]) -> list[Naming]:
    """Names the segments, in order.

    Raises:
        ModelError: The model cannot be reached or loaded.
    """
    asked = [i for i, segment in enumerate(segments) if segment.features]
    chosen: dict[int, Naming] = {}
    problems: dict[int, tuple[str, ...]] = dict.fromkeys(asked, ())
    for _ in range(2):
        todo = sorted(problems)
        outcomes = client.ask([request(segments[i], problems[i]) for i in todo])
        problems = {}
        for i, outcome in zip(todo, outcomes, strict=True):
            answer = _read(outcome, segments[i], client.model)
            found = _problems(answer, segments[i], {fold_name(n.name) for n in chosen.values()})
            if found or answer is None:
                problems[i] = found
            else:
                chosen[i] = answer
        if not problems:
            break
    taken = {fold_name(naming.name) for naming in chosen.values()}
    for i, segment in enumerate(segments):
        if i not in chosen:
            chosen[i] = templated(segment, taken)
            taken.add(fold_name(chosen[i].name))
    return [chosen[i] for i in range(len(segments))]


def request(segment: Nameless, problems: Sequence[str] = ()) -> ChatRequest:
    """The question for one segment; with problems, the repair question."""
    prompt = load("segment_name", segment.language)
    lines = [_line(feature, segment.language) for feature in segment.features[:FEATURES_SHOWN]]
    messages = prompt.render(features=lines, problems=list(problems))
    return ChatRequest(messages, prompt.id, schema=_SCHEMA, max_tokens=40)


def _line(feature: Feature, language: str) -> str:
    chinese = language == "zh"
    kind = _KINDS[feature.kind][chinese] if feature.kind in _KINDS else feature.kind
    label = " ".join(_plain(feature.label).split())[:80]
    return f"{kind}：{label}" if chinese else f"{kind}: {label}"


def _plain(text: str) -> str:
    """Text without control and invisible characters."""
    return "".join(" " if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") else c for c in text)


def _read(outcome: Outcome, segment: Nameless, model: str) -> Naming | None:
    """The answer, tidied, with code's description; None if there is none that can be read."""
    if not isinstance(outcome, ChatAnswer):
        return None
    try:
        name = str(json.loads(outcome.text)["name"])
    except (ValueError, KeyError, TypeError):
        return None
    tidy = " ".join(_plain(name).split()).strip(" .。\"'“”「」")
    return Naming(tidy, described(segment), model)


def _problems(answer: Naming | None, segment: Nameless, taken: set[str]) -> tuple[str, ...]:
    """What is wrong with an answer, in the segment's language, as the repair question says it."""
    return tuple(_PROBLEMS[key][segment.language == "zh"] for key in _faults(answer, segment, taken))


_PROBLEMS = {
    "unreadable": ("not the JSON that was asked for", "不是要求的 JSON"),
    "length": ("name empty or too long", "名称为空或太长"),
    "number": ("a number that is not in the list", "出现了列表里没有的数字"),
    "language": ("not in English", "没有用中文"),
    "taken": ("another group already has this name", "这个名称已被另一个人群使用"),
}


def _faults(answer: Naming | None, segment: Nameless, taken: set[str]) -> Iterator[str]:
    if answer is None:
        yield "unreadable"
        return
    if not 2 <= len(answer.name) <= NAME_CHARACTERS:
        yield "length"
    allowed = {number for feature in segment.features for number in _numbers(feature.label)}
    if not _numbers(answer.name) <= allowed:
        yield "number"
    if (segment.language == "zh") != (detect(answer.name) == "zh"):
        yield "language"
    if fold_name(answer.name) in taken:
        yield "taken"


_NUMBER = re.compile(r"\d+(?:[.,]\d+)*|[一二三四五六七八九十百千万两半]+(?=[成倍%个次天元岁])|百分之")


def _numbers(text: str) -> set[str]:
    """Numbers in a text, full-width digits as plain ones, and Chinese numerals before a unit of measure."""
    return set(_NUMBER.findall(unicodedata.normalize("NFKC", text)))


def templated(segment: Nameless, taken: set[str]) -> Naming:
    """A name put together from the most telling features, different from those taken."""
    chinese = segment.language == "zh"
    labels = [" ".join(_plain(f.label).split())[:NAME_CHARACTERS] for f in segment.features if f.kind != "language"]
    labels = labels or [feature.label for feature in segment.features] or ["其他用户" if chinese else "all users"]
    comma = "、" if chinese else ", "
    name = next(
        (joined for n in range(1, len(labels) + 1) if fold_name(joined := comma.join(labels[:n])) not in taken),
        labels[0],
    )
    number = 2
    while fold_name(name) in taken:
        name, number = f"{labels[0]} ({number})", number + 1
    return Naming(name, described(segment), "")


def described(segment: Nameless) -> str:
    """What sets a segment apart, in one line: its most telling features."""
    chinese = segment.language == "zh"
    lines = [_line(feature, segment.language) for feature in segment.features[:3]]
    if not lines:
        return "没有明显的共同点。" if chinese else "Nothing sets them apart."
    return ("；".join(lines) + "。") if chinese else "; ".join(lines).capitalize() + "."
