"""The wire format: a chat request as an OpenAI-compatible payload, and a response as an answer."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from limner.serving.grammar import grammar_of_pattern
from limner.serving.request import MALFORMED, ChatAnswer, ChatFailure, ChatRequest, Outcome

WRAPPING_TOKENS = 48
"""Tokens that `{"label":""}` around a label may take. llama.cpp's grammar allows white space anywhere, and a small
model writes up to twenty tokens of it before the brace."""

_THINKING = re.compile(r"^\s*<think>.*?</think>", re.DOTALL)
_FENCE = re.compile(r"^\s*```[a-zA-Z]*\s*\n(?P<inside>.*?)\n?\s*```\s*$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Feature:
    """A field of the payload that some servers refuse, and how their refusals name it.

    Attributes:
        field: The field's name.
        words: What an error that is about this field mentions.
    """

    field: str
    words: tuple[str, ...]


FEATURES = (
    Feature("logprobs", ("logprob",)),
    Feature("temperature", ("temperature",)),
    Feature("seed", ("seed",)),
    Feature("structured_outputs", ("structured_outputs", "regex")),
    Feature("grammar", ("grammar",)),
    Feature("response_format", ("response_format", "json_schema", "structured", "schema", "guided", "grammar")),
)


def payload(
    request: ChatRequest, model: str, limit_field: str, without: Collection[str] = (), *, holds_forms: bool = False
) -> dict[str, Any]:
    """The request as a chat completion's arguments.

    Args:
        request: The request.
        model: The model's name at the server.
        limit_field: What the server calls the limit of written tokens.
        without: Fields this server has refused; a refused `response_format` is said in words instead.
        holds_forms: Whether to send the form of the answer as vLLM and llama.cpp take it; each ignores the other's.
    """
    messages = [{"role": message.role, "content": message.content} for message in request.messages]
    schema = _wire_schema(request)
    limit = request.max_tokens + (WRAPPING_TOKENS if request.choices else 0)
    body: dict[str, Any] = {"model": model, "messages": messages, limit_field: limit}
    body["temperature"] = request.temperature
    if request.temperature > 0:
        body["seed"] = request.seed
    if request.choices:
        body["logprobs"] = True
    if schema is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": request.prompt.name or "answer", "schema": schema, "strict": True},
        }
        if "response_format" in without:
            messages[-1]["content"] += _in_words(request)
    if request.pattern and holds_forms:
        forms = {"structured_outputs": {"regex": request.pattern}, "grammar": grammar_of_pattern(request.pattern)}
        body["extra_body"] = {name: value for name, value in forms.items() if name not in without}
    return {name: value for name, value in body.items() if name not in without}


def _wire_schema(request: ChatRequest) -> Mapping[str, Any] | None:
    if not request.choices:
        return None if request.schema is None else _closed(request.schema)
    label = {"type": "string", "enum": list(request.choices)}
    return {"type": "object", "properties": {"label": label}, "required": ["label"], "additionalProperties": False}


def _closed(schema: Any) -> Any:
    """The schema with every object closed to further properties, which strict servers insist on."""
    if isinstance(schema, Mapping):
        inner = {name: _closed(value) for name, value in schema.items()}
        if inner.get("type") == "object" and "properties" in inner:
            inner.setdefault("additionalProperties", False)
        return inner
    return [_closed(value) for value in schema] if isinstance(schema, list) else schema


def _in_words(request: ChatRequest) -> str:
    if request.choices:
        return "\n\n" + " / ".join(request.choices)
    return "\n\nJSON schema: " + json.dumps(request.schema, ensure_ascii=False, separators=(",", ":"))


def outcome(request: ChatRequest, response: Any, seconds: float) -> Outcome:
    """The answer in a chat completion, or a failure if there is none in it.

    Args:
        request: What was asked.
        response: The response as parsed JSON; nothing about it is taken for granted.
        seconds: How long it took.
    """
    usage = _object(response, "usage")
    read, written = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    reused = _count(_object(usage, "prompt_tokens_details"), "cached_tokens")
    choice = next(iter(_list(response, "choices")), None)
    if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
        return ChatFailure(f"{MALFORMED} the response holds no answer", "", read, written, seconds, reused)
    message, finished = choice["message"], choice.get("finish_reason")
    raw = message.get("content")
    if not isinstance(raw, str):
        refusal = message.get("refusal")
        reason = f"the model refused: {str(refusal)[:120]}" if refusal else "the answer is empty"
        return ChatFailure(f"{MALFORMED} {reason}", "", read, written, seconds, reused)
    if finished == "content_filter":
        return ChatFailure(f"{MALFORMED} cut by the server's content filter", raw, read, written, seconds, reused)
    text = _unwrapped(raw, request)
    logprob = _label_logprob(text, _object(choice, "logprobs")) if request.choices else None
    finish: Literal["stop", "length"] = "length" if finished == "length" else "stop"
    return ChatAnswer(text, read, written, seconds, logprob, finish, reused_tokens=reused)


def same_model(asked: str, answered: str) -> bool:
    """Whether a response's model may be the one asked for: services add a date (`NAME-2025-01-31`) or a path before."""
    one, other = (name.lower().rpartition("/")[2].removesuffix(".gguf") for name in (asked, answered))
    return bool(one and other) and (one == other or (other.startswith(one) and not other[len(one)].isalnum()))


def _object(value: Any, name: str) -> dict[str, Any]:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _list(value: Any, name: str) -> list[Any]:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []


def _count(value: dict[str, Any], name: str) -> int:
    """A number of tokens; 0 where there is none."""
    found = value.get(name)
    return max(0, int(found)) if isinstance(found, int | float) and math.isfinite(found) else 0


def _unwrapped(raw: str, request: ChatRequest) -> str:
    """The answer without thinking before it, a fence or, for a label, the JSON around it."""
    text = _THINKING.sub("", raw).strip()
    if not request.choices and request.schema is None:
        return text
    fence = _FENCE.match(text)
    if fence:
        text = fence["inside"].strip()
    if request.choices and text not in request.choices:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return text
        label = value.get("label") if isinstance(value, dict) else value
        return label if isinstance(label, str) else text
    return text


def _label_logprob(label: str, logprobs: dict[str, Any]) -> float | None:
    """The sum of the log-probabilities of the tokens that spell the label, those around it left out."""
    wanted, spelled, spans = label.encode(), b"", []
    try:
        for token in _list(logprobs, "content"):
            piece = bytes(token["bytes"]) if token.get("bytes") is not None else str(token["token"]).encode()
            spans.append((len(spelled), len(spelled) + len(piece), float(token["logprob"])))
            spelled += piece
    except (KeyError, TypeError, ValueError, AttributeError):
        return None  # Not as documented: an answer without them is an answer all the same.
    start = spelled.rfind(wanted)
    if start < 0 or not wanted:
        return None
    end = start + len(wanted)
    return sum(logprob for first, last, logprob in spans if first < end and last > start)
