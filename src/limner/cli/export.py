"""`limner export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from limner.cli.options import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption


def export(
    table: Annotated[
        str,
        typer.Argument(
            help="events, items, users, sessions, journeys, ties, society, mixing, signals, traits, personas,"
            " segments, memberships, identities, flags or imputed."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write; what is there is replaced.")],
    format: Annotated[str, typer.Option("--format", "-f", help="parquet, csv or jsonl.")] = "",
    spreadsheet_safe: Annotated[
        bool,
        typer.Option(
            "--spreadsheet-safe/--raw",
            help="CSV for a spreadsheet: a ' before texts that would run as formulas, and a byte order mark.",
        ),
    ] = False,
    imputed: Annotated[
        bool, typer.Option("--imputed", help="With values that `limner impute` filled in, each marked in NAME_imputed.")
    ] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Write one table to a Parquet, CSV or JSON Lines file.

    Without --format it is known by the ending of the file's name, else it is Parquet. In CSV, lists are JSON text.
    """
    from limner.cli.output import print_json, remarks
    from limner.histories.export import FORMATS, export_table
    from limner.histories.store import Store

    ending = out.suffix.lower().removeprefix(".")
    chosen = format or (ending if ending in FORMATS else "parquet")
    rows = export_table(Store.open(workspace), table, out, chosen, spreadsheet_safe=spreadsheet_safe, imputed=imputed)
    if json:
        print_json({"table": table, "rows": rows, "out": str(out)})
    else:
        remarks().print(f"{rows:,} rows of {table} in {out}", markup=False, soft_wrap=True)
