"""`limner ingest`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limner.cli.options import DEFAULT_SOURCES, DEFAULT_WORKSPACE, JsonOption, SourcesOption, WorkspaceOption
from limner.cli.profile import show_profile
from limner.cli.sources import ingest_named
from limner.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from limner.histories.summary import IngestSummary, Reading


class TableKind(StrEnum):
    """What rows are."""

    events = "events"
    items = "items"
    users = "users"
    ties = "ties"


class Repeats(StrEnum):
    """What becomes of exact repeats."""

    keep = "keep"
    drop = "drop"


def ingest(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PATH...]",
            help="Files, folders or patterns (CSV, TSV, JSON, JSONL, XML, also .gz; Excel, Parquet), addresses of"
            " tables (sqlite:///shop.db?table=orders) or objects (s3://bucket/logs/), - for standard input. Without"
            " any: what is new in the sources of --sources.",
        ),
    ] = None,
    kind: Annotated[
        TableKind | None, typer.Option("--kind", help="What the rows are; guessed for each file if not given.")
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option("--map", metavar="FILE", help="A mapping file (TOML), see docs/ingest.md.")
    ] = None,
    save_map: Annotated[
        Path | None, typer.Option("--save-map", metavar="FILE", help="Save the mapping used, to correct and use again.")
    ] = None,
    repeats: Annotated[
        Repeats | None,
        typer.Option(
            "--repeats",
            help="Keep or drop events that say exactly the same. If not given, orders, returns, views and clicks are"
            " kept; texts and ratings are dropped.",
        ),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option("--source", metavar="NAME", help="Load what is new in this named source; may be given again."),
    ] = None,
    sources: SourcesOption = DEFAULT_SOURCES,
    again: Annotated[
        bool, typer.Option("--again", help="Read named sources from their beginning, not only what is new.")
    ] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Show the workspace's profile afterwards, as `limner profile` does.")
    ] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Load orders, views, reviews, chats, items, profiles or ties.

    Without --map the columns are guessed from their names and values, in Chinese or English, and the guess is shown.
    Loading the same rows again adds nothing. Bad rows go to a quarantine file with the reason.
    """
    from rich.markup import escape

    from limner.cli.output import console, print_json, remarks
    from limner.histories import ingest as load
    from limner.histories.finding import find_sources
    from limner.histories.store import Store

    if profile and json:
        raise UsageError("--profile and --json print two things. Ask for `limner profile --json` after the load.")
    if not paths:
        if kind or mapping or save_map or repeats:
            raise UsageError(
                "--kind, --map, --save-map and --repeats go with paths; named sources say it in their file."
            )
        ingest_named(workspace, sources, source or [], again=again, json=json)
        if profile:
            show_profile(Store.open(workspace))
        return
    if source or again:
        raise UsageError("--source and --again go with named sources. Leave them out, or the paths.")
    if not (workspace / "manifest.json").exists():
        find_sources(paths)  # so that a wrong path does not leave an empty workspace behind
    store = Store.open(workspace, create=True)
    err = remarks()
    with err.status("Reading ...") as status:

        def progress(name: str, done: int, total: int) -> None:
            reading = f"Reading {done + 1} of {total}: {escape(name)}"
            status.update(reading if done < total else "Storing and counting ...")

        summary = load(
            store,
            paths,
            kind=kind.value if kind else None,
            mapping=mapping,
            repeats=repeats.value if repeats else None,
            save_map=save_map,
            progress=progress,
        )
    if json:
        print_json(summary.to_json())
    else:
        show_summary(console(), summary)
    if profile:
        show_profile(store)
    if save_map is not None:
        err.print(f"Mapping saved to {save_map}. Use it with --map.", markup=False, soft_wrap=True)
    if summary.rows and summary.quarantined == summary.rows:
        err.print("No row could be used. The quarantine file says why, row by row.", markup=False, soft_wrap=True)
        raise typer.Exit(1)


def show_summary(out: Console, summary: IngestSummary) -> None:
    """Prints how the sources were read and what became of their rows."""
    for reading in summary.readings:
        _show_reading(out, reading)
    kept = summary.repeats - summary.repeats_dropped
    repeats = f"{kept:,} kept, {summary.repeats_dropped:,} dropped"
    stored = ", ".join(f"{count:,} {kind}" for kind, count in summary.tables.items() if count)
    lines = [
        ("rows", f"{summary.rows:,}", ""),
        ("stored", f"{summary.stored:,}", stored),
        ("duplicates", f"{summary.duplicates:,}", "already in the workspace" if summary.duplicates else ""),
        ("repeats", f"{summary.repeats:,}", repeats if summary.repeats else ""),
        ("quarantined", f"{summary.quarantined:,}", "; ".join(f"{n:,} {why}" for why, n in summary.reasons.items())),
        ("users", f"{summary.users:,}", ""),
    ]
    for label, number, note in lines:
        out.print(f"{label:12}{number:>12}  {note}".rstrip(), markup=False, soft_wrap=True)
    if summary.quarantine_file:
        out.print(f"Bad rows, each with its reason: {summary.quarantine_file}", markup=False, soft_wrap=True)
    if summary.empty_files:
        out.print(f"Empty files passed over: {', '.join(summary.empty_files)}", markup=False, soft_wrap=True)
    if summary.linked_files:
        linked = ", ".join(summary.linked_files)
        out.print(
            f"Links out of the folder passed over (name them to load them): {linked}", markup=False, soft_wrap=True
        )


def _show_reading(out: Console, reading: Reading) -> None:
    """Prints the mapping of one sort of source, with an example of each field."""
    from rich.table import Table
    from rich.text import Text

    more = f" and {reading.sources - 1:,} more like it" if reading.sources > 1 else ""
    how = "guessed (--save-map FILE keeps the guess, --map FILE uses your own)" if reading.guessed else "as mapped"
    out.print(f"{reading.source}{more}: {reading.mapping.kind}, {how}", markup=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("field", "column", "for example"):
        table.add_column(heading, overflow="ellipsis", no_wrap=True, max_width=44)
    for field, columns in reading.mapping.columns.items():
        example = " ".join(reading.examples.get(field, "").split())
        table.add_row(Text(field), Text(" + ".join(columns)), Text(example))
    for field, value in reading.mapping.constants.items():
        table.add_row(Text(field), Text("(the same for all)"), Text(value))
    out.print(table)
    for doubt in reading.doubts:
        out.print(f"  ! {doubt}", markup=False, soft_wrap=True)
