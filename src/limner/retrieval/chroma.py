"""Vectors in ChromaDB: a persistent folder in the workspace, or a server named by `LIMNER_CHROMA_URL`.

Only vectors, ids, user ids and text hashes are kept here, one collection per kind of document, so that no search needs
a metadata filter (at 200,000 rows one took 85 ms against 2 ms without). Chroma's own embedder, which downloads a model,
is never let in, and its telemetry is off.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from limner.errors import LimnerError, UsageError, WorkspaceError
from limner.histories.replacing import replacing
from limner.retrieval.vectors import Vectors

SERVER = "LIMNER_CHROMA_URL"
"""Environment variable that names a Chroma server: `http://host:port`."""

FOLDER = "chroma"

BATCH = 1000
"""Rows sent at once: under every server's own limit (5,461 with SQLite)."""

_IDS_AT_ONCE = 20_000
"""Ids asked for in one filtered query (17 ms for 10,000)."""

_USERS_AT_ONCE = 200
"""Users whose documents are asked for in one question."""

_HNSW = {"space": "cosine", "ef_construction": 200, "ef_search": 200, "max_neighbors": 32}
"""Wider than Chroma's defaults (100, 100, 16), for recall above 0.95 where many users share one label."""


class DamagedIndex(WorkspaceError):
    """The vectors on disk cannot be read. They are derived, so the index makes them again."""


@dataclass(frozen=True, slots=True)
class StoredRow:
    """What the collection knows of one document besides its vector."""

    user_id: str
    digest: str


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A stored vector near a query: its id, its user, and the cosine (-1 to 1)."""

    id: str
    user_id: str
    score: float


class Chroma:
    """The collections of one workspace."""

    def __init__(self, store_path: Path, url: str | None) -> None:
        """Connects. Use `Chroma.connect`."""
        self._path = store_path / FOLDER
        self._url = url
        self._prefix = _workspace_name(store_path) if url else "limner"
        self._collections: dict[str, Any] = {}
        self._client = self._open()

    @classmethod
    def connect(cls, store_path: Path | str) -> Chroma:
        """Connects to the workspace's folder, or to the server that the environment names.

        Raises:
            DamagedIndex: The folder cannot be read.
            WorkspaceError: The server does not answer.
        """
        return cls(Path(store_path), os.environ.get(SERVER) or None)

    @staticmethod
    def made(store_path: Path) -> bool:
        """Whether there may be vectors of the workspace: in its folder, or on the server that the environment names."""
        return bool(os.environ.get(SERVER)) or (store_path / FOLDER).exists()

    @property
    def remote(self) -> bool:
        """Whether the vectors are on a server."""
        return self._url is not None

    def _open(self) -> Any:
        import chromadb
        from chromadb.config import Settings

        settings = Settings(anonymized_telemetry=False)
        with self._trouble():
            if self._url is None:
                try:
                    return chromadb.PersistentClient(str(self._path), settings=settings)
                except BaseException:
                    _drop_half_open(str(self._path))
                    raise
            address = urlsplit(self._url)
            if address.scheme not in ("http", "https") or not address.hostname:
                raise UsageError(f"{SERVER}={self._url} is not an address. Write it as http://host:port.")
            secure = address.scheme == "https"
            port = address.port or (443 if secure else 8000)
            return chromadb.HttpClient(address.hostname, port, ssl=secure, settings=settings)

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        """Turns whatever Chroma raises into one of our errors."""
        try:
            yield
        except (LimnerError, KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # a panic in Chroma's Rust part is no Exception
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
            if self._url is not None:
                raise WorkspaceError(
                    f"The Chroma server at {self._url} cannot be used: {reason} Start it, or unset {SERVER} to keep "
                    "vectors in the workspace."
                ) from error
            raise DamagedIndex(
                f"The vectors in {self._path} cannot be read ({reason}). They can be made again: delete that folder."
            ) from error

    def _collection(self, kind: str) -> Any:
        if kind not in self._collections:
            self._collections[kind] = self._client.get_or_create_collection(
                f"{self._prefix}-{kind}", embedding_function=None, configuration={"hnsw": dict(_HNSW)}
            )
        return self._collections[kind]

    def mark(self, kind: str) -> Mapping[str, str]:
        """What `set_mark` noted last; empty if nothing was."""
        with self._trouble():
            return dict(self._collection(kind).metadata or {})

    def set_mark(self, kind: str, mark: Mapping[str, str]) -> None:
        """Notes which version of the workspace the collection shows."""
        with self._trouble():
            self._collection(kind).modify(metadata=dict(mark))

    def count(self, kind: str) -> int:
        """Number of vectors of a kind."""
        with self._trouble():
            return int(self._collection(kind).count())

    def stored(self, kind: str, users: Sequence[str] | None = None) -> Iterator[dict[str, StoredRow]]:
        """The ids of a kind, of some users or of all, with user and text hash.

        They come some at a time: SQLite takes 32,766 in one question, and there may be more than memory takes.
        """
        chosen = (
            [None]
            if users is None
            else [users[at : at + _USERS_AT_ONCE] for at in range(0, len(users), _USERS_AT_ONCE)]
        )
        for part in chosen:
            where = None if part is None else {"user_id": {"$in": list(part)}}
            start = 0
            while True:
                with self._trouble():
                    got = self._collection(kind).get(
                        where=where, include=["metadatas"], limit=_IDS_AT_ONCE, offset=start
                    )
                    found = _rows(got)
                yield found
                start += len(found)
                if len(found) < _IDS_AT_ONCE:
                    break

    def known(self, kind: str, ids: Sequence[str]) -> dict[str, StoredRow]:
        """Those of some ids that are stored, with user and text hash."""
        found: dict[str, StoredRow] = {}
        with self._trouble():
            for start in range(0, len(ids), _IDS_AT_ONCE):
                part = list(ids[start : start + _IDS_AT_ONCE])
                found.update(_rows(self._collection(kind).get(ids=part, include=["metadatas"])))
        return found

    def put(self, kind: str, ids: Sequence[str], rows: Sequence[StoredRow], vectors: Vectors) -> None:
        """Adds or replaces vectors."""
        with self._trouble():
            for start in range(0, len(ids), BATCH):
                part = slice(start, start + BATCH)
                self._collection(kind).upsert(
                    ids=list(ids[part]),
                    embeddings=vectors[part],
                    metadatas=[{"user_id": row.user_id, "digest": row.digest} for row in rows[part]],
                )

    def remove(self, kind: str, ids: Sequence[str]) -> None:
        """Deletes vectors by id."""
        with self._trouble():
            for start in range(0, len(ids), BATCH):
                self._collection(kind).delete(ids=list(ids[start : start + BATCH]))

    def nearest(self, kind: str, vector: Vectors, k: int, ids: Sequence[str] | None = None) -> list[Neighbour]:
        """The `k` stored vectors nearest to `vector` (shape (1, 384)), among `ids` if given, the nearest first.

        Raises:
            DamagedIndex: The collection holds vectors that its search structure does not know.
        """
        if ids is not None:
            parts = [ids[start : start + _IDS_AT_ONCE] for start in range(0, len(ids), _IDS_AT_ONCE)]
            found = [hit for part in parts for hit in self._query(kind, vector, k, list(part))]
            return sorted(found, key=lambda hit: -hit.score)[:k]
        found = self._query(kind, vector, k, None)
        if len(found) < min(k, self.count(kind)):
            with self._trouble():
                raise RuntimeError(f"{kind}: fewer vectors were found than are stored")
        return found

    def _query(self, kind: str, vector: Vectors, k: int, ids: list[str] | None) -> list[Neighbour]:
        with self._trouble():
            got = self._collection(kind).query(
                query_embeddings=vector, n_results=k, ids=ids, include=["distances", "metadatas"]
            )
            rows = zip(got["ids"][0], got["metadatas"][0], got["distances"][0], strict=True)
            return [Neighbour(key, str((meta or {}).get("user_id", "")), 1.0 - float(d)) for key, meta, d in rows]

    def wipe(self, kinds: Sequence[str]) -> None:
        """Deletes the collections of these kinds; of a workspace's own folder, the folder itself, bytes and all."""
        self._collections.clear()
        if self._url is None:
            self.close()
            wipe_folder(self._path.parent)
            self._client = self._open()
            return
        from chromadb.errors import NotFoundError

        for kind in kinds:
            with self._trouble(), suppress(NotFoundError):
                self._client.delete_collection(f"{self._prefix}-{kind}")

    def close(self) -> None:
        """Lets go of the folder or the connection."""
        with suppress(Exception):
            self._client.close()


def _rows(got: Any) -> dict[str, StoredRow]:
    """What Chroma gave, by id."""
    told = ((key, meta or {}) for key, meta in zip(got["ids"], got["metadatas"], strict=True))
    return {key: StoredRow(str(meta.get("user_id", "")), str(meta.get("digest", ""))) for key, meta in told}


def _drop_half_open(path: str) -> None:
    """Chroma shares one system per path in a process, and keeps one that failed to start; then nothing opens again."""
    from chromadb.api.shared_system_client import SharedSystemClient

    with suppress(AttributeError):
        SharedSystemClient._identifier_to_system.pop(path, None)
        SharedSystemClient._identifier_to_refcount.pop(path, None)


def wipe_folder(store_path: Path) -> None:
    """Deletes a workspace's vectors on disk, whatever state they are in."""
    path = store_path / FOLDER
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _workspace_name(store_path: Path) -> str:
    """A name for the workspace that no other one on the same server has: random, made once, kept in `index.json`.

    A copy of the workspace in another place gets its own name, so that two copies do not overwrite each other.
    """
    file, place = store_path / "index.json", str(store_path.resolve())
    with suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(file.read_text(encoding="utf-8"))
        if known["place"] == place:
            return f"limner-{known['name']}"
    name = secrets.token_hex(8)
    with replacing(file) as temporary:
        temporary.write_text(json.dumps({"name": name, "place": place}), encoding="utf-8")
    return f"limner-{name}"
