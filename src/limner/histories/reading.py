"""Reading one source into a raw table: every row and column as it stands in the file, nothing interpreted yet.

Text formats are read as text, so that user 007 stays 007. Each format is read strictly by DuckDB; only where that fails
is the file read again row by row in Python, which keeps the good rows and gives the bad ones to the quarantine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from limner.errors import DataError
from limner.histories.columns import Column, Raw, to_arrow, typed_column
from limner.histories.delimited import DELIMITERS, Dialect, Record, careful_records, sniff, unique_names
from limner.histories.documents import Shape, careful_documents, shape_of
from limner.histories.encodings import detect_encoding, judge_encoding, lines, open_bytes, transcode
from limner.histories.quarantine import Quarantine
from limner.histories.sources import Source
from limner.histories.store import quote_path

if TYPE_CHECKING:
    import pandas as pd

BATCH = 20_000
"""Rows that careful reading holds before it writes them."""

MAX_OBJECT = 64 << 20
"""Bytes one JSON object may have."""

MAX_COLUMNS = 2_000
"""Columns a source may have. More are keys that are really values, such as one key per user."""

NESTED_SAMPLE = 1_000
"""Rows in which nested JSON objects are looked for, to offer `user.id` as a column."""


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

    def read(self, source: Source, encoding: str = "") -> Raw:
        """Reads a file into the table `raw`, replacing the one before.

        Raises:
            DataError: The file as a whole cannot be read.
        """
        self.connection.execute("DROP TABLE IF EXISTS raw")
        if source.format == "parquet":
            return self._parquet(source)
        before = self.quarantine.count
        found = detect_encoding(source, encoding)
        raw = (self._delimited if source.format == "delimited" else self._json)(source, found)
        bad = self.quarantine.count - before
        return Raw(raw.table, raw.row, raw.columns, bad)

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

    def _parquet(self, source: Source) -> Raw:
        try:
            path = quote_path(self._safe(source.path))
            cursor = self.connection.execute(f"SELECT * FROM read_parquet({path}, hive_partitioning = false) LIMIT 0")
            names = unique_names(d[0] for d in cursor.description or [])
            listed = ", ".join(f"c{i}" for i in range(len(names)))
            self.connection.execute(
                f"CREATE TEMP TABLE raw AS SELECT * FROM read_parquet({path}, hive_partitioning = false) AS t({listed})"
            )
        except duckdb.Error as error:
            raise DataError(f"{source.path} cannot be read as Parquet: {_first_line(error)} Make it again.") from error
        return self._typed(names, first=1)

    def _typed(self, names: tuple[str, ...], first: int) -> Raw:
        types = [str(row[1]) for row in self.connection.execute("DESCRIBE raw").fetchall()]
        columns = tuple(typed_column(n, f"c{i}", t) for i, (n, t) in enumerate(zip(names, types, strict=True)))
        return Raw("raw", f"rowid + {first}", columns)

    def _delimited(self, source: Source, encoding: str) -> Raw:
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
        if len(dialect.names) > MAX_COLUMNS:
            raise DataError(f"{source.path} has {len(dialect.names):,} columns; {MAX_COLUMNS:,} are the most.")
        return dialect

    def _json(self, source: Source, encoding: str) -> Raw:
        shape = shape_of(source.head.decode(encoding, "replace").removeprefix("\ufeff"))
        clean = self._as_utf8(source, encoding)
        if clean is not None and self._strictly(_json_query(*clean, shape)):
            row = "rowid + 1"
        else:
            encoding = self._judged(source, encoding)
            self._carefully(self._good(source, careful_documents(lines(source, encoding), shape)), 1)
            row = "_row"
        self.connection.execute(f"CREATE TEMP TABLE document AS SELECT {row} AS _row, c0::JSON AS j FROM raw")
        self.connection.execute("DROP TABLE raw")
        try:
            return self._spread(source)
        finally:
            self.connection.execute("DROP TABLE IF EXISTS document")

    def _spread(self, source: Source) -> Raw:
        """Gives each key of the JSON objects a column."""
        self._unwrap()
        for row, raw in self._rows("SELECT _row, j::VARCHAR FROM document WHERE json_type(j) <> 'OBJECT' ORDER BY ALL"):
            self.quarantine.add(source.name, int(row), "not a JSON object", raw)
        self.connection.execute("DELETE FROM document WHERE json_type(j) <> 'OBJECT'")
        keys = [
            str(row[0])
            for row in self.connection.execute(
                "SELECT k FROM (SELECT unnest(json_keys(j)) AS k, generate_subscripts(json_keys(j), 1) AS p, _row"
                " FROM document) GROUP BY k ORDER BY min(_row), min(p)"
            ).fetchall()
        ]
        if not keys:
            raise DataError(f"{source.path} holds no JSON objects. limner reads one object for each row.")
        if len(keys) > MAX_COLUMNS:
            raise DataError(
                f"{source.path} has {len(keys):,} different keys; {MAX_COLUMNS:,} are the most. Write one object a row."
            )
        listed = ", ".join(f"x[{i + 1}] AS c{i}" for i in range(len(keys)))
        pointers = "[" + ", ".join(quote_path(_pointer(key)) for key in keys) + "]::VARCHAR[]"
        self.connection.execute(
            f"CREATE TEMP TABLE raw AS SELECT _row, {listed}"
            f" FROM (SELECT _row, json_extract(j, {pointers}) AS x FROM document)"
        )
        columns = []
        for i, (key, name) in enumerate(zip(keys, unique_names(keys), strict=True)):
            columns.append(Column(name, f"(c{i} ->> '$')", f"nullif(c{i}, 'null')"))
            columns.extend(self._nested(f"c{i}", key))
        return Raw("raw", "_row", tuple(columns))

    def _unwrap(self) -> None:
        """Replaces one object that only wraps a list of objects, such as `{"data": [...]}`, by the list's members."""
        first = self.connection.execute("SELECT j::VARCHAR FROM document LIMIT 2").fetchall()
        if len(first) != 1:
            return
        lists = self.connection.execute(
            "SELECT k FROM (SELECT unnest(json_keys(j)) AS k, j FROM document)"
            " WHERE json_type(j, '/' || replace(replace(k, '~', '~0'), '/', '~1')) = 'ARRAY'"
            " AND json_type(j, '/' || replace(replace(k, '~', '~0'), '/', '~1') || '/0') = 'OBJECT'"
        ).fetchall()
        if len(lists) == 1:
            self.connection.execute(
                "CREATE OR REPLACE TEMP TABLE document AS SELECT row_number() OVER () AS _row, j FROM"
                " (SELECT unnest(json_extract(j, $path || '[*]')) AS j FROM document)",
                {"path": f'$."{lists[0][0]}"'},
            )

    def _nested(self, column: str, name: str) -> list[Column]:
        """The members of a column of objects, as columns named `name.member`."""
        found = self.connection.execute(
            f"SELECT k FROM (SELECT unnest(json_keys({column})) AS k, generate_subscripts(json_keys({column}), 1) AS p"
            f" FROM (SELECT {column} FROM raw LIMIT {NESTED_SAMPLE}) WHERE json_type({column}) = 'OBJECT')"
            " GROUP BY k ORDER BY min(p) LIMIT 50"
        ).fetchall()
        return [
            Column(
                f"{name}.{key}",
                f"json_extract_string({column}, {quote_path(_pointer(key))})",
                f"nullif(json_extract({column}, {quote_path(_pointer(key))}), 'null')",
                nested=True,
            )
            for (key,) in found
        ]

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

    def _rows(self, query: str) -> Iterator[tuple[Any, ...]]:
        cursor = self.connection.execute(query)
        while rows := cursor.fetchmany(1_000):
            yield from rows


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


def _pointer(key: str) -> str:
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _batches(rows: Iterable[tuple[int, tuple[str, ...]]]) -> Iterator[list[tuple[int, tuple[str, ...]]]]:
    batch: list[tuple[int, tuple[str, ...]]] = []
    for row in rows:
        batch.append(row)
        if len(batch) >= BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".") + "."
