"""`limner persona history`, `conflicts` and `aliases`: how traits changed, where they disagree, how they are named."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from limner.cli.options import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption


def history(
    user: Annotated[str, typer.Argument(help="The user's id.", show_default=False)],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Show how one user's traits changed and why: what appeared, was confirmed, contradicted, superseded, expired."""
    from limner.cli.output import console, print_json
    from limner.evidence.over_time import read_history
    from limner.histories.store import Store
    from limner.reports.over_time import history_text

    found = read_history(Store.open(workspace), user)
    if json:
        print_json(found.to_json())
    else:
        console().print(history_text(found))


def conflicts(workspace: WorkspaceOption = DEFAULT_WORKSPACE, json: JsonOption = False) -> None:
    """List the traits on which a user said one thing and its opposite, with the words on both sides."""
    from limner.cli.output import console, print_json
    from limner.evidence.over_time import read_conflicts
    from limner.histories.store import Store
    from limner.reports.over_time import conflicts_text

    found = read_conflicts(Store.open(workspace))
    if json:
        print_json({"conflicts": [conflict.to_json() for conflict in found]})
    else:
        console().print(conflicts_text(found))


def aliases(
    accept: Annotated[
        tuple[str, str] | None,
        typer.Option("--accept", metavar="LABEL NAME", help="LABEL goes under NAME.", show_default=False),
    ] = None,
    refuse: Annotated[
        tuple[str, str] | None,
        typer.Option("--refuse", metavar="LABEL NAME", help="LABEL and NAME are two things.", show_default=False),
    ] = None,
    taxonomy: Annotated[
        Path | None, typer.Option("--taxonomy", help="Keep this TOML file as the workspace's closed vocabulary.")
    ] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """List the labels that go, or could go, under another label's name; decide one of them."""
    from limner.agents.portraitist.labels import review
    from limner.cli.output import console, print_json, remarks
    from limner.histories.store import Store
    from limner.reports.over_time import aliases_table

    told = review(Store.open(workspace), accept=accept, refuse=refuse, taxonomy=taxonomy)
    if json:
        print_json(told.to_json())
    else:
        console().print(aliases_table(told.aliases, told.other))
    if told.changed:
        remarks().print("Run `limner extract` to bring the personas up to date; no text is read again.", markup=False)
