"""The text encoding of a file, and its lines one by one with the broken ones marked.

Files come in UTF-8, in UTF-16 (Excel's "Unicode text") and in GB18030 with its subsets GBK and GB2312 (Chinese
Windows). UTF-8 goes to DuckDB as it is; the rest is first rewritten as UTF-8. A line that cannot be decoded is marked,
never dropped and never guessed at.
"""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TextIO, cast

from limner.errors import UsageError
from limner.histories.sources import Source, looks_utf16

BOMS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

GB_BROKEN = 0.05
"""The share of lines with wide characters that may fail for a file still to count as GB18030."""

GB_COMMON = 0.8
"""The share of wide characters that must be of the everyday set (GB2312). Western letters with accents, read as
GB18030, give rare characters instead, because their second byte is a plain letter."""

PIECE = 1 << 20
"""Bytes read at a time."""

LONGEST_LINE = 64 << 20
"""Characters that one line may have; a longer one is no record, and is not held to find out."""

SHOWN = 1000
"""Characters shown of such a line."""

_escaped = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True, slots=True)
class Line:
    """One line with its end: the text, or why there is none.

    Attributes:
        text: The line; where `problem` is set, as much of it as can be shown.
        problem: Why it cannot be used; empty if it can.
    """

    text: str
    problem: str = ""


def open_bytes(source: Source) -> IO[bytes]:
    """The file's bytes, unpacked."""
    return cast("IO[bytes]", gzip.open(source.path, "rb")) if source.gzipped else source.path.open("rb")


def detect_encoding(source: Source, wanted: str = "") -> str:
    """The name of the encoding of a file: `wanted` if given, else found from its first bytes.

    Raises:
        UsageError: `wanted` is not an encoding.
    """
    if wanted:
        try:
            name = codecs.lookup(wanted).name
            "".encode(wanted)  # refuses what codecs knows beside text, such as hex
        except (LookupError, UnicodeError) as error:
            raise UsageError(f"There is no encoding {wanted!r}. Use for example utf-8, gb18030 or cp1252.") from error
        return "utf-8-sig" if name == "utf-8" and source.head.startswith(codecs.BOM_UTF8) else name
    for mark, name in BOMS:
        if source.head.startswith(mark):
            return name
    return looks_utf16(source.head) or judge_encoding(io.BytesIO(source.head), cut=True)


def judge_encoding(stream: IO[bytes], *, cut: bool = False) -> str:
    """`utf-8` or `gb18030`, whichever decodes more of the lines with wide characters; UTF-8 if neither is convincing.

    Args:
        stream: The bytes to judge.
        cut: The last line may be cut in the middle and is not judged.
    """
    wide = utf8_broken = gb_broken = letters = common = 0
    previous = b""
    try:
        for line in iter(lambda: stream.readline(LONGEST_LINE), b""):
            judged, previous = (previous, line) if cut else (line, b"")
            if judged.isascii():
                continue
            wide += 1
            utf8_broken += not _decodes(judged, "utf-8")
            text = judged.decode("gb18030", "replace")
            gb_broken += "\ufffd" in text
            if letters < 20_000:
                signs = [c for c in text if ord(c) > 127]
                letters += len(signs)
                common += sum(_decodes_back(c) for c in signs)
    except (EOFError, OSError, zlib.error):
        pass  # a damaged gzip file: its readable part decides, and reading it reports the damage
    if utf8_broken and gb_broken < utf8_broken and gb_broken <= wide * GB_BROKEN and common >= letters * GB_COMMON:
        return "gb18030"
    return "utf-8"


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _decodes_back(character: str) -> bool:
    try:
        character.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return True


def transcode(source: Source, encoding: str, target: Path) -> bool:
    """Writes a file as UTF-8 without a byte order mark; False if some of it cannot be decoded (use `lines` then)."""
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    try:
        with open_bytes(source) as file, target.open("wb") as out:
            while piece := file.read(PIECE):
                out.write(decoder.decode(piece).encode("utf-8"))
            out.write(decoder.decode(b"", final=True).encode("utf-8"))
    except (UnicodeError, EOFError, OSError, zlib.error):
        target.unlink(missing_ok=True)
        return False
    return True


def lines(source: Source, encoding: str, *, pieces: bool = False) -> Iterator[Line]:
    """The lines of a file, each with its end, broken ones marked. A damaged gzip file ends with a marked line.

    Args:
        source: The file.
        encoding: Its encoding.
        pieces: Give a line that is too long in pieces, for a reader to whom lines mean nothing; else it is marked.
    """
    errors = "replace" if encoding.startswith("utf-16") else "surrogateescape"
    label = {"utf-8-sig": "UTF-8", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}.get(encoding, encoding.upper())
    problem = f"broken encoding: not valid {label} (if it is another encoding, set `encoding` in the mapping)"
    with io.TextIOWrapper(io.BufferedReader(_Raw(open_bytes(source))), encoding, errors, newline="") as text:
        try:
            for line, is_whole in _by_line(text, pieces):
                if not is_whole:
                    yield Line(line[:SHOWN], f"a line of more than {LONGEST_LINE >> 20} MB")
                elif "\ufffd" in line and errors == "replace":
                    yield Line(line, problem)
                elif _escaped.search(line):
                    shown = line.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
                    yield Line(shown if encoding.startswith("utf-8") else _visible(line), problem)
                else:
                    yield Line(line)
        except (EOFError, OSError, zlib.error) as error:
            yield Line("", f"the gzip file is damaged or cut off here ({error}); what follows could not be read")


def _by_line(text: TextIO, pieces: bool) -> Iterator[tuple[str, bool]]:
    """The lines of a text, and whether each is whole: of one that is too long the beginning comes, or its pieces."""
    while line := text.readline(LONGEST_LINE):
        is_whole = pieces or len(line) < LONGEST_LINE or line.endswith(("\n", "\r"))
        yield line, is_whole
        while not is_whole and (rest := text.readline(PIECE)):
            is_whole = rest.endswith(("\n", "\r"))


def _visible(line: str) -> str:
    return _escaped.sub(lambda m: f"\\x{ord(m.group()) - 0xDC00:02x}", line)


class _Raw(io.RawIOBase):
    """A byte stream that hands on whatever a damaged gzip file still gives before it fails."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._take = stream.read1 if isinstance(stream, gzip.GzipFile) else stream.read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._take(min(len(buffer), 8192))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()
