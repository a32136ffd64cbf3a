"""A content-addressed cache of embeddings: the same text is never embedded twice by one workspace.

The key is the SHA-256 of the embedder's name, the role (query or passage) and the text, so the cache holds no text.
Vectors are kept as 16-bit floats (half the disk; the cosine of two vectors moves by less than 0.001, which is under
what 4-bit weights lose anyway). SQLite in WAL mode lets several processes read and write at the same time.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from limner.errors import WorkspaceError

Vectors = npt.NDArray[np.float32]
"""One row per text, unit length."""

T = TypeVar("T")

_CHUNK = 500
"""Keys asked for in one statement: under SQLite's old limit of 999 variables."""

_WAIT_SECONDS = 30.0


def text_key(embedder: str, role: str, text: str) -> bytes:
    """The cache key of a text for one embedder and role."""
    return hashlib.sha256(f"{embedder}\0{role}\0{text}".encode("utf-8", "surrogatepass")).digest()


class VectorCache:
    """Embeddings by key in one SQLite file.

    The file holds only what can be computed again, so a damaged one is thrown away and made anew.
    """

    def __init__(self, path: Path) -> None:
        """Names the file; it is made on first use."""
        self.path = path

    def get(self, keys: Sequence[bytes]) -> dict[bytes, npt.NDArray[np.float16]]:
        """The vectors that are known, by key."""

        def read(database: sqlite3.Connection) -> dict[bytes, npt.NDArray[np.float16]]:
            found: dict[bytes, npt.NDArray[np.float16]] = {}
            for start in range(0, len(keys), _CHUNK):
                part = keys[start : start + _CHUNK]
                marks = ",".join("?" * len(part))
                rows = database.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", part)
                found.update((key, np.frombuffer(vector, dtype=np.float16)) for key, vector in rows)
            return found

        return self._run(read)

    def put(self, keys: Sequence[bytes], vectors: npt.NDArray[np.float16]) -> None:
        """Keeps vectors, one row per key. A key that is known already is left as it is."""
        rows = [(key, vector.tobytes()) for key, vector in zip(keys, vectors, strict=True)]
        self._run(lambda database: database.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows))

    def retain(self, keys: Iterable[bytes]) -> int:
        """Deletes every vector whose key is not among `keys`, which may be very many; returns how many were deleted."""
        kept = ((key,) for key in keys)

        def delete(database: sqlite3.Connection) -> int:
            database.execute("CREATE TEMP TABLE kept (key BLOB PRIMARY KEY) WITHOUT ROWID")
            database.executemany("INSERT OR IGNORE INTO kept VALUES (?)", kept)
            return database.execute("DELETE FROM vectors WHERE key NOT IN (SELECT key FROM kept)").rowcount

        return self._run(delete)

    def forget(self, keys: Sequence[bytes]) -> None:
        """Deletes the vectors of some keys."""
        self._run(lambda database: database.executemany("DELETE FROM vectors WHERE key = ?", [(key,) for key in keys]))

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Does the work in one transaction; a damaged file is thrown away and the work done on a new one."""
        try:
            return self._transact(work)
        except sqlite3.OperationalError as error:
            raise WorkspaceError(
                f"Cannot use the embedding cache {self.path}: {error}. Check the folder's permissions and free space."
            ) from error
        except sqlite3.DatabaseError:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)
            return self._transact(work)

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = sqlite3.connect(self.path, timeout=_WAIT_SECONDS)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")
            with connection:
                return work(connection)
        finally:
            connection.close()
