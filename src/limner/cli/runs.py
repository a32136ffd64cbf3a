"""`limner runs`: what was done to a workspace, and taking it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from limner.cli.options import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption

if TYPE_CHECKING:
    from limner.histories.undo import Taken

app = typer.Typer(help="What was done to the workspace, and taking it back.", no_args_is_help=True)


@app.callback()
def _root() -> None:
    """What was done to the workspace, and taking it back."""


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, the newest first.")] = 20,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """List the runs that changed the workspace, newest first."""
    from rich.table import Table
    from rich.text import Text

    from limner.cli.output import console, print_json
    from limner.histories.store import Store
    from limner.histories.undo import list_runs

    runs = list_runs(Store.open(workspace))[:limit]
    if json:
        print_json([run.to_json() for run in runs])
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("Run", "Ended (UTC)", "Wrote"):
        table.add_column(heading, no_wrap=heading != "Wrote")
    for run in runs:
        wrote = ", ".join(f"{rows:,} {name}" for name, rows in run.rows.items())
        table.add_row(
            Text(run.run),
            run.ended,
            Text(wrote + (" (undone)" if run.undone else " (folded)" if run.folded else "")),
            style="dim" if run.undone else "",
        )
    console().print(table)


@app.command("show")
def show(
    run: Annotated[str, typer.Argument(help="The run's id, the beginning of it, or `last`.")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Show what one run wrote."""
    from limner.cli.output import console, print_json
    from limner.histories.store import Store
    from limner.histories.undo import find_run

    found = find_run(Store.open(workspace), run)
    if json:
        print_json(found.to_json())
        return
    out = console()
    lines = [("run", found.run), ("command", found.command), ("started", found.started), ("ended", found.ended)]
    lines += [(name, f"{rows:,} rows") for name, rows in found.rows.items()]
    lines += [(name, str(value)) for name, value in found.summary.items()]
    lines += [(name, "yes") for name, holds in (("undone", found.undone), ("folded", found.folded)) if holds]
    for name, value in lines:
        out.print(f"{name:12}  {value}", markup=False, soft_wrap=True)


@app.command("undo")
def undo(
    run: Annotated[str, typer.Argument(help="The run's id, the beginning of it, or `last`.")] = "last",
    and_later: Annotated[bool, typer.Option("--and-later", help="Undo also every run after it.")] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Take a run back: the workspace is again as it was before it.

    Nothing is deleted: `limner runs redo` puts it back, and answers of models stay paid for.
    """
    from limner.histories.store import Store
    from limner.histories.undo import undo as take_back

    _told(take_back(Store.open(workspace), run, and_later=and_later), "Undone", json)


@app.command("redo")
def redo(workspace: WorkspaceOption = DEFAULT_WORKSPACE, json: JsonOption = False) -> None:
    """Put back what was undone last, if nothing was changed since."""
    from limner.histories.store import Store
    from limner.histories.undo import redo as put_back

    _told(put_back(Store.open(workspace)), "Put back", json)


@app.command("compact")
def compact(
    keep: Annotated[int, typer.Option("--keep", min=0, help="The newest runs that can still be undone after.")] = 20,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Fold the files of old runs together, and drop what newer ones replaced.

    What is shown stays the same. Runs folded cannot be undone any more. Loading, reading and updating do it by
    themselves where there are very many files.
    """
    from dataclasses import asdict

    from limner.cli.output import console, print_json
    from limner.histories.compaction import compact as fold
    from limner.histories.store import Store

    done = fold(Store.open(workspace), keep=keep)
    if json:
        print_json(asdict(done))
    elif not done.files:
        console().print("Nothing to fold: there are few files, or they are of the newest runs.")
    else:
        console().print(
            f"Folded {done.runs:,} runs: {done.files:,} files are {done.into:,} now, and {done.dropped:,} rows that "
            "newer ones had replaced are gone. The old files stay on the disk for a day."
        )


def _told(taken: Taken, what: str, json: bool) -> None:
    from limner.cli.output import console, print_json

    if json:
        print_json(taken.to_json())
        return
    for run in taken.runs:
        wrote = ", ".join(f"{rows:,} {name}" for name, rows in run.rows.items())
        console().print(f"{what}: {run.run} ({wrote})", markup=False, soft_wrap=True)
