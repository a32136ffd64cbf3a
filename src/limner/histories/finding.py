"""What a load reads: files, folders and patterns, tables of databases, objects in a store, streams, standard input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from limner.errors import UsageError
from limner.histories.addresses import Address, is_address, parse_address
from limner.histories.databases import ENGINES, table_source
from limner.histories.objects import STANDARD_INPUT, AnySource, StreamSource, find_objects
from limner.histories.sources import find_files
from limner.histories.topics import SCHEMES, topic_source


@dataclass(frozen=True, slots=True)
class Found:
    """What a load reads, and what was passed over.

    Attributes:
        sources: What to read, in order.
        shown: What was given, as it may be printed.
        empty: Files in folders that hold nothing.
        linked: Links in folders that lead out of them.
    """

    sources: tuple[AnySource, ...]
    shown: str
    empty: tuple[str, ...] = ()
    linked: tuple[str, ...] = ()


def find_sources(places: Iterable[str | Path], options: Mapping[str, Any] | None = None) -> Found:
    """What paths, patterns and addresses stand for. Databases are not asked yet.

    Args:
        places: Files, folders, patterns, addresses, or `-` for standard input.
        options: Options for stores of objects.

    Raises:
        UsageError: A place is not there or holds no data, or an address cannot be understood.
        DataError: A named file is empty, binary or cannot be read, or a store does not answer.
        MissingExtra: A place needs a package that is not installed.
    """
    listed = list(places)
    addresses = {place: parse_address(place) for place in listed if isinstance(place, str) and is_address(place)}
    paths = [place for place in listed if place not in addresses and place != STANDARD_INPUT]
    files = find_files(paths) if paths else None
    sources: list[AnySource] = list(files.sources) if files else []
    for address in addresses.values():
        sources.extend(_at(address, options))
    if STANDARD_INPUT in listed:
        sources.append(StreamSource())
    if not sources:
        raise UsageError("Nothing to load. Name files, folders, patterns or addresses.")
    shown = ", ".join(addresses[place].shown if place in addresses else str(place) for place in listed)
    return Found(tuple(sources), shown, files.empty if files else (), files.linked if files else ())


def _at(address: Address, options: Mapping[str, Any] | None) -> list[AnySource]:
    """The sources at an address: a table, a stream, or objects."""
    if address.scheme in ENGINES:
        return [table_source(address)]
    if address.scheme in SCHEMES:
        return [topic_source(address)]
    hidden = tuple(value for value in (options or {}).values() if isinstance(value, str))
    return list(find_objects(replace(address, secrets=address.secrets + hidden), options))
