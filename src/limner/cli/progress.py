"""Progress of long work, on standard error, so that standard output stays for results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limner.agents.extractor import Progress


@contextmanager
def user_progress(what: str, *, show: bool = True) -> Iterator[Callable[[Progress], None]]:
    """A bar with users done, users a minute, signals accepted and rejected, and the time left."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from limner.cli.output import remarks

    console = remarks()
    columns = (
        TextColumn(what),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn(
            "{task.fields[rate]}  [green]{task.fields[accepted]} accepted[/green], {task.fields[rejected]} rejected"
        ),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console, transient=True, disable=not (show and console.is_terminal))
    with bar:
        task = bar.add_task(what, total=None, rate="", accepted=0, rejected=0)

        def told(now: object) -> None:
            elapsed = bar.tasks[0].elapsed or 0.0
            done = getattr(now, "done", 0)
            rate = f"{done / elapsed * 60:.1f}/min" if elapsed > 1 and done else ""
            bar.update(
                task,
                total=getattr(now, "users", None),
                completed=done,
                rate=rate,
                accepted=getattr(now, "accepted", 0),
                rejected=getattr(now, "rejected", 0),
            )

        yield told
