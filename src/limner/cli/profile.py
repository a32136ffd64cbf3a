"""`limner profile`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limner.cli.options import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption

if TYPE_CHECKING:
    from rich.table import Table

    from limner.histories.profile import ColumnProfile, Profile, TableProfile
    from limner.histories.store import Store


def profile(
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write it as one HTML page too.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Show columns without any value too.")] = False,
    texts: Annotated[
        bool, typer.Option("--texts/--no-texts", help="Look for near-duplicate texts too, or not.")
    ] = True,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Show what is in each column, before and after cleaning.

    Missing, unreadable, constant, outlying, repeated and contradictory values, counted over everything that is stored
    and everything in quarantine.
    """
    from limner.histories.store import Store

    show_profile(Store.open(workspace), html=html, every=every, texts=texts, json=json)


def show_profile(
    store: Store, *, html: Path | None = None, every: bool = False, texts: bool = True, json: bool = False
) -> None:
    """Profiles a workspace and prints it, and writes its page if one is wanted.

    Raises:
        UsageError: There is nothing to profile, or the page cannot be written.
    """
    from limner.cli.output import console, print_json, remarks
    from limner.histories.profile import profile as take
    from limner.reports.profile_page import notes, people_and_texts, write_profile_page

    found = take(store, texts=texts)
    if html is not None:
        write_profile_page(found, html, f"Profile of {store.path.absolute().name}")
    if json:
        print_json(found.to_json())
    else:
        out = console()
        out.print(_sums(found), markup=False, soft_wrap=True)
        for table in found.tables:
            out.print()
            out.print(_heading(table), style="bold", markup=False)
            shown = [c for c in table.columns if every or c.missing_after < table.rows_after or c.unreadable]
            out.print(_columns(shown))
            for column in shown:
                if said := notes(column):
                    out.print(f"  {column.name}: {said}", markup=False, soft_wrap=True)
        out.print()
        for line in people_and_texts(found):
            out.print(line, markup=False, soft_wrap=True)
        for reason, rows in found.reasons.items():
            out.print(f"In quarantine: {rows:,} {reason}", markup=False, soft_wrap=True)
    if html is not None:
        remarks().print(f"Page written to {html}.", markup=False, soft_wrap=True)


def _sums(found: Profile) -> str:
    return (
        f"{found.read:,} rows read, {found.duplicates:,} duplicates and dropped repeats, "
        f"{found.quarantined:,} in quarantine, {found.kept_repeats:,} repeats kept"
    )


def _heading(table: TableProfile) -> str:
    from limner.reports.profile_page import change

    return f"{table.name}: {change(table.rows_before, table.rows_after)} rows"


def _columns(columns: list[ColumnProfile]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from limner.reports.profile_page import change, count

    shown = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    shown.add_column("column", overflow="fold", min_width=12)
    for name in ("missing", "unreadable", "different", "repeated", "outlying", "contradictory"):
        shown.add_column(name, justify="right", no_wrap=True)
    for column in columns:
        cells = (
            column.name,
            change(column.missing_before, column.missing_after),
            *map(count, (column.unreadable, column.different, column.repeated, column.outlying, column.contradictory)),
        )
        shown.add_row(*map(Text, cells))
    return shown
