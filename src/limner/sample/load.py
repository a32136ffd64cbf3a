"""Loads the sample into a workspace, as a person would load their own files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from limner.sample.folder import sample_folder

if TYPE_CHECKING:
    from limner.histories.load import IngestSummary, Progress
    from limner.histories.store import Store


@dataclass(frozen=True, slots=True)
class SampleSource:
    """Files that are loaded together, and the map they are read with; without one, their columns are guessed."""

    files: tuple[str, ...]
    map: str = ""


SOURCES = (
    SampleSource(("items.csv", "users.csv", "chats.jsonl")),
    SampleSource(("ties.csv",), "maps/ties.toml"),
    SampleSource(("events_en.csv",), "maps/events_en.toml"),
    SampleSource(("events_zh.jsonl",), "maps/events_zh.toml"),
)
"""What `load_sample` loads, in this order."""


def load_sample(store: Store, *, progress: Progress | None = None) -> list[IngestSummary]:
    """Loads the whole sample and brings the facts of its users up to date. Loading it again adds nothing.

    Args:
        store: The workspace.
        progress: Told of each file as it is begun.

    Returns:
        The account of each load, in the order of `SOURCES`.

    Raises:
        WorkspaceError: The workspace cannot be written.
    """
    from limner.histories.load import ingest

    folder = sample_folder()
    return [
        ingest(
            store,
            [folder / name for name in source.files],
            mapping=folder / source.map if source.map else None,
            progress=progress,
        )
        for source in SOURCES
    ]
