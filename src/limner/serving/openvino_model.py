"""A model loaded into OpenVINO GenAI: tokens in, tokens out, several requests at a time."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from limner.errors import ModelError
from limner.serving.gguf import contents_of
from limner.serving.grammar import grammar_of_choices, grammar_of_schema
from limner.serving.machine import memory_gb, threads
from limner.serving.openvino_rows import prepared
from limner.serving.openvino_tokenizer import OpenVinoTokenizer
from limner.serving.request import ChatRequest, Message
from limner.serving.weights import Weights, progress_on_stderr

BATCHED_TOKENS = 512
"""Tokens worked on in one step."""


@dataclass(frozen=True, slots=True)
class Written:
    """What the model wrote for one request.

    Attributes:
        text: The text, without the token that ends it.
        tokens: Tokens written, the one that ends the text included.
        logprob: Sum of the log-probabilities of the text's tokens, the ending one left out. They are the model's own,
            before the grammar forbids tokens: a label that the model would not have written by itself gets a low
            one, whatever the other labels' are, so it says how much the model meant this label, not only how much
            more than the others.
        finish: `stop`, or `length` if it was cut.
    """

    text: str
    tokens: int
    logprob: float
    finish: Literal["stop", "length"]


class OpenVinoModel:
    """One loaded model.

    Attributes:
        weights: What was loaded.
        longest: Tokens at which the engine's tokenizer cuts a prompt off without a word (8192 with GGUF files, and no
            option changes it), so a prompt with as many may have been longer.
    """

    def __init__(self, weights: Weights) -> None:
        """Loads the weights.

        Raises:
            ModelError: The engine is not installed here, or cannot read the file.
        """
        self.weights = weights
        _check(weights)
        try:
            import openvino as ov
            import openvino_genai as genai
        except ImportError as error:
            raise ModelError(
                f"The embedded engine is not available here ({error}). It has wheels for Linux x86-64, macOS arm64 and "
                "Windows; elsewhere, start a server and use --model http://host:port/v1#MODEL."
            ) from error
        self._ov, self._genai = ov, genai
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._warm: set[tuple[str, str]] = set()
        try:
            self._tokenizer = OpenVinoTokenizer(weights.path)
            with progress_on_stderr(f"Preparing {weights.identity}") as progress:
                kept = prepared(weights.path, progress)
            self._pipeline = genai.ContinuousBatchingPipeline(
                str(kept), self._tokenizer.own, _scheduler(genai), "CPU", **_properties()
            )
            self.longest = len(self._tokenizer.encoded("a " * 2 * weights.context))
        except (RuntimeError, TypeError, ValueError) as error:
            reason = str(error).strip().splitlines()
            raise ModelError(
                f"Cannot load {weights.path}: {reason[-1][:200] if reason else type(error).__name__}. {_READS}"
            ) from error

    def tokens(self, messages: Sequence[Message]) -> list[int]:
        """The prompt's tokens, see `OpenVinoTokenizer.tokens`."""
        return self._tokenizer.tokens(messages)

    def add(self, tokens: Sequence[int], request: ChatRequest) -> Any:
        """Puts a request into the batch and returns the handle that `finished` and `written` take.

        The first request with a new beginning is read alone: the others then find its beginning in the prefix cache,
        which requests that are put in together do not.
        """
        import numpy as np

        config = self._config(request)
        beginning = (str(request.prompt), request.messages[0].content if len(request.messages) > 1 else "")
        with self._lock:
            ids = self._ov.Tensor(np.array([tokens], dtype=np.int64))
            handle = self._pipeline.add_request(next(self._numbers), ids, config)
            if beginning not in self._warm:
                self._warm.add(beginning)
                self._pipeline.step()
        return handle

    def _config(self, request: ChatRequest) -> Any:
        config = self._genai.GenerationConfig()
        config.apply_chat_template = False
        config.max_new_tokens = request.max_tokens
        config.logprobs = 1
        config.do_sample = request.temperature > 0
        if request.temperature > 0:
            config.temperature = request.temperature
            config.rng_seed = request.seed
        grammar = None
        if request.choices:
            grammar = grammar_of_choices(request.choices)
        elif request.schema is not None:
            grammar = grammar_of_schema(request.schema)
        if grammar is not None or request.pattern:
            constraint = self._genai.StructuredOutputConfig()
            if grammar is not None:
                constraint.grammar = grammar
            else:
                constraint.regex = request.pattern
            config.structured_output_config = constraint
        config.set_eos_token_id(self._tokenizer.end)
        return config

    def step(self) -> None:
        """One step of the whole batch: reads up to `BATCHED_TOKENS` or writes one token for each request.

        Raises:
            ModelError: The engine failed.
        """
        with self._lock:
            try:
                if self._pipeline.has_non_finished_requests():
                    self._pipeline.step()
            except RuntimeError as error:
                raise ModelError(f"{self.weights.identity} failed: {str(error).strip()[-200:]}") from error

    def finished(self, handle: Any) -> bool:
        """Whether a request needs no more steps."""
        return bool(handle.get_status() != self._genai.GenerationStatus.RUNNING)

    def written(self, handle: Any) -> Written | None:
        """What a finished request wrote; None if the engine gave it up (no room in its cache)."""
        with self._lock:
            outputs = handle.read_all() if handle.get_status() == self._genai.GenerationStatus.FINISHED else []
            if not outputs:
                return None
            output = outputs[0]
            ids, logprobs = list(output.generated_ids), list(output.generated_log_probs)
            ended = bool(ids) and ids[-1] == self._tokenizer.end
            kept = len(ids) - ended
            text = str(self._tokenizer.own.decode(ids[:kept])) if kept else ""
        cut = output.finish_reason == self._genai.GenerationFinishReason.LENGTH
        return Written(text, len(ids), float(sum(logprobs[:kept])), "length" if cut else "stop")


_READS = "The embedded engine reads GGUF files of Llama and Qwen models in F16, Q8_0, Q5_0, Q4_0, Q4_1 and Q4_K_M."


def _check(weights: Weights) -> None:
    """Refuses a file that the engine cannot read.

    Raises:
        ModelError: It is damaged, has no chat template or is stored in a way the engine does not know.
    """
    contents = contents_of(weights.path)
    if contents.unreadable:
        kinds = ", ".join(contents.unreadable)
        raise ModelError(f"Cannot load {weights.path}: it has tensors of type {kinds}. {_READS}")
    if not contents.chat_template:
        raise ModelError(f"Cannot load {weights.path}: it has no chat template, so it cannot be asked questions.")


def _scheduler(genai: Any) -> Any:
    scheduler = genai.SchedulerConfig()
    scheduler.cache_size = 1 if memory_gb() < 12 else 2
    scheduler.max_num_batched_tokens = BATCHED_TOKENS
    scheduler.enable_prefix_caching = True
    scheduler.max_num_seqs = 64
    return scheduler


def _properties() -> dict[str, Any]:
    chosen = threads()
    return {} if chosen is None else {"INFERENCE_NUM_THREADS": chosen}
