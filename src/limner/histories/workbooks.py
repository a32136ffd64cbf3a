"""Excel workbooks: which sheets hold rows, and each sheet's rows as text.

A workbook is a ZIP archive, so it is measured before it is opened: one that unpacks to far more than it says or than
any sheet holds is refused. Hidden sheets are passed over, as are lines above the header, such as a report's title.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import Any

from limner.errors import DataError
from limner.histories.delimited import Dialect, Record, is_header, unique_names

MAX_UNPACKED = 4 << 30
"""Bytes a workbook may unpack to. The largest sheet possible, a million rows of sixteen columns, has about half."""

SMALL = 64 << 20
"""Bytes up to which it does not matter how well a workbook is packed."""

MAX_RATIO = 200
"""Bytes for each packed byte that a larger workbook may unpack to; sheets give 5 to 30, zip bombs about 1,000."""

HEADING = 20
"""Rows among which the header is looked for."""

PIECE = 1 << 20


def sheet_names(path: Path) -> list[str]:
    """The visible sheets of a workbook that hold something.

    Raises:
        DataError: It is no workbook, is damaged, has a password, or unpacks to too much.
    """
    _measure(path)
    book = _open(path)
    visible = [str(sheet.name) for sheet in book.sheets_metadata if str(sheet.visible).endswith("Visible")]
    return [name for name in visible if _sheet(path, book, name).height]


def sheet_records(path: Path, name: str) -> tuple[Dialect, Iterator[Record]]:
    """The columns of a sheet and its rows below the header, numbered as the spreadsheet does.

    Raises:
        DataError: It cannot be read.
    """
    rows = enumerate(_sheet(path, _open(path), name).iter_rows(), 1)
    filled = ((number, cells) for number, row in rows if any(cells := [cell_text(cell) for cell in row]))
    head = list(islice(filled, HEADING))
    widest = max((_count(cells) for _, cells in head), default=0)
    place = next((i for i, (_, cells) in enumerate(head) if _count(cells) > widest // 2), 0)
    first, rest = (head[place][1], [cells for _, cells in head[place + 1 :]]) if head else ([], [])
    header = is_header(first, rest)
    names = unique_names(first if header else [""] * len(first))
    below = chain(head[place + header :], filled)
    return Dialect("", "", header, names), (Record(number, tuple(cells)) for number, cells in below)


def cell_text(cell: Any) -> str:
    """A cell as text: numbers without `.0`, times as ISO."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, datetime):
        return cell.isoformat(sep=" ")
    if isinstance(cell, date | time):
        return cell.isoformat()
    return str(cell) if isinstance(cell, timedelta) else str(cell).replace("\0", "")


def _count(cells: list[str]) -> int:
    return sum(bool(cell.strip()) for cell in cells)


def _open(path: Path) -> Any:
    import python_calamine

    try:
        return python_calamine.CalamineWorkbook.from_path(str(path))
    except python_calamine.PasswordError as error:
        raise DataError(f"{path} has a password. Save it without one.") from error
    except BaseException as error:
        raise _damaged(path, error) from error


def _sheet(path: Path, book: Any, name: str) -> Any:
    try:
        return book.get_sheet_by_name(name)
    except BaseException as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: BaseException) -> BaseException:
    """What is raised for an error of the reader, which also panics on some damage (that is no `Exception`)."""
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        return error
    said = (str(error).splitlines() or [""])[0].rstrip(".")
    return DataError(f"{path} cannot be read as an Excel workbook: {said}. Save it again as .xlsx, or as CSV.")


def _measure(path: Path) -> None:
    """Refuses an archive that unpacks to too much, whatever its directory says of the sizes."""
    packed = path.stat().st_size
    allowed = min(MAX_UNPACKED, max(SMALL, packed * MAX_RATIO))
    unpacked = 0
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                entry.file_size = MAX_UNPACKED * 2  # read to the real end, not to the one the directory tells of
                with archive.open(entry) as file:
                    while piece := file.read(PIECE):
                        unpacked += len(piece)
                        if unpacked > allowed:
                            raise DataError(
                                f"{path} has {packed:,} bytes but unpacks to more than {allowed:,}: it is refused as a "
                                "zip bomb. If it is a real workbook, save the sheet as CSV."
                            )
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path} is a damaged Excel workbook or ZIP archive: {error}. Fetch it again.") from error
