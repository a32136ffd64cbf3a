"""The embedded engine: a GGUF model run in this process by OpenVINO GenAI.

Requests are batched continuously: up to `concurrency` of them are read and written together, each answer is given out
as soon as it is finished and the next request takes its place, and what prompts have in common is read once (the
prefix cache). `docs/decisions/0002-embedded-engine.md` has the measurements behind the settings.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.errors import LimnerError, ModelError, UsageError
from limner.serving.engine import refuse_if_forbidden
from limner.serving.gguf import contents_of
from limner.serving.models import KnownModel, known_model
from limner.serving.request import ChatAnswer, ChatFailure, ChatRequest, Outcome
from limner.serving.spec import EmbeddedSpec
from limner.serving.weights import Progress, Weights, find, progress_on_stderr, pull, remembered_sha256
from limner.serving.widening import readable

if TYPE_CHECKING:
    from limner.serving.openvino_model import OpenVinoModel

CONCURRENCY = 16
"""Requests worked on together: beyond this, two cores gained nothing more."""

FILE_CONTEXT = 8192
"""Tokens of prompt and answer together for a file that does not say."""


@dataclass(slots=True)
class _Live:
    """A request being answered."""

    request: ChatRequest
    handle: Any
    input_tokens: int
    started: float


class EmbeddedEngine:
    """Runs a model in this process. Nothing is fetched or loaded before the first request.

    Safe to use from several threads, and from within a loop over its own answers: all of them share the batch.

    Attributes:
        model: The model's name and the head of its SHA-256.
    """

    def __init__(self, spec: EmbeddedSpec, *, concurrency: int | None = None) -> None:
        """Looks the model up.

        Raises:
            UsageError: There is no such model or file.
        """
        self._concurrency = concurrency or CONCURRENCY
        self._source: KnownModel | Path
        self._prepared: Weights | None = None
        self._give_up_at = math.inf
        if _names_a_file(spec.name):
            self._source = Path(spec.name).expanduser()
            if not self._source.is_file():
                raise UsageError(f"There is no model file {self._source}. Known models: limner models list.")
            self.model = f"{self._source.stem}@{remembered_sha256(self._source)[:12]}"
        else:
            self._source = known_model(spec.name)
            self.model = self._source.identity

    def run(self, requests: Iterable[ChatRequest]) -> Iterator[tuple[int, Outcome]]:
        """Answers the requests, in the order in which they finish.

        An iterator that has none just now is asked again before each step: what comes late joins the batch.

        Raises:
            ModelError: The model cannot be fetched or loaded.
        """
        refuse_if_forbidden(self.model)
        waiting = enumerate(requests)
        model: OpenVinoModel | None = None
        live: dict[int, _Live] = {}
        try:
            while True:
                while len(live) < self._concurrency and (job := next(waiting, None)) is not None:
                    index, request = job
                    model = model or loaded(self._weights())
                    admitted = _admit(model, request)
                    if isinstance(admitted, ChatFailure):
                        yield index, admitted
                    else:
                        live[index] = admitted
                if model is None or not live or time.monotonic() > self._give_up_at:
                    return
                _step(model)
                for index in [index for index, one in live.items() if model.finished(one.handle)]:
                    yield index, _outcome(model, live.pop(index))
        finally:
            for one in live.values():
                one.handle.cancel()

    def _weights(self) -> Weights:
        """The weights, fetched and looked into once: each question needs them."""
        if self._prepared is None:
            self._prepared = self._prepare()
        return self._prepared

    def _prepare(self) -> Weights:
        source = self._source
        if isinstance(source, Path):
            with progress_on_stderr(f"Preparing {source.name}") as progress:
                context = contents_of(source).context or FILE_CONTEXT
                return Weights(readable(source, progress), self.model, context)
        with progress_on_stderr(f"Fetching {source.name}") as progress:
            return Weights(readable(pull(source, progress), progress), self.model, source.context)

    def load(self) -> None:
        """Fetches and loads the model now rather than at the first request.

        Raises:
            ModelError: It cannot be fetched or loaded.
        """
        refuse_if_forbidden(self.model)
        loaded(self._weights())

    def count(self, request: ChatRequest) -> int:
        """Tokens of a request as the model reads them. Loads the model."""
        refuse_if_forbidden(self.model)
        return len(loaded(self._weights()).tokens(request.messages))

    def wind_down(self, seconds: float) -> None:
        """What is not answered after some seconds is given up: it costs time only."""
        self._give_up_at = min(self._give_up_at, time.monotonic() + seconds)

    def close(self) -> None:
        """Nothing to do: the model stays loaded for the next client of this process, see `unload`."""


def _step(model: OpenVinoModel) -> None:
    """One step; a model that failed is not used again."""
    try:
        model.step()
    except ModelError:
        unload()
        raise


def weights_here(spec: EmbeddedSpec) -> Path | None:
    """The weights of a model, if they are on this machine and the pinned ones."""
    if _names_a_file(spec.name):
        return Path(spec.name).expanduser()
    try:
        return find(known_model(spec.name))
    except ModelError:
        return None


def keep_ready(path: Path, progress: Progress) -> None:
    """Turns weights into the form that is computed with fastest, where the engine is installed, without loading them.

    What is wrong with them is said when they are loaded.
    """
    from limner.serving.openvino_rows import prepared

    with suppress(ImportError, RuntimeError, ModelError):
        prepared(readable(path, progress), progress)


def _names_a_file(name: str) -> bool:
    return name.lower().endswith(".gguf") or "/" in name or "\\" in name


def _admit(model: OpenVinoModel, request: ChatRequest) -> _Live | ChatFailure:
    """Hands a request to the model, if it fits."""
    started = time.perf_counter()
    try:
        tokens = model.tokens(request.messages)
        if len(tokens) >= model.longest:
            return ChatFailure(f"too long: {model.weights.identity} reads fewer than {model.longest} tokens here")
        if len(tokens) + request.max_tokens > model.weights.context:
            return ChatFailure(
                f"too long: {len(tokens)} tokens to read and {request.max_tokens} to write are more than the "
                f"{model.weights.context} of {model.weights.identity}"
            )
        return _Live(request, model.add(tokens, request), len(tokens), started)
    except (RuntimeError, LimnerError) as error:
        return ChatFailure(f"{model.weights.identity} refused the request: {_first_line(error)}")


def _outcome(model: OpenVinoModel, one: _Live) -> Outcome:
    seconds = time.perf_counter() - one.started
    written = model.written(one.handle)
    if written is None:
        return ChatFailure("the model ran out of cache memory for this request", "", one.input_tokens, 0, seconds)
    return ChatAnswer(written.text, one.input_tokens, written.tokens, seconds, written.logprob, written.finish)


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__


_loading = threading.Lock()
_loaded: OpenVinoModel | None = None


def loaded(weights: Weights) -> OpenVinoModel:
    """The model of these weights, loaded if it is not yet. One model is kept per process; another one takes its place.

    Raises:
        ModelError: It cannot be loaded.
    """
    global _loaded
    from limner.serving.openvino_model import OpenVinoModel

    with _loading:
        if _loaded is None or _loaded.weights != weights:
            _loaded = None  # Freed first: two models may not fit into memory.
            _loaded = OpenVinoModel(weights)
        return _loaded


def unload() -> None:
    """Frees the model this process has loaded, if any."""
    global _loaded
    with _loading:
        _loaded = None
