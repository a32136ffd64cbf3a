"""The batch file format: a JSON object a line, as OpenAI's batch service and vLLM's `run_batch` read and write it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

URL: Final = "/v1/chat/completions"

_AGAIN = frozenset({408, 409, 429})


@dataclass(frozen=True, slots=True)
class Result:
    """What came back for one request.

    Attributes:
        key: The request's `custom_id`, which is its key in the ledger.
        body: The chat completion; None if there is none.
        status: The response's status, 0 if the request was never looked at.
        error: What went wrong, empty if nothing did.
    """

    key: str
    body: Mapping[str, Any] | None
    status: int = 200
    error: str = ""

    @property
    def passing(self) -> bool:
        """Whether asking again may help."""
        return self.body is None and (self.status == 0 or self.status in _AGAIN or self.status >= 500)


def request_line(key: str, body: Mapping[str, Any]) -> str:
    """A request as one line.

    Args:
        key: Its key in the ledger.
        body: The arguments of the SDK's call; what those put into `extra_body` is part of the payload.
    """
    sent = {name: value for name, value in body.items() if name != "extra_body"} | dict(body.get("extra_body", {}))
    line = {"custom_id": key, "method": "POST", "url": URL, "body": sent}
    return json.dumps(line, ensure_ascii=False, separators=(",", ":"))


def results_in(lines: Iterable[str]) -> Iterator[Result]:
    """The results in an output or error file, in any order; lines that are no result are left out."""
    for line in lines:
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and isinstance(found.get("custom_id"), str):
            yield _result(found)


def _result(line: Mapping[str, Any]) -> Result:
    response = line.get("response")
    response = response if isinstance(response, dict) else {}
    code, body = response.get("status_code", 0), response.get("body")
    status = code if isinstance(code, int) else 0
    if status == 200 and isinstance(body, dict) and not line.get("error"):
        return Result(line["custom_id"], body)
    said = line.get("error") or (body.get("error", body) if isinstance(body, dict) else body)
    message = said.get("message") or said.get("code") if isinstance(said, dict) else said
    text = " ".join(str(message or "no answer").split())
    return Result(line["custom_id"], None, 0 if status == 200 else status, text[:200])
