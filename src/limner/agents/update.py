"""Whom an update reads, and what it did, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from limner.agents.change import find_changes
from limner.histories.store import Store
from limner.segments.refill import Refilled

if TYPE_CHECKING:
    from limner.agents.extractor import ExtractSummary
    from limner.histories.summary import IngestSummary
    from limner.retrieval.index import Refreshed


class Trigger(StrEnum):
    """What makes an update read a user again."""

    ANY = "any"
    SIGNIFICANT = "significant"


def worth_reading(store: Store, changed: Sequence[str], trigger: Trigger) -> list[str]:
    """Those of the users with something new who are to be read again now.

    Args:
        store: The workspace's tables.
        changed: Users who were read before and of whom something is stored since.
        trigger: `any` for all of them; `significant` for those who behave otherwise than before, have little history
            or have waited for long (`limner.agents.change`).
    """
    if trigger is Trigger.ANY:
        return [*changed]
    from limner.retrieval.embedder import embed_passages

    return [change.user_id for change in find_changes(store, changed, embed=embed_passages) if change.reason]


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
        deferred: Of the changed users, those whose behaviour did not change significantly: they wait.
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
    deferred: int = 0

    def to_json(self) -> dict[str, Any]:
        """The summary as `--json` prints it."""
        return {
            "loaded": asdict(self.loaded),
            "changed": self.changed,
            "new": self.new,
            "unread": self.unread,
            "flagged": self.flagged,
            "deferred": self.deferred,
            "extract": self.extract.to_json() if self.extract else None,
            "memberships": asdict(self.refilled),
            "index": asdict(self.index) if self.index else None,
        }
