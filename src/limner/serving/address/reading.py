"""A chat completion's payload as a chat request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from limner.errors import LimnerError
from limner.serving.completions import WRAPPING_TOKENS
from limner.serving.request import ChatRequest, Message, PromptId, Role

MAX_TOKENS = 1024
"""Tokens written at most for a request that does not say."""

PROMPT = PromptId("address", 1, "en")
"""What questions of other programs are called."""

_ROLES: Mapping[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}

_UNKNOWN = ("tools", "functions", "audio", "prediction")
"""Fields that change what is asked, and that engines here know nothing of: refused, not ignored."""


class Refused(LimnerError):
    """A payload that cannot be answered as it is asked.

    Attributes:
        status: The HTTP status.
        code: The error's code, as OpenAI names it.
        field: The payload's field it is about.
    """

    def __init__(self, message: str, *, status: int = 400, code: str | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.field = status, code, field


@dataclass(frozen=True, slots=True)
class Asked:
    """One payload, understood.

    Attributes:
        request: The question.
        label: The property around a label, if the schema is an object with one property that is one of some strings.
            The engine then answers with the bare label, which is as strict and takes fewer tokens.
        logprobs: Whether log-probabilities are wanted.
        stop: Texts at which the answer ends.
        stream: Whether it is wanted as events.
        usage: Whether events end with the tokens used.
    """

    request: ChatRequest
    label: str = ""
    logprobs: bool = False
    stop: tuple[str, ...] = ()
    stream: bool = False
    usage: bool = False


def asked(payload: Any) -> Asked:
    """Reads a payload. The model's name is looked at elsewhere.

    Raises:
        Refused: It is not a chat completion's payload, or asks for what no engine here can do.
    """
    if not isinstance(payload, Mapping):
        raise Refused("The body must be a JSON object.")
    for field in _UNKNOWN:
        if payload.get(field):
            raise Refused(f"{field} is not supported here.", field=field)
    if payload.get("n") not in (None, 1):
        raise Refused("Only one answer can be asked for: n must be 1.", field="n")
    schema, choices, pattern = _form(payload)
    label = _label(schema)
    limit = _number(payload, "max_completion_tokens", None) or _number(payload, "max_tokens", None) or MAX_TOKENS
    if label and schema is not None:
        choices, schema = tuple(schema["properties"][label]["enum"]), None
        limit = limit - WRAPPING_TOKENS if limit > WRAPPING_TOKENS else limit
    request = ChatRequest(
        _messages(payload.get("messages")),
        PROMPT,
        choices=choices,
        schema=schema,
        pattern=pattern,
        max_tokens=int(limit),
        temperature=float(_number(payload, "temperature", 1.0) or 0.0),
        seed=int(_number(payload, "seed", 0) or 0),
    )
    options = payload.get("stream_options")
    return Asked(
        request,
        label,
        logprobs=bool(payload.get("logprobs")),
        stop=_stop(payload.get("stop")),
        stream=bool(payload.get("stream")),
        usage=isinstance(options, Mapping) and bool(options.get("include_usage")),
    )


def _messages(messages: Any) -> tuple[Message, ...]:
    if not isinstance(messages, list) or not messages:
        raise Refused("messages must be a list with at least one message.", field="messages")
    read = []
    for number, message in enumerate(messages):
        role = _ROLES.get(str(message.get("role"))) if isinstance(message, Mapping) else None
        text = _text(message.get("content")) if isinstance(message, Mapping) else None
        if role is None or text is None:
            raise Refused(
                f"messages[{number}] must have a role (system, user, assistant) and text as its content.",
                field="messages",
            )
        read.append(Message(role, text))
    return tuple(read)


def _text(content: Any) -> str | None:
    """A message's text, in one piece or in several; None if it is anything else."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    parts = [part.get("text") if isinstance(part, Mapping) and part.get("type") == "text" else None for part in content]
    return "".join(part for part in parts if isinstance(part, str)) if all(isinstance(p, str) for p in parts) else None


def _form(payload: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, tuple[str, ...], str]:
    """The form the answer is held to: a schema, labels or a pattern, as OpenAI and as vLLM write them."""
    form = payload.get("response_format")
    kind = form.get("type", "text") if isinstance(form, Mapping) else "text"
    if kind == "json_schema" and isinstance(form, Mapping):
        inner = form.get("json_schema")
        schema = inner.get("schema") if isinstance(inner, Mapping) else None
        if not isinstance(schema, Mapping):
            raise Refused("response_format.json_schema.schema must be a JSON schema.", field="response_format")
        return schema, (), ""
    if kind != "text":
        raise Refused(f"response_format {kind!r} is not supported: give a json_schema.", field="response_format")
    held = payload.get("structured_outputs")
    if not isinstance(held, Mapping):
        return None, (), ""
    if isinstance(held.get("regex"), str):
        return None, (), held["regex"]
    if isinstance(held.get("choice"), list) and held["choice"]:
        return None, tuple(map(str, held["choice"])), ""
    if isinstance(held.get("json"), Mapping):
        return held["json"], (), ""
    raise Refused("structured_outputs must hold regex, choice or json.", field="structured_outputs")


def _label(schema: Mapping[str, Any] | None) -> str:
    """The one property of a schema that asks for one of some strings; empty for any other schema."""
    properties = schema.get("properties") if schema is not None else None
    if schema is None or not isinstance(properties, Mapping) or len(properties) != 1:
        return ""
    name, value = next(iter(properties.items()))
    choices = value.get("enum") if isinstance(value, Mapping) else None
    strings = isinstance(choices, list) and choices and all(isinstance(choice, str) and choice for choice in choices)
    return str(name) if strings and schema.get("required") == [name] else ""


def _number(payload: Mapping[str, Any], field: str, otherwise: float | None) -> float | None:
    value = payload.get(field)
    if value is None:
        return otherwise
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**63:
        raise Refused(f"{field} must be a number from 0.", field=field)
    return value


def _stop(stop: Any) -> tuple[str, ...]:
    marks = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(marks, list) or not all(isinstance(mark, str) for mark in marks):
        raise Refused("stop must be a text or a list of texts.", field="stop")
    return tuple(mark for mark in marks if mark)
