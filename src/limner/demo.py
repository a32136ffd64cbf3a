"""The whole main job on the bundled sample, step by step, as `limner demo` shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from limner.histories.store import Store
from limner.workspace import Workspace

if TYPE_CHECKING:
    from limner.agents.analyst.schema import AskAnswer
    from limner.agents.copywriter.schema import CopySet
    from limner.agents.extractor import ExtractSummary
    from limner.evidence.persona import Persona
    from limner.histories.load import IngestSummary
    from limner.segments.records import Discovery

QUESTION = "What do coffee customers complain about?"
"""The question the demo asks."""

TOGETHER = 12
"""Users read before their personas are shown: few, so that the first ones come soon."""


@dataclass(frozen=True, slots=True)
class Step:
    """What the demo did last: a title for people, and the result."""

    title: str
    result: IngestSummary | ExtractSummary | Persona | Discovery | AskAnswer | CopySet | Path


def demo(folder: Path, *, model: str = "embedded") -> Iterator[Step]:
    """Runs everything on the sample: load, read, portray, segment, ask, write copy, and one HTML page.

    A server that the spec starts stays up from the first step to the last.

    Args:
        folder: Where the demo's workspace and page go; running it again goes on where it was.
        model: The model spec.

    Yields:
        Each result as it is ready: loads, personas, the segments, one answer, one set of copy, the page's path.
    """
    from limner.serving import kept_up

    with kept_up():
        yield from _steps(folder, Workspace(folder / "workspace", model=model))


def _steps(folder: Path, workspace: Workspace) -> Iterator[Step]:
    from limner.reports.page import write_page
    from limner.sample import load_sample, sample_folder

    for loaded in load_sample(Store.open(workspace.path, create=True)):
        yield Step("Loaded the sample", loaded)
    yield from _personas(workspace)
    discovery = workspace.discover()
    yield Step("Found segments", discovery)
    answer = workspace.ask(QUESTION)
    yield Step("Answered a question", answer)
    copy = None
    if discovery.segments:
        largest = max(discovery.segments, key=lambda segment: segment.users)
        copy = workspace.copy(largest.name, sample_folder() / "product.yaml", channel="email", variants=2)
        yield Step("Wrote copy", copy)
    page = write_page(workspace.store, folder / "personas.html", title="limner demo", answer=answer, copy=copy)
    yield Step("Wrote the page", page)


def _personas(workspace: Workspace) -> Iterator[Step]:
    """Reads the users a few at a time; each persona, and at the end of each few the summary."""
    with workspace.store.read() as db:
        users = [row[0] for row in db.execute("SELECT user_id FROM facts ORDER BY user_id").fetchall()]
    for start in range(0, len(users), TOGETHER):
        chosen = users[start : start + TOGETHER]
        summary = workspace.extract(chosen)
        for user in chosen:
            yield Step("Persona", workspace.persona(user))
        yield Step("Read", summary)
