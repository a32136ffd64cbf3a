"""The manifest: the one file that says which Parquet files make up a workspace.

A commit writes new Parquet files first and then replaces the manifest with one atomic rename, so that a crash at any
moment leaves either the state before or the state after, and a reader that holds a manifest sees one whole version.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from limner.errors import WorkspaceError

FORMAT = 1
"""Version of the manifest's layout; a workspace of a newer one is refused, not guessed at."""

BUCKETS = 16
"""Into how many files a commit spreads its users. Few enough that a laptop's commit stays small; a user's rows are in
one of them, so reading or erasing a person touches a sixteenth of the data."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """One Parquet file: its path inside the workspace, its bucket (-1: not per user), the commit and the row count."""

    path: str
    bucket: int
    seq: int
    rows: int


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run that committed: what it was, when, and a small summary for `limner status`."""

    run: str
    command: str
    started: str
    committed: str
    seq: int
    summary: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole version of a workspace.

    Attributes:
        seq: Number of commits so far.
        buckets: Number of buckets, fixed when the workspace was made.
        tables: Data files of each table.
        runs: The runs that committed, oldest first.
    """

    seq: int = 0
    buckets: int = BUCKETS
    tables: Mapping[str, tuple[DataFile, ...]] = field(default_factory=dict)
    runs: tuple[RunRecord, ...] = ()

    def with_commit(self, files: Mapping[str, tuple[DataFile, ...]], run: RunRecord) -> Manifest:
        """This manifest with one more commit."""
        tables = dict(self.tables)
        for name, added in files.items():
            tables[name] = tables.get(name, ()) + added
        return replace(self, seq=run.seq, tables=tables, runs=(*self.runs, run))

    def to_json(self) -> str:
        """The manifest as stored."""
        return json.dumps(
            {
                "format": FORMAT,
                "seq": self.seq,
                "buckets": self.buckets,
                "tables": {
                    name: [[f.path, f.bucket, f.seq, f.rows] for f in files] for name, files in self.tables.items()
                },
                "runs": [[r.run, r.command, r.started, r.committed, r.seq, dict(r.summary)] for r in self.runs],
            },
            ensure_ascii=False,
        )


def read_manifest(path: Path) -> Manifest:
    """Reads a manifest file.

    Raises:
        WorkspaceError: The file is damaged or of a newer format.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["format"] > FORMAT:
            raise WorkspaceError(f"{path} was written by a newer limner (format {raw['format']}). Upgrade limner.")
        tables = {name: tuple(DataFile(*row) for row in rows) for name, rows in raw["tables"].items()}
        runs = tuple(RunRecord(*row) for row in raw["runs"])
        return Manifest(raw["seq"], raw["buckets"], tables, runs)
    except OSError as error:
        raise WorkspaceError(f"Cannot read {path}: {error.strerror}. Check the folder's permissions.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WorkspaceError(
            f"{path} is not a limner manifest ({error}). Restore it from a backup, or choose another --workspace."
        ) from error


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Replaces the manifest atomically and durably (fsync of file and folder).

    Raises:
        WorkspaceError: The folder cannot be written; the manifest is then the one that was there.
    """
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(manifest.to_json())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise WorkspaceError(
            f"Cannot write {path}: {error.strerror}. Check the folder's permissions and free space."
        ) from error
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def utc_now() -> str:
    """The present time in UTC, ISO 8601 to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
