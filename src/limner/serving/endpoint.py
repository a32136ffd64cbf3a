"""One OpenAI-compatible address: calling it, trying again, and telling a passing fault from a lasting one."""

from __future__ import annotations

import json
import logging
import os
import random
import threading
import time
from dataclasses import dataclass
from typing import Any

from limner.errors import ModelError
from limner.serving.completions import outcome, same_model
from limner.serving.dialect import MOST_REFUSALS, Dialect
from limner.serving.pace import Gate, Pace
from limner.serving.pauses import asked_pause, used_up
from limner.serving.request import NOT_SENT, ChatFailure, ChatRequest, Outcome
from limner.serving.spec import HttpSpec

TRIES = 4
"""Tries of one request at most, the first included."""

LIMITED_TRIES = 8
"""Tries of a request that meets a rate limit: it was not looked at, so it is worth more patience."""

TIMEOUT_TRIES = 2
"""Tries of a request that gets no answer in time: each has already waited long."""

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 120.0
"""A server that asks for a longer pause than this ends the run: a quota of the day is used up."""

CONNECT_SECONDS = 5.0

FAILURES_IN_A_ROW = 8
"""So many requests that failed after all their tries, with none answered between, mean that the service is down."""

LARGEST_BODY = 16 * 1024 * 1024
"""Bytes of a response; no answer that was asked for is as long."""

NO_KEY = "none"
"""Sent in place of a key to servers that need none."""

_AGAIN = frozenset({408, 409, 429})
"""Statuses besides 5xx that may pass by themselves."""

_CROWDED = frozenset({429, 503, 529})
"""Statuses that say there is no room now: fewer calls at once go out afterwards."""

_log = logging.getLogger("limner.serving")


@dataclass(frozen=True, slots=True)
class _Fault:
    """A failed try.

    Attributes:
        text: What happened, for the failure's error.
        tries: How many tries this kind of fault is worth.
        pause: Seconds the server asked to wait, if it did.
        crowded: Whether fewer calls at once may help.
        dead: Whether nothing listens at the address.
    """

    text: str
    tries: int = TRIES
    pause: float | None = None
    crowded: bool = False
    dead: bool = False


class _CutError(Exception):
    """The body of a response did not arrive whole; its text is for the failure's error."""

    def __init__(self, text: str, tries: int = TRIES) -> None:
        super().__init__(text)
        self.fault = _Fault(text, tries, crowded=tries == TIMEOUT_TRIES)


class Endpoint:
    """An address and the connections to it. Safe to use from several threads.

    Calls at once are as many as the address bears: see `Pace`.
    """

    def __init__(self, spec: HttpSpec, *, start: int, most: int, timeout: float) -> None:
        """Prepares the connections.

        Args:
            spec: The address and the model's name there.
            start: Calls at once, to begin with.
            most: Calls at once, at most.
            timeout: Seconds that one answer may take, from sending the question to its last byte.

        Raises:
            ModelError: The service needs a key and the environment has none.
        """
        import openai

        self._openai = openai
        self._spec = spec
        self._key = key_of(spec)
        self._timeout = timeout
        self._gate = Gate(Pace(start, most))
        self._state = threading.Lock()
        self._ending = threading.Event()
        self._dialect = Dialect.of(spec.service)
        self._failed_in_a_row = 0
        self._answered_once = False
        self._named: str | None = None
        self._client = openai.OpenAI(
            base_url=spec.address,
            api_key=self._key,
            max_retries=0,
            timeout=openai.Timeout(timeout, connect=CONNECT_SECONDS),
        )

    @property
    def limit(self) -> int:
        """Calls that may be under way at once now."""
        return self._gate.limit

    def ask(self, request: ChatRequest) -> Outcome:
        """Asks one request, with tries and pauses.

        Raises:
            ModelError: The address is dead, refuses the key or the model, or has failed too often in a row.
        """
        started = time.perf_counter()
        tried = 0
        fault: _Fault | None = None
        while True:
            sent_at = self._gate.enter()
            if sent_at is None:
                return self._not_sent(fault, started)
            result: Outcome | _Fault | None = None
            try:
                result = self._try(request, started)
            finally:
                crowded = isinstance(result, _Fault) and result.crowded
                self._gate.leave(sent_at, answered=isinstance(result, Outcome), pushed_back=crowded)
            if not isinstance(result, _Fault):
                self._note_success()
                return result
            fault = result
            tried += 1
            tries = fault.tries if self._answered_once or not fault.dead else min(fault.tries, 2)
            if tried >= tries:
                if fault.dead:
                    raise ModelError(self._no_answer_from())
                return self._given_up(fault, tried, time.perf_counter() - started)
            if self._ending.wait(self._pause(fault, tried)):
                return self._not_sent(fault, started)

    @staticmethod
    def _not_sent(fault: _Fault | None, started: float) -> ChatFailure:
        """What becomes of a request that may not go out, for the first time or once more."""
        if fault is None:
            return ChatFailure(NOT_SENT)
        return ChatFailure(f"{fault.text} (not tried again)", "", 0, 0, time.perf_counter() - started)

    def _pause(self, fault: _Fault, tried: int) -> float:
        """Seconds before the next try, some of them at random so that calls do not come back together.

        Where the server asked for a pause, no other call goes out before it is over either.

        Raises:
            ModelError: It asked for more than is worth waiting.
        """
        if fault.pause is None:
            return float(FIRST_PAUSE_SECONDS * 2 ** (tried - 1) * random.uniform(0.75, 1.25))  # noqa: S311
        if fault.pause > LONGEST_PAUSE_SECONDS:
            raise ModelError(
                f"{self._spec.address} asks to wait {_time(fault.pause)} ({fault.text}). What was answered is kept; "
                "run the same command again then."
            )
        self._gate.hold(fault.pause)
        return fault.pause + float(FIRST_PAUSE_SECONDS * random.uniform(0.0, 0.5))  # noqa: S311

    def _try(self, request: ChatRequest, started: float) -> Outcome | _Fault:
        """One try; fields that this server refuses are left out and the request sent again at once."""
        openai = self._openai
        for _ in range(MOST_REFUSALS):
            dialect = self._dialect
            body = dialect.body(request, self._spec.model)
            try:
                response = self._sent(body)
                other = self._other_model(response)
                if other is not None:
                    return ChatFailure(other, "", 0, 0, time.perf_counter() - started)
                return outcome(request, response, time.perf_counter() - started)
            except _CutError as error:
                return error.fault
            except openai.APIConnectionError as error:
                return _connection_fault(error.__cause__)
            except openai.APIStatusError as error:
                now = dialect.after(error.status_code, str(error), body)
                if now is None:
                    return self._status_fault(error)
                self._leave_out(dialect, now)
            except (openai.APIError, ValueError):
                return _Fault("malformed: the response is not a chat completion")
        return _Fault("the server refuses the request's fields", tries=1)

    def _sent(self, body: dict[str, Any]) -> Any:
        """The parsed response to a payload.

        It is read piece by piece against one deadline: some services send white space while they think, and a limit
        between two pieces would then never end.

        Raises:
            _CutError: It did not arrive whole, or not in time.
            ValueError: It is not JSON.
        """
        deadline = time.monotonic() + self._timeout
        pieces, size = [], 0
        with self._client.chat.completions.with_streaming_response.create(**body) as response:
            lifted = used_up(response.headers)
            if lifted is not None:
                self._gate.hold(min(lifted, LONGEST_PAUSE_SECONDS))
            try:
                for piece in response.iter_bytes():
                    pieces.append(piece)
                    size += len(piece)
                    if time.monotonic() > deadline:
                        raise _CutError("no answer in time", TIMEOUT_TRIES)
                    if size > LARGEST_BODY:
                        raise _CutError("the response does not end", 1)
            except _CutError:
                raise
            except Exception as error:
                if not type(error).__module__.startswith("httpx"):
                    raise
                raise _cut(error) from error
        return json.loads(b"".join(pieces))

    def _other_model(self, response: Any) -> str | None:
        """What is wrong if another model answered than was asked; such an answer is not this model's.

        Where a name is an alias (`default`, a file), the first answer says what the server calls the model.
        """
        name = response.get("model") if isinstance(response, dict) else None
        if not isinstance(name, str) or not name or same_model(self._spec.model, name):
            return None
        with self._state:
            if self._named is None and self._spec.service.scheme == "http" and not self._answered_once:
                self._named = name
            if self._named == name:
                return None
        return f"another model answered: {_short(name)}, not {self._spec.model}"

    def _leave_out(self, dialect: Dialect, now: Dialect) -> None:
        with self._state:
            if self._dialect != dialect:
                return  # Another thread met the same refusal first.
            self._dialect = now
        if "response_format" in now.without - dialect.without:
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
        said = without_key(str(getattr(error, "message", error)), self._key)
        text = f"the server answered {status}: {_short(said)}"
        if status not in _AGAIN and status < 500:
            return _Fault(text, tries=1)
        tries = LIMITED_TRIES if status == 429 else TRIES
        return _Fault(text, tries, asked_pause(error.response.headers), crowded=status in _CROWDED)

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
        self._gate.shut_down()

    def close(self) -> None:
        """Closes the connections; calls under way fail, pauses end."""
        self.wind_down()
        self._client.close()


def _connection_fault(cause: BaseException | None) -> _Fault:
    """What a call without a response means. The SDK's transport is told by name: it changed from httpx to httpx2."""
    name = type(cause).__name__
    if name in ("ConnectError", "ConnectTimeout"):
        return _Fault("nothing answers there", dead=True)
    if "Timeout" in name:
        return _Fault("no answer in time", TIMEOUT_TRIES, crowded=True)
    return _Fault("the connection was dropped")


def _cut(error: Exception) -> _CutError:
    """What a body that breaks off means."""
    if "Timeout" in type(error).__name__:
        return _CutError("no answer in time", TIMEOUT_TRIES)
    return _CutError("the connection was dropped in the middle of the answer")


def key_of(spec: HttpSpec) -> str:
    """The key from the environment; a placeholder where none is needed.

    Raises:
        ModelError: The service needs a key and the environment has none.
    """
    for variable in spec.service.key_variables:
        key = os.environ.get(variable, "").strip()
        if key:
            return key
    if spec.service.key_required and spec.address == spec.service.address:
        raise ModelError(f"{spec.service.scheme}:{spec.model} needs a key. Set {spec.service.key_variables[0]}.")
    return NO_KEY


def without_key(text: str, key: str) -> str:
    """What a server said, with the key it may have repeated left out."""
    return text if key == NO_KEY else text.replace(key, "[key]")


def _time(seconds: float) -> str:
    return f"{seconds:,.0f} seconds" if seconds < 600 else f"{seconds / 60:,.0f} minutes"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else line[:199] + "…"
