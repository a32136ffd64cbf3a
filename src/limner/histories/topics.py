"""Streams of a Redis-compatible server (Redis, Valkey, Dragonfly, KeyDB), read on from where they were read up to.

    limner ingest 'redis://:${SHOP_PASSWORD}@host:6379/0?stream=clicks'

An entry whose one field holds a JSON object is that object; any other is an object of its fields. How far a stream was
read is committed together with its entries, so that none is skipped or loaded twice, whatever is killed when. Nothing
is written to the server: no consumer group, no acknowledgement; the stream's own trimming is the server's business.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from limner.errors import DataError, MissingExtra, UsageError
from limner.histories.addresses import Address

SCHEMES = ("redis", "rediss", "valkey", "valkeys")
"""Schemes of addresses of such servers; those that end in `s` are encrypted."""

ENTRIES = 5_000
"""Entries asked for at a time."""

SECONDS = 10
"""How long to wait for a connection or an answer."""

ENTRY_ID = "stream_id"
"""The member of a record that holds its entry's id, unless the record has one of that name."""


@dataclass(frozen=True, slots=True)
class TopicSource:
    """A stream of a server.

    Attributes:
        name: How it is named in tables and in the quarantine; it ends as a file of JSON lines does.
        address: Where the server is.
        stream: The stream's key.
        upto: The id of its newest entry when it was looked at; empty if it has none.
        after: The id of the newest entry that was read; empty before the first load.
        format: Tells it from files.
    """

    name: str
    address: Address
    stream: str
    upto: str
    after: str = ""
    format: Literal["topic"] = "topic"


def topic_source(address: Address) -> TopicSource:
    """The stream that an address names, as far as it goes now.

    Raises:
        UsageError: It names no stream, or what has that name is none.
        DataError: The server does not answer.
        MissingExtra: The client is not installed.
    """
    stream = address.own.get("stream", "")
    if not stream:
        raise UsageError(f"{address.shown} names no stream: add ?stream=NAME.")
    with _connected(address) as client:
        kind = client.type(stream).decode("ascii", "replace")
        if kind not in ("stream", "none"):
            raise UsageError(f"{address.shown} is a {kind}, not a stream.")
        newest = client.xrevrange(stream, count=1)
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in stream)
    return TopicSource(f"{safe}.jsonl", address, stream, newest[0][0].decode("ascii") if newest else "")


def write_entries(source: TopicSource, target: Path) -> None:
    """Writes the entries of a stream that were not read as JSON lines.

    Raises:
        DataError: The server does not answer, or the entries after the last one read are gone.
    """
    with _connected(source.address) as client, target.open("w", encoding="utf-8", newline="\n") as file:
        for entry_id, fields in _entries(client, source):
            file.write(json.dumps(_record(entry_id, fields), ensure_ascii=False) + "\n")


def count_entries(source: TopicSource) -> int:
    """How many entries a load would read now.

    Raises:
        DataError: The server does not answer.
    """
    with _connected(source.address) as client:
        return sum(1 for _ in _entries(client, source))


def _entries(client: Any, source: TopicSource) -> Iterator[tuple[str, Mapping[bytes, bytes]]]:
    """Ids and fields of the entries after the last one read, in order, up to the newest one looked at."""
    after = source.after
    while source.upto:
        batch = client.xrange(source.stream, f"({after}" if after else "-", source.upto, count=ENTRIES)
        for entry_id, fields in batch:
            after = entry_id.decode("ascii")
            yield after, fields or {}
        if len(batch) < ENTRIES:
            return


def _record(entry_id: str, fields: Mapping[bytes, bytes]) -> dict[str, Any]:
    said = {_text(name): _text(value) for name, value in fields.items()}
    record: dict[str, Any] = dict(said)
    if len(said) == 1:
        (value,) = said.values()
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            record = found
    return {ENTRY_ID: entry_id, **record}


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def read_on(source: TopicSource, after: str) -> TopicSource | None:
    """The source from where it was read up to; None if nothing is new.

    A stream whose newest entry is older than what was read is another one of the same name, and read from its
    beginning.

    Args:
        source: The stream as it is now.
        after: The id of the last entry that was read; empty if none was.
    """
    if not source.upto or source.upto == after:
        return None
    return replace(source, after=after if not after or _place(after) < _place(source.upto) else "")


def _place(entry_id: str) -> tuple[int, ...]:
    return tuple(int(part) for part in entry_id.split("-"))


@contextmanager
def _connected(address: Address) -> Iterator[Any]:
    """A connection; errors of the client become errors without secrets."""
    try:
        import redis
    except ImportError as error:
        raise MissingExtra("The client for Redis streams", "streams") from error
    connect: Callable[..., Any] = redis.Redis.from_url
    target = address.target.replace("valkey", "redis", 1) if address.scheme.startswith("valkey") else address.target
    try:
        client = connect(target, socket_timeout=SECONDS, socket_connect_timeout=SECONDS)
    except ValueError as error:
        raise UsageError(f"{address.shown} is no address of a server: {address.scrub(error)}.") from None
    try:
        yield client
    except redis.RedisError as error:
        raise DataError(
            f"{address.shown} does not answer as asked: {address.scrub(error)}. Check the address and the rights there."
        ) from None
    finally:
        client.close()
