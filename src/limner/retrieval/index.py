"""The index: traits, narratives, evidence and segments, found by meaning in Chinese and English.

    with Index.open(store.path) as index:
        index.refresh(store)
        hits = index.search("Who complains about delivery?", k=8)

Vectors are derived from the workspace's tables. `refresh` makes them equal to the present tables; if they are damaged
they are made again, from cached embeddings.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from limner.errors import UsageError, WorkspaceError
from limner.histories.manifest import Manifest
from limner.histories.store import Store
from limner.retrieval.changed import INPUTS, Indexed, changed_users, noted
from limner.retrieval.chroma import Chroma, DamagedIndex, Neighbour, StoredRow, wipe_folder
from limner.retrieval.documents import (
    Document,
    Kind,
    count_documents,
    make_id,
    read_documents,
    split_id,
    trait_labels,
)
from limner.retrieval.space import Space

KINDS: tuple[Kind, ...] = get_args(Kind)

LOCK_SECONDS = 600.0
"""How long a refresh waits for another process's refresh: longer than one of 100,000 texts takes to write."""

_EMBEDDED_AT_ONCE = 512
"""Texts embedded between two writes to Chroma, so that an interrupted refresh keeps what it did."""

_COMPARED_AT_ONCE = 5000
"""Documents held in memory when all are compared."""

_USERS_AT_ONCE = 2000
"""Users whose documents are held in memory when some are compared."""

_OF_USERS: tuple[Kind, ...] = ("trait", "persona", "evidence")
_OF_SEGMENTS: tuple[Kind, ...] = ("segment",)

Progress = Callable[[int, int], None]
"""Called with (done, total): of documents if all are compared, else of users."""


@dataclass(frozen=True, slots=True)
class Citation:
    """What an answer cites for a hit."""

    type: Literal["user", "event", "segment"]
    id: str


@dataclass(frozen=True, slots=True)
class Hit:
    """One thing found.

    Attributes:
        id: The document's id, as in `documents.Document`.
        type: `trait`, `persona`, `evidence` or `segment`.
        user_id: Whose it is; empty for a segment.
        text: The text as it stands in the workspace now.
        score: Similarity to the question, -1 to 1; see `relevance.relevant` for what counts as bearing on it.
    """

    id: str
    type: Kind
    user_id: str
    text: str
    score: float

    @property
    def citation(self) -> Citation:
        """The user, event or segment that the hit points to."""
        _, first, *_ = split_id(self.id)
        return Citation({"evidence": "event", "segment": "segment"}.get(self.type, "user"), first)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh did.

    Attributes:
        added: Documents that are new or whose text changed.
        removed: Documents that are gone.
        kept: Documents that were there already.
        rebuilt: The vectors were thrown away first: damaged, made by another embedder, or by request.
    """

    added: int
    removed: int
    kept: int
    rebuilt: bool = False


class Index:
    """The vectors of one workspace. One process writes at a time; any number read."""

    def __init__(self, store_path: Path, space: Space) -> None:
        """Use `Index.open`."""
        self._path = store_path
        self._space = space
        self._chroma: Chroma | None = None

    @classmethod
    def open(cls, store_path: Path | str, *, space: Space | None = None) -> Index:
        """Opens the index of a workspace. Nothing is loaded or connected before it is used.

        Args:
            store_path: The workspace folder.
            space: How texts become vectors; the package's own embedder if not given.
        """
        return cls(Path(store_path), space or Space.open(store_path))

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the vectors."""
        if self._chroma is not None:
            self._chroma.close()
            self._chroma = None

    def refresh(self, store: Store, progress: Progress | None = None) -> Refreshed:
        """Makes the vectors equal to the workspace's present traits, personas, evidence and segments.

        Only what changed is embedded. Quick if nothing was committed since the last refresh. What is gone from the
        tables is deleted here and from the embedding cache.

        Raises:
            WorkspaceError: Another process has been refreshing for ten minutes, or the Chroma server does not answer.
            MissingExtra: No embedding engine is installed.
        """
        with self._writing():
            try:
                return self._refresh(store, progress)
            except DamagedIndex:
                return self._rebuild(store, progress)

    def behind(self, store: Store) -> bool:
        """Whether something is indexed, and not what the workspace holds now: the tables changed, or a refresh died.

        Raises:
            WorkspaceError: The Chroma server does not answer.
        """
        if not Chroma.made(self._path):
            return False
        mark = self._mark(store.manifest())
        try:
            chroma = self._connected()
            marks = {kind: chroma.mark(kind) for kind in KINDS}
            made = any(known or chroma.count(kind) for kind, known in marks.items())
        except DamagedIndex:
            return True
        return made and any(known != mark for known in marks.values())

    def rebuild(self, store: Store, progress: Progress | None = None) -> Refreshed:
        """Throws all vectors away, bytes on disk included, and makes them again from the present tables.

        For after an erasure: Chroma only marks deleted vectors as deleted in its search structure.
        """
        with self._writing():
            return self._rebuild(store, progress)

    def search(self, text: str, kinds: Sequence[Kind] = KINDS, k: int = 8, within: set[str] | None = None) -> list[Hit]:
        """What is nearest to a question in meaning, the nearest first.

        It looks at the vectors of the last `refresh`; what has left the tables since is not returned.

        Args:
            text: A question or phrase in Chinese or English.
            kinds: Which documents to look among.
            k: At most so many hits.
            within: Only documents of these users (segments belong to none and are then left out).

        Raises:
            UsageError: An unknown kind, or `k` below 1.
            WorkspaceError: There is no workspace, or the Chroma server does not answer.
        """
        unknown = sorted(set(kinds) - set(KINDS))
        if unknown or k < 1:
            raise UsageError(
                f"Cannot search {', '.join(unknown) or f'for {k} hits'}. Kinds: {', '.join(KINDS)}; k >= 1."
            )
        if not text.strip():
            return []
        store = Store.open(self._path)
        return _with_texts(store, self._mended(store, lambda: self._nearest(store, text, kinds, k, within)))

    def _mended(self, store: Store, look: Callable[[], list[Neighbour]]) -> list[Neighbour]:
        """Looks; if the vectors cannot be read, opens them anew, and if that does not help, makes them anew."""
        for mend in (self.refresh, self.rebuild):
            try:
                return look()
            except DamagedIndex:
                self.close()
                mend(store)
        return look()

    def _nearest(
        self, store: Store, text: str, kinds: Sequence[Kind], k: int, within: set[str] | None
    ) -> list[Neighbour]:
        vector = self._space.questions([text])
        chroma = self._connected()
        if within is None:
            found = [hit for kind in kinds for hit in chroma.nearest(kind, vector, k)]
        else:
            of_users = [kind for kind in kinds if kind != "segment"]
            ids: dict[Kind, list[str]] = {kind: [] for kind in of_users}
            for document in read_documents(store, of_users, within):
                ids[document.type].append(document.id)
            found = [hit for kind in of_users if ids[kind] for hit in chroma.nearest(kind, vector, k, ids[kind])]
        return sorted(found, key=lambda hit: (-hit.score, hit.id))[:k]

    def _connected(self) -> Chroma:
        if self._chroma is None:
            self._chroma = Chroma.connect(self._path)
        return self._chroma

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with FileLock(str(self._path / "chroma.lock"), timeout=LOCK_SECONDS):
                yield
        except Timeout as error:
            raise WorkspaceError(
                f"Another limner process has been indexing {self._path} for {LOCK_SECONDS:.0f} s. Try again later."
            ) from error

    def _rebuild(self, store: Store, progress: Progress | None) -> Refreshed:
        try:
            self._connected().wipe(KINDS)
        except DamagedIndex:
            self.close()
            wipe_folder(self._path)
        return self._refresh(store, progress, rebuilt=True)

    def _refresh(self, store: Store, progress: Progress | None, *, rebuilt: bool = False) -> Refreshed:
        chroma, version = self._connected(), store.manifest()
        mark = self._mark(version)
        marks = [chroma.mark(kind) for kind in KINDS]
        if all(known == mark for known in marks):
            return Refreshed(0, 0, sum(chroma.count(kind) for kind in KINDS), rebuilt)
        if any(known and known.get("space") != mark["space"] for known in marks):
            chroma.wipe(KINDS)
            rebuilt = True
        before = None
        if not rebuilt and all(known == marks[0] for known in marks):
            before = noted(self._path, marks[0].get("version", ""))
        users = None if before is None else changed_users(store, version, before)
        if users is None:
            added, removed = self._compare_all(store, chroma, progress)
        else:
            added, removed = self._compare(store, chroma, sorted(users), progress)
        for kind in KINDS:
            chroma.set_mark(kind, mark)
        Indexed.of(mark["version"], version).note(self._path)
        return Refreshed(added, removed, sum(chroma.count(kind) for kind in KINDS) - added, rebuilt)

    def _compare_all(self, store: Store, chroma: Chroma, progress: Progress | None) -> tuple[int, int]:
        """Compares all documents, some at a time; returns how many were added and removed."""
        total, done, added, removed = count_documents(store), 0, 0, 0
        anything = any(chroma.count(kind) for kind in KINDS)
        for kind in KINDS:
            new, seen = not chroma.count(kind), [np.empty(0, np.uint64)]
            for part in _parts(read_documents(store, [kind]), _COMPARED_AT_ONCE):
                known = {} if new else chroma.known(kind, [document.id for document in part])
                added += self._add(chroma, [d for d in part if not self._is_stored(d, known)])
                seen.append(_short([document.id for document in part]))
                done += len(part)
                if progress:
                    progress(min(done, total), max(done, total))
            ids = np.unique(np.concatenate(seen))
            if chroma.count(kind) > len(ids):
                removed += self._remove_others(chroma, kind, ids)
        if anything:
            self._forget_embeddings(store)
        return added, removed

    def _remove_others(self, chroma: Chroma, kind: Kind, ids: npt.NDArray[np.uint64]) -> int:
        """Removes what is stored of a kind and not among some ids, given by `_short` and sorted."""
        gone: list[str] = []
        for stored in chroma.stored(kind):
            keys = list(stored)
            gone += [key for key, kept in zip(keys, np.isin(_short(keys), ids), strict=True) if not kept]
        chroma.remove(kind, gone)
        return len(gone)

    def _compare(
        self, store: Store, chroma: Chroma, users: Sequence[str], progress: Progress | None
    ) -> tuple[int, int]:
        """Compares the documents of some users, and the segments; returns how many were added and removed.

        What embeddings of texts that are gone are cached goes too, but of labels of traits only with `_compare_all`.
        """
        added = removed = 0
        parts = [users[start : start + _USERS_AT_ONCE] for start in range(0, len(users), _USERS_AT_ONCE)]
        for number, (kinds, part) in enumerate([(_OF_SEGMENTS, []), *((_OF_USERS, part) for part in parts)]):
            for kind in kinds:
                wanted = {document.id: document for document in read_documents(store, [kind], set(part))}
                stored: dict[str, StoredRow] = {}
                for some in chroma.stored(kind, part if kinds is _OF_USERS else None):
                    stored.update(some)
                fresh = [document for document in wanted.values() if not self._is_stored(document, stored)]
                gone = sorted(stored.keys() - wanted.keys())
                chroma.remove(kind, gone)
                added += self._add(chroma, fresh)
                removed += len(gone)
                old = [*gone, *(document.id for document in fresh if document.id in stored)]
                self._forget(stored[key].digest for key in old)
            if progress:
                progress(min(number * _USERS_AT_ONCE, len(users)), len(users))
        return added, removed

    def _is_stored(self, document: Document, stored: Mapping[str, StoredRow]) -> bool:
        """Whether the vector of a document is there, and that of its text."""
        known = stored.get(document.id)
        return known is not None and known.digest == self._space.key(document.text)

    def _mark(self, version: Manifest) -> dict[str, str]:
        """What is noted beside the vectors of a version of the workspace."""
        return {"space": self._space.name, "version": _version(version)}

    def _add(self, chroma: Chroma, fresh: Sequence[Document]) -> int:
        """Embeds documents and stores their vectors; returns how many."""
        for start in range(0, len(fresh), _EMBEDDED_AT_ONCE):
            part = fresh[start : start + _EMBEDDED_AT_ONCE]
            vectors = self._space.passages([document.text for document in part])
            for kind in KINDS:
                rows = [i for i, document in enumerate(part) if document.type == kind]
                if rows:
                    chroma.put(
                        kind,
                        [part[i].id for i in rows],
                        [StoredRow(part[i].user_id, self._space.key(part[i].text)) for i in rows],
                        vectors[rows],
                    )
        return len(fresh)

    def _forget(self, digests: Iterable[str]) -> None:
        """Deletes cached embeddings of texts that some documents no longer have; others need theirs no more."""
        if self._space.embedder.cache is not None:
            self._space.embedder.cache.forget([bytes.fromhex(digest) for digest in set(digests)])

    def _forget_embeddings(self, store: Store) -> None:
        """Deletes cached embeddings of texts that are no longer in the workspace."""
        embedder = self._space.embedder
        if embedder.cache is None:
            return
        with store.read() as db:
            labels = trait_labels(db)
        texts = chain(labels, (document.text for document in read_documents(store)))
        embedder.cache.retain(chain(self._space.background_keys(), (embedder.key(text) for text in texts)))


def _parts(documents: Iterator[Document], size: int) -> Iterator[list[Document]]:
    """Documents some at a time, each id once: traits of two people may rest on one event."""
    while part := {document.id: document for document in islice(documents, size)}:
        yield list(part.values())


def _short(ids: Sequence[str]) -> npt.NDArray[np.uint64]:
    """A number of eight bytes for each id: among a billion, two are the same with a chance of 1 in 40."""
    digests = (hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest() for key in ids)
    return np.frombuffer(b"".join(digests), np.uint64)


def _version(manifest: Manifest) -> str:
    """A fingerprint of the tables that documents are made from."""
    files = [[f.path for f in manifest.tables.get(name, ())] for name in INPUTS]
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()


def _with_texts(store: Store, found: list[Neighbour]) -> list[Hit]:
    """The neighbours that are still in the workspace, with their texts."""
    ids = {hit.id for hit in found}
    kinds = [kind for kind in KINDS if any(key.startswith(f"{kind}:") for key in ids)]
    users = {hit.user_id for hit in found if hit.user_id}
    present = {d.id: d for d in read_documents(store, kinds, users) if d.id in ids}
    return [
        Hit(hit.id, present[hit.id].type, present[hit.id].user_id, present[hit.id].text, round(hit.score, 4))
        for hit in found
        if hit.id in present
    ]


__all__ = ["Citation", "Hit", "Index", "Refreshed", "make_id", "split_id"]
