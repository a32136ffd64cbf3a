"""An OpenAI-compatible server that goes wrong by a seeded schedule, and counts what it answered.

Whether a request goes wrong depends on the seed, on what is asked and on which try it is, not on what else runs: one
seed is one schedule, however the calls overlap.
"""

from __future__ import annotations

import hashlib
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import plausible
from serving_stub import Reply, Stub, error, serve

HANG_SECONDS = 30.0
"""Longer than any test's client waits."""


FIRST = 16
"""Good answers before the first one of a wrong model."""


@dataclass(frozen=True)
class Fault:
    """One way to go wrong.

    Attributes:
        name: What it is called.
        reply: What is sent in place of a good reply.
        answers: Whether a good answer still arrives, only late.
        weight: How often it comes, against the others.
    """

    name: str
    reply: Callable[[Reply], Reply]
    answers: bool = False
    weight: int = 4


def _text(good: Reply) -> bytes:
    return json.dumps(good.body).encode()


FAULTS = (
    Fault("429 with Retry-After", lambda good: error(429, "slow down", retry_after="0.05")),
    Fault("429 with a limit used up", lambda good: replace(error(429, "slow down"), headers=_USED_UP)),
    Fault("429 without a word", lambda good: error(429, "slow down")),
    Fault("500", lambda good: error(500, "oops")),
    Fault("503", lambda good: Reply(503, raw=b"<html>busy</html>", headers={"content-type": "text/html"})),
    Fault("409", lambda good: error(409, "conflict")),
    Fault("slow first byte", lambda good: replace(good, hang=0.15), answers=True),
    Fault("cut stream", lambda good: Reply(raw=_text(good)[: len(_text(good)) // 2], cut=True)),
    Fault("invalid JSON", lambda good: Reply(raw=b"<html>please log in</html>", headers={"content-type": "text/html"})),
    Fault("truncated JSON", lambda good: Reply(raw=_text(good)[:-20])),
    Fault("empty choices", lambda good: Reply(body={**good.body, "choices": []})),
    Fault("wrong model", lambda good: Reply(body={**good.body, "model": "somebody-else"})),
    Fault("lost connection", lambda good: Reply(drop=True)),
    Fault("hang", lambda good: replace(good, hang=HANG_SECONDS), weight=2),
)

_USED_UP = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "50ms"}


@dataclass
class Faulty:
    """A running server that goes wrong.

    Attributes:
        stub: The server.
        seed: Of its schedule.
        share: Of the tries that go wrong; settable while it runs.
        tries: How often each question came.
        good: How often each question was answered well.
        met: How often each fault came.
        questions: What was asked, by its messages.
    """

    seed: int
    share: float
    stub: Stub = field(default_factory=lambda: Stub(""))
    tries: Counter[str] = field(default_factory=Counter)
    good: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)
    questions: dict[str, dict[str, Any]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def model(self) -> str:
        """The model spec."""
        return f"{self.stub.url}#m"

    def reply(self, number: int, body: dict[str, Any]) -> Reply:
        """The stub server's function."""
        asked = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        with self.lock:
            attempt = self.tries[asked]
            self.tries[asked] += 1
            fault = self._fault(asked, attempt)
            if fault is not None and fault.name == "wrong model" and self.met["none"] < FIRST:
                fault = None  # The client learns from the first answer what the server calls the model.
            self.met[fault.name if fault else "none"] += 1
            self.good[asked] += fault is None or fault.answers
        good = plausible.reply(number, self._first_asked(body))
        return fault.reply(good) if fault else good

    def _first_asked(self, body: dict[str, Any]) -> dict[str, Any]:
        """The question that a repair repeats; other questions as they are."""
        self.questions[json.dumps(body["messages"])] = body
        return self.questions.get(json.dumps(body["messages"][:-2]), body)

    def _fault(self, asked: str, attempt: int) -> Fault | None:
        draw = random.Random(f"{self.seed} {asked} {attempt}")
        if draw.random() >= self.share:
            return None
        return draw.choices(FAULTS, [fault.weight for fault in FAULTS])[0]


@contextmanager
def serve_faulty(seed: int, share: float) -> Iterator[Faulty]:
    """Runs the server.

    Args:
        seed: Of the schedule.
        share: Of the tries that go wrong.
    """
    faulty = Faulty(seed, share)
    with serve(faulty.reply) as stub:
        faulty.stub = stub
        yield faulty
