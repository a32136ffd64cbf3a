"""Reading one source into a raw table: every row and column as it stands in the file, nothing interpreted yet.

Text formats are read as text, so that user 007 stays 007. Each format is read strictly by DuckDB; only where that fails
is the file read again row by row in Python, which keeps the good rows and gives the bad ones to the quarantine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from limner.errors import DataError
from limner.histories.columns import Column, FileView, Raw, printable, to_arrow, typed_column
from limner.histories.databases import TableSource, new_rows
from limner.histories.delimited import DELIMITERS, Dialect, Record, careful_records, sniff, unique_names
from limner.histories.documents import Shape, careful_documents, shape_of
from limner.histories.encodings import detect_encoding, judge_encoding, lines, open_bytes, transcode
from limner.histories.mapping import Mapping
from limner.histories.markup import declared_encoding, element_records, row_element
from limner.histories.nested import MAX_COLUMNS, spread
from limner.histories.quarantine import Quarantine
from limner.histories.sources import Format, Source
from limner.histories.store import quote_path
from limner.histories.workbooks import sheet_records

if TYPE_CHECKING:
    import pandas as pd

BATCH = 20_000
"""Rows that careful reading holds before it writes them."""

BATCH_CHARACTERS = 32 << 20
"""Characters of rows that it holds at most, but for the last one."""

STREAMED = 4 << 20
"""Bytes from which a Parquet file is not copied into the database but read anew by each statement."""

MAX_OBJECT = 64 << 20
"""Bytes one JSON object may have."""


@dataclass(frozen=True, slots=True)
class Reader:
    """What reading needs besides the source.

    Attributes:
        connection: Where the raw table is made.
        quarantine: Where bad rows go.
        scratch: A folder for temporary files, on the workspace's disk.
    """

    connection: duckdb.DuckDBPyConnection
    quarantine: Quarantine
    scratch: Path
    numbers: Iterator[int] = field(default_factory=count)

    def read(self, source: Source | TableSource, mapping: Mapping | None = None) -> Raw:
        """Reads a file, or what is new in a database's table, into the table `raw`, replacing the one before.

        Args:
            source: What to read.
            mapping: What is known of how to read it, if anything: its encoding, and where in it the rows are.

        Raises:
            DataError: The source as a whole cannot be read.
        """
        self.connection.execute("DROP TABLE IF EXISTS raw")
        if isinstance(source, TableSource):
            return self._database(source)
        before = self.quarantine.count
        raw = READERS[source.format](self, source, mapping or Mapping())
        return replace(raw, bad=self.quarantine.count - before)

    def read_frame(self, frame: pd.DataFrame | pa.Table | Any) -> Raw:
        """Takes a pandas or Polars frame, or an Arrow table, as the table `raw`."""
        table = to_arrow(frame)
        names = unique_names(table.column_names)
        self.connection.execute("DROP TABLE IF EXISTS raw")
        self.connection.register("frame", table.rename_columns([f"c{i}" for i in range(len(names))]))
        try:
            self.connection.execute("CREATE TEMP TABLE raw AS SELECT * FROM frame")
        finally:
            self.connection.unregister("frame")
        return self._typed(names, first=1)

    def _database(self, source: TableSource) -> Raw:
        with new_rows(source) as answer:
            names = self._take(answer.rows)
        return replace(self._typed(names, first=1), newest=answer.newest)

    def _take(self, batches: pa.RecordBatchReader) -> tuple[str, ...]:
        """Makes `raw` of a stream of batches; returns the names of its columns."""
        kinds = [getattr(field.type, "storage_type", field.type) for field in batches.schema]
        schema = pa.schema([(f"c{i}", kind) for i, kind in enumerate(kinds)])
        is_json = [getattr(field.type, "extension_name", "") == "arrow.json" for field in batches.schema]
        listed = [f"c{i}::JSON AS c{i}" if is_json[i] else f"c{i}" for i in range(len(kinds))]

        def plain() -> Iterator[pa.RecordBatch]:
            for batch in batches:
                columns = [getattr(column, "storage", column) for column in batch.columns]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)

        self.connection.register("stream", pa.RecordBatchReader.from_batches(schema, plain()))
        try:
            self.connection.execute(f"CREATE TEMP TABLE raw AS SELECT {', '.join(listed)} FROM stream")
        finally:
            self.connection.unregister("stream")
        return unique_names(batches.schema.names)

    def _parquet(self, source: Source, _: Mapping) -> Raw:
        try:
            path = quote_path(self._safe(source.path))
            cursor = self.connection.execute(f"SELECT * FROM read_parquet({path}, hive_partitioning = false) LIMIT 0")
            names = unique_names(d[0] for d in cursor.description or [])
            listed = ", ".join(f"c{i}" for i in range(len(names)))
            if self._streams(source, names):
                return self._view(source, names, path, listed)
            self.connection.execute(
                f"CREATE TEMP TABLE raw AS SELECT * FROM read_parquet({path}, hive_partitioning = false) AS t({listed})"
            )
        except duckdb.Error as error:
            raise DataError(f"{source.path} cannot be read as Parquet: {_first_line(error)} Make it again.") from error
        return self._typed(names, first=1)

    def _streams(self, source: Source, names: tuple[str, ...]) -> bool:
        """Whether a file is large, stays where it is, and can be read again and again."""
        return (
            source.path.stat().st_size >= STREAMED
            and self.scratch not in source.path.parents
            and not set("*?[{") & set(str(source.path))
            and "file_row_number" not in names
        )

    def _view(self, source: Source, names: tuple[str, ...], path: str, listed: str) -> Raw:
        """A large file as a view: what is small enough to be held anyway is read once, this is not."""
        table = f"raw_{next(self.numbers)}"
        self.connection.execute(
            f"CREATE TEMP VIEW {table} AS SELECT * FROM read_parquet({path}, hive_partitioning = false,"
            f" file_row_number = true) AS t({listed}, _at)"
        )
        raw = self._typed(names, first=1, table=table)
        return replace(raw, row="_at + 1", again=FileView(source.path, table))

    def _typed(self, names: tuple[str, ...], first: int, table: str = "raw") -> Raw:
        types = [str(row[1]) for row in self.connection.execute(f"DESCRIBE {table}").fetchall()]
        columns = tuple(typed_column(n, f"c{i}", t) for i, (n, t) in enumerate(zip(names, types, strict=False)))
        return Raw(table, f"rowid + {first}", columns)

    def _delimited(self, source: Source, mapping: Mapping) -> Raw:
        encoding = detect_encoding(source, mapping.encoding)
        dialect = self._dialect(source, encoding)
        columns = tuple(Column(n, f"c{i}", f"to_json(c{i})") for i, n in enumerate(dialect.names))
        clean = self._as_utf8(source, encoding)
        if clean is not None and self._strictly(_csv_query(*clean, dialect)):
            return Raw("raw", f"rowid + {2 if dialect.header else 1}", columns)
        encoding = self._judged(source, encoding)
        dialect = self._dialect(source, encoding)
        records = careful_records(lines(source, encoding), dialect)
        self._carefully(self._good(source, records), len(dialect.names))
        return Raw("raw", "_row", columns)

    def _dialect(self, source: Source, encoding: str) -> Dialect:
        head = source.head.decode(encoding, "replace").removeprefix("\ufeff")
        dialect = sniff(head, tabs=".tsv" in source.path.name.lower() or ".tab" in source.path.name.lower())
        if not dialect.names:
            raise DataError(f"{source.path} has no columns that can be told apart. Is it a table with {DELIMITERS}?")
        self._check_width(source, dialect)
        return dialect

    def _check_width(self, source: Source, dialect: Dialect) -> None:
        if len(dialect.names) > MAX_COLUMNS:
            raise DataError(f"{source.path} has {len(dialect.names):,} columns; {MAX_COLUMNS:,} are the most.")

    def _excel(self, source: Source, _: Mapping) -> Raw:
        dialect, records = sheet_records(source.path, source.part)
        self._check_width(source, dialect)
        columns = tuple(Column(n, f"c{i}", f"to_json(c{i})") for i, n in enumerate(dialect.names))
        self._carefully(self._good(source, records), len(columns))
        return Raw("raw", "_row", columns)

    def _json(self, source: Source, mapping: Mapping) -> Raw:
        encoding = detect_encoding(source, mapping.encoding)
        shape = shape_of(source.head.decode(encoding, "replace").removeprefix("\ufeff"))
        clean = self._as_utf8(source, encoding)
        if clean is not None and self._strictly(_json_query(*clean, shape)):
            return self._documents(source, mapping, "rowid + 1")
        text = lines(source, self._judged(source, encoding), pieces=shape != "lines")
        self._carefully(self._good(source, careful_documents(text, shape)), 1)
        return self._documents(source, mapping, "_row")

    def _xml(self, source: Source, mapping: Mapping) -> Raw:
        head = source.head
        encoding = mapping.encoding or declared_encoding(head) or detect_encoding(source)
        element = mapping.element or row_element(head, encoding)
        with open_bytes(source) as stream:
            records = element_records(stream, encoding, element, str(source.path))
            self._carefully(self._good(source, records), 1)
        return self._documents(source, mapping, "_row")

    def _documents(self, source: Source, mapping: Mapping, row: str) -> Raw:
        """Gives the keys of the objects read, in the one column of `raw`, a column each."""
        self.connection.execute(f"CREATE TEMP TABLE document AS SELECT {row} AS _row, c0::JSON AS j FROM raw")
        self.connection.execute("DROP TABLE raw")
        wrapped = source.format == "json"
        return spread(self.connection, self.quarantine, source.name, mapping.records, wrapped=wrapped)

    def _good(self, source: Source, records: Iterable[Record]) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Numbers and cells of the good records; the others go to the quarantine."""
        for record in records:
            if record.problem:
                self.quarantine.add(source.name, record.number, record.problem, record.raw)
            else:
                yield record.number, record.cells

    def _as_utf8(self, source: Source, encoding: str) -> tuple[Path, bool] | None:
        """A path that DuckDB can read and whether it is gzipped; None if the text cannot be decoded throughout."""
        if encoding == "utf-8":
            return self._safe(source.path), source.gzipped
        target = self.scratch / "text"
        return (target, False) if transcode(source, encoding, target) else None

    def _judged(self, source: Source, encoding: str) -> str:
        """The encoding after a look at the whole file, for one whose head was plain ASCII."""
        if encoding != "utf-8":
            return encoding
        with open_bytes(source) as stream:
            return judge_encoding(stream)

    def _safe(self, path: Path) -> Path:
        """The path, or a link to it where DuckDB would take the name for a pattern."""
        if not set("*?[{") & set(str(path)):
            return path
        link = self.scratch / "link"
        link.unlink(missing_ok=True)
        link.symlink_to(path.resolve())
        return link

    def _strictly(self, query: str) -> bool:
        """Makes `raw` by a strict read; False if the file is not clean."""
        try:
            self.connection.execute(f"CREATE TEMP TABLE raw AS {query}")
        except duckdb.Error:
            self.connection.execute("DROP TABLE IF EXISTS raw")
            return False
        return True

    def _carefully(self, rows: Iterable[tuple[int, tuple[str, ...]]], width: int) -> None:
        """Makes `raw` of rows read in Python, by way of a Parquet file so that memory stays bounded."""
        path = self.scratch / "rows.parquet"
        names = [f"c{i}" for i in range(width)]
        schema = pa.schema([("_row", pa.int64()), *((name, pa.string()) for name in names)])
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for batch in _batches(rows):
                numbers = pa.array([number for number, _ in batch], pa.int64())
                cells = [pa.array(values, pa.string()) for values in zip(*(c for _, c in batch), strict=True)]
                writer.write_table(pa.Table.from_arrays([numbers, *cells], schema=schema))
        self.connection.execute(f"CREATE TEMP TABLE raw AS SELECT * FROM read_parquet({quote_path(path)})")
        path.unlink()


READERS: dict[Format, Callable[[Reader, Source, Mapping], Raw]] = {
    "parquet": Reader._parquet,
    "json": Reader._json,
    "delimited": Reader._delimited,
    "excel": Reader._excel,
    "xml": Reader._xml,
}
"""How each format is read."""


def _csv_query(path: Path, gzipped: bool, dialect: Dialect) -> str:
    columns = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(dialect.names)))
    return (
        f"SELECT * FROM read_csv({quote_path(path)}, columns = {{{columns}}}, header = {dialect.header},"
        f" delim = {quote_path(dialect.delimiter)}, quote = '\"', escape = {quote_path(dialect.escape)},"
        " strict_mode = true, auto_detect = false, hive_partitioning = false, max_line_size = 16777216,"
        f" compression = '{'gzip' if gzipped else 'none'}')"
    )


def _json_query(path: Path, gzipped: bool, shape: Shape) -> str:
    formats = {"lines": "newline_delimited", "array": "array", "objects": "unstructured"}
    return (
        f"SELECT json AS c0 FROM read_json_objects({quote_path(path)}, format = '{formats[shape]}',"
        f" maximum_object_size = {MAX_OBJECT}, hive_partitioning = false,"
        f" compression = '{'gzip' if gzipped else 'uncompressed'}')"
    )


def _batches(rows: Iterable[tuple[int, tuple[str, ...]]]) -> Iterator[list[tuple[int, tuple[str, ...]]]]:
    batch: list[tuple[int, tuple[str, ...]]] = []
    held = 0
    for row in rows:
        batch.append(row)
        held += sum(map(len, row[1]))
        if len(batch) >= BATCH or held >= BATCH_CHARACTERS:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _first_line(error: Exception) -> str:
    return printable(str(error).splitlines()[0].rstrip(".")) + "."
