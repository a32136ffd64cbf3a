"""Labelled texts from a file: read, told apart into positive and negative, and drawn balanced and seeded."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from limner.errors import DataError, UsageError

POSITIVE = frozenset({"pos", "positive", "正面", "好评", "积极", "满意", "true", "yes"})
NEGATIVE = frozenset({"neg", "negative", "负面", "差评", "消极", "不满意", "false", "no"})

STARS = {1.0: False, 2.0: False, 4.0: True, 5.0: True}
"""Star ratings of one to five: four and five are positive, one and two negative, three is neither."""


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text and whether it is positive."""

    text: str
    positive: bool


def read_labelled(path: Path, text: Sequence[str], label: str) -> list[LabelledText]:
    """The labelled texts of a CSV, TSV, JSON, JSONL or Parquet file.

    Labels may be words (`pos`, `negative`, `正面`, ...), 0 and 1, or stars from 1 to 5 (3 is left out). Rows without a
    text or with another label are left out.

    Args:
        path: The file.
        text: Columns whose values, joined by a full stop, are the text.
        label: The column of the label.

    Raises:
        UsageError: There is no such file or column.
        DataError: The file cannot be read, or no row has a usable label.
    """
    rows = _rows(path, [*text, label])
    stars = any(str(row[-1]).strip() in {"2", "2.0", "3", "3.0", "4", "4.0", "5", "5.0"} for row in rows)
    found = []
    for *parts, given in rows:
        words = ". ".join(str(part).strip() for part in parts if part is not None and str(part).strip())
        positive = _positive(given, stars)
        if words and positive is not None:
            found.append(LabelledText(words, positive))
    if not found:
        raise DataError(f"No row of {path} has a text and a label in {label!r} that is positive or negative.")
    return found


def _rows(path: Path, columns: list[str]) -> list[tuple[object, ...]]:
    import duckdb

    from limner.histories.store import quote_path

    if not path.is_file():
        raise UsageError(f"There is no file {path}.")
    readers = {".parquet": "read_parquet({})", ".json": "read_json({})", ".jsonl": "read_json({})"}
    reader = readers.get(path.suffix.lower(), "read_csv({}, all_varchar = true)").format(quote_path(path))
    with duckdb.connect() as db:
        try:
            known = [row[0] for row in db.execute(f"DESCRIBE SELECT * FROM {reader}").fetchall()]
            missing = [column for column in columns if column not in known]
            if missing:
                raise UsageError(f"{path} has no column {missing[0]!r}. It has: {', '.join(known[:20])}.")
            chosen = ", ".join('"' + column.replace('"', '""') + '"' for column in columns)
            return db.execute(f"SELECT {chosen} FROM {reader}").fetchall()
        except duckdb.Error as error:
            reason = str(error).strip().splitlines()[0][:200]
            raise DataError(f"Cannot read {path}: {reason}. Give a CSV, JSON or Parquet file.") from error


def _positive(given: object, stars: bool) -> bool | None:
    said = str(given).strip().casefold()
    if said in POSITIVE or said in NEGATIVE:
        return said in POSITIVE
    try:
        number = float(said)
    except ValueError:
        return None
    return STARS.get(number) if stars else {0.0: False, 1.0: True, -1.0: False}.get(number)


def balanced(texts: Sequence[LabelledText], limit: int, seed: int) -> list[LabelledText]:
    """As many positive as negative texts, at most `limit` in all, drawn by a seeded hash of the text.

    The draw does not depend on the order of the rows; equal texts are drawn once.
    """
    drawn: list[LabelledText] = []
    each = limit // 2
    of_class = {
        value: sorted(
            {t.text: t for t in texts if t.positive is value}.values(),
            key=lambda t: hashlib.sha256(f"{seed}\0{t.text}".encode("utf-8", "replace")).digest(),
        )
        for value in (True, False)
    }
    each = min(each, *(len(group) for group in of_class.values()))
    for group in of_class.values():
        drawn += group[:each]
    return drawn
