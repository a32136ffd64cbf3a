"""`limner status`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limner.cli.options import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption

if TYPE_CHECKING:
    from rich.table import Table

    from limner.histories.status import RunOfStatus, Status


def status(workspace: WorkspaceOption = DEFAULT_WORKSPACE, json: JsonOption = False) -> None:
    """Show what the workspace holds."""
    from limner.cli.output import console, print_json
    from limner.histories.status import status as read_status
    from limner.histories.store import Store

    report = read_status(Store.open(workspace))
    if json:
        print_json(report.to_json())
        return
    out = console()
    out.print(_summary(report))
    out.print()
    out.print(_tables(report))
    if report.runs:
        out.print()
        out.print(_runs(report))


def _summary(report: Status) -> Table:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("Workspace", Text(f"{report.path} ({size(report.disk_bytes)})"))
    grid.add_row("Users", Text(f"{report.users:,}", style="cyan"))
    if report.merged:
        grid.add_row("Merged ids", Text(f"{report.merged:,} (limner identity list)"))
    if report.flagged:
        grid.add_row("Flagged", Text(f"{report.flagged:,} look like bots or tests (limner flags list)"))
    if report.first_event and report.last_event:
        grid.add_row("Events", Text(f"{report.first_event:%Y-%m-%d} to {report.last_event:%Y-%m-%d}"))
    return grid


def _tables(report: Status) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("Table", no_wrap=True)
    table.add_column("Rows", justify="right", no_wrap=True)
    for name, rows in report.tables.items():
        table.add_row(name, f"{rows:,}", style="" if rows else "dim")
    return table


def _runs(report: Status) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("Finished (UTC)", "Command"):
        table.add_column(name, no_wrap=True)
    table.add_column("Notes", overflow="fold")
    for run in report.runs:
        table.add_row(run.committed.replace("T", " ").rstrip("Z"), Text(run.command, style="cyan"), Text(_notes(run)))
    return table


def _notes(run: RunOfStatus) -> str:
    """The run's own figures, as `name 1,234`."""
    shown = {name: value for name, value in run.summary.items() if isinstance(value, int | float | str)}
    return ", ".join(
        f"{name.replace('_', ' ')} {value:,}" if isinstance(value, int | float) else f"{name.replace('_', ' ')} {value}"
        for name, value in shown.items()
    )


def size(count: float) -> str:
    """A number of bytes for people: 1.2 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
