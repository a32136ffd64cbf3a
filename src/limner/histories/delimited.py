"""Tables of delimited text (CSV, TSV and their kin): the dialect, and reading row by row where a file is not clean.

DuckDB reads a clean file, strictly. Where it finds anything irregular the file is read again here, slowly and
carefully: good rows are kept, each bad one is given back with its reason, and one stray quote costs one row, not the
rest of the file.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from limner.histories.encodings import Line
from limner.histories.words import is_known_name

DELIMITERS = (",", "\t", ";", "|")

SNIFFED = 200
"""Records of the head that decide the dialect."""

LONGEST = 500
"""Lines that one quoted field may span; beyond it the quote is taken for a stray one."""

csv.field_size_limit(1 << 30)

_value = re.compile(r"\s*[-+]?[\d.,:/\-]*\d[\d.,:/\-]*([ T][\d:.]+Z?)?\s*")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a delimited file is written.

    Attributes:
        delimiter: Between fields.
        escape: What stands before a quote inside quotes: another quote, or a backslash.
        header: Whether the first record names the columns.
        names: The columns' names, each different.
    """

    delimiter: str
    escape: str
    header: bool
    names: tuple[str, ...]


def sniff(head: str, *, tabs: bool = False) -> Dialect:
    """The dialect of a file, from its first lines (the last may be cut).

    Args:
        head: The first part of the file.
        tabs: The file's name says that tabs delimit it.
    """
    escapes = ('"', "\\") if '\\"' in head else ('"',)
    ways = [(delimiter, escape) for delimiter in DELIMITERS for escape in escapes]
    scored = {way: _regularity(head, *way) for way in ways}
    delimiter, escape = max(ways, key=lambda way: (scored[way], tabs and way[0] == "\t"))
    if scored[delimiter, escape] <= (0.0, 1):
        delimiter = "\t" if tabs else ","
    rows = _sample(head, delimiter, escape)
    first, rest = (rows[0], rows[1:]) if rows else ([], [])
    header = is_header(first, rest)
    names = unique_names(first if header else [""] * len(first))
    return Dialect(delimiter, escape, header, names)


def _reader(
    lines: Iterable[str], delimiter: str, escape: str, *, strict: bool = False, quoting: int = csv.QUOTE_MINIMAL
) -> Iterator[list[str]]:
    backslash = escape == "\\"
    return csv.reader(
        lines,
        delimiter=delimiter,
        doublequote=not backslash,
        escapechar="\\" if backslash else None,
        skipinitialspace=delimiter != "\t",
        strict=strict,
        quoting=quoting,  # type: ignore[arg-type]
    )


def _sample(head: str, delimiter: str, escape: str) -> list[list[str]]:
    try:
        rows = [row for row in islice(_reader(io.StringIO(head, newline=""), delimiter, escape), SNIFFED + 1) if row]
    except csv.Error:
        return []
    return rows[:-1] if len(rows) > 2 else rows


def _regularity(head: str, delimiter: str, escape: str) -> tuple[float, int]:
    """How well a delimiter explains the head: the share of records with the commonest width, and that width."""
    widths = Counter(len(row) for row in _sample(head, delimiter, escape))
    if not widths:
        return 0.0, 0
    width, times = max(widths.items(), key=lambda item: (item[0] > 1, item[1], item[0]))
    return (times / widths.total(), width) if width > 1 else (0.0, 1)


def is_header(first: list[str], rest: list[list[str]]) -> bool:
    """Whether a first record names columns: it does unless it holds a number or a date and no well-known name."""
    if any(is_known_name(cell) for cell in first):
        return True
    return not any(cell.strip() and _value.fullmatch(cell) for cell in first) or (not rest and len(first) == 1)


def unique_names(cells: Iterable[str]) -> tuple[str, ...]:
    """Column names made whole and different: trimmed, `columnN` for none, `name_2` for a second `name`."""
    names: list[str] = []
    for number, cell in enumerate(cells, 1):
        name = " ".join(cell.replace("\ufeff", "").replace("\0", "").split()) or f"column{number}"
        candidate, copy = name, 1
        while candidate in names:
            copy += 1
            candidate = f"{name}_{copy}"
        names.append(candidate)
    return tuple(names)


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its number in the file (the header, if any, is 1), its cells, or the reason why it is bad."""

    number: int
    cells: tuple[str, ...]
    raw: str = ""
    problem: str = ""


def careful_records(lines: Iterable[Line], dialect: Dialect) -> Iterator[Record]:
    """All records of a file below its header, good and bad, in order."""
    queue = _Queue(iter(lines))
    number = 0
    while (line := queue.take()) is not None:
        if not line.problem and not line.text.strip():
            continue
        number += 1
        record = _record(line, queue, dialect, number)
        if number > 1 or not dialect.header:
            yield record


class _Queue:
    """Lines with the possibility to put some back."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._back: list[Line] = []

    def take(self) -> Line | None:
        return self._back.pop() if self._back else next(self._lines, None)

    def put_back(self, lines: list[Line]) -> None:
        self._back.extend(reversed(lines))


def _record(line: Line, queue: _Queue, dialect: Dialect, number: int) -> Record:
    if line.problem:
        return Record(number, (), line.text.rstrip("\r\n"), line.problem)
    width = len(dialect.names)
    cells, taken = _gather(line.text, queue, dialect)
    if cells is not None and (fitted := _fit(cells, width)) is not None:
        return Record(number, fitted)
    queue.put_back(taken)
    literal = next(_reader([line.text.rstrip("\r\n")], dialect.delimiter, '"', quoting=csv.QUOTE_NONE), [])
    if (cells is None or taken) and len(literal) == width:
        return Record(number, tuple(literal))
    found = len(cells) if cells is not None and not taken else len(literal)
    problem = "unbalanced quote" if cells is None or taken else f"{found} fields where {width} are expected"
    return Record(number, (), line.text.rstrip("\r\n"), problem)


@dataclass(frozen=True, slots=True)
class _Parsed:
    """The cells of a text; whether a quoted field is still open at its end, and whether its quotes are in order."""

    cells: list[str]
    is_open: bool = False
    in_order: bool = True


def _gather(text: str, queue: _Queue, dialect: Dialect) -> tuple[list[str] | None, list[Line]]:
    """The cells of the record that starts with `text`, and the further lines it took.

    None if a quote never closes, or if it closes amid other text after lines that are whole records themselves: then
    it was a stray one, and those lines are not part of the field that it seemed to open.
    """
    taken: list[Line] = []
    parsed = _parse(text, dialect)
    while parsed.is_open:
        line = queue.take()
        if line is None or line.problem or len(taken) >= LONGEST:
            if line is not None:
                taken.append(line)
            return None, taken
        taken.append(line)
        text += line.text
        if '"' in line.text:
            parsed = _parse(text, dialect)
    if not parsed.in_order and any(_is_record(line.text, dialect) for line in taken):
        return None, taken
    return parsed.cells, taken


def _is_record(text: str, dialect: Dialect) -> bool:
    parsed = _parse(text, dialect)
    return parsed.in_order and not parsed.is_open and len(parsed.cells) == len(dialect.names) > 1


def _parse(text: str, dialect: Dialect) -> _Parsed:
    """The cells of one record's text."""
    try:
        rows = list(_reader(_by_newline(text), dialect.delimiter, dialect.escape, strict=True))
        return _Parsed(rows[0] if rows else [])
    except csv.Error as error:
        if "unexpected end of data" in str(error):
            return _Parsed([], is_open=True)
    rows = list(_reader(_by_newline(text), dialect.delimiter, dialect.escape))
    return _Parsed(rows[0] if rows else [], in_order=False)


def _by_newline(text: str) -> list[str]:
    return io.StringIO(text, newline="").readlines()


def _fit(cells: list[str], width: int) -> tuple[str, ...] | None:
    """The cells if they are as many as the columns; further ones that are all empty (a trailing comma) are let go."""
    if len(cells) == width or (len(cells) > width and not any(cell.strip() for cell in cells[width:])):
        return tuple(cells[:width])
    return None
