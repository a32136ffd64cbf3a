"""The store of a workspace: append-only Parquet under one manifest, read through DuckDB.

Example:
    store = Store.open(Path(".limner"))
    with store.commit("extract") as commit:
        commit.add("signals", arrow_table)
    with store.read() as db:
        db.sql("SELECT count(*) FROM signals")
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
from filelock import FileLock, Timeout

from limner.errors import WorkspaceError
from limner.histories.manifest import ANY, DataFile, Manifest, RunRecord, read_manifest, utc_now, write_manifest
from limner.histories.memory import memory_limit
from limner.histories.merged import CURRENT_USERS, as_people, define_people, with_members
from limner.histories.schema import PRESENT_TRAITS, TABLES, TITLED_EVENTS, Table

if TYPE_CHECKING:
    import pandas as pd

LOCK_SECONDS = 30.0
"""How long a commit waits for another process's commit before it gives up."""


PARQUET = "FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION V2"
"""How files are written. The second version's encodings of ids and times take a tenth off the events."""

FEW = 20_000
"""Rows of users up to which a commit writes one file and not one for each bucket: files cost time to open."""

LEFT_SECONDS = 86_400.0
"""Files that no manifest names are left behind by a killed process when they have been there for so long."""


def new_run_id(command: str) -> str:
    """A run id that sorts by time: `extract-20260102T030405-1a2b3c`."""
    return f"{command}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def quote_path(path: Path | str) -> str:
    """A path as an SQL string literal."""
    return "'" + str(path).replace("'", "''") + "'"


def number_of(user: str) -> int:
    """The number of a user, of which the rest is the bucket: the lower half of the id's MD5, as `md5_number_lower`."""
    digest = hashlib.md5(user.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
    return int.from_bytes(digest[8:], "little")


def arrow(connection: duckdb.DuckDBPyConnection, query: str, parameters: list[Any] | None = None) -> pa.Table:
    """The answer of a query as an Arrow table. Parameters stand as `?` or `$1`."""
    return connection.sql(query, params=parameters or None).to_arrow_table()


def damaged(table: Table, path: Path, error: Exception) -> WorkspaceError:
    """The error for a file of a table that cannot be read."""
    return WorkspaceError(
        f"A file of the table {table.name} in {path} is missing or damaged: "
        f"{str(error).splitlines()[0]}. Restore the folder from a backup, or load the data anew."
    )


class Store:
    """The tables of one workspace folder.

    Attributes:
        path: The workspace folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: tuple[tuple[int, int, int], Manifest] | None = None
        self._keeping = threading.Lock()
        self._kept: tuple[Manifest, dict[bool, duckdb.DuckDBPyConnection]] | None = None

    @classmethod
    def open(cls, path: Path | str, *, create: bool = False) -> Store:
        """Opens a workspace.

        Args:
            path: The workspace folder.
            create: Make it if it does not exist.

        Raises:
            WorkspaceError: There is none and `create` is false, or it cannot be made or read.
        """
        store = cls(Path(path).expanduser())
        if store._manifest_path.is_file():
            read_manifest(store._manifest_path)
            return store
        if not create:
            raise WorkspaceError(
                f"No workspace at {store.path}. "
                "Load data first with `limner ingest FILE`, or name one with --workspace."
            )
        try:
            store.path.mkdir(parents=True, exist_ok=True)
            with store._locked():
                if not store._manifest_path.is_file():
                    write_manifest(store._manifest_path, Manifest())
        except OSError as error:
            reason = error.strerror or str(error)
            raise WorkspaceError(
                f"Cannot create a workspace at {store.path}: {reason}. Choose a folder you can write with --workspace."
            ) from error
        return store

    @property
    def _manifest_path(self) -> Path:
        return self.path / "manifest.json"

    def exists(self) -> bool:
        """Whether the workspace is still there."""
        return self._manifest_path.is_file()

    def manifest(self) -> Manifest:
        """The present manifest; read anew only if its file was replaced."""
        try:
            found = self._manifest_path.stat()
        except OSError:
            return read_manifest(self._manifest_path)
        state = (found.st_ino, found.st_size, found.st_mtime_ns)
        if self._read is None or self._read[0] != state:
            self._read = (state, read_manifest(self._manifest_path))
        return self._read[1]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            with FileLock(str(self.path / "lock"), timeout=LOCK_SECONDS):
                yield
        except Timeout as error:
            raise WorkspaceError(
                f"Another limner process has been writing {self.path} for {LOCK_SECONDS:.0f} s. Try again when it ends."
            ) from error

    def change(self, changed: Callable[[Manifest], Manifest]) -> Manifest:
        """Replaces the manifest by what a function makes of the present one, alone; returns the new one."""
        with self._locked():
            manifest = changed(self.manifest())
            write_manifest(self._manifest_path, manifest)
        return manifest

    @contextmanager
    def read(
        self,
        manifest: Manifest | None = None,
        *,
        users: Collection[str] | None = None,
        tables: Collection[str] | None = None,
        merged: bool = True,
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A DuckDB connection with one view per table over one whole version of the workspace.

        The views are named as in `schema.TABLES`; `raw_NAME` shows every row ever written, `titled_events` is `events`
        with the item table's title and category where the event itself has none, and `present_traits` those of
        `traits` that hold now. Others may read from the same database: make only temporary tables and views.

        Args:
            manifest: The version; the present one if None.
            users: Of tables of users only the files that these users' rows may be in: other users' rows may be missing.
            tables: Only these tables need views; all if None.
            merged: What was stored under merged ids is the person's; else it stands under the ids it came with.
        """
        if manifest is None and users is None and (connection := self._cursor(merged, every=tables is None)):
            with closing(connection):
                yield connection
            return
        with closing(self._viewing(manifest or self.manifest(), users, tables, merged)) as connection:
            yield connection

    def _cursor(self, merged: bool, *, every: bool) -> duckdb.DuckDBPyConnection | None:
        """A connection to the database with the views of the present version, which is kept until there is another.

        Made if `every` view is wanted; else None if there is none.
        """
        with self._keeping:
            version = self.manifest()
            if self._kept is None or self._kept[0] is not version:
                self._kept = (version, {})  # The database of another version ends with its last reader.
            known = self._kept[1]
            if merged not in known:
                if not every:
                    return None
                known[merged] = self._viewing(version, None, None, merged)
                known[merged].execute("SET GLOBAL parquet_metadata_cache = true")
            return known[merged].cursor()

    def _viewing(
        self, version: Manifest, users: Collection[str] | None, tables: Collection[str] | None, merged: bool
    ) -> duckdb.DuckDBPyConnection:
        """A database of its own with the views that `read` describes."""
        people = merged and bool(version.tables.get("identities"))
        chosen = TABLES if tables is None else {name: TABLES[name] for name in tables}
        connection = self.connect()
        try:
            connection.execute("SET GLOBAL TimeZone = 'UTC'")
            if people:
                define_people(connection, self._parquet(version.tables["identities"]))
                users = None if users is None else with_members(connection, users)
            numbers = None if users is None else {number_of(user) for user in users}
            for table in chosen.values():
                self._define(connection, table, version, numbers if table.user else None, people)
            if {"events", "items"} <= set(chosen):
                connection.execute(f"CREATE VIEW titled_events AS {TITLED_EVENTS}")
            if "traits" in chosen:
                connection.execute(f"CREATE VIEW present_traits AS {PRESENT_TRAITS}")
        except BaseException:
            connection.close()
            raise
        return connection

    def connect(self) -> duckdb.DuckDBPyConnection:
        """A database of its own that keeps to `LIMNER_MEMORY` and puts what does not fit into the workspace."""
        return duckdb.connect(config={"temp_directory": str(self.path / "tmp"), "memory_limit": memory_limit()})

    def _parquet(self, files: Iterable[DataFile]) -> str:
        """SQL for the rows of data files."""
        paths = ", ".join(quote_path(self.path / f.path) for f in files)
        return f"read_parquet([{paths}], union_by_name = true, hive_partitioning = false)"

    def _define(
        self,
        connection: duckdb.DuckDBPyConnection,
        table: Table,
        version: Manifest,
        numbers: Collection[int] | None,
        people: bool,
    ) -> None:
        every = version.tables.get(table.name, ())
        files = every if numbers is None else version.files_of(table.name, numbers)
        source = f"empty_{table.name}"
        if not files or table.grown:
            columns = ", ".join(f"{_name(field.name)} {_sql_type(field.type)}" for field in table.schema)
            connection.execute(f"CREATE TABLE {source} ({columns})")
        if files:
            source = self._parquet(files)
            if table.grown:
                source = f"(SELECT * FROM empty_{table.name} UNION ALL BY NAME SELECT * FROM {source})"
        if people:
            source = as_people(table.name, source)
        try:
            connection.execute(f"CREATE VIEW raw_{table.name} AS SELECT * FROM {source}")
        except (duckdb.IOException, duckdb.InvalidInputException) as error:
            raise damaged(table, self.path, error) from error
        current = CURRENT_USERS if people and table.name == "users" else table.current
        connection.execute(f"CREATE VIEW {table.name} AS {current.format(raw='raw_' + table.name)}")

    def narrow(
        self, connection: duckdb.DuckDBPyConnection, version: Manifest, name: str, buckets: Collection[int]
    ) -> None:
        """Lets the views of a table of users on a connection of `read` show only some buckets, until called again.

        Rows of other buckets may be shown too: those of files that have rows of any. Only for a connection that was
        asked for with its version, which has a database of its own, and not for a version with merged ids, whose views
        have a shape of their own.
        """
        files, chosen = version.tables.get(name, ()), version.in_buckets(name, buckets)
        if files:
            shown = f"SELECT * FROM {self._parquet(chosen or files)}{'' if chosen else ' WHERE false'}"
            connection.execute(f"CREATE OR REPLACE VIEW raw_{name} AS {shown}")

    def frame(self, query: str, parameters: list[Any] | None = None) -> pd.DataFrame:
        """The answer of a query over the present tables, as a pandas frame."""
        with self.read() as connection:
            return connection.execute(query, parameters or []).df()

    def rows(self, query: str, parameters: list[Any] | None = None) -> list[dict[str, Any]]:
        """The answer of a query over the present tables, as dictionaries (nested columns as lists and dictionaries)."""
        with self.read() as connection:
            found: list[dict[str, Any]] = arrow(connection, query, parameters).to_pylist()
        return found

    def sweep(self, manifest: Manifest, *, older: float = LEFT_SECONDS) -> int:
        """Removes what killed processes left behind; returns how many files and folders that were.

        Args:
            manifest: The present manifest; what it names, undone runs included, stays.
            older: Only what has not changed for so many seconds: a commit may be under way.
        """
        versions = [manifest.tables, *(undone.tables for undone in manifest.undone)]
        named = {PurePosixPath(f.path).parts[2] for tables in versions for files in tables.values() for f in files}
        found = [path for path in self.path.glob("tables/*/*") if path.name not in named]
        found += [*self.path.glob("tmp/*"), *self.path.glob("manifest.*.tmp")]
        before, removed = time.time() - older, 0
        for path in found:
            try:
                if path.stat().st_mtime < before:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
                    removed += 1
            except OSError:
                continue  # Another process was quicker, or it is in use.
        return removed

    @contextmanager
    def commit(self, command: str, *, run: str | None = None) -> Iterator[Commit]:
        """Collects files of a run and commits them together when the block ends without an error.

        Several commits may share one `run`. If the block raises, or the process dies, nothing of it is seen.
        """
        commit = Commit(self, command, run or new_run_id(command))
        try:
            yield commit
            if commit.files:
                commit.finish()
        except BaseException:
            commit.discard()
            raise


@dataclass(frozen=True, slots=True)
class Written:
    """A file written for a commit, as the manifest will name it (`manifest.DataFile`)."""

    path: Path
    bucket: int
    rows: int
    of: int


@dataclass
class Commit:
    """Files being written for one commit. Made by `Store.commit`."""

    store: Store
    command: str
    run: str
    started: str = field(default_factory=utc_now)
    summary: dict[str, Any] = field(default_factory=dict)
    files: dict[str, list[Written]] = field(default_factory=dict)
    folders: list[Path] = field(default_factory=list)
    seq: int | None = None
    undone: int = 0

    def add(self, name: str, rows: pa.Table | list[dict[str, Any]]) -> int:
        """Adds rows, given as an Arrow table or dictionaries with the table's columns; returns how many."""
        table = TABLES[name]
        if isinstance(rows, list):
            rows = pa.Table.from_pylist(rows, schema=pa.schema(table.columns))
        with self.store.connect() as connection:
            connection.register("incoming", rows)
            return self.add_query(name, connection, "SELECT * FROM incoming")

    def add_query(self, name: str, connection: duckdb.DuckDBPyConnection, query: str, *, split: int = 1) -> int:
        """Adds the rows of a query run on `connection`, out of core; returns how many.

        The query's columns are matched by name and cast to the table's types; columns it lacks are null. Up to `FEW`
        rows go to one file. Of more, those of each bucket go to so many files as `split` says.

        Raises:
            WorkspaceError: The workspace cannot be written, or a row of a table of users has no user.
        """
        table = TABLES[name]
        version = self.store.manifest()
        folder = self.new_folder(name)
        # One user's rows stand together, so that reading one touches one group of rows of a file.
        order = f"ORDER BY {', '.join(table.order)}" if table.order else ""
        rows, written = 0, f"SELECT {self._chosen(table, connection, query)} FROM ({query})"
        one = folder / f"bucket={ANY}" / "data_0.parquet"
        if split == 1 or not table.user:
            one.parent.mkdir()
            rows = self._copy(table, connection, f"{written} {order}", one)
            written = f"SELECT * FROM read_parquet({quote_path(one)}, hive_partitioning = false)"
            if table.user and connection.execute(f"{written} WHERE {table.user} IS NULL LIMIT 1").fetchall():
                raise _no_user(table)
        if table.user and (split > 1 or rows > FEW):
            bucket = f"(md5_number_lower({table.user}) % {version.buckets * split})::INTEGER AS bucket"
            query = f"SELECT *, {bucket} FROM ({written}) {order}"
            rows = self._copy(table, connection, query, folder, ", PARTITION_BY (bucket), OVERWRITE_OR_IGNORE")
            shutil.rmtree(one.parent, ignore_errors=True)
        elif not rows:
            shutil.rmtree(one.parent)
        self.take(name, folder, split)
        return rows

    def split(self, name: str, rows: int) -> int:
        """Over how many files the rows of each bucket are best spread, for so many rows of all buckets."""
        split = 1
        while rows > self.store.manifest().buckets * split * TABLES[name].most:
            split *= 2
        return split

    def write_file(self, name: str, connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> int:
        """Writes rows as `add_query` does, in the order of the query, to one file below a folder of `new_folder`."""
        path.parent.mkdir(exist_ok=True)
        chosen = self._chosen(TABLES[name], connection, query)
        return self._copy(TABLES[name], connection, f"SELECT {chosen} FROM ({query})", path)

    def move_file(self, name: str, connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> int:
        """Writes rows that were committed before, with the `run` and `seq` they have; none makes no file."""
        path.parent.mkdir(exist_ok=True)
        rows = self._copy(TABLES[name], connection, query, path)
        if not rows:
            path.unlink()
        return rows

    def _chosen(self, table: Table, connection: duckdb.DuckDBPyConnection, query: str) -> str:
        """SQL for the table's columns, and the run and commit, from those of a query."""
        have = {row[0] for row in connection.execute(f"DESCRIBE {query}").fetchall()}
        chosen = ", ".join(
            f"CAST({_name(c) if c in have else 'NULL'} AS {_sql_type(t)}) AS {_name(c)}" for c, t in table.columns
        )
        return f"{chosen}, {quote_path(self.run)} AS run, {self._sequence()}::BIGINT AS seq"

    def _copy(
        self, table: Table, connection: duckdb.DuckDBPyConnection, query: str, target: Path, options: str = ""
    ) -> int:
        how = f"{PARQUET}, ROW_GROUP_SIZE {table.group}{options}"
        try:
            written = connection.execute(f"COPY ({query}) TO {quote_path(target)} ({how})").fetchone()
        except duckdb.IOException as error:
            raise WorkspaceError(
                f"Cannot write {self.store.path}: {str(error).splitlines()[0]}. Free some space or check permissions."
            ) from error
        return int(written[0]) if written else 0

    def take(self, name: str, folder: Path, split: int = 1) -> None:
        """Takes the files of a folder of `new_folder`, one folder `bucket=N` for each bucket, into the commit.

        Args:
            name: The table.
            folder: The folder.
            split: How many buckets of the folder are one of the manifest.
        """
        of = self.store.manifest().buckets * split if split > 1 else 0
        added = self.files.setdefault(name, [])
        for path in sorted(folder.glob("bucket=*/*.parquet")):
            number = path.parent.name.removeprefix("bucket=")
            if not number.lstrip("-").isdecimal():
                raise _no_user(TABLES[name])
            added.append(Written(path, int(number), _row_count(path), of))

    def new_folder(self, name: str) -> Path:
        """A new folder for files of a table, remembered so that `discard` finds it."""
        folder = self.store.path / "tables" / name / f"{new_run_id(self.command)}-{secrets.token_hex(4)}"
        self.folders.append(folder)
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise WorkspaceError(
                f"Cannot write {self.store.path}: {error.strerror}. Check the folder's permissions and free space."
            ) from error
        return folder

    def _sequence(self) -> int:
        """The number this commit expects to get; `finish` holds to it under the lock."""
        if self.seq is None:
            manifest = self.store.manifest()
            self.seq, self.undone = manifest.seq + 1, len(manifest.undone)
        return self.seq

    def finish(self) -> None:
        """Commits the files.

        Raises:
            WorkspaceError: Another process committed meanwhile to the same tables.
        """
        with self.store._locked():
            manifest = self.store.manifest()
            seq = self._sequence()
            if manifest.seq >= seq and self._conflicts(manifest, seq):
                raise WorkspaceError(
                    f"Another limner process changed {self.store.path} while `{self.command}` was running. "
                    "Nothing was lost; run the command again."
                )
            files = {name: tuple(map(self._named, added)) for name, added in self.files.items()}
            record = RunRecord(self.run, self.command, self.started, utc_now(), max(seq, manifest.seq), self.summary)
            manifest = manifest.with_commit(files, record)
            write_manifest(self.store._manifest_path, manifest)
            self.store.sweep(manifest)

    def _named(self, file: Written) -> DataFile:
        """A file as the manifest names it."""
        path = file.path.relative_to(self.store.path).as_posix()
        return DataFile(path, file.bucket, self._sequence(), file.rows, self.run, file.of)

    def _conflicts(self, manifest: Manifest, seq: int) -> bool:
        """Whether a table of this commit was written by a commit that this one did not see, or a run was taken back."""
        return len(manifest.undone) != self.undone or any(
            f.seq >= seq for name in self.files for f in manifest.tables.get(name, ())
        )

    def discard(self) -> None:
        """Removes the files of a commit that will not happen.

        An interrupt can come when the manifest has just been replaced: files that it names are kept.
        """
        try:
            manifest = self.store.manifest()
        except WorkspaceError:
            return
        versions = [manifest.tables, *(undone.tables for undone in manifest.undone)]
        named = {self.store.path / f.path for tables in versions for files in tables.values() for f in files}
        used = {path.parent.parent for path in named}
        for folder in self.folders:
            if folder not in used:
                shutil.rmtree(folder, ignore_errors=True)


def _no_user(table: Table) -> WorkspaceError:
    return WorkspaceError(f"A row for the table {table.name} has no {table.user}. Leave such rows out.")


def _row_count(path: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


_SQL_TYPES: Mapping[pa.DataType, str] = {
    pa.string(): "VARCHAR",
    pa.float64(): "DOUBLE",
    pa.int64(): "BIGINT",
    pa.int32(): "INTEGER",
    pa.bool_(): "BOOLEAN",
    pa.timestamp("us"): "TIMESTAMP",
}


def _sql_type(kind: pa.DataType) -> str:
    """The DuckDB name of an Arrow type used in `schema.TABLES`."""
    if pa.types.is_list(kind):
        return f"{_sql_type(kind.value_type)}[]"
    if pa.types.is_struct(kind):
        return "STRUCT(" + ", ".join(f"{_name(f.name)} {_sql_type(f.type)}" for f in kind) + ")"
    return _SQL_TYPES[kind]
