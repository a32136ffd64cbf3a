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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, get_args

from filelock import FileLock, Timeout

from limner.errors import UsageError, WorkspaceError
from limner.histories.store import Store
from limner.retrieval.chroma import Chroma, DamagedIndex, Neighbour, StoredRow, wipe_folder
from limner.retrieval.documents import Document, Kind, make_id, read_documents, split_id, trait_labels
from limner.retrieval.space import Space

KINDS: tuple[Kind, ...] = get_args(Kind)

LOCK_SECONDS = 600.0
"""How long a refresh waits for another process's refresh: longer than one of 100,000 texts takes to write."""

_EMBEDDED_AT_ONCE = 512
"""Texts embedded between two writes to Chroma, so that an interrupted refresh keeps what it did."""

_INPUTS = ("events", "personas", "traits", "segments", "identities")
"""The tables that documents are made from."""

Progress = Callable[[int, int], None]
"""Called with (done, total) documents."""


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
        mark = self._mark(store)
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
        chroma = self._connected()
        mark = self._mark(store)
        marks = [chroma.mark(kind) for kind in KINDS]
        if all(known == mark for known in marks):
            return Refreshed(0, 0, sum(chroma.count(kind) for kind in KINDS), rebuilt)
        if any(known and known.get("space") != mark["space"] for known in marks):
            chroma.wipe(KINDS)
            rebuilt = True
        wanted = {document.id: document for document in read_documents(store)}
        stored = {key: row for kind in KINDS for key, row in chroma.stored(kind).items()}
        gone = sorted(stored.keys() - wanted.keys())
        fresh = [d for key, d in wanted.items() if key not in stored or stored[key].digest != d.digest]
        for kind in KINDS:
            chroma.remove(kind, [key for key in gone if key.startswith(f"{kind}:")])
        self._add(chroma, fresh, progress)
        if stored:
            self._forget_embeddings(store, wanted)
        for kind in KINDS:
            chroma.set_mark(kind, mark)
        return Refreshed(len(fresh), len(gone), len(wanted) - len(fresh), rebuilt)

    def _mark(self, store: Store) -> dict[str, str]:
        """What is noted beside the vectors of the workspace's present tables."""
        return {"space": self._space.name, "version": _version(store)}

    def _add(self, chroma: Chroma, fresh: list[Document], progress: Progress | None) -> None:
        for start in range(0, len(fresh), _EMBEDDED_AT_ONCE):
            part = fresh[start : start + _EMBEDDED_AT_ONCE]
            vectors = self._space.passages([document.text for document in part])
            for kind in KINDS:
                rows = [i for i, document in enumerate(part) if document.type == kind]
                if rows:
                    chroma.put(
                        kind,
                        [part[i].id for i in rows],
                        [StoredRow(part[i].user_id, part[i].digest) for i in rows],
                        vectors[rows],
                    )
            if progress:
                progress(min(start + _EMBEDDED_AT_ONCE, len(fresh)), len(fresh))

    def _forget_embeddings(self, store: Store, wanted: dict[str, Document]) -> None:
        """Deletes cached embeddings of texts that are no longer in the workspace."""
        embedder = self._space.embedder
        if embedder.cache is None:
            return
        with store.read() as db:
            labels = trait_labels(db)
        texts = [*labels, *(document.text for document in wanted.values())]
        embedder.cache.retain([*self._space.background_keys(), *(embedder.key(text) for text in texts)])


def _version(store: Store) -> str:
    """A fingerprint of the tables that documents are made from."""
    tables = store.manifest().tables
    files = [[f.path for f in tables.get(name, ())] for name in _INPUTS]
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
