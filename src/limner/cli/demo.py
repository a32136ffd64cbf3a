"""`limner demo`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limner.cli.options import DEFAULT_MODEL, ModelOption

if TYPE_CHECKING:
    from rich.console import Console

    from limner.demo import Step

NEXT = """Now your own data:
  limner ingest YOUR_FILES...
  limner extract
  limner ask "What do my customers complain about?"
"""


def demo(
    folder: Annotated[
        Path, typer.Option("--dir", help="Where the demo's workspace and page go.", file_okay=False)
    ] = Path("limner-demo"),
    model: ModelOption = DEFAULT_MODEL,
) -> None:
    """Run everything on a small bundled sample: personas, segments, an answer, copy, and a page to click through."""
    import time

    from limner.cli.output import console, remarks
    from limner.demo import demo as steps

    out, aside = console(), remarks()
    started = time.perf_counter()
    aside.print("The first run fetches the model (1.1 GB) and loads it; then personas appear as they are ready.")
    for step in steps(folder, model=model):
        show(step, out, aside)
    minutes, seconds = divmod(round(time.perf_counter() - started), 60)
    out.print(f"\nDone in {minutes} min {seconds} s.\n", highlight=False)
    out.print(NEXT, markup=False)


def show(step: Step, out: Console, aside: Console) -> None:
    """Shows one step of the demo: results on standard output, loads and counts aside."""
    from limner.agents.analyst.schema import AskAnswer
    from limner.agents.copywriter.schema import CopySet
    from limner.agents.extractor import ExtractSummary
    from limner.evidence.persona import Persona
    from limner.histories.load import IngestSummary
    from limner.reports.terminal import answer_text, copy_text, persona_text, segments_table
    from limner.segments.records import Discovery

    result = step.result
    if isinstance(result, IngestSummary):
        aside.print(
            f"Loaded {result.source}: {result.stored} rows, {result.quarantined} quarantined", style="dim", markup=False
        )
    elif isinstance(result, ExtractSummary):
        counts = f"{result.accepted} signals accepted, {result.rejected} rejected, {result.calls} model calls"
        counts += f", {len(result.failed)} users failed" if result.failed else ""
        aside.print(f"Read {result.users} users: {counts}", style="dim", markup=False)
    elif isinstance(result, Persona):
        out.print(persona_text(result))
    elif isinstance(result, Discovery):
        out.print(segments_table(result.segments))
    elif isinstance(result, AskAnswer):
        out.print(answer_text(result.to_json()))
    elif isinstance(result, CopySet):
        out.print(copy_text(result.to_json()))
    else:
        out.print(f"\nThe page: {result}  (open it in a browser and click a claim)", markup=False, soft_wrap=True)
