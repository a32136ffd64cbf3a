"""How far each named source has been read, so that the next load reads only what is new.

Of a database's table that is the highest value of its incremental column, of a stream the id of its last entry, of a
file or object what it looked like. The marks are rows of the workspace's table `marks`, committed together with the
rows that were read up to there, so that a crash can neither skip nor forget any.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from limner.histories.databases import MarkValue, TableSource
from limner.histories.objects import AnySource, ObjectSource
from limner.histories.sources import Source
from limner.histories.store import Store
from limner.histories.topics import TopicSource, read_on

EDGE = 1 << 16
"""Bytes at either end of a file that its state is told from, beside its size and time."""


@dataclass(slots=True)
class Marks:
    """The marks of one named source.

    Attributes:
        source: Its name.
        way: How it is read: a file that was read in another way is read again.
        known: The state of each part as it was read last.
        reached: The states of parts that are being read now.
    """

    source: str
    way: str
    known: dict[str, str]
    reached: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, store: Store, source: str, way: str = "", *, again: bool = False) -> Marks:
        """The marks that a workspace holds.

        Args:
            store: The workspace.
            source: The source's name.
            way: How it is read.
            again: Take it as never read.
        """
        rows = [] if again else store.rows("SELECT part, state FROM marks WHERE source = $1", [source])
        return cls(source, way, {row["part"]: row["state"] for row in rows})

    def pending(self, sources: Iterable[AnySource]) -> list[AnySource]:
        """The sources that are new or changed, tables with where they were read up to."""
        found: list[AnySource] = []
        for source in sources:
            known = self.known.get(source.name)
            if isinstance(source, TableSource):
                found.append(replace(source, after=json.loads(known)) if known else source)
                continue
            if isinstance(source, TopicSource):
                left = read_on(source, json.loads(known) if known else "")
                if left is not None:
                    self.reached[source.name] = json.dumps(left.upto)
                    found.append(left)
                continue
            state = self._state(source)
            if not state or state != known:
                self.reached[source.name] = state
                found.append(source)
        return found

    def reach(self, source: TableSource, newest: MarkValue | None) -> None:
        """Notes up to where a table was read."""
        if source.increment and newest is not None:
            self.reached[source.name] = json.dumps(newest, ensure_ascii=False)

    def rows(self) -> list[dict[str, str]]:
        """The marks that are new, as rows of the table `marks`."""
        return [
            {"source": self.source, "part": part, "state": state}
            for part, state in self.reached.items()
            if state and state != self.known.get(part)
        ]

    def _state(self, source: AnySource) -> str:
        """What changes when a file or object, or the way to read it, does; empty if that cannot be told."""
        if isinstance(source, ObjectSource):
            told = source.state
        elif isinstance(source, Source):
            told = _look_of(source)
        else:
            told = ""
        return hashlib.sha256(f"{told}\n{self.way}".encode()).hexdigest()[:32] if told else ""


def _look_of(source: Source) -> str:
    """A file's size, time and both ends."""
    status = source.path.stat()
    digest = hashlib.sha256()
    with source.path.open("rb") as file:
        digest.update(file.read(EDGE))
        file.seek(max(0, status.st_size - EDGE))
        digest.update(file.read(EDGE))
    return f"{status.st_size}|{status.st_mtime_ns}|{digest.hexdigest()}|{source.part}"
