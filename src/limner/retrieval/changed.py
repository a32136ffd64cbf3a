"""Whose documents may have changed since the index was brought up to date: told from files, without reading a text.

The files that documents were made from are noted beside the index. What was added since names the users; of a version
of which more is different (a run was taken back, ids were merged) it cannot be told, and everything is compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from limner.histories import compaction
from limner.histories.manifest import DataFile, Manifest
from limner.histories.replacing import replacing
from limner.histories.store import Store

INPUTS = ("events", "personas", "traits", "segments", "identities")
"""The tables that documents are made from."""

_OF_USERS = ("events", "personas", "traits")

NOTE = "indexed.json"

PART = 3
"""If more than one in so many of all portrayed users may have changed, everything is compared: it takes no longer."""


@dataclass(frozen=True, slots=True)
class Indexed:
    """What the index was made from.

    Attributes:
        version: The fingerprint of the version, as the vectors' mark has it.
        seq: The version's number of commits.
        files: The number of the commit of each file of `INPUTS`.
    """

    version: str
    seq: int
    files: Mapping[str, int]

    @classmethod
    def of(cls, version: str, manifest: Manifest) -> Indexed:
        """Of a version of a workspace."""
        return cls(version, manifest.seq, {file.path: file.seq for file in _files(manifest)})

    def note(self, workspace: Path) -> None:
        """Notes it in the workspace; where that cannot be done, the next refresh compares everything."""
        with suppress(OSError), replacing(workspace / NOTE) as temporary:
            temporary.write_text(
                json.dumps({"version": self.version, "seq": self.seq, "files": dict(self.files)}), encoding="utf-8"
            )


def noted(workspace: Path, version: str) -> Indexed | None:
    """What was noted of a version; None if nothing or another one was."""
    try:
        raw = json.loads((workspace / NOTE).read_text(encoding="utf-8"))
        if raw["version"] == version:
            return Indexed(version, int(raw["seq"]), {str(path): int(seq) for path, seq in raw["files"].items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return None


def changed_users(store: Store, manifest: Manifest, before: Indexed) -> set[str] | None:
    """The users whose documents may be different in a version than in one that was indexed before.

    Returns:
        Their ids; None if it cannot be told from the files, or if they are many.
    """
    if manifest.folded >= before.seq:
        return None
    present = {file.path for file in _files(manifest)}
    if any(seq > manifest.folded for path, seq in before.files.items() if path not in present):
        return None
    added: dict[str, tuple[DataFile, ...]] = {}
    for name in INPUTS:
        files = manifest.tables.get(name, ())
        # Files of a compaction have rows that were indexed in other files.
        new = (file for file in files if file.path not in before.files)
        added[name] = tuple(file for file in new if not file.run.startswith(f"{compaction.COMMAND}-"))
    if added["identities"]:
        return None
    tables = {**manifest.tables, **{name: added[name] for name in _OF_USERS}}
    with store.read(replace(manifest, tables=tables), tables=_OF_USERS) as db:
        told = " UNION ".join(f"SELECT user_id FROM raw_{name}" for name in _OF_USERS if added[name])
        users = {str(row[0]) for row in db.execute(told).fetchall()} if told else set()
    with store.read(manifest, tables=("personas",)) as db:
        row = db.execute("SELECT count(DISTINCT user_id) FROM raw_personas").fetchone()
    return users if len(users) * PART <= (row[0] if row else 0) else None


def _files(manifest: Manifest) -> Iterator[DataFile]:
    """The files of the tables that documents are made from."""
    for name in INPUTS:
        yield from manifest.tables.get(name, ())
