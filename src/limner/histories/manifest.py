"""The manifest: the one file that says which Parquet files make up a workspace.

A commit writes new Parquet files first and then replaces the manifest with one atomic rename, so that a crash at any
moment leaves either the state before or the state after, and a reader that holds a manifest sees one whole version.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from limner.errors import WorkspaceError

FORMAT = 1
"""Version of the manifest's layout; a workspace of a newer one is refused, not guessed at."""

BUCKETS = 16
"""Into how many files a large commit spreads its users: a user's rows are in one of them, so reading or erasing a
person touches a sixteenth of the data."""

ANY = -1
"""The bucket of a file that may have rows of any user, or whose table is not one of users."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """One Parquet file: its path inside the workspace, its bucket (`ANY`: of no one bucket), commit, row count and run.

    `run` is empty in workspaces written before runs could be undone. `of` is among how many buckets this is one, a
    multiple of the manifest's number; 0 where it is that number: a large load is spread over more files.
    """

    path: str
    bucket: int
    seq: int
    rows: int
    run: str = ""
    of: int = 0


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run that committed: what it was, when, and a small summary for `limner status`.

    `rows` says how many the run wrote to each table once its files cannot tell any more, as it was folded with others.
    """

    run: str
    command: str
    started: str
    committed: str
    seq: int
    summary: Mapping[str, Any] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Undone:
    """Runs that were taken back together, and the files that came from them, which stay where they are.

    Attributes:
        at: When, UTC.
        seq: The manifest's number then: nothing was committed since if it still is.
        runs: The runs, oldest first.
        tables: Their data files.
    """

    at: str
    seq: int
    runs: tuple[RunRecord, ...]
    tables: Mapping[str, tuple[DataFile, ...]]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole version of a workspace.

    Attributes:
        seq: Number of commits so far.
        buckets: Number of buckets, fixed when the workspace was made.
        tables: Data files of each table.
        runs: The runs that committed, oldest first.
        undone: What was taken back, the last one last.
        folded: The last commit that was folded together with others (`compaction`) and cannot be taken back.
    """

    seq: int = 0
    buckets: int = BUCKETS
    tables: Mapping[str, tuple[DataFile, ...]] = field(default_factory=dict)
    runs: tuple[RunRecord, ...] = ()
    undone: tuple[Undone, ...] = ()
    folded: int = 0

    def with_commit(self, files: Mapping[str, tuple[DataFile, ...]], run: RunRecord) -> Manifest:
        """This manifest with one more commit."""
        tables = dict(self.tables)
        for name, added in files.items():
            tables[name] = tables.get(name, ()) + added
        return replace(self, seq=run.seq, tables=tables, runs=(*self.runs, run))

    def files_of(self, name: str, numbers: Collection[int]) -> list[DataFile]:
        """The files of a table that rows of some users may be in, given the users' numbers (`store.number_of`)."""
        files = self.tables.get(name, ())
        wanted = {of: {number % (of or self.buckets) for number in numbers} for of in {file.of for file in files}}
        return [file for file in files if file.bucket == ANY or file.bucket in wanted[file.of]]

    def in_buckets(self, name: str, buckets: Collection[int]) -> list[DataFile]:
        """The files of a table that rows of some buckets may be in."""
        return [f for f in self.tables.get(name, ()) if f.bucket == ANY or f.bucket % self.buckets in buckets]

    def only(self, buckets: Collection[int], per_user: Collection[str]) -> Manifest:
        """This version with only the files of some buckets, of those tables that are of users."""
        shown = {name: tuple(self.in_buckets(name, buckets)) for name in self.tables if name in per_user}
        return replace(self, tables={**self.tables, **shown})

    def until(self, last: int) -> Manifest:
        """This version with only the files of commits up to one."""
        return replace(self, tables={n: tuple(f for f in files if f.seq <= last) for n, files in self.tables.items()})

    def to_json(self) -> str:
        """The manifest as stored."""
        return json.dumps(
            {
                "format": FORMAT,
                "seq": self.seq,
                "buckets": self.buckets,
                "tables": _files_to_json(self.tables),
                "runs": _runs_to_json(self.runs),
                "folded": self.folded,
                "undone": [[u.at, u.seq, _runs_to_json(u.runs), _files_to_json(u.tables)] for u in self.undone],
            },
            ensure_ascii=False,
        )


def _files_to_json(tables: Mapping[str, Sequence[DataFile]]) -> dict[str, Any]:
    return {name: [_file_to_json(file) for file in files] for name, files in tables.items()}


def _file_to_json(file: DataFile) -> list[Any]:
    return [file.path, file.bucket, file.seq, file.rows, file.run, *([file.of] if file.of else [])]


def _runs_to_json(runs: Sequence[RunRecord]) -> list[Any]:
    return [
        [r.run, r.command, r.started, r.committed, r.seq, dict(r.summary), *([dict(r.rows)] if r.rows else [])]
        for r in runs
    ]


def _files_from_json(raw: Mapping[str, Any]) -> dict[str, tuple[DataFile, ...]]:
    return {name: tuple(DataFile(*row) for row in rows) for name, rows in raw.items()}


def read_manifest(path: Path) -> Manifest:
    """Reads a manifest file.

    Raises:
        WorkspaceError: The file is damaged or of a newer format.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["format"] > FORMAT:
            raise WorkspaceError(f"{path} was written by a newer limner (format {raw['format']}). Upgrade limner.")
        runs = tuple(RunRecord(*row) for row in raw["runs"])
        undone = tuple(
            Undone(at, seq, tuple(RunRecord(*row) for row in rows), _files_from_json(files))
            for at, seq, rows, files in raw.get("undone", ())
        )
        tables = _files_from_json(raw["tables"])
        return Manifest(raw["seq"], raw["buckets"], tables, runs, undone, raw.get("folded", 0))
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
