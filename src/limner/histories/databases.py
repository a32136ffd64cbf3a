"""Tables and queries of PostgreSQL, SQLite, MySQL and MariaDB, read as a stream of Arrow batches.

PostgreSQL is read through ADBC. MySQL and MariaDB have no ADBC driver in the package registry: PyMySQL reads them.
SQLite is read by the standard library, because in a column that holds texts beside numbers ADBC's driver rounds the
numbers to seven digits. All of them read only, and row by row as they come: a table of any size passes through.

With an incremental column, only rows from the highest value seen on are asked for, that value included, because rows
with the same one may have come later; those seen before are duplicates. Rows without a value are read each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import quote, unquote, urlsplit

import pyarrow as pa

from limner.errors import DataError, LimnerError, MissingExtra, UsageError
from limner.histories.addresses import Address

MarkValue = str | int | float
"""The highest value of an incremental column, as text where the database does not tell numbers from text."""

FETCHED = 20_000
"""Rows taken at a time from drivers that give Python values."""

SECONDS = 10
"""How long to wait for a connection."""


@dataclass(frozen=True, slots=True)
class TableSource:
    """A table or query of a database.

    Attributes:
        name: How it is named in tables and in the quarantine.
        address: Where the database is.
        table: The table, perhaps with its schema; empty if `query` is given.
        query: What to ask instead.
        increment: The column that grows with each new or changed row; empty: all rows are read each time.
        after: The highest value of that column that was read; None before the first load.
        format: Tells it from files.
    """

    name: str
    address: Address
    table: str = ""
    query: str = ""
    increment: str = ""
    after: MarkValue | None = None
    format: Literal["database"] = "database"


class Connection(Protocol):
    """An open database."""

    def rows(self, query: str) -> pa.RecordBatchReader:
        """The answer of a query, batch by batch."""

    def value(self, query: str) -> Any:
        """The one value of a query's answer."""

    def literal(self, value: MarkValue) -> str:
        """A value as it stands in SQL."""

    def close(self) -> None:
        """Ends the connection."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One kind of database.

    Attributes:
        open: Opens an address.
        mark: What stands before and after a name.
        newest: SQL for the highest value of a column.
        tables: A query that lists its tables.
    """

    open: Callable[[Address], Connection]
    mark: str
    newest: str
    tables: str

    def name(self, name: str) -> str:
        """A name in SQL."""
        return self.mark + name.replace(self.mark, self.mark * 2) + self.mark

    def rows_of(self, source: TableSource) -> str:
        """What stands after FROM."""
        if source.query:
            return f"({source.query.strip().rstrip(';')}) AS limner_rows"
        return ".".join(self.name(part) for part in source.table.split("."))


def table_source(address: Address, name: str = "") -> TableSource:
    """The source that an address names.

    Raises:
        UsageError: It names no table and no query, or both.
    """
    table, query = address.own.get("table", ""), address.own.get("query", "")
    if table and query:
        raise UsageError(f"{address.shown} names a table and a query. Name one of them.")
    place = urlsplit(address.shown).path.rsplit("/", 1)[-1]
    return TableSource(name or f"{place}/{table or 'query'}", address, table, query, address.own.get("increment", ""))


@contextmanager
def connected(address: Address) -> Iterator[Connection]:
    """An open connection; errors of the driver become errors with the address as it may be shown, without secrets.

    Raises:
        DataError: The database cannot be reached or refuses what is asked.
        MissingExtra: Its driver is not installed.
    """
    connection: Connection | None = None
    try:
        connection = ENGINES[address.scheme].open(address)
        yield connection
    except LimnerError:
        raise
    except ImportError as error:
        raise MissingExtra(f"The driver for {address.scheme}", "databases") from error
    except Exception as error:
        if not _from_driver(error):
            raise
        raise DataError(
            f"{address.shown} does not answer as asked: {address.scrub(error)}. Check the address and the rights there."
        ) from None
    finally:
        if connection is not None:
            connection.close()


def _from_driver(error: Exception) -> bool:
    modules = ("adbc_driver", "pymysql", "sqlite3", "_duckdb", "duckdb")
    return type(error).__module__.startswith(modules) or isinstance(error, OSError | pa.ArrowInvalid)


def tables_of(address: Address) -> list[str]:
    """The names of the tables of a database."""
    with connected(address) as connection:
        return [str(name) for name in connection.rows(ENGINES[address.scheme].tables).read_all().column(0).to_pylist()]


def check(source: TableSource) -> int:
    """Asks for the rows that a load would read now; returns how many.

    Raises:
        DataError: The database cannot be reached, or has no such table or column.
    """
    with connected(source.address) as connection:
        return int(connection.value(_statement(connection, source, "count(*)", None)))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a database answers for one load.

    Attributes:
        rows: The rows, batch by batch.
        newest: The highest value of the incremental column; the one before where there is none.
    """

    rows: pa.RecordBatchReader
    newest: MarkValue | None


@contextmanager
def new_rows(source: TableSource) -> Iterator[Answer]:
    """The rows of a source that are new, as long as the connection is held.

    Raises:
        DataError: The database cannot be reached or refuses what is asked.
        UsageError: The source names neither table nor query.
    """
    if not source.table and not source.query:
        have = ", ".join(tables_of(source.address)) or "none"
        raise UsageError(f"{source.address.shown} names no table: add ?table=NAME or ?query=SELECT ... It has: {have}")
    engine = ENGINES[source.address.scheme]
    with connected(source.address) as connection:
        newest = None
        if source.increment:
            highest = engine.newest.format(c=engine.name(source.increment))
            newest = connection.value(f"SELECT {highest} FROM {engine.rows_of(source)}")
        statement = _statement(connection, source, "*", newest)
        yield Answer(connection.rows(statement), newest if newest is not None else source.after)


def _statement(connection: Connection, source: TableSource, wanted: str, newest: MarkValue | None) -> str:
    """The query for the new rows of a source, up to `newest`."""
    engine = ENGINES[source.address.scheme]
    statement = f"SELECT {wanted} FROM {engine.rows_of(source)}"
    column = engine.name(source.increment)
    bounds = [("<=", newest), (">=", source.after)] if source.increment else []
    asked = [f"{column} {sign} {connection.literal(value)}" for sign, value in bounds if value is not None]
    return f"{statement} WHERE ({' AND '.join(asked)}) OR {column} IS NULL" if asked else statement


class _Adbc:
    """A database behind an ADBC driver: PostgreSQL."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._cursors: list[Any] = []

    def rows(self, query: str) -> pa.RecordBatchReader:
        cursor = self._connection.cursor()
        self._cursors.append(cursor)
        cursor.execute(query)
        return cursor.fetch_record_batch()

    def value(self, query: str) -> Any:
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            row = cursor.fetchone()
        return row[0] if row else None

    def literal(self, value: MarkValue) -> str:
        escaped = str(value).replace("\\", "\\\\").replace("'", "''").replace("\0", "")
        return f"E'{escaped}'"

    def close(self) -> None:
        for cursor in self._cursors:
            cursor.close()
        self._connection.close()


class _Python:
    """A database behind a driver that gives Python values; every value becomes text."""

    def __init__(self, connection: Any, literal: Callable[[MarkValue], str], cursor: type | None = None) -> None:
        self._connection = connection
        self._kind = cursor
        self.literal = literal

    def rows(self, query: str) -> pa.RecordBatchReader:
        cursor = self._connection.cursor(self._kind) if self._kind else self._connection.cursor()
        cursor.execute(query)
        schema = pa.schema([(str(column[0]), pa.string()) for column in cursor.description])

        def batches() -> Iterator[pa.RecordBatch]:
            while rows := cursor.fetchmany(FETCHED):
                columns = [pa.array([_text(v) for v in values], pa.string()) for values in zip(*rows, strict=True)]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)
            cursor.close()

        return pa.RecordBatchReader.from_batches(schema, batches())

    def value(self, query: str) -> Any:
        cursor = self._connection.cursor()
        cursor.execute(query)
        row = cursor.fetchone()
        cursor.close()
        return row[0] if row else None

    def close(self) -> None:
        self._connection.close()


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return None if value is None else str(value)


def _open_postgresql(address: Address) -> Connection:
    from adbc_driver_postgresql import dbapi

    target = address.target
    if "connect_timeout=" not in target:
        target += f"{'&' if '?' in target else '?'}connect_timeout={SECONDS}"
    connection = dbapi.connect(target.replace(f"{address.scheme}://", "postgresql://", 1))
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
    return _Adbc(connection)


def _open_sqlite(address: Address) -> Connection:
    import sqlite3

    path = Path(unquote(urlsplit(address.target).path.removeprefix("/"))).expanduser()
    if not path.is_file():
        raise UsageError(f"There is no file {path}. Three slashes begin a relative path, four an absolute one.")
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, check_same_thread=False)
    connection.text_factory = lambda text: text.decode("utf-8", "backslashreplace")
    return _Python(connection, _sqlite_literal)


def _sqlite_literal(value: MarkValue) -> str:
    if isinstance(value, int | float):
        return repr(value)
    return "'" + value.replace("'", "''").replace("\0", "") + "'"


def _open_mysql(address: Address) -> Connection:
    import pymysql
    from pymysql import converters
    from pymysql.cursors import SSCursor

    parts = urlsplit(address.target)
    encoders = {kind: write for kind, write in converters.conversions.items() if not isinstance(kind, int)}
    connection = pymysql.connect(
        host=parts.hostname or "localhost",
        port=parts.port or 3306,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password or ""),
        database=unquote(parts.path.lstrip("/")) or None,
        charset="utf8mb4",
        connect_timeout=SECONDS,
        conv=encoders,
        init_command="SET SESSION TRANSACTION READ ONLY",
    )
    return _Python(connection, lambda value: str(connection.escape(str(value))), SSCursor)


_SCHEMA_TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = {schema} ORDER BY table_name"

_POSTGRESQL = Engine(_open_postgresql, '"', "CAST(max({c}) AS text)", _SCHEMA_TABLES.format(schema="current_schema()"))
_MYSQL = Engine(_open_mysql, "`", "max({c})", _SCHEMA_TABLES.format(schema="database()"))
_SQLITE = Engine(
    _open_sqlite,
    "`",  # what stands in double quotes and is no column is a text to SQLite
    "max({c})",
    "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name",
)

ENGINES: dict[str, Engine] = {
    "postgresql": _POSTGRESQL,
    "postgres": _POSTGRESQL,
    "sqlite": _SQLITE,
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
}
"""The kinds of databases, by the scheme of their address."""
