"""A client that notes what it is asked, so that a score tells what its answers cost, whenever they were paid for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from limner.serving.client import Client
from limner.serving.request import ChatAnswer, ChatRequest, Outcome


@dataclass
class Reading:
    """What was asked since the meter was set back: distinct questions only.

    Attributes:
        prompts: Names and versions of the prompts.
        calls: Distinct questions.
        cached_calls: Of those, answered from the ledger.
        input_tokens, output_tokens: What their answers cost when they were asked.
    """

    prompts: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    cached_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def calls(self) -> int:
        """Distinct questions."""
        return len(self.keys)


class Metered(Client):
    """Passes everything on to another client.

    Attributes:
        reading: What was asked since `reset`.
    """

    def __init__(self, inner: Client) -> None:
        """Wraps a client; closing the wrapper closes nothing."""
        self._inner = inner
        self.reading = Reading()

    def __getattr__(self, name: str) -> Any:
        """Everything else is the wrapped client's own."""
        if name == "_inner":
            raise AttributeError(name)
        return getattr(self._inner, name)

    @property
    def model(self) -> str:
        """The model's name as the ledger knows it."""
        return self._inner.model

    def reset(self) -> None:
        """Starts a new reading."""
        self.reading = Reading()

    def each(self, requests: Sequence[ChatRequest], *, recall: bool = False) -> Iterator[tuple[int, Outcome]]:
        """Answers as the wrapped client does, noting prompts and tokens."""
        for index, outcome in self._inner.each(requests, recall=recall):
            self._note(requests[index], outcome)
            yield index, outcome

    def close(self) -> None:
        """Leaves the wrapped client open."""

    def _note(self, request: ChatRequest, outcome: Outcome) -> None:
        reading, key = self.reading, request.key(self.model)
        reading.prompts.add(str(request.prompt))
        if key in reading.keys:
            return
        reading.keys.add(key)
        reading.cached_calls += isinstance(outcome, ChatAnswer) and outcome.cached
        reading.input_tokens += outcome.input_tokens
        reading.output_tokens += outcome.output_tokens
