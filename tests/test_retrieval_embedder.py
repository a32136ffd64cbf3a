"""Embeddings and their cache, with the real model."""

from __future__ import annotations

import multiprocessing
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from limner.errors import MissingExtra, WorkspaceError
from limner.retrieval import embedder as module
from limner.retrieval.embedder import CACHE_FILE, Embedder, embed_passages, embed_queries
from limner.retrieval.space import Space
from limner.retrieval.vectors import VectorCache, text_key


class CountingEngine:
    """Counts what it is asked; a text's vector is its length."""

    name = "counting"

    def __init__(self) -> None:
        self.texts: list[str] = []

    def encode(self, texts, role):
        self.texts += texts
        return np.array([[len(text), 1 if role == "query" else 2] + [0] * 382 for text in texts], dtype=np.float32)


def test_shapes_types_and_length():
    rows = embed_passages(["hello", "你好", "", "\0", "\ud800", "x" * 9000])
    assert rows.shape == (6, 384)
    assert rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert embed_queries([]).shape == (0, 384)
    assert not np.allclose(embed_queries(["hello"]), rows[:1], atol=1e-3)


def test_a_text_is_embedded_once(tmp_path):
    engine = CountingEngine()
    first = Embedder(VectorCache(tmp_path / CACHE_FILE), engine)
    rows = first.embed_passages(["a", "bb", "a", "bb", "ccc"])
    assert sorted(engine.texts) == ["a", "bb", "ccc"]
    again = Embedder(VectorCache(tmp_path / CACHE_FILE), engine).embed_passages(["ccc", "a"])
    assert np.array_equal(again, rows[[4, 0]])
    assert len(engine.texts) == 3
    first.embed_queries(["a"])
    assert len(engine.texts) == 4


def test_cached_and_fresh_vectors_are_equal(tmp_path):
    cached = Embedder.open(tmp_path)
    texts = ["the strings sound warm", "续航很差"]
    fresh = cached.embed_passages(texts)
    assert np.array_equal(fresh, cached.embed_passages(texts))
    assert np.array_equal(fresh, embed_passages(texts))


def test_the_cache_holds_no_text_and_forgets(tmp_path):
    engine = CountingEngine()
    embedder = Embedder(VectorCache(tmp_path / CACHE_FILE), engine)
    embedder.embed_passages(["secret sauce", "other"])
    assert b"secret" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert embedder.cache.retain([embedder.key("other")]) == 1
    assert list(embedder.cache.get([embedder.key("other"), embedder.key("secret sauce")])) == [embedder.key("other")]


def test_a_damaged_cache_is_made_anew(tmp_path):
    engine = CountingEngine()
    (tmp_path / CACHE_FILE).write_bytes(b"not a database" * 500)
    embedder = Embedder(VectorCache(tmp_path / CACHE_FILE), engine)
    embedder.embed_passages(["a"])
    embedder.embed_passages(["a"])
    assert engine.texts == ["a"]


def test_an_unusable_cache_is_said(tmp_path):
    with pytest.raises(WorkspaceError, match="embedding cache"):
        VectorCache(tmp_path / "no such folder" / CACHE_FILE).get([b"x"])


def _fill(path: Path, first: int) -> None:
    cache = VectorCache(path)
    for number in range(first, first + 60):
        row = np.full((1, 384), number, dtype=np.float16)
        cache.put([text_key("e", "passage", str(number))], row)


def test_two_processes_write_one_cache(tmp_path):
    context = multiprocessing.get_context("spawn")
    path = tmp_path / CACHE_FILE
    writers = [context.Process(target=_fill, args=(path, first)) for first in (0, 30)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    found = VectorCache(path).get([text_key("e", "passage", str(n)) for n in range(90)])
    assert [int(found[text_key("e", "passage", str(n))][0]) for n in range(90)] == list(range(90))
    assert sqlite3.connect(path).execute("SELECT count(*) FROM vectors").fetchone() == (90,)


def test_threads_get_the_same_vectors():
    texts = [f"text number {i} about {w}" for i, w in enumerate(["tea", "rain", "吉他", "shoes"] * 4)]
    alone = embed_passages(texts)
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda text: embed_passages([text])[0], texts))
    assert np.array_equal(np.stack(rows), alone)


def test_a_missing_engine_names_the_cure(monkeypatch):
    def missing():
        raise ImportError

    monkeypatch.setattr(module, "_ENGINES", (missing,))
    module.load_engine.cache_clear()
    try:
        with pytest.raises(MissingExtra, match=r"limner\[embeddings\]"):
            Embedder().embed_queries(["x"])
    finally:
        module.load_engine.cache_clear()


def test_progress_counts_what_had_to_be_embedded(tmp_path):
    seen = []
    embedder = Embedder(VectorCache(tmp_path / CACHE_FILE), CountingEngine())
    texts = [f"t{i}" for i in range(150)]
    embedder.embed_passages(texts[:20])
    embedder.embed_passages(texts, lambda done, total: seen.append((done, total)))
    assert seen == [(64, 130), (128, 130), (130, 130)]


@pytest.mark.slow
def test_levelled_space_finds_translations_before_its_own_language(tmp_path):
    pairs = [
        ("Who plays the violin?", "谁拉小提琴？"),
        ("Is the battery good?", "电池好吗？"),
        ("Who has a cat?", "谁养猫？"),
        ("Who wants a refund?", "谁要退款？"),
    ]
    space = Space(Embedder())
    english, chinese = space.passages([p[0] for p in pairs]), space.passages([p[1] for p in pairs])
    for asked, own, other in (
        (space.questions([p[1] for p in pairs]), chinese, english),
        (space.questions([p[0] for p in pairs]), english, chinese),
    ):
        for i in range(len(pairs)):
            rivals = np.delete(own, i, axis=0)
            assert asked[i] @ other[i] > (rivals @ asked[i]).max()
