"""An engine's outcome as a chat completion, whole or as events, and errors as OpenAI writes them."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

from limner.serving.address.reading import Asked, Refused
from limner.serving.request import ChatAnswer, ChatFailure, Outcome

_TOO_LONG = "too long"


def completion(asked: Asked, outcome: Outcome, model: str) -> dict[str, Any]:
    """The response's body.

    Args:
        asked: What was asked.
        outcome: What came of it.
        model: The model's name, as the payload had it.

    Raises:
        Refused: The engine failed to answer.
    """
    if isinstance(outcome, ChatFailure):
        if outcome.error.startswith(_TOO_LONG):
            raise Refused(f"The context is {outcome.error}", code="context_length_exceeded", field="messages")
        raise Refused(outcome.error, status=500, code="no_answer")
    text = _until(outcome.text, asked.stop)
    pieces = [(text, outcome.logprob)]
    if asked.label:
        name, value = (json.dumps(part, ensure_ascii=False) for part in (asked.label, text))
        pieces = [(f'{{{name}:"', 0.0), (value[1:-1], outcome.logprob), ('"}', 0.0)]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "".join(piece for piece, _ in pieces)},
        "finish_reason": outcome.finish,
        "logprobs": {"content": [_token(*piece) for piece in pieces]} if _wanted(asked, outcome) else None,
    }
    return {**_head(model, "chat.completion"), "choices": [choice], "usage": _usage(outcome)}


def _wanted(asked: Asked, outcome: ChatAnswer) -> bool:
    return asked.logprobs and outcome.logprob is not None


def _token(text: str, logprob: float | None) -> dict[str, Any]:
    """A piece of the answer as if it were one token: engines here give the sum over the answer only."""
    return {"token": text, "logprob": logprob, "bytes": list(text.encode("utf-8", "replace")), "top_logprobs": []}


def _head(model: str, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": model}


def _usage(outcome: ChatAnswer) -> dict[str, Any]:
    read, written = outcome.input_tokens, outcome.output_tokens
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": outcome.reused_tokens},
    }


def _until(text: str, stop: tuple[str, ...]) -> str:
    """The text up to the first of the texts that end it."""
    ends = [text.find(mark) for mark in stop if mark in text]
    return text[: min(ends)] if ends else text


def events(asked: Asked, body: dict[str, Any]) -> Iterator[bytes]:
    """A response as server-sent events. The answer comes in one piece, when it is whole."""
    choice = body["choices"][0]
    head = {name: body[name] for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    delta = {"index": 0, "delta": choice["message"], "logprobs": choice["logprobs"], "finish_reason": None}
    end = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": choice["finish_reason"]}
    chunks = [{**head, "choices": [delta]}, {**head, "choices": [end]}]
    if asked.usage:
        chunks.append({**head, "choices": [], "usage": body["usage"]})
    for chunk in chunks:
        yield b"data: " + json.dumps(chunk, ensure_ascii=False).encode("utf-8", "replace") + b"\n\n"
    yield b"data: [DONE]\n\n"


def error(refused: Refused) -> dict[str, Any]:
    """An error's body."""
    kind = "invalid_request_error" if refused.status < 500 else "server_error"
    return {"error": {"message": str(refused), "type": kind, "param": refused.field, "code": refused.code}}


def models(names: tuple[str, ...], created: int) -> dict[str, Any]:
    """The list of models."""
    listed = [{"id": name, "object": "model", "created": created, "owned_by": "limner"} for name in names]
    return {"object": "list", "data": listed}
