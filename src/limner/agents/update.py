"""What an update did, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from limner.segments.refill import Refilled

if TYPE_CHECKING:
    from limner.agents.extractor import ExtractSummary
    from limner.histories.summary import IngestSummary
    from limner.retrieval.index import Refreshed


@dataclass(frozen=True, slots=True)
class Loaded:
    """Rows of all sources together, and the sources that could not be read, with the reason."""

    rows: int = 0
    stored: int = 0
    duplicates: int = 0
    quarantined: int = 0
    errors: Mapping[str, str] = field(default_factory=dict)

    def plus(self, summary: IngestSummary) -> Loaded:
        """With one source more."""
        return Loaded(
            self.rows + summary.rows,
            self.stored + summary.stored,
            self.duplicates + summary.duplicates,
            self.quarantined + summary.quarantined,
            self.errors,
        )


@dataclass(frozen=True, slots=True)
class UpdateSummary:
    """What an update did.

    Attributes:
        loaded: What was loaded.
        changed: Users read before of whom something new is stored.
        new: Users who came since the last reading.
        unread: Users who were never read and were left out.
        extract: What reading them took; None if there was nobody to read.
        refilled: What became of memberships.
        index: What changed in the search index; None if nothing was read.
        flagged: Users who would be read, but look like bots or tests.
    """

    loaded: Loaded
    changed: int
    new: int
    unread: int
    extract: ExtractSummary | None = None
    refilled: Refilled = field(default_factory=Refilled)
    index: Refreshed | None = None
    flagged: int = 0

    def to_json(self) -> dict[str, Any]:
        """The summary as `--json` prints it."""
        return {
            "loaded": asdict(self.loaded),
            "changed": self.changed,
            "new": self.new,
            "unread": self.unread,
            "flagged": self.flagged,
            "extract": self.extract.to_json() if self.extract else None,
            "memberships": asdict(self.refilled),
            "index": asdict(self.index) if self.index else None,
        }
