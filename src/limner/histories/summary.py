"""The account of a load: what became of every row, and how each source was read."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as Dict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limner.histories.mapping import Mapping


@dataclass(frozen=True, slots=True)
class Reading:
    """How one or more alike sources were read.

    Attributes:
        source: The first of them.
        sources: How many.
        mapping: How their columns were taken.
        guessed: Whether the mapping is limner's guess.
        examples: For each mapped field, a value as it stood in the source.
        doubts: What could not be told for sure.
    """

    source: str
    sources: int
    mapping: Mapping
    guessed: bool
    examples: Dict[str, str]
    doubts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IngestSummary:
    """The account of a load: `rows == stored + duplicates + repeats_dropped + quarantined`.

    Attributes:
        source: The path given, or several joined by commas.
        rows: Rows read, bad ones included.
        stored: Rows added to the workspace.
        duplicates: Rows it held already.
        repeats: Exact repeats within the load, kept and dropped ones together.
        repeats_dropped: Those of them that were dropped.
        quarantined: Bad rows.
        users: Different users in the good rows.
        quarantine_file: Where the bad rows are; None if there are none.
        run: The run's id.
        tables: Rows added, by table.
        reasons: Bad rows, by sort of reason.
        readings: How the sources were read.
        empty_files: Files in the folders given that hold nothing.
        linked_files: Links in the folders given that lead out of them; they were passed over.
        unchanged: Files of a named source that are as they were when it was last read; they were passed over.
        facts: Users whose facts were computed again.
        seconds: How long it took.
    """

    source: str
    rows: int
    stored: int
    duplicates: int
    repeats: int
    repeats_dropped: int
    quarantined: int
    users: int
    quarantine_file: Path | None
    run: str
    tables: Dict[str, int] = field(default_factory=dict)
    reasons: Dict[str, int] = field(default_factory=dict)
    readings: tuple[Reading, ...] = ()
    empty_files: tuple[str, ...] = ()
    linked_files: tuple[str, ...] = ()
    unchanged: int = 0
    facts: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The summary as `limner ingest --json` prints it."""
        return {
            "source": self.source,
            "rows": self.rows,
            "stored": self.stored,
            "duplicates": self.duplicates,
            "repeats": self.repeats,
            "quarantined": self.quarantined,
            "users": self.users,
            "quarantine_file": str(self.quarantine_file) if self.quarantine_file else None,
        }


def save_mappings(readings: Iterable[Reading], path: Path) -> list[Path]:
    """Saves the mappings used, one file for each different one; returns the files.

    Raises:
        UsageError: A file cannot be written.
    """
    different: list[Mapping] = []
    for reading in readings:
        if reading.mapping not in different:
            different.append(reading.mapping)
    saved: list[Path] = []
    for mapping in different:
        target = path if len(different) == 1 else path.with_suffix(f".{mapping.kind}{path.suffix}")
        number = 1
        while target in saved:
            number += 1
            target = path.with_suffix(f".{mapping.kind}-{number}{path.suffix}")
        mapping.save(target)
        saved.append(target)
    return saved
