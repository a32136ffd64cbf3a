"""Whether an answer is what was asked for: one of the labels, or JSON that fits the schema.

Engines that hold the model to a grammar make this true by themselves; a server may not, so every answer is checked.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

from limner.serving.request import MALFORMED, ChatAnswer, ChatRequest

if TYPE_CHECKING:
    from jsonschema.protocols import Validator


def problem(request: ChatRequest, answer: ChatAnswer) -> str | None:
    """What is wrong with an answer, as an error text that begins with `malformed:`; None if it can be used."""
    found = _problem(request, answer)
    return None if found is None else f"{MALFORMED} {found}"


def _problem(request: ChatRequest, answer: ChatAnswer) -> str | None:
    text = answer.text
    if not text.strip():
        return "the answer is empty"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "the answer has half characters in it"
    if request.choices:
        return None if text in request.choices else f"{_short(text)} is none of the labels asked for"
    if request.pattern and not re.fullmatch(request.pattern, text.strip()):
        return f"{_short(text)} does not have the form asked for"
    if request.schema is None:
        return None
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        cut = f" (cut at {request.max_tokens} tokens)" if answer.finish == "length" else ""
        return f"not JSON{cut}: {_first_line(str(error))}"
    return _against_schema(value, request.schema)


def _against_schema(value: Any, schema: Any) -> str | None:
    error = next(iter(_validator(json.dumps(schema, sort_keys=True)).iter_errors(value)), None)
    if error is None:
        return None
    where = "/".join(str(part) for part in error.absolute_path) or "the answer"
    return f"{where}: {_first_line(error.message)}"


@lru_cache(maxsize=64)
def _validator(schema: str) -> Validator:
    from jsonschema.validators import validator_for

    parsed = json.loads(schema)
    validator: Validator = validator_for(parsed)(parsed)
    return validator


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _first_line(text: str) -> str:
    return _short(text.strip().splitlines()[0], quoted=False) if text.strip() else "no reason given"


def _short(text: str, limit: int = 80, *, quoted: bool = True) -> str:
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return repr(cut) if quoted else cut
