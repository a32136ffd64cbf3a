"""Compaction: what many commits wrote becomes few files, and rows that nothing shows any more are dropped.

A commit only ever adds files, so a workspace that is brought up to date each night has ever more of them, and every
night's version of every fact. Of all but the newest runs, what is shown today is written into files of its own, which
take the place of the old ones in one step. Rows keep the commit and run they came with, so that nothing looks newer
than it is. The runs that were folded together cannot be taken back any more; the newest ones still can.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import duckdb

from limner.errors import UsageError, WorkspaceError
from limner.histories.manifest import ANY, DataFile, Manifest
from limner.histories.schema import HEADS, TABLES, Table
from limner.histories.store import FEW, Commit, Store, new_run_id
from limner.histories.undo import rows_written

COMMAND = "compact"
"""The first part of the run of its files."""

KEEP = 20
"""The newest runs that are left as they are, so that they can be taken back."""

MANY = 200
"""Files that could be replaced from which it is done without being asked."""

LEFT_OUT = frozenset({"identities"})
"""Tables that stay as they are: each row says when two ids became one person, and there are few."""

_PER_USER = frozenset(name for name, table in TABLES.items() if table.user)

Files = Mapping[str, tuple[DataFile, ...]]


@dataclass(frozen=True, slots=True)
class Compacted:
    """What a compaction did.

    Attributes:
        runs: Runs that were folded together.
        files: Files that were replaced.
        into: Files that replaced them.
        dropped: Rows that nothing showed any more.
    """

    runs: int = 0
    files: int = 0
    into: int = 0
    dropped: int = 0


def compact_if_due(store: Store) -> Compacted:
    """Compacts a workspace with very many files to replace; if that cannot be done just now, it stays as it is."""
    version = store.manifest()
    if sum(map(len, _replaceable(version, _last_folded(version, KEEP)).values())) >= MANY:
        with suppress(WorkspaceError):  # The next run tries again.
            return compact(store, keep=KEEP)
    return Compacted()


def compact(store: Store, *, keep: int = KEEP) -> Compacted:
    """Folds together what all runs but the newest wrote. Readers see the same rows before, meanwhile and after.

    Files that were replaced stay on the disk for a day, for readers that began before.

    Args:
        store: The workspace's tables.
        keep: How many of the newest runs stay as they are.

    Raises:
        UsageError: `keep` is negative.
        WorkspaceError: The workspace cannot be written, or another process changed what was being folded.
    """
    if keep < 0:
        raise UsageError(f"Cannot keep {keep} runs. Give nought or more.")
    version = store.manifest()
    last = _last_folded(version, keep)
    old = _replaceable(version, last)
    if not old:
        return Compacted()
    before = version.until(last)
    commit = Commit(store, COMMAND, new_run_id(COMMAND))
    try:
        new = {name: tuple(_written(commit, before, TABLES[name], files)) for name, files in old.items()}
        store.change(lambda present: _replaced(store, present, old, new, last))
    except duckdb.Error as error:
        commit.discard()
        raise WorkspaceError(
            f"Cannot fold {store.path}: {str(error).splitlines()[0]} Nothing was changed. Check memory and free space."
        ) from error
    except BaseException:
        commit.discard()
        raise
    _retire(store, version, old)
    rows_before, rows_after = (sum(file.rows for files in tables.values() for file in files) for tables in (old, new))
    return Compacted(
        runs=len({record.run for record in version.runs if version.folded < record.seq <= last}),
        files=sum(map(len, old.values())),
        into=sum(map(len, new.values())),
        dropped=rows_before - rows_after,
    )


def _last_folded(version: Manifest, keep: int) -> int:
    """The last commit that is folded: before the newest runs, and such that no run reaches beyond it."""
    commits: dict[str, list[int]] = {}
    for record in version.runs:
        commits.setdefault(record.run, []).append(record.seq)
    for files in version.tables.values():  # Of a commit that another one overtook, files have an earlier number.
        for file in files:
            if file.run in commits:
                commits[file.run].append(file.seq)
    newest = sorted(commits.values(), key=max, reverse=True)
    last = min((min(numbers) - 1 for numbers in newest[:keep]), default=version.seq)
    for numbers in newest:
        if min(numbers) <= last < max(numbers):
            last = min(numbers) - 1
    return last


def _replaceable(version: Manifest, last: int) -> Files:
    """The files that are worth replacing, of the commits up to the last folded one.

    Of a table whose rows may have been superseded these are all, else those of small commits.
    """
    found = {}
    for name, files in version.tables.items():
        table = TABLES[name]
        old = [file for file in files if file.seq <= last]
        if not table.superseded:
            large = {_folder(file) for file in old if file.rows * 4 > table.most}
            old = [file for file in old if _folder(file) not in large]
        if name not in LEFT_OUT and len(old) > len(_buckets(version, table, old)):
            found[name] = tuple(old)
    return found


def _buckets(version: Manifest, table: Table, files: Sequence[DataFile]) -> Sequence[int]:
    """The buckets that the rows of some files go to: all, or one for any user where they are few."""
    return range(version.buckets) if table.user and sum(file.rows for file in files) > FEW else (ANY,)


def _folder(file: DataFile) -> str:
    """The folder of a commit that a file is in: `tables/NAME/FOLDER/bucket=N/data_0.parquet`."""
    return PurePosixPath(file.path).parts[2]


def _written(commit: Commit, before: Manifest, table: Table, files: tuple[DataFile, ...]) -> Iterator[DataFile]:
    """Writes the rows of some files of a table that are still shown, bucket by bucket if there are many."""
    folder = commit.new_folder(table.name)
    for bucket in _buckets(before, table, files):
        part = replace(before, tables={**before.tables, table.name: files})
        if bucket != ANY:
            part = part.only([bucket], _PER_USER)
        columns = ", ".join(f'"{name}"' for name in table.schema.names)
        query = f"SELECT {columns} FROM ({table.lasting.format(raw=f'raw_{table.name}')})"
        if bucket != ANY:
            query += f" WHERE md5_number_lower({table.user}) % {before.buckets} = {bucket}"
        if table.order:
            query += f" ORDER BY {', '.join(table.order)}"
        path = folder / f"bucket={bucket}" / "data_0.parquet"
        with commit.store.read(part, tables=[*HEADS, table.name], merged=False) as connection:
            rows = commit.move_file(table.name, connection, query, path)
        if rows:
            last = max(file.seq for file in files)
            yield DataFile(path.relative_to(commit.store.path).as_posix(), bucket, last, rows, commit.run)


def _replaced(store: Store, present: Manifest, old: Files, new: Files, last: int) -> Manifest:
    """The present manifest with new files in place of old ones."""
    tables = dict(present.tables)
    for name, files in old.items():
        gone = {file.path for file in files}
        left = tuple(file for file in tables.get(name, ()) if file.path not in gone)
        if len(left) + len(gone) != len(tables.get(name, ())):
            raise WorkspaceError(f"Another process changed {store.path} meanwhile. Nothing was lost; run it again.")
        tables[name] = (*new[name], *left)
    runs = tuple(
        replace(record, rows=rows_written(record.run, present.runs, present.tables)) if record.seq <= last else record
        for record in present.runs
    )
    return replace(present, tables=tables, runs=runs, undone=(), folded=max(last, present.folded))


def _retire(store: Store, version: Manifest, old: Files) -> None:
    """Lets the folders of files that no manifest names any more look new, so that `Store.sweep` waits a day."""
    for tables in (old, *(undone.tables for undone in version.undone)):
        for name, files in tables.items():
            for folder in {_folder(file) for file in files}:
                with suppress(OSError):
                    os.utime(store.path / "tables" / name / folder)
