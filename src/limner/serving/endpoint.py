"""One OpenAI-compatible address: calling it, trying again, and telling a passing fault from a lasting one."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from limner.errors import ModelError
from limner.serving.completions import FEATURES, outcome, payload
from limner.serving.request import NOT_SENT, ChatFailure, ChatRequest, Outcome
from limner.serving.spec import HttpSpec

TRIES = 4
"""Tries of one request at most, the first included."""

TIMEOUT_TRIES = 2
"""Tries of a request that gets no answer in time: each has already waited long."""

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 120.0
"""No server is waited for longer than this between tries, whatever its Retry-After says."""

CONNECT_SECONDS = 5.0

FAILURES_IN_A_ROW = 8
"""So many requests that failed after all their tries, with none answered between, mean that the service is down."""

_AGAIN = frozenset({408, 409, 425, 429})
"""Statuses besides 5xx that may pass by themselves."""

_TOO_LONG = ("context", "too long", "maximum", "max_model_len")

_log = logging.getLogger("limner.serving")


@dataclass(frozen=True, slots=True)
class _Fault:
    """A failed try.

    Attributes:
        text: What happened, for the failure's error.
        tries: How many tries this kind of fault is worth.
        pause: Seconds the server asked to wait, if it did.
        dead: Whether nothing listens at the address.
    """

    text: str
    tries: int = TRIES
    pause: float | None = None
    dead: bool = False


class Endpoint:
    """An address and the connections to it. Safe to use from several threads."""

    def __init__(self, spec: HttpSpec, *, slots: int, timeout: float) -> None:
        """Prepares the connections.

        Args:
            spec: The address and the model's name there.
            slots: Calls at once.
            timeout: Seconds to wait for an answer.

        Raises:
            ModelError: The service needs a key and the environment has none.
        """
        import openai

        self._openai = openai
        self._spec = spec
        self._slots = threading.BoundedSemaphore(slots)
        self._state = threading.Lock()
        self._ending = threading.Event()
        self._without: frozenset[str] = frozenset()
        self._limit_field = spec.service.limit_field
        self._failed_in_a_row = 0
        self._answered_once = False
        self._client = openai.OpenAI(
            base_url=spec.address,
            api_key=_key(spec),
            max_retries=0,
            timeout=openai.Timeout(timeout, connect=CONNECT_SECONDS),
        )

    def ask(self, request: ChatRequest) -> Outcome:
        """Asks one request, with tries and pauses.

        Raises:
            ModelError: The address is dead, refuses the key or the model, or has failed too often in a row.
        """
        started = time.perf_counter()
        tried = 0
        while True:
            if self._ending.is_set():
                return ChatFailure(NOT_SENT)
            with self._slots:
                result = self._try(request, started)
            if not isinstance(result, _Fault):
                self._note_success()
                return result
            tried += 1
            tries = result.tries if self._answered_once or not result.dead else min(result.tries, 2)
            if tried >= tries:
                if result.dead:
                    raise ModelError(self._no_answer_from())
                return self._given_up(result, tried, time.perf_counter() - started)
            if self._ending.wait(_pause(result, tried)):
                return ChatFailure(f"{result.text} (not tried again)", "", 0, 0, time.perf_counter() - started)

    def _try(self, request: ChatRequest, started: float) -> Outcome | _Fault:
        """One try; fields that this server refuses are left out and the request sent again at once."""
        openai = self._openai
        for _ in range(len(FEATURES) + 2):
            without, limit_field = self._without, self._limit_field
            held = self._spec.service.holds_forms
            body = payload(request, self._spec.model, limit_field, without, holds_forms=held)
            try:
                response = self._client.chat.completions.create(**body)
                return outcome(request, response, time.perf_counter() - started)
            except openai.APIConnectionError as error:
                return _connection_fault(error)
            except openai.APIStatusError as error:
                refused = self._refused_field(error, body)
                if refused is None:
                    return self._status_fault(error)
                self._leave_out(refused, without, limit_field)
            except (openai.APIError, ValueError):
                return _Fault("malformed: the response is not a chat completion")
        return _Fault("the server refuses the request's fields", tries=1)

    def _refused_field(self, error: Any, body: dict[str, Any]) -> str | None:
        """The field of the payload a 400 is about, if it can be left out."""
        if error.status_code not in (400, 422):
            return None
        text = str(error).lower()
        if self._limit_field in text and "max_completion_tokens" in text and "max_tokens" in text:
            return self._limit_field
        sent = {*body, *body.get("extra_body", ())}
        for feature in FEATURES:
            if feature.field in sent and any(word in text for word in feature.words):
                return feature.field
        if "response_format" in body and not any(word in text for word in _TOO_LONG):
            return "response_format"
        return None

    def _leave_out(self, field: str, without: frozenset[str], limit_field: str) -> None:
        with self._state:
            if self._without != without or self._limit_field != limit_field:
                return  # Another thread met the same refusal first.
            if field == limit_field:
                other = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
                self._limit_field = other[limit_field]
                return
            self._without |= {field}
        if field == "response_format":
            _log.warning(
                "%s does not take response_format: answers are checked, but cannot be held to their form.",
                self._spec.address,
            )

    def _status_fault(self, error: Any) -> _Fault:
        """What an error status means.

        Raises:
            ModelError: It will be the same for every request.
        """
        status, address, model = error.status_code, self._spec.address, self._spec.model
        if status in (401, 403):
            variables = " or ".join(self._spec.service.key_variables)
            raise ModelError(f"{address} refused the key (status {status}). Set {variables} to a valid one.")
        if status == 404:
            raise ModelError(f"{address} has no model {model!r}, or the address is wrong.{self._models_there()}")
        if getattr(error, "code", None) == "insufficient_quota" or status == 402:
            raise ModelError(f"The account at {address} has no credit left. What was answered is kept.")
        text = f"the server answered {status}: {_short(str(getattr(error, 'message', error)))}"
        if status in _AGAIN or status >= 500:
            return _Fault(text, pause=_asked_pause(error.response.headers))
        return _Fault(text, tries=1)

    def _models_there(self) -> str:
        try:
            names = [model.id for model in self._client.models.list()][:5]
        except (self._openai.OpenAIError, ValueError, TypeError, AttributeError):
            return ""
        return f" It has: {', '.join(names)}." if names else ""

    def _no_answer_from(self) -> str:
        return (
            f"Nothing answers at {self._spec.address}. Start the server, check the address, or use another --model "
            "(embedded needs no server)."
        )

    def _note_success(self) -> None:
        with self._state:
            self._failed_in_a_row = 0
            self._answered_once = True

    def _given_up(self, fault: _Fault, tried: int, seconds: float) -> ChatFailure:
        with self._state:
            self._failed_in_a_row += fault.tries > 1
            failed = self._failed_in_a_row
        if failed >= FAILURES_IN_A_ROW:
            raise ModelError(
                f"{self._spec.address} failed {failed} requests in a row, the last with: {fault.text}. "
                "What was answered is kept; run the same command again later."
            )
        after = f" (after {tried} tries)" if tried > 1 else ""
        return ChatFailure(f"{fault.text}{after}", "", 0, 0, seconds)

    def wind_down(self) -> None:
        """Sends nothing any more: calls under way go on, pauses before another try end."""
        self._ending.set()

    def close(self) -> None:
        """Closes the connections; calls under way fail, pauses end."""
        self._ending.set()
        self._client.close()


def _connection_fault(error: Exception) -> _Fault:
    """What a call without a response means. The SDK's transport is told by name: it changed from httpx to httpx2."""
    cause = type(error.__cause__).__name__
    if cause in ("ConnectError", "ConnectTimeout"):
        return _Fault("nothing answers there", dead=True)
    if "Timeout" in cause:
        return _Fault("no answer in time", TIMEOUT_TRIES)
    return _Fault("the connection was dropped")


def _key(spec: HttpSpec) -> str:
    """The key from the environment; a placeholder where none is needed."""
    for variable in spec.service.key_variables:
        key = os.environ.get(variable, "").strip()
        if key:
            return key
    if spec.service.key_required and spec.address == spec.service.address:
        raise ModelError(f"{spec.service.scheme}:{spec.model} needs a key. Set {spec.service.key_variables[0]}.")
    return "none"


def _pause(fault: _Fault, tried: int) -> float:
    """Seconds before the next try: what the server asked for, or twice as long each time, a little at random."""
    if fault.pause is not None:
        return min(fault.pause, LONGEST_PAUSE_SECONDS)
    return float(FIRST_PAUSE_SECONDS * 2 ** (tried - 1) * random.uniform(0.75, 1.25))  # noqa: S311


def _asked_pause(headers: Any) -> float | None:
    """The pause a Retry-After header asks for, in seconds or as a date."""
    value = str(headers.get("retry-after", "")).strip()
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else line[:199] + "…"
