"""The columns of a source as read: how each value becomes text and JSON, whatever its type, and finding one by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from limner.errors import DataError, UsageError
from limner.histories.cleaning import GIVEN, apply


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a raw table.

    Attributes:
        name: Its name in the source.
        text: SQL for its value as text; null where there is none.
        json: SQL for its value as JSON, for `attrs`; null where there is none.
        nested: It lies inside another column, which holds its value too.
        holds: Its values may be objects, whose members a mapping may name by their dotted path.
        kind: The type of `value`, as the database names it.
        value: SQL for its value as it was read; empty where that is text, or no single value.
    """

    name: str
    text: str
    json: str
    nested: bool = False
    holds: bool = False
    kind: str = "VARCHAR"
    value: str = ""


@dataclass(frozen=True, slots=True)
class FileView:
    """A file, and the view that shows its rows."""

    path: Path
    table: str


@dataclass(frozen=True, slots=True)
class Raw:
    """A source as read.

    Attributes:
        table: The DuckDB table.
        row: SQL for a row's number in the file, as a spreadsheet shows it: the header, if there is one, is row 1.
        columns: The source's columns.
        bad: How many rows went to the quarantine while reading.
        newest: The highest value of a database's incremental column; None where there is none.
        again: If the table is a mere view of a file, which is read again by each statement, that file.
    """

    table: str
    row: str
    columns: tuple[Column, ...]
    bad: int = 0
    newest: str | int | float | None = None
    again: FileView | None = None


@dataclass(frozen=True, slots=True)
class _TypeForm:
    """How values of a type become text and JSON; `{c}` stands for the column."""

    text: str
    json: str


_FLOAT = _TypeForm(
    "CASE WHEN isfinite({c}) AND {c} = trunc({c}) AND abs({c}) < 1e15 THEN {c}::BIGINT::VARCHAR"
    " WHEN NOT isnan({c}) THEN {c}::VARCHAR END",
    "CASE WHEN isfinite({c}) THEN to_json({c}) END",
)
_BINARY = _TypeForm("coalesce(try(decode({c})), {c}::VARCHAR)", "to_json(coalesce(try(decode({c})), {c}::VARCHAR))")
_WORDS = _TypeForm("array_to_string({c}, '|')", "to_json({c})")
_NESTED = _TypeForm("to_json({c})::VARCHAR", "to_json({c})")
_PLAIN = _TypeForm("{c}::VARCHAR", "to_json({c})")
_AS_TEXT = _TypeForm("{c}::VARCHAR", "to_json({c}::VARCHAR)")


def _form(kind: str) -> _TypeForm:
    rules: tuple[tuple[Callable[[str], bool], _TypeForm], ...] = (
        (lambda t: t == "VARCHAR[]", _WORDS),
        (lambda t: t.endswith("]") or t.startswith(("STRUCT", "MAP", "UNION", "JSON")), _NESTED),
        (lambda t: t in {"DOUBLE", "FLOAT"}, _FLOAT),
        (lambda t: t == "BLOB", _BINARY),
        (lambda t: t.startswith(("TIME", "DATE", "INTERVAL", "UUID", "ENUM", "BIT")), _AS_TEXT),
    )
    return next((form for applies, form in rules if applies(kind)), _PLAIN)


def typed_column(name: str, column: str, kind: str) -> Column:
    """A column of a DuckDB table, given its type's name there."""
    form = _form(kind)
    text = column if kind == "VARCHAR" else f"({form.text.format(c=column)})"
    holds = form in (_NESTED, _WORDS)
    return Column(name, text, f"({form.json.format(c=column)})", holds=holds, kind=kind, value=column)


def find(raw: Raw, name: str) -> Column | None:
    """The column of a name, in the same letter case or in another where that leaves no doubt; None if there is none."""
    exact = next((c for c in raw.columns if c.name == name), None)
    if exact:
        return exact
    alike = [c for c in raw.columns if c.name.strip().lower() == name.strip().lower()]
    return alike[0] if len(alike) == 1 else None


def find_column(raw: Raw, name: str, source: str, field: str) -> Column:
    """The column of a source that a mapping names; letter case matters only where it must.

    Raises:
        UsageError: The source has no such column.
    """
    found = find(raw, name)
    if found is None:
        have = shown_names(raw)
        wanted = f"The mapping takes {field} from column {name!r}"
        raise UsageError(f"{wanted}, which {source} does not have. It has: {have}")
    return found


def shown_names(raw: Raw) -> str:
    """The names of a source's columns as a message shows them: the first ones, none of them long."""
    names = [printable(c.name if len(c.name) <= 40 else c.name[:39] + "…") for c in raw.columns[:20]]
    return ", ".join(names) + (", ..." if len(raw.columns) > 20 else "")


def printable(text: str) -> str:
    """A text with the signs that cannot be printed, line ends among them, as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def distinct_given(raw: Raw, column: Column) -> str:
    """A relation with the different given values `x` of a column."""
    return apply(GIVEN, f"(SELECT DISTINCT {column.text} AS x FROM {raw.table})")


def to_arrow(frame: Any) -> pa.Table:
    """A pandas or Polars frame, or what gives Arrow, as an Arrow table; columns of mixed types become text.

    Raises:
        DataError: It is none of these.
    """
    if isinstance(frame, pa.Table):
        return frame
    if hasattr(frame, "collect") and hasattr(frame, "lazy"):
        frame = frame.collect()  # a Polars LazyFrame
    if hasattr(frame, "to_arrow"):
        return frame.to_arrow()
    if not hasattr(frame, "columns") or not hasattr(frame, "iloc"):
        if hasattr(frame, "__arrow_c_stream__"):
            return pa.RecordBatchReader.from_stream(frame).read_all()
        kind = type(frame).__name__
        raise DataError(f"A {kind} is no source. Give a path, a pandas or Polars frame or an Arrow table.")
    arrays: list[pa.Array] = []
    for position in range(frame.shape[1]):
        series = frame.iloc[:, position]
        try:
            arrays.append(pa.Array.from_pandas(series))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
            values = [None if _is_missing(value) else str(value) for value in series]
            arrays.append(pa.array(values, pa.string()))
    merged = [a.combine_chunks() if isinstance(a, pa.ChunkedArray) else a for a in arrays]
    return pa.Table.from_arrays(merged, names=[str(name) for name in frame.columns])


def _is_missing(value: Any) -> bool:
    import pandas as pd

    return value is None or (pd.api.types.is_scalar(value) and bool(pd.isna(value)))
