"""How many tokens a request has, before a model is asked.

Two counters: the model's own tokenizer, read from its GGUF file without the model, and an estimate from the characters
for models whose tokenizer is elsewhere.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Protocol

from limner.histories.language import estimate_tokens
from limner.serving.request import ChatRequest, Message
from limner.serving.spec import EmbeddedSpec, Spec

FRAME = 3
"""Tokens that a chat template puts at the beginning of the answer, and about as many again around every message: with
the templates of Qwen, Llama and SmolLM a message's frame is 4 to 5 tokens."""

MESSAGE_FRAME = 5


class TokenCounter(Protocol):
    """Counts the tokens of a request."""

    @property
    def exact(self) -> bool:
        """Whether it counts as the model does."""
        ...

    def count(self, request: ChatRequest) -> int:
        """Tokens that the model reads, the chat template's included."""
        ...


class EstimatingCounter:
    """Counts by the estimate from characters. No model and no tokenizer is needed."""

    exact = False

    def count(self, request: ChatRequest) -> int:
        """About how many tokens the model reads."""
        return estimated_tokens(request)


class GgufCounter:
    """Counts with the tokenizer in a GGUF file: exactly what the embedded engine reads."""

    exact = True

    def __init__(self, path: Path) -> None:
        """Reads the tokenizer.

        Raises:
            ImportError: The embedded engine is not installed here.
            RuntimeError: It cannot read the file.
        """
        from limner.serving.openvino_tokenizer import OpenVinoTokenizer

        self._tokenizer = OpenVinoTokenizer(path)

    def count(self, request: ChatRequest) -> int:
        """Tokens that the model reads."""
        return len(self.tokens(request))

    def tokens(self, request: ChatRequest) -> list[int]:
        """The tokens that the model reads."""
        return self._tokenizer.tokens(request.messages)


def estimated_tokens(request: ChatRequest) -> int:
    """About how many tokens a model reads, from the characters of the messages and a chat template's usual frame."""
    return FRAME + sum(MESSAGE_FRAME + _of_message(message) for message in request.messages)


def _of_message(message: Message) -> int:
    # Instructions are the same in thousands of requests, customers' words are not.
    return _of_instructions(message.content) if message.role == "system" else estimate_tokens(message.content)


@functools.lru_cache(maxsize=64)
def _of_instructions(text: str) -> int:
    return estimate_tokens(text)


def counter_for(spec: Spec) -> TokenCounter:
    """The counter for a model: exact for an embedded one whose weights are here, else an estimate.

    Nothing is fetched and no model is loaded.
    """
    from limner.errors import ModelError
    from limner.serving.embedded import weights_here
    from limner.serving.widening import readable

    path = weights_here(spec) if isinstance(spec, EmbeddedSpec) else None
    if path is None:
        return EstimatingCounter()
    try:
        return GgufCounter(readable(path))
    except (ImportError, RuntimeError, ModelError):
        return EstimatingCounter()
