"""`limner impute`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from limner.cli.options import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption

if TYPE_CHECKING:
    from limner.histories.impute import Imputed


def impute(
    choices: Annotated[
        list[str],
        typer.Argument(
            metavar="TABLE.COLUMN=WAY...",
            help="What to fill in and how: median, time (a line between the neighbours) or forest; for example"
            " events.price=median.",
        ),
    ],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Fill in missing numbers, beside the data and never in it.

    What is missing stays missing in facts, personas and answers. `limner export TABLE --imputed` takes the values in,
    each with a mark; `limner runs undo` takes them back.
    """
    from limner.cli.output import print_json
    from limner.histories.impute import impute as fill_in
    from limner.histories.impute import read_choices
    from limner.histories.store import Store

    told = fill_in(Store.open(workspace), read_choices(choices))
    if json:
        print_json([one.to_json() for one in told])
    else:
        for one in told:
            _print(one)


def _print(one: Imputed) -> None:
    from limner.cli.output import console

    line = f"{one.table}.{one.column}: {one.filled:,} of {one.missing:,} missing values filled in by {one.way}"
    if one.error is not None:
        line += f"; off by {one.error:,.4g} on average for known values (the plain median {one.plain_error:,.4g})"
    console().print(line, markup=False, soft_wrap=True)
