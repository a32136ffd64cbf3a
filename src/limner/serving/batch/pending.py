"""Batches that were submitted and not collected yet: a file for each in the workspace.

A record is written before the batch is made at the service, which is told the record's id, so that a batch is found
again even if the process died before it could write down what the service called it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from limner.errors import WorkspaceError

FOLDER = "batches"
"""The folder's name inside a workspace."""


@dataclass(frozen=True, slots=True)
class Pending:
    """One batch.

    Attributes:
        id: Ours, told to the service.
        address: Of the service.
        model: The model's name in the cache key.
        keys: Of the questions whose answers have not been collected.
        batch: What the service calls it; empty if that is not known.
    """

    id: str
    address: str
    model: str
    keys: tuple[str, ...]
    batch: str = ""


class PendingBatches:
    """The records of a workspace.

    Attributes:
        folder: Where they are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, address: str, model: str) -> list[Pending]:
        """The batches of a model at an address, the oldest first.

        Raises:
            WorkspaceError: A record cannot be read.
        """
        found = []
        for file in sorted(self.folder.glob("*.json")):
            try:
                told = json.loads(file.read_text(encoding="utf-8"))
                found.append(Pending(**{**told, "keys": tuple(told["keys"])}))
            except (OSError, ValueError, TypeError, KeyError) as error:
                raise WorkspaceError(
                    f"The record of a batch {file} cannot be read ({error}). Move it away; its answers are then asked "
                    "for again."
                ) from error
        return [pending for pending in found if (pending.address, pending.model) == (address, model)]

    def write(self, pending: Pending) -> Pending:
        """Keeps a record, in place of an earlier one of that id.

        Raises:
            WorkspaceError: It cannot be written.
        """
        file = self._file(pending)
        try:
            self.folder.mkdir(exist_ok=True)
            scratch = file.with_suffix(".tmp")
            scratch.write_text(json.dumps(asdict(pending)), encoding="utf-8")
            scratch.replace(file)
        except OSError as error:
            raise WorkspaceError(f"Cannot write {file}: {error.strerror}. Check the folder and free space.") from error
        return pending

    def collected(self, pending: Pending, keys: Iterable[str]) -> None:
        """Notes that the answers to some questions are in the ledger; a batch without others is forgotten."""
        gone = set(keys)
        left = tuple(key for key in pending.keys if key not in gone)
        if left:
            self.write(replace(pending, keys=left))
        else:
            self.forget(pending)

    def forget(self, pending: Pending) -> None:
        """Drops a record."""
        self._file(pending).unlink(missing_ok=True)

    def _file(self, pending: Pending) -> Path:
        return self.folder / f"{pending.id}.json"
