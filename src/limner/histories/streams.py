"""What a load has staged for one table: rows kept in the database, and files that are read again for each purpose."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from limner.errors import DataError
from limner.histories.repeats import Settling
from limner.histories.said import OTHERS
from limner.histories.schema import TABLES
from limner.histories.staging import Statement, streamed
from limner.histories.store import quote_path as literal
from limner.histories.writing import Rows

FEW_SOURCES = 200
"""Names of sources up to which rows are sorted with a number for theirs."""


@dataclass(slots=True)
class Staging:
    """The staged rows of one table.

    Attributes:
        kind: The table.
        given: As of the statements: what any row may have.
        sources: The names of the sources.
        streams: Sources that are read again, each with what is added to a row's number.
        files: Their files, with what shows that one was written to.
    """

    kind: str
    given: frozenset[str] = frozenset()
    sources: set[str] = field(default_factory=set)
    streams: list[tuple[Statement, int]] = field(default_factory=list)
    files: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def add(self, statement: Statement, base: int) -> None:
        """Notes a source that was staged."""
        self.given |= statement.given
        self.sources.add(statement.source)
        if statement.streams and statement.raw.again:
            path = statement.raw.again.path
            self.streams.append((statement, base))
            self.files[path] = _state(path)

    def finish(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Makes `staged_KIND` show all staged rows."""
        connection.execute(f"ALTER TABLE staged_{self.kind} RENAME TO kept_{self.kind}")
        connection.execute(f"CREATE TEMP VIEW staged_{self.kind} AS {self.query()}")

    def query(self, among: str = "") -> str:
        """SQL for the staged rows: everyone's, or at least those of the users in a table."""
        kept = f"SELECT * EXCLUDE (_reason) FROM kept_{self.kind}"
        read = [f"SELECT * FROM ({streamed(*stream, among)})" for stream in self.streams]
        return " UNION ALL ".join([kept, *read])

    def rows(self, settling: Settling, count: int) -> Rows:
        """The staged events, about so many, without the columns that none of them has."""
        held = [c for c, _ in TABLES[self.kind].columns if c in self.given or c in {"source", "ts"}]
        # One of few names takes a byte to sort, and not sixteen.
        sources = ", ".join(sorted(map(literal, self.sources)))
        short = {"source": f"source::ENUM({sources}) AS source"} if 0 < len(self.sources) <= FEW_SOURCES else {}
        chosen = ", ".join([*(short.get(c, c) for c in held), *({OTHERS} & self.given), "_order"])
        return Rows(
            lambda among: f"SELECT {chosen} FROM ({self.query(among)})",
            count,
            settling.settle,
            {"event_id": settling.event_id, **({} if "attrs" in self.given else {"attrs": "'{}'"})},
        )

    def check(self) -> None:
        """Checks that no file was written to since it was staged.

        Raises:
            DataError: One was.
        """
        for path, state in self.files.items():
            if not path.is_file() or _state(path) != state:
                raise DataError(f"{path} was changed while it was read. Nothing was stored; load it again.")


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns
