"""Bringing the index up to date by what changed: after any history of commits it holds what a new index would."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import planted
from limner.histories import undo
from limner.histories.compaction import compact
from limner.histories.store import Store
from limner.retrieval import index as indexes
from limner.retrieval.changed import NOTE
from limner.retrieval.documents import read_documents
from limner.retrieval.embedder import Embedder
from limner.retrieval.index import KINDS, Index, Refreshed
from limner.retrieval.space import Space
from limner.retrieval.vectors import VectorCache

USERS = [f"u{number}" for number in range(6)] + ["客 '1'"]
LABELS = ("tea", "rum", "茶叶", "price", "delivery")


class Numbers:
    """An embedding engine that makes numbers of a text's hash: nothing here looks at what they mean."""

    name = "numbers"

    def encode(self, texts: list[str], role: str) -> np.ndarray[Any, Any]:
        seeds = (int.from_bytes(hashlib.sha256(f"{role}{text}".encode()).digest()[:8], "little") for text in texts)
        return np.stack([np.random.default_rng(seed).normal(size=384) for seed in seeds])


def space_of(store: Store) -> Space:
    return Space(Embedder(VectorCache(store.path / "embeddings.sqlite"), Numbers()))


def held(index: Index) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for kind in KINDS:
        for part in index._connected().stored(kind):
            found.update({key: (row.user_id, row.digest) for key, row in part.items()})
    return found


def wanted(index: Index, store: Store) -> dict[str, tuple[str, str]]:
    return {d.id: (d.user_id, index._space.key(d.text)) for d in read_documents(store)}


class History:
    """A workspace and what may happen to it."""

    def __init__(self, path: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.store = Store.open(path, create=True)
        self.events: dict[str, str] = {}
        for user in USERS:
            self.portray(user)

    def portray(self, user: str = "") -> None:
        """A user writes something, and is portrayed anew, or for the first time, by several traits or none."""
        user = user or self.chance.choice(USERS)
        event = f"e{len(self.events)}"
        label = self.chance.choice(LABELS)
        text = f"Before that. I think about {label} number {self.chance.randrange(99)}. After it."
        self.events[event] = text
        rows = {name: planted.trait(user, name) for name in self.chance.sample(LABELS, self.chance.randrange(3))}
        rows[label] = planted.trait(user, label, quote=label, event=event)
        told = {user: ("en", f"Likes {label}.")} if self.chance.random() < 0.5 else None
        planted.write(self.store.path, traits=rows.values(), events=[planted.event(user, event, text)], personas=told)

    def segment(self) -> None:
        """Segments are found anew."""
        name = self.chance.choice(LABELS)
        planted.write(self.store.path, segments=[{"segment_id": name, "name": f"About {name}", "origin": "discovered"}])

    def merge(self) -> None:
        """An id becomes another person's, or its own again."""
        row = {"member_id": "u5", "user_id": self.chance.choice(["u0", "u5"]), "reason": "key"}
        with self.store.commit("identity") as commit:
            commit.add("identities", [row])

    def undo(self) -> None:
        if len(self.store.manifest().runs) > len(USERS) + 1 and self.store.manifest().folded == 0:
            undo.undo(self.store)

    def redo(self) -> None:
        manifest = self.store.manifest()
        if manifest.undone and manifest.undone[-1].seq == manifest.seq:
            undo.redo(self.store)

    def compact(self) -> None:
        compact(self.store, keep=self.chance.randrange(4))

    def load(self) -> None:
        """Something that no document is made from."""
        with self.store.commit("ingest") as commit:
            commit.add("items", [{"item_id": "i", "title": self.chance.choice(LABELS)}])


STEPS = ("portray",) * 6 + ("segment", "merge", "undo", "undo", "redo", "compact", "load")


@pytest.mark.parametrize("seed", range(5))
def test_after_any_history_it_is_as_if_made_anew(tmp_path: Path, seed: int) -> None:
    history = History(tmp_path / "w", seed)
    with Index.open(history.store.path, space=space_of(history.store)) as index:
        index.refresh(history.store)
        for _ in range(8):
            for _ in range(history.chance.randrange(1, 3)):
                getattr(history, history.chance.choice(STEPS))()
            before = held(index)
            told = index.refresh(history.store)
            present = held(index)
            assert present == wanted(index, history.store)
            changed = {key for key, row in present.items() if before.get(key) != row}
            assert told == Refreshed(len(changed), len(before.keys() - present.keys()), len(present) - len(changed))
            assert index.refresh(history.store) == Refreshed(0, 0, len(present))


def refuse(*_: object) -> None:
    raise AssertionError("everything was compared")


def test_only_users_of_whom_something_was_stored_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History(tmp_path / "w", 1)
    looked: list[set[str] | None] = []

    def reading(store: Store, kinds: Any, users: set[str] | None = None) -> Any:
        looked.append(users)
        return read_documents(store, kinds, users)

    with Index.open(history.store.path, space=space_of(history.store)) as index:
        index.refresh(history.store)
        monkeypatch.setattr(index, "_compare_all", refuse)
        monkeypatch.setattr(indexes, "read_documents", reading)
        for user in ("u1", "客 '1'"):
            history.portray(user)
            index.refresh(history.store)
            assert {name for users in looked for name in users or ()} == {user}
            looked.clear()
        for _ in range(20):
            history.segment()
        before = index.refresh(history.store)
        assert before.added == 1
        compact(history.store, keep=2)
        looked.clear()
        assert index.refresh(history.store) == Refreshed(0, 0, before.kept + 1)
        assert not any(looked)
        assert held(index) == wanted(index, history.store)


@pytest.mark.parametrize("how", ["gone", "damaged", "of another version", "cannot be written"])
def test_without_the_note_everything_is_compared(tmp_path: Path, how: str) -> None:
    history = History(tmp_path / "w", 2)
    note = history.store.path / NOTE
    with Index.open(history.store.path, space=space_of(history.store)) as index:
        if how == "cannot be written":
            note.mkdir()
        index.refresh(history.store)
        old = note.read_text(encoding="utf-8") if note.is_file() else ""
        history.portray("u2")
        index.refresh(history.store)
        if how == "gone":
            note.unlink()
        elif how == "damaged":
            note.write_text('{"version": 3', encoding="utf-8")
        elif how == "of another version":
            note.write_text(old, encoding="utf-8")
        history.portray("u3")
        index.refresh(history.store)
        assert held(index) == wanted(index, history.store)


def test_what_is_gone_from_the_tables_is_gone_from_the_embedding_cache(tmp_path: Path) -> None:
    labels = {user: f"label of {number}" for number, user in enumerate(USERS)}
    store = planted.write(tmp_path, traits=[planted.trait(user, label) for user, label in labels.items()])
    space = space_of(store)
    cache = space.embedder.cache
    assert cache is not None
    with Index.open(store.path, space=space) as index:
        index.refresh(store)
        key = space.embedder.key("likes label of 0")
        assert cache.get([key])
        index._compare_all = refuse  # type: ignore[method-assign,assignment]
        planted.write(tmp_path, traits=[planted.trait("u0", "silk")])
        assert index.refresh(store) == Refreshed(added=1, removed=1, kept=6)
        assert not cache.get([key])
        assert len(cache.get([space.embedder.key(f"likes {label}") for label in labels.values()])) == 6


def test_an_event_that_two_people_cite_is_one_document(tmp_path: Path) -> None:
    traits = [planted.trait(user, "tea", quote="tea", event="e") for user in ("u", "v")]
    store = planted.write(tmp_path, traits=traits, events=[planted.event("u", "e", "I like tea.")])
    with Index.open(store.path, space=space_of(store)) as index:
        assert index.refresh(store) == Refreshed(added=3, removed=0, kept=0)
        assert index.rebuild(store) == Refreshed(added=3, removed=0, kept=0, rebuilt=True)
        (store.path / NOTE).unlink()
        planted.write(tmp_path, traits=[planted.trait("w", "rum")])
        assert index.refresh(store) == Refreshed(added=1, removed=0, kept=3)
