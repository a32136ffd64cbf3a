"""`limner update` and `limner watch`."""

from __future__ import annotations

from pathlib import Path
from time import sleep as pause
from typing import TYPE_CHECKING, Annotated

import typer

from limner.cli.options import (
    DEFAULT_MODEL,
    DEFAULT_SOURCES,
    DEFAULT_WORKSPACE,
    BudgetOption,
    JsonOption,
    MaxSecondsOption,
    MaxTokensOption,
    ModelOption,
    PlanOption,
    SourcesOption,
    WorkspaceOption,
)

if TYPE_CHECKING:
    from limner.agents.update import UpdateSummary
    from limner.workspace import Workspace

PathsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PATH]...", help="What to load first; named sources if nothing is named and there are any."
    ),
]
UnreadOption = Annotated[bool, typer.Option("--unread", help="Read also users who were never read.")]
TriggerOption = Annotated[
    str,
    typer.Option(
        "--trigger", help="Read a user again for `any` new row, or only for a `significant` change of behaviour."
    ),
]


def update(
    paths: PathsArgument = None,
    sources: SourcesOption = DEFAULT_SOURCES,
    unread: UnreadOption = False,
    trigger: TriggerOption = "any",
    model: ModelOption = DEFAULT_MODEL,
    plan: PlanOption = "auto",
    budget: BudgetOption = None,
    max_tokens: MaxTokensOption = None,
    max_seconds: MaxSecondsOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Load what is new and bring those whose histories changed up to date: personas, memberships, vectors.

    Users of whom nothing new is stored are not read, and what was asked before is not asked again.
    """
    from limner.cli.output import print_json
    from limner.cli.progress import user_progress
    from limner.workspace import Workspace

    opened = Workspace(workspace, model=model)
    with user_progress("Reading", show=True) as told:
        summary = opened.update(
            *(paths or ()), sources=_file(paths, sources), unread=unread, trigger=trigger, plan=plan, progress=told,
            budget=budget, max_tokens=max_tokens, max_seconds=max_seconds,
        )  # fmt: skip
    print_json(summary.to_json()) if json else _print(summary)
    if _incomplete(summary):
        raise typer.Exit(1)


def watch(
    paths: PathsArgument = None,
    every: Annotated[float, typer.Option("--every", min=1, help="Seconds between two looks.")] = 60.0,
    times: Annotated[int | None, typer.Option("--times", min=1, help="Stop after so many looks.")] = None,
    sources: SourcesOption = DEFAULT_SOURCES,
    trigger: TriggerOption = "any",
    model: ModelOption = DEFAULT_MODEL,
    plan: PlanOption = "auto",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Update again and again until Ctrl-C, whenever there is something new.

    What fails at the first look ends it. Later, a source that cannot be read or a model that does not answer is told,
    and tried again at the next look.
    """
    from limner.cli.output import remarks
    from limner.errors import LimnerError
    from limner.workspace import Workspace

    opened = Workspace(workspace, model=model)
    looks = 0
    while times is None or looks < times:
        if looks:
            pause(every)
        looks += 1
        try:
            _look(opened, paths, _file(paths, sources), trigger, plan, json)
        except LimnerError as error:
            if looks == 1:
                raise
            remarks().print(f"Error: {error}", markup=False, soft_wrap=True)


def _look(
    opened: Workspace, paths: list[str] | None, sources: Path | None, trigger: str, plan: str, json: bool
) -> None:
    from limner.cli.output import print_json

    summary = opened.update(*(paths or ()), sources=sources, trigger=trigger, plan=plan)
    if json:
        print_json(summary.to_json())
    elif summary.loaded.stored or summary.extract is not None or summary.loaded.errors:
        _print(summary)


def _file(paths: list[str] | None, sources: Path) -> Path | None:
    """The file of named sources, if it is to be used."""
    return sources if not paths and (sources.exists() or sources != Path(DEFAULT_SOURCES)) else None


def _incomplete(summary: UpdateSummary) -> bool:
    return bool(summary.loaded.errors) or bool(summary.extract and summary.extract.failed)


def _print(summary: UpdateSummary) -> None:
    from limner.cli.output import console, print_failed, remarks

    out, loaded, read = console(), summary.loaded, summary.extract
    out.print(
        f"{loaded.rows:,} rows read, {loaded.stored:,} stored, {loaded.duplicates:,} known already, "
        f"{loaded.quarantined:,} quarantined",
        markup=False,
    )
    for name, why in loaded.errors.items():
        remarks().print(f"Error: {name}: {why}", markup=False, soft_wrap=True)
    out.print(f"{summary.changed:,} users changed, {summary.new:,} are new", markup=False)
    if summary.deferred:
        out.print(f"{summary.deferred:,} of them behave as before, and wait", markup=False)
    if read is not None:
        out.print(
            f"{read.users - len(read.failed):,} users read: {read.accepted:,} signals accepted, {read.rejected:,} "
            f"rejected; {read.calls:,} model calls, {read.input_tokens:,} tokens read, {read.output_tokens:,} written",
            markup=False,
            soft_wrap=True,
        )
        print_failed(read.failed)
    moved = summary.refilled
    if moved.joined or moved.moved or moved.left:
        out.print(f"segments: {moved.joined:,} joined, {moved.moved:,} moved, {moved.left:,} left", markup=False)
    if summary.flagged:
        left = f"{summary.flagged:,} accounts that look like bots or tests were left out (limner flags list)."
        out.print(left, markup=False)
    if summary.unread:
        out.print(f"{summary.unread:,} users were never read: `limner update --unread` reads them too.", markup=False)
