"""`limner persona`: show and export here, what concerns time and names in `persona_time`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limner.cli import persona_time
from limner.cli.options import DEFAULT_WORKSPACE, WorkspaceOption

if TYPE_CHECKING:
    from limner.reports.personas import Shown

app = typer.Typer(
    help="Show or export personas, how they changed, and the names of traits.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class ShowFormat(StrEnum):
    """How one persona is shown."""

    text = "text"
    json = "json"
    md = "md"
    html = "html"


class ExportFormat(StrEnum):
    """How all personas are exported."""

    jsonl = "jsonl"
    json = "json"
    html = "html"
    md = "md"


@app.command()
def show(
    user: Annotated[str, typer.Argument(help="The user's id.", show_default=False)],
    format: Annotated[ShowFormat, typer.Option("--format", "-f", help="How to show it.")] = ShowFormat.text,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write to this file instead of standard output.")
    ] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Show one user's persona: facts, traits with the words that prove them, and a short narrative."""
    from limner.cli.output import remarks
    from limner.histories.store import Store
    from limner.reports.personas import show_persona

    shown = show_persona(Store.open(workspace), user, format.value)
    if not shown.persona.traits:
        remarks().print(_nothing_read(shown), markup=False)
    _put(shown, out)


def _nothing_read(shown: Shown) -> str:
    from limner.reports.wording import clean

    user = clean(shown.persona.user_id, 80)
    if shown.read:
        return f"No claim about {user} passed the checks, or there was nothing to read; these are the facts."
    return f"Nothing to read yet about {user} but facts; run `limner extract`."


def _put(shown: Shown, out: Path | None) -> None:
    import sys

    from limner.cli.output import console, remarks
    from limner.reports.page import write_text
    from limner.reports.terminal import persona_text, plain

    if out is not None:
        text = shown.text if shown.text is not None else plain(persona_text(shown.persona))
        write_text(out, text)
        remarks().print(f"Wrote {out}", markup=False, soft_wrap=True)
    elif shown.text is None:
        console().print(persona_text(shown.persona))
    else:
        sys.stdout.buffer.write(shown.text.encode("utf-8", "replace"))
        sys.stdout.buffer.flush()


@app.command()
def export(
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.", show_default=False)],
    format: Annotated[ExportFormat, typer.Option("--format", "-f", help="What to write.")] = ExportFormat.jsonl,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Export everyone's persona into one file, or into one HTML page that needs no network."""
    from limner.cli.output import remarks
    from limner.histories.store import Store
    from limner.reports.personas import export_personas

    done = export_personas(Store.open(workspace), out, format.value)
    noun = "persona" if done.personas == 1 else "personas"
    remarks().print(f"Wrote {done.personas:,} {noun} to {done.out}", markup=False, soft_wrap=True)


app.command("history")(persona_time.history)
app.command("conflicts")(persona_time.conflicts)
app.command("aliases")(persona_time.aliases)
