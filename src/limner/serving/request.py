"""What is asked of a model and what comes back: the same for every engine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant"]

MALFORMED = "malformed:"
"""How the error of an answer begins that came, but is not what was asked for."""

NOT_SENT = "not sent: the run was stopped first"
"""The error of a request that never went out: no call was made."""


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class PromptId:
    """Which prompt file a request was rendered from: `sentiment.v1.zh`."""

    name: str
    version: int
    lang: str

    def __str__(self) -> str:
        return f"{self.name}.v{self.version}.{self.lang}"


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One question to a model.

    The answer is constrained in one of three ways (or none): `choices`, one of several labels, answered as the bare
    label; `schema`, a JSON schema, answered as JSON without white space where the engine can hold to that; or
    `pattern`, a regular expression that the whole answer matches, for short answers of small models.

    Attributes:
        messages: The rendered messages.
        prompt: The prompt they come from, for the ledger.
        choices: Labels of which exactly one must be answered.
        schema: JSON schema of the answer.
        pattern: Regular expression of the answer (the subset that grammars know: no look-around, no back references).
        max_tokens: Upper limit of written tokens.
        temperature: 0 for the most likely answer.
        seed: Sampling seed, used when temperature is above 0.
    """

    messages: tuple[Message, ...]
    prompt: PromptId
    choices: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    pattern: str = ""
    max_tokens: int = 256
    temperature: float = 0.0
    seed: int = 0

    def key(self, model: str) -> str:
        """The content address of the answer: everything that determines it, for one model (SHA-256, hex)."""
        material = {
            "model": model,
            "messages": [[m.role, m.content] for m in self.messages],
            "choices": list(self.choices),
            "schema": self.schema,
            "pattern": self.pattern,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "seed": self.seed if self.temperature > 0 else 0,
        }
        text = json.dumps(material, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """What a model answered.

    Attributes:
        text: The answer's text: the bare label for `choices`, JSON for `schema`.
        input_tokens: Tokens of the prompt, as the engine counts them.
        output_tokens: Tokens written.
        seconds: Wall time of the call as seen by the caller (of a batch: from its start to this answer).
        logprob: Sum of the log-probabilities of the written tokens, where the engine gives them.
        finish: `stop`, or `length` if it was cut at `max_tokens`.
        cached: True if it came from the ledger and cost nothing.
        reused_tokens: Of the prompt's tokens, those that the engine had read before and charges less for, as it says.
    """

    text: str
    input_tokens: int
    output_tokens: int
    seconds: float
    logprob: float | None = None
    finish: Literal["stop", "length"] = "stop"
    cached: bool = False
    reused_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ChatFailure:
    """A call that got no usable answer. It is recorded in the ledger but never cached, so it is asked again.

    Attributes:
        error: What went wrong, in one line. It starts with `malformed:` if the model answered, but not as constrained.
        text: What the model wrote, if it wrote anything: what a repair question can quote.
        input_tokens: Prompt tokens spent all the same.
        output_tokens: Tokens written all the same.
        seconds: Wall time of the call.
        reused_tokens: Of the prompt's tokens, those that the engine had read before.
    """

    error: str
    text: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    reused_tokens: int = 0

    @property
    def malformed(self) -> bool:
        """Whether the model answered, but with something that cannot be used."""
        return self.error.startswith(MALFORMED)


Outcome = ChatAnswer | ChatFailure


@dataclass(slots=True)
class Usage:
    """Running totals of one run's calls.

    Attributes:
        calls: Calls that reached the model (failed ones included).
        cached_calls: Calls answered from the ledger.
        input_tokens: Prompt tokens of calls that reached the model.
        output_tokens: Tokens written by calls that reached the model.
        failures: Calls that ended as a failure.
        seconds: Wall time spent waiting for the model.
        reused_tokens: Of the prompt tokens, those that the engine had read before.
    """

    calls: int = 0
    cached_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    failures: int = 0
    seconds: float = field(default=0.0)
    reused_tokens: int = 0

    def add(self, outcome: Outcome) -> None:
        """Counts one call that reached the model; its time is not the wall time waited, and not added."""
        self.calls += 1
        self.input_tokens += outcome.input_tokens
        self.output_tokens += outcome.output_tokens
        self.reused_tokens += outcome.reused_tokens
        self.failures += isinstance(outcome, ChatFailure)
