"""XML exports: one element after another becomes a JSON object, without the file ever being held whole.

The element that repeats is the row. Inside it, elements with elements of their own become objects, elements that occur
several times become lists, and attributes stand beside the text of their element: `<price currency="EUR">12</price>`
gives `price` and `price.currency`. Documents that declare entities are refused: no export needs them, and they are how
XML is made to explode or to read other files.
"""

from __future__ import annotations

import codecs
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import IO, Any
from xml.parsers import expat

from limner.errors import DataError
from limner.histories.delimited import Record

PIECE = 1 << 16
"""Bytes parsed at a time."""

MAX_RECORD = 64 << 20
"""Characters one record may have."""

MAX_DEPTH = 100
"""Elements inside each other within a record; more are an attack, or no data."""

_declared = re.compile(rb"""<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")


def declared_encoding(head: bytes) -> str:
    """The encoding that an XML declaration names, if it can be true and Python knows it; empty otherwise."""
    found = _declared.search(head[:1024])
    if not found:
        return ""
    name = found.group(1).decode().lower()
    try:
        # The declaration itself was read as ASCII: an encoding in which it would not be so is not the file's.
        if codecs.lookup(name).name in _NO_FILES or _ASCII.decode(name) != _ASCII.decode("ascii"):
            return ""
    except (LookupError, UnicodeError):
        return ""
    return "gb18030" if name in {"gbk", "gb2312"} else codecs.lookup(name).name


_ASCII = bytes(range(32, 127))
_NO_FILES = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape", "unicode_escape"})


def row_element(head: bytes, encoding: str) -> tuple[str, ...]:
    """The path of the element that is a row.

    That is the outermost one that lies in an element named for several of it (`orders/order`, `OrderList/Order`), else
    the outermost one that occurs several times, the commonest of those, else what lies directly in the root.
    """
    survey = _Survey()
    parser = _parser(survey)
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    with suppress(expat.ExpatError, _Refused):  # reading tells what is wrong; the head shows its elements up to there
        parser.Parse(decoder.decode(head).encode("utf-8", "replace"), False)
    listed = [path for path in survey.times if len(path) > 1 and _is_list_of(path[-2], path[-1])]
    if listed:
        return min(listed, key=len)
    repeated = [path for path, times in survey.times.items() if times > 1 and len(path) > 1]
    if repeated:
        shallow = min(map(len, repeated))
        return max((path for path in repeated if len(path) == shallow), key=lambda path: survey.times[path])
    return next((path for path in survey.times if len(path) == 2), next(iter(survey.times), ()))


def _is_list_of(outer: str, inner: str) -> bool:
    """Whether an element's name says that it holds several of another."""
    outer, inner = outer.lower(), inner.lower()
    return outer in {f"{inner}s", f"{inner}es", f"{inner}list", f"{inner}_list", f"{inner.removesuffix('y')}ies"}


def element_records(stream: IO[bytes], encoding: str, element: str | tuple[str, ...], name: str) -> Iterator[Record]:
    """The records of an XML file, each as one cell of JSON text; one problem stands for all that cannot be read.

    Args:
        stream: The file's bytes.
        encoding: How they are to be decoded.
        element: The element that is a row, by name or path.
        name: The file's name, for errors.

    Raises:
        DataError: The file declares entities.
    """
    taker = _Taker(element)
    parser = _parser(taker)
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    number = 0
    problem = ""
    while not problem:
        try:
            piece = stream.read(PIECE)
            text = decoder.decode(piece, final=not piece)
            parser.Parse(text.encode("utf-8", "replace"), not piece)
        except expat.ExpatError as error:
            problem = f"the XML ends or breaks here, what follows could not be read: {error}"
        except _Refused as error:
            raise DataError(f"{name} {error}") from error
        except (EOFError, OSError, zlib.error) as error:
            problem = f"the gzip file is damaged or cut off here ({error}); what follows could not be read"
        for document in taker.drain():
            number += 1
            yield _record(number, document)
        if not problem and not piece:
            return
    yield Record(number + 1, (), taker.unfinished(), problem)


def _record(number: int, document: dict[str, Any]) -> Record:
    text = json.dumps(document, ensure_ascii=False)
    if "\ufffd" in text:
        return Record(number, (), text, "broken encoding")
    return Record(number, (text,))


class _Refused(Exception):
    """What stands in the file is not taken; the words after the file's name say why."""


def _parser(handler: _Survey | _Taker) -> expat.XMLParserType:
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.ordered_attributes = True
    parser.EntityDeclHandler = _refuse_entity
    parser.StartElementHandler = handler.start
    parser.EndElementHandler = handler.end
    parser.CharacterDataHandler = handler.text
    return parser


def _refuse_entity(*_: object) -> None:
    raise _Refused("declares entities, which can make it explode. Export it without a document type.")


def _local(name: str) -> str:
    """A name without its namespace's prefix."""
    return name.rsplit(":", 1)[-1]


class _Survey:
    """Counts elements by their path."""

    def __init__(self) -> None:
        self.times: Counter[tuple[str, ...]] = Counter()
        self._path: list[str] = []

    def start(self, name: str, _: list[str]) -> None:
        self._path.append(_local(name))
        if len(self._path) <= MAX_DEPTH:
            self.times[tuple(self._path)] += 1

    def end(self, _: str) -> None:
        self._path.pop()

    def text(self, _: str) -> None:
        """Texts do not tell what repeats."""


class _Open:
    """An element that is open: its attributes, what it holds, its text so far."""

    __slots__ = ("attributes", "members", "name", "text")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.attributes = attributes
        self.members: dict[str, Any] = {}
        self.text: list[str] = []


class _Taker:
    """Collects the elements that are rows."""

    def __init__(self, element: str | tuple[str, ...]) -> None:
        self._wanted = element
        self._path: list[str] = []
        self._open: list[_Open] = []
        self._size = 0
        self._done: list[dict[str, Any]] = []

    def start(self, name: str, attributes: list[str]) -> None:
        """Opens an element."""
        self._path.append(_local(name))
        if self._open or self._is_row():
            if len(self._open) >= MAX_DEPTH:
                raise _Refused(f"has elements more than {MAX_DEPTH} deep in one another. It is refused.")
            pairs = {_local(k): v for k, v in zip(attributes[::2], attributes[1::2], strict=True)}
            self._grow(sum(map(len, attributes)))
            self._open.append(_Open(self._path[-1], pairs))

    def _is_row(self) -> bool:
        if isinstance(self._wanted, str):
            return self._path[-1] == self._wanted
        return tuple(self._path) == self._wanted

    def text(self, data: str) -> None:
        """Adds to the text of the element that is open."""
        if self._open:
            self._grow(len(data))
            self._open[-1].text.append(data)

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > MAX_RECORD:
            raise _Refused(f"has a record of more than {MAX_RECORD >> 20} MB. Name a smaller element in the mapping.")

    def end(self, _: str) -> None:
        """Closes an element: a row, or a member of the element around it."""
        self._path.pop()
        if not self._open:
            return
        closed = self._open.pop()
        if self._open:
            _settle(self._open[-1].members, closed)
        else:
            self._done.append(_content(closed))
            self._size = 0

    def drain(self) -> Iterable[dict[str, Any]]:
        """The rows closed since last time."""
        done, self._done = self._done, []
        return done

    def unfinished(self) -> str:
        """What is known of the row that was open, as JSON."""
        while len(self._open) > 1:
            closed = self._open.pop()
            _settle(self._open[-1].members, closed)
        return json.dumps(_content(self._open[0]), ensure_ascii=False) if self._open else ""


def _content(element: _Open) -> dict[str, Any]:
    """An element as an object: its attributes, its members and its text, if it has all of them."""
    found: dict[str, Any] = dict(element.attributes)
    for name, value in element.members.items():
        found[name if name not in found else f"{name}_2"] = value
    text = "".join(element.text).strip()
    if text:
        found["text" if "text" not in found else "#text"] = text
    return found


def _settle(members: dict[str, Any], element: _Open) -> None:
    """Puts a closed element among the members of the one around it; a name that came before makes a list."""
    if element.members:
        _append(members, element.name, _content(element))
        return
    _append(members, element.name, "".join(element.text).strip())
    for name, value in element.attributes.items():
        _append(members, f"{element.name}.{name}", value)


def _append(members: dict[str, Any], name: str, value: Any) -> None:
    if name not in members:
        members[name] = value
    elif isinstance(members[name], list):
        members[name].append(value)
    else:
        members[name] = [members[name], value]
