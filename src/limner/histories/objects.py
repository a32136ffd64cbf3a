"""Objects in a store (S3, Google Cloud, Azure, ...) through fsspec, streams, standard input: fetched, then read.

Each object is copied to the workspace's disk, read as a file and removed, so that every format, encoding and damage is
treated as in a local file and the disk needs room for one object at a time.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from limner.errors import DataError, MissingExtra, UsageError
from limner.histories.addresses import Address
from limner.histories.databases import TableSource
from limner.histories.sources import FORMATS, Source, data_ending, look
from limner.histories.topics import TopicSource, write_entries

STANDARD_INPUT = "-"
"""What names standard input among paths."""


@dataclass(frozen=True, slots=True)
class ObjectSource:
    """One object of a store.

    Attributes:
        name: How it is named in tables and in the quarantine: relative to the folder given, else its own name.
        address: The address given.
        path: Its path in the store.
        store: The fsspec file system.
        state: What changes when the object does; empty if the store does not tell.
        format: Tells it from local files.
    """

    name: str
    address: Address
    path: str
    store: Any = field(repr=False)
    state: str = ""
    format: Literal["object"] = "object"


@dataclass(frozen=True, slots=True)
class StreamSource:
    """Standard input, read to its end."""

    name: str = "stdin"
    format: Literal["stream"] = "stream"


AnySource = Source | TableSource | ObjectSource | StreamSource | TopicSource


def find_objects(address: Address, options: Mapping[str, Any] | None = None) -> list[ObjectSource]:
    """The objects that an address stands for: one, all below a folder with a known ending, or those of a pattern.

    Args:
        address: Such as `s3://bucket/orders/` or `memory://logs/2024-*.jsonl`.
        options: Options of the file system, such as keys.

    Raises:
        UsageError: There is nothing there, or the kind of store is not known.
        DataError: The store does not answer.
        MissingExtra: fsspec is not installed.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingExtra("fsspec", "objects") from error
    try:
        store, path = url_to_fs(address.target, **dict(options or {}))
        found = _paths(store, path)
        described = {path: _state(store, path) for path, _ in found}
    except ImportError as error:
        raise DataError(f"{address.shown} needs a package: {address.scrub(error)}.") from None
    except ValueError as error:
        raise UsageError(f"{address.shown} cannot be opened: {address.scrub(error)}.") from None
    except Exception as error:
        raise _unreachable(address, error) from None
    if not found:
        raise UsageError(f"There is no data at {address.shown}. Known endings: {' '.join(sorted(FORMATS))}, also .gz.")
    return [ObjectSource(name, address, path, store, described[path]) for path, name in found]


def _paths(store: Any, path: str) -> list[tuple[str, str]]:
    """The paths in a store with the names they get."""
    if any(sign in path for sign in "*?["):
        return [(str(p), PurePosixPath(p).name) for p in sorted(store.glob(path)) if store.isfile(p)]
    if store.isfile(path):
        return [(path, PurePosixPath(path).name)]
    base = path.rstrip("/") + "/"
    names = ((str(p), str(p).removeprefix(base)) for p in sorted(store.find(path)))
    return [(p, n) for p, n in names if data_ending(n) and not any(part[0] in "._" for part in n.split("/") if part)]


def _state(store: Any, path: str) -> str:
    """What changes when an object does: its size and what the store says of its version or time."""
    info = store.info(path)
    known = [info.get(key) for key in ("size", "ETag", "etag", "md5Hash", "LastModified", "mtime", "created")]
    return "|".join(str(value) for value in known if value is not None)


def fetched(sources: Iterable[AnySource], scratch: Path) -> Iterator[Source | TableSource]:
    """The sources, what is no file or table as a file in a scratch folder, each there until the next is asked for.

    Raises:
        DataError: An object cannot be fetched, is empty where it was named alone, or is no data.
    """
    for source in sources:
        if isinstance(source, Source | TableSource):
            yield source
            continue
        target = scratch / "fetched" / PurePosixPath(source.name).name
        target.parent.mkdir(exist_ok=True)
        if isinstance(source, ObjectSource):
            try:
                source.store.get_file(source.path, str(target))
            except Exception as error:
                raise _unreachable(source.address, error) from None
        elif isinstance(source, TopicSource):
            write_entries(source, target)
        else:
            with target.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
        yield from look(target, source.name)
        target.unlink()


def _unreachable(address: Address, error: Exception) -> DataError:
    said = address.scrub(error)
    return DataError(f"{address.shown} cannot be read: {said}. Check the address, the rights there and the network.")
