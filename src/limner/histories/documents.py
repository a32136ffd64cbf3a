"""JSON files: lines of objects, one array, or objects one after another; and reading damaged ones object by object."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from limner.histories.delimited import Record
from limner.histories.encodings import Line

MAX_HELD = 512 << 20
"""Characters of a damaged file that are held to look for its objects."""

Shape = Literal["lines", "array", "objects"]


def shape_of(head: str) -> Shape:
    """How the objects of a JSON file follow each other, from its first characters."""
    text = head.lstrip()
    if text.startswith("["):
        return "array"
    first = next((line for line in text.splitlines() if line.strip()), "")
    try:
        json.loads(first, strict=False)
    except RecursionError:
        return "lines"
    except ValueError:
        rest = text[len(first) :].lstrip()
        cut_or_pretty = not rest or not rest.startswith("{")
        return "objects" if (cut_or_pretty and first.strip() in {"{", ""}) or _is_pretty(first) else "lines"
    return "lines"


def _is_pretty(first: str) -> bool:
    """Whether a first line only opens an object, as in a file written with indentation."""
    return first.rstrip().endswith(("{", "[", ",")) and first.count('"') % 2 == 0


def careful_documents(lines: Iterable[Line], shape: Shape) -> Iterator[Record]:
    """All objects of a damaged file, each as one cell of JSON text, and what could not be read with its reason."""
    return _line_by_line(lines) if shape == "lines" else _one_by_one(lines)


def _line_by_line(lines: Iterable[Line]) -> Iterator[Record]:
    number = 0
    for line in lines:
        text = line.text.replace("\ufeff", "").strip()
        if not line.problem and not text:
            continue
        number += 1
        if line.problem:
            yield Record(number, (), text, line.problem)
            continue
        try:
            yield Record(number, (_normal(json.loads(text, strict=False, parse_constant=_null)),))
        except (ValueError, RecursionError) as error:
            yield Record(number, (), text, f"not JSON: {error}")


def _one_by_one(lines: Iterable[Line]) -> Iterator[Record]:
    """Objects of an array or a sequence. The text is held in memory: only a damaged file comes here."""
    pieces: list[str] = []
    held = number = 0
    broken: list[Record] = []
    for line in lines:
        if line.problem:
            broken.append(Record(0, (), line.text.strip(), line.problem))
        elif held > MAX_HELD:
            broken.append(Record(0, (), "", f"what follows {MAX_HELD >> 20} MB of a damaged file could not be read"))
            break
        else:
            pieces.append(line.text)
            held += len(line.text)
    text = "".join(pieces).replace("\ufeff", "")
    decoder = json.JSONDecoder(strict=False, parse_constant=_null)
    position = _skip(text, 0)
    while position < len(text):
        number += 1
        try:
            value, position = decoder.raw_decode(text, position)
            yield Record(number, (_normal(value),))
        except (ValueError, RecursionError) as error:
            end = _next_object(text, position + 1)
            yield Record(number, (), text[position:end].strip(), f"not JSON: {error}")
            position = end
        position = _skip(text, position)
    for record in broken:
        number += 1
        yield Record(number, (), record.raw, record.problem)


def _skip(text: str, position: int) -> int:
    """Past white space, commas and the array's brackets."""
    while position < len(text) and (text[position].isspace() or text[position] in ",[]"):
        position += 1
    return position


def _next_object(text: str, position: int) -> int:
    """Where the next object starts: at a brace that opens a line, or one after a closed object and a comma."""
    candidates = [text.find(mark, position) for mark in ("\n{", "},{", "}, {")]
    found = min((c for c in candidates if c >= 0), default=-1)
    return len(text) if found < 0 else text.index("{", found)


def _normal(value: Any) -> str:
    """JSON text that DuckDB can read.

    Raises:
        ValueError: The text holds half of a surrogate pair.
    """
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError("broken encoding: half of a surrogate pair") from error
    return text


def _null(_: str) -> None:
    """What NaN and Infinity, which are not JSON, become."""
