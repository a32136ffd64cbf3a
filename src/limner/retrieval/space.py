"""One space for both languages: embeddings with what is common to a language and a role taken out.

multilingual-e5 puts every pair of texts between about 0.75 and 0.9, and texts of one language closer together than
their translations: of raw vectors, a question's own translation was nearest 47 % (from English) and 22 % (from Chinese)
of the time among 128 questions of both languages. Taking away the mean vector of the text's language and role, and
scaling back to unit length, made that 81 % and 77 %, left ranking within a language as it was, and lets one threshold
say what bears on a question (relevance.py; docs/decisions/0003-relevance.md has the figures).

The means come from a fixed list of unrelated texts (background.toml), so a vector never depends on who else is in the
workspace.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path

import numpy as np

from limner.histories.language import detect
from limner.retrieval.embedder import Embedder, unit
from limner.retrieval.vectors import Vectors

VERSION = 1
"""Part of every index's mark; raise it when background.toml or the arithmetic here changes."""


@cache
def background() -> dict[str, dict[str, tuple[str, ...]]]:
    """The fixed texts by sort (`statements`, `questions`) and language."""
    raw = tomllib.loads(files("limner.retrieval").joinpath("background.toml").read_text(encoding="utf-8"))
    return {sort: dict(zip(("en", "zh"), zip(*pairs, strict=True), strict=True)) for sort, pairs in raw.items()}


class Space:
    """Turns texts into vectors that can be compared across languages and roles.

    The dot product of a question's and a passage's vector is their similarity: about 0 for unrelated texts, above 0.3
    where one bears on the other.
    """

    def __init__(self, embedder: Embedder) -> None:
        """Loads nothing yet."""
        self.embedder = embedder

    @classmethod
    def open(cls, store_path: Path | str) -> Space:
        """A space whose embeddings are cached in a workspace."""
        return cls(Embedder.open(store_path))

    @property
    def name(self) -> str:
        """What determines the vectors: engine, model and version of the levelling."""
        return f"{self.embedder.engine.name}/levelled-{VERSION}"

    def questions(self, texts: Sequence[str]) -> Vectors:
        """Vectors of questions, float32 of shape (n, 384), unit length."""
        return _level(self.embedder.embed_queries(texts), texts, self._question_centres)

    def passages(self, texts: Sequence[str], progress: Callable[[int, int], None] | None = None) -> Vectors:
        """Vectors of texts to be found or grouped, float32 of shape (n, 384), unit length.

        Args:
            texts: The texts.
            progress: Called with (done, total) texts that had to be embedded.
        """
        return _level(self.embedder.embed_passages(texts, progress), texts, self._passage_centres)

    def key(self, text: str) -> str:
        """A hash that texts share if and only if they have one vector as passages: that of the embedding cache."""
        return self.embedder.key(text).hex()

    def background_keys(self) -> list[bytes]:
        """Cache keys of the fixed texts, which a clean-up of the cache keeps."""
        statements, questions = background()["statements"], background()["questions"]
        passages = [self.embedder.key(text) for texts in statements.values() for text in texts]
        asked = [*statements.values(), *questions.values()]
        return passages + [self.embedder.key(text, "query") for texts in asked for text in texts]

    @cached_property
    def _passage_centres(self) -> dict[str, Vectors]:
        statements = background()["statements"]
        means = {lang: _mean(self.embedder.embed_passages(texts)) for lang, texts in statements.items()}
        return _with_neither(means)

    @cached_property
    def _question_centres(self) -> dict[str, Vectors]:
        """Half from questions, half from statements: people type both into a search."""
        texts = background()
        means: dict[str, Vectors] = {}
        for lang in ("en", "zh"):
            asked = _mean(self.embedder.embed_queries(texts["questions"][lang]))
            stated = _mean(self.embedder.embed_queries(texts["statements"][lang]))
            means[lang] = (asked + stated) / np.float32(2)
        return _with_neither(means)


def _with_neither(means: dict[str, Vectors]) -> dict[str, Vectors]:
    return {**means, "": (means["en"] + means["zh"]) / np.float32(2)}


def _mean(rows: Vectors) -> Vectors:
    return np.asarray(rows.mean(axis=0), dtype=np.float32)


def _level(rows: Vectors, texts: Sequence[str], centres: dict[str, Vectors]) -> Vectors:
    if not len(rows):
        return rows
    return unit(rows - np.stack([centres[detect(text)] for text in texts]))
