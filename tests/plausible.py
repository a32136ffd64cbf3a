"""A model made of rules that answers every prompt as a good small model would: for tests of whole commands.

`answer` serves a `ScriptedEngine`; `reply` serves the same over HTTP, where a request does not say which prompt it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from limner.agents.extractor.schema import WORDINGS
from limner.agents.portraitist.schema import KINDS, OPENINGS, SENTIMENTS
from limner.prompts import load
from limner.serving.request import ChatRequest
from serving_stub import Reply, completion

BAD = re.compile(r"bad|broke|slow|awful|waste|worst|noisy|not recommend|差|坏|慢|断|失望|不好|退货|吵", re.IGNORECASE)
WISH = re.compile(r"\bwish\b|\bwant\b|要是|想要|希望")
NEED = re.compile(r"\bneed\b|需要")


def answer(request: ChatRequest) -> str:
    """The answer to a request, as a scripted engine's function."""
    prompt = request.prompt
    messages = [message.content for message in request.messages]
    return respond(prompt.name, prompt.lang, messages[-1], request.schema, request.choices)


def reply(number: int, body: dict[str, Any]) -> Reply:
    """The answer to a chat completion's payload, as a stub server's function."""
    messages = [message["content"] for message in body["messages"]]
    form = body.get("response_format", {}).get("json_schema", {})
    schema = form.get("schema")
    name, lang = _prompt_of(messages[0], form.get("name"))
    choices = (schema or {}).get("properties", {}).get("label", {}).get("enum", ())
    return completion(respond(name, lang, messages[-1], schema, tuple(choices)))


def respond(name: str, lang: str, user: str, schema: Mapping[str, Any] | None, choices: tuple[str, ...]) -> str:
    """The answer to one prompt."""
    if name in _RULES:
        return _RULES[name](user, lang)
    if choices:
        return choices[0]
    return json.dumps(instance(schema or {"type": "string"}), ensure_ascii=False)


@cache
def _systems() -> dict[str, tuple[str, str]]:
    """The system texts of prompts whose answer has no JSON schema, and which prompts they are."""
    values = {"feeling": "part", "interests": "history", "narrative": "traits"}
    return {
        load(name, lang).render(**{value: "x"})[0].content: (name, lang)
        for name, value in values.items()
        for lang in ("en", "zh")
    }


def _prompt_of(system: str, name: str | None) -> tuple[str, str]:
    if name is not None:
        return name, "zh" if re.search("[\u4e00-\u9fff]", system) else "en"
    return _systems()[system]


def _sentiment(user: str, lang: str) -> str:
    wording = WORDINGS[lang]
    return wording.negative if BAD.search(user) else wording.positive


def _mood(user: str, lang: str) -> str:
    moods = {mood: word for word, mood in WORDINGS[lang].moods.items()}
    return moods["negative" if BAD.search(user) else "neutral"]


def _feeling(part: str, lang: str) -> str:
    wording = WORDINGS[lang]
    named = _object(part)
    if not named:
        return wording.nothing
    told = "dislike" if BAD.search(part) else "want" if WISH.search(part) else "need" if NEED.search(part) else "like"
    return f"{wording.feelings[told]}{wording.colon}{named}"


def _object(part: str) -> str:
    """The first Chinese words or the longest English word; empty if there is neither."""
    chinese = re.search("[\u4e00-\u9fff]{1,6}", part)
    return chinese[0] if chinese else max(re.findall("[A-Za-z]{3,20}", part), key=len, default="")


def _titles(history: str) -> dict[str, list[int]]:
    """Titles in the lines of a history, with the numbers of the lines."""
    found: dict[str, list[int]] = {}
    for number, title in re.findall(r"^\[(\d+)\].*?[\"“]([^\"”\n]+)[\"”]", history, re.MULTILINE):
        tag = re.sub(r"[\d:：]", "", title).strip()[:24].strip()
        if len(tag) > 1:
            found.setdefault(tag, []).append(int(number))
    return found


def _interests(history: str, lang: str) -> str:
    wording = WORDINGS[lang]
    lines = [
        f"{wording.interest} {tag[: wording.longest_tag]}{wording.colon}{','.join(map(str, numbers[:3]))}"
        for tag, numbers in list(_titles(history).items())[:3]
    ]
    return "\n".join(lines) or f"{wording.interest} {wording.overall}{wording.colon}1"


def _history(history: str, lang: str) -> str:
    tags = [{"tag": tag, "lines": numbers[:3]} for tag, numbers in list(_titles(history).items())[:4]]
    return json.dumps({"interests": tags, "intents": []}, ensure_ascii=False)


def _reading(user: str, lang: str) -> str:
    texts = re.findall(r"<text>(.*?)</text>", user, re.DOTALL)
    return json.dumps({str(number): _said(text) for number, text in enumerate(texts, 1)}, ensure_ascii=False)


def _said(text: str) -> dict[str, Any]:
    bad = bool(BAD.search(text))
    pieces = [piece.strip()[:200] for piece in re.split(r"[.!?。！？\n]", text) if len(piece.strip()) > 1]
    quote = next((piece for piece in pieces if bool(BAD.search(piece)) == bad), "")
    about = _object(quote)
    told = {"feeling": "dislike" if bad else "like", "about": about, "quote": quote}
    return {"sentiment": "negative" if bad else "positive", "said": [told] if about else []}


def _narrative(traits: str, lang: str) -> str:
    """A line for each of the first traits, with an opening that fits what stands before its colon."""
    lines = []
    for line in traits.splitlines():
        mark, _, said = line.partition(" ")
        for kind, words in KINDS[lang].items():
            short, colon, _ = said.partition("：" if lang == "zh" else ": ")
            if colon and short == words.short and kind != "sentiment":
                opening = next(o for o, kinds in OPENINGS[lang].items() if kind in kinds)
                lines.append(f"{opening}{'' if lang == 'zh' else ' '}{{{mark}}}")
        for polarity, pattern in SENTIMENTS[lang].items():
            head, _, tail = pattern.partition("{}")
            if polarity == "positive" and said.startswith(head) and said.endswith(tail):
                lines.append(f"满意{{{mark}}}" if lang == "zh" else f"Pleased with {{{mark}}}")
    return "\n".join(lines[:2]) or f"{next(iter(OPENINGS[lang]))}{'' if lang == 'zh' else ' '}{{T1}}"


def _name(user: str, lang: str) -> str:
    said = re.search(r"^- (?:[^:：\n]*[:：])?([^\n]+)$", user, re.MULTILINE)
    words = re.findall(r"[A-Za-z]+|[\u4e00-\u9fff]+", said[1] if said else "")
    name = "".join(words)[:8] + "爱好者" if lang == "zh" else " ".join(words[:3]).title() + " Fans"
    return json.dumps({"name": name}, ensure_ascii=False)


def _plan(user: str, lang: str) -> str:
    bad = re.search(r"unhappy|complain|dislike|不满|抱怨|讨厌", user)
    topic = re.search(r"coffee|咖啡", user)
    plan = {
        "measure": "describe",
        "topic": topic[0] if topic else "",
        "polarity": "negative" if bad else "any",
        "kind": "any",
        "segment": "",
        "order_fact": "none",
        "order": "none",
        "thresholds": [],
    }
    return json.dumps(plan)


def _answer(user: str, lang: str) -> str:
    finding = re.search(r"^1\. (.+)$", user, re.MULTILINE)
    return json.dumps({"marks": [1], "text": finding[1] if finding else ""}, ensure_ascii=False)


_RULES = {
    "sentiment": _sentiment,
    "mood": _mood,
    "feeling": _feeling,
    "interests": _interests,
    "history": _history,
    "reading": _reading,
    "narrative": _narrative,
    "segment_name": _name,
    "ask_plan": _plan,
    "ask_answer": _answer,
}


def instance(schema: Mapping[str, Any]) -> Any:
    """Some value that fits a JSON schema of the forms that limner's prompts use."""
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "object":
        return {name: instance(inner) for name, inner in schema.get("properties", {}).items()}
    if kind == "array":
        return [instance(schema["items"]) for _ in range(schema.get("minItems", 0))]
    if kind == "integer":
        return schema.get("minimum", 1)
    return {"number": 1.0, "boolean": True}.get(str(kind), "words enough"[: schema.get("maxLength", 99)])
