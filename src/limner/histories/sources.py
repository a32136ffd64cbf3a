"""Which files a load reads: files, folders and globs, and of what format each is.

The format is known by the name (`orders.csv.gz`) or, where the name says nothing, by the first bytes. What cannot be a
table of rows (a picture, a program, an archive) is refused here by what it is, so that nobody has to guess from a
parser's message. Each sheet of a workbook is a source of its own; `book.xlsx#Orders` names one of them.
"""

from __future__ import annotations

import glob
import gzip
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from limner.errors import DataError, UsageError

Format = Literal["parquet", "json", "delimited", "excel", "xml"]

FORMATS: dict[str, Format] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".xml": "xml",
    ".xlsx": "excel",
    ".xlsm": "excel",
    ".csv": "delimited",
    ".tsv": "delimited",
    ".tab": "delimited",
    ".psv": "delimited",
    ".txt": "delimited",
}
"""The format of each file name ending, `.gz` taken off."""

HEAD = 1 << 20
"""Bytes looked at to know a file's format, encoding and dialect."""

GZIP = b"\x1f\x8b"

SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a ZIP archive and not named as an Excel workbook (.xlsx). Unpack it first"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file, or one with a password. Save it as .xlsx without one, or as CSV"),
    (b"%PDF", "a PDF. Export the table as CSV"),
    (b"SQLite format 3", "a SQLite database. Export the table as CSV or Parquet"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90\x00", "a program"),
    (b"(\xb5/\xfd", "compressed with zstd. Unpack it first"),
    (b"BZh", "compressed with bzip2. Unpack it first"),
    (b"\xfd7zXZ", "compressed with xz. Unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive. Unpack it first"),
    (b"ORC", "an ORC file. Convert it to Parquet"),
    (b"Obj\x01", "an Avro file. Convert it to Parquet"),
)
"""First bytes of files that hold no rows limner can read, and what to do about each."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file to read.

    Attributes:
        path: Where it is.
        name: How it is named in tables and in the quarantine: relative to the folder given, else the file name.
        format: What its rows are written in.
        gzipped: Whether it must be unpacked.
        part: The sheet of a workbook; empty for other files.
    """

    path: Path
    name: str
    format: Format
    gzipped: bool = False
    part: str = ""

    @property
    def head(self) -> bytes:
        """Its first bytes, unpacked; at most `HEAD`. Read each time, as a folder may have many files."""
        return _head(self.path)


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a load, and what was passed over.

    Attributes:
        sources: What to read.
        empty: Files in folders that hold nothing.
        linked: Links in folders that lead out of them.
    """

    sources: tuple[Source, ...]
    empty: tuple[str, ...] = ()
    linked: tuple[str, ...] = ()


def find_files(paths: Iterable[str | Path]) -> Files:
    """The files that paths, folders and globs stand for, in order and without repeats.

    Folders are searched whole; only files with a known ending are taken from them, and hidden ones are passed over. So
    are links that lead out of the folder: who may write into it must not choose what else is read.

    Raises:
        UsageError: A path is not there, or a folder or glob holds no data file.
        DataError: A named file is empty, binary or cannot be read.
    """
    sources: dict[tuple[Path, str], Source] = {}
    empty: list[str] = []
    linked: list[str] = []
    for path in paths:
        candidates, named = _expand(path, linked)
        for file, name in candidates:
            looked = look(file, name)
            for source in looked:
                sources.setdefault((file.resolve(), source.part), source)
            if not looked and named:
                raise DataError(f"{file} is empty: there is nothing to load from it.")
            if not looked:
                empty.append(name)
    if not sources:
        raise DataError(f"All {len(empty)} files are empty: there is nothing to load from them.")
    return Files(tuple(sources.values()), tuple(empty), tuple(linked))


def _expand(given: str | Path, linked: list[str]) -> tuple[list[tuple[Path, str]], bool]:
    """The files of one argument with their names, and whether it named one file itself."""
    path = Path(given).expanduser()
    if path.is_dir():
        files = [f for f in sorted(path.rglob("*")) if _is_data(f, path)]
        inside = path.resolve()
        linked.extend(f.relative_to(path).as_posix() for f in files if not f.resolve().is_relative_to(inside))
        files = [f for f in files if f.resolve().is_relative_to(inside)]
        if not files:
            raise UsageError(f"{path} holds no data file. Known endings: {_endings()}, each also with .gz.")
        return [(f, f.relative_to(path).as_posix()) for f in files], False
    if path.exists() or _sheet_of(path)[1]:
        return [(path, path.name)], True
    if glob.has_magic(str(path)):
        matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]
        files = [f for match in matches for f in ([match] if match.is_file() else [])]
        if files:
            return [(f, f.name) for f in files], False
        raise UsageError(f"No file matches {path}. Check the pattern, and quote it so that the shell leaves it alone.")
    raise UsageError(f"There is no file {path}. Check the path.")


def _is_data(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith((".", "_")) for part in file.relative_to(folder).parts)
    return not hidden and file.is_file() and data_ending(file.name)


def data_ending(name: str) -> bool:
    """Whether a file's name ends as data does that limner reads."""
    return _ending(Path(name)) in FORMATS


def _ending(path: Path) -> str:
    name = path.name.lower()
    return Path(name[:-3] if name.endswith(".gz") else name).suffix


def _endings() -> str:
    return " ".join(sorted(FORMATS))


def look(path: Path, name: str) -> list[Source]:
    """What a file is by its first bytes, and its sheets if it is a workbook; nothing if it is empty."""
    path, sheet = _sheet_of(path)
    if not path.is_file():
        raise UsageError(f"{path} is not a regular file. Give a file, a folder or a pattern.")
    head = _head(path)
    if not head.strip():
        return []
    form = _format(path, head)
    if form == "excel":
        return _sheets(path, name.removesuffix(f"#{sheet}"), sheet)
    return [Source(path, name, form, _is_gzipped(path))]


def _sheet_of(path: Path) -> tuple[Path, str]:
    """A workbook's file and the sheet that `book.xlsx#Orders` names; no sheet where the path is a file as it stands."""
    file, _, sheet = str(path).rpartition("#")
    named = bool(file) and not path.exists() and FORMATS.get(Path(file).suffix.lower()) == "excel"
    return (Path(file), sheet) if named and Path(file).is_file() else (path, "")


def _sheets(path: Path, name: str, wanted: str) -> list[Source]:
    from limner.histories.workbooks import sheet_names

    names = sheet_names(path)
    if wanted and wanted not in names:
        raise UsageError(f"{path} has no sheet {wanted!r} with rows. It has: {', '.join(names)}")
    chosen = [wanted] if wanted else names
    alone = len(names) == 1
    return [Source(path, name if alone else f"{name}#{sheet}", "excel", part=sheet) for sheet in chosen]


def _is_gzipped(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == GZIP


def _head(path: Path) -> bytes:
    """The first bytes of a file, unpacked."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}. Check its permissions.") from error
    return _unpack(path) if head.startswith(GZIP) else head


def _unpack(path: Path) -> bytes:
    """The first bytes of a gzipped file, as many as can be had."""
    taken = bytearray()
    try:
        with gzip.open(path, "rb") as file:
            while len(taken) < HEAD and (piece := file.read1(1 << 16)):
                taken += piece
    except (EOFError, OSError, zlib.error) as error:
        if not taken:
            raise DataError(f"{path} is a damaged gzip file: {error}. Fetch or make it again.") from error
    return bytes(taken[:HEAD])


def _format(path: Path, head: bytes) -> Format:
    if head.startswith(b"PAR1"):
        return "parquet"
    known = FORMATS.get(_ending(path))
    if known == "excel" and head.startswith(b"PK"):
        return known
    for signature, what in SIGNATURES:
        if head.startswith(signature):
            raise DataError(f"{path} is {what}.")
    if known == "excel":
        raise DataError(f"{path} is named as an Excel workbook but is not: it begins with {head[:4]!r}. Save it again.")
    if known == "parquet":
        raise DataError(f"{path} is named as Parquet but is not: its first bytes are {head[:4]!r}. Make it again.")
    if _is_binary(head):
        raise DataError(
            f"{path} is a binary file of an unknown kind. limner reads CSV, TSV, JSON, XML, Excel, Parquet."
        )
    if known:
        return known
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"<?xml"):
        return "xml"
    return "json" if start[:1] in (b"{", b"[") else "delimited"


def _is_binary(head: bytes) -> bool:
    """Whether bytes are no text in any encoding: many control characters, and not by the rhythm of UTF-16."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or looks_utf16(head):
        return False
    sample = head[:65536]
    control = sum(sample.count(byte) for byte in range(32) if byte not in (9, 10, 12, 13))
    return control > max(4, len(sample) // 50)


def looks_utf16(head: bytes) -> str:
    """`utf-16-le` or `utf-16-be` if every other byte of the sample is mostly NUL, else empty."""
    sample = head[:4096]
    if len(sample) < 8:
        return ""
    even, odd = sample[0::2].count(0) / (len(sample) / 2), sample[1::2].count(0) / (len(sample) / 2)
    if odd > 0.3 and even < 0.05:
        return "utf-16-le"
    return "utf-16-be" if even > 0.3 and odd < 0.05 else ""
