"""`limner ledger`: what was asked of models, and what it took."""

from __future__ import annotations

import typer

from limner.cli.options import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption

app = typer.Typer(help="The record of every model call.", no_args_is_help=True)


@app.callback()
def _root() -> None:
    """The record of every model call."""


@app.command("summary")
def summary(workspace: WorkspaceOption = DEFAULT_WORKSPACE, json: JsonOption = False) -> None:
    """Show calls, tokens and time by model and prompt."""
    from limner.cli.output import console, print_json
    from limner.histories.store import Store
    from limner.serving import read_ledger

    found = read_ledger(Store.open(workspace).path)
    if json:
        print_json(found.to_dict())
        return
    out = console()
    out.print(f"{found.answers:,} answers kept, {found.calls:,} calls made", markup=False)
    for line in found.lines:
        out.print(
            f"{line.calls:>8,} calls  {line.answered:>8,} answered  {line.input_tokens:>11,} read  "
            f"{line.output_tokens:>9,} written  {line.seconds:>9,.0f} s  {line.prompt}  {line.model}",
            markup=False,
            soft_wrap=True,
        )
