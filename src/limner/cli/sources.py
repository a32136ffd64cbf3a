"""`limner sources`, and the part of `limner ingest` that loads named sources."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limner.cli.options import DEFAULT_SOURCES, DEFAULT_WORKSPACE, JsonOption, SourcesOption, WorkspaceOption

if TYPE_CHECKING:
    from rich.console import Console

    from limner.histories.named import Outcome, SourceState
    from limner.histories.store import Store

app = typer.Typer(
    help="Named sources: databases, folders and stores that are loaded again and again.", no_args_is_help=True
)

NameArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME...]", help="Which sources; all if none is named.")
]


@app.command("list")
def list_sources(
    names: NameArgument = None,
    sources: SourcesOption = DEFAULT_SOURCES,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Show each named source, how far it has been read, and its last load."""
    from limner.cli.output import console, print_json
    from limner.histories.named import choose, read_sources, source_states

    states = source_states(_store(workspace), choose(read_sources(sources), names or []))
    if json:
        print_json([_plain(state) for state in states])
    else:
        _show_states(console(), states)


@app.command("check")
def check_sources(
    names: NameArgument = None,
    sources: SourcesOption = DEFAULT_SOURCES,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Try whether each named source can be read, without loading anything; passwords are never shown."""
    from limner.cli.output import console, print_json
    from limner.errors import LimnerError
    from limner.histories.named import check_source, choose, read_sources

    store = _store(workspace)
    results: list[dict[str, Any]] = []
    for source in choose(read_sources(sources), names or []):
        try:
            results.append({"name": source.name, "ok": True, "found": check_source(source, store)})
        except LimnerError as error:
            results.append({"name": source.name, "ok": False, "found": str(error)})
    if json:
        print_json(results)
    else:
        for result in results:
            state = "ok" if result["ok"] else "failed"
            console().print(f"{result['name']:20} {state:7} {result['found']}", markup=False, soft_wrap=True)
    if not all(result["ok"] for result in results):
        raise typer.Exit(1)


def ingest_named(workspace: Path, file: Path, names: list[str], *, again: bool, json: bool) -> None:
    """Loads what is new of named sources, and says of each what became of it.

    Raises:
        UsageError: The file of sources cannot be used, or has no such source.
    """
    from rich.markup import escape

    from limner.cli.output import console, print_json, remarks
    from limner.histories.named import choose, ingest_sources, read_sources
    from limner.histories.store import Store

    chosen = choose(read_sources(file), names)
    store = Store.open(workspace, create=True)
    outcomes: list[Outcome] = []
    err = remarks()
    with err.status("Reading ...") as status:

        def progress(name: str, done: int, total: int) -> None:
            status.update(f"Reading {done + 1} of {total}: {escape(name)}" if done < total else "Storing ...")

        for outcome in ingest_sources(store, chosen, again=again, progress=progress):
            outcomes.append(outcome)
            if not json:
                _show_outcome(console(), outcome)
            if outcome.error:
                err.print(f"Error: {outcome.source.name}: {outcome.error}", markup=False, soft_wrap=True)
    if json:
        print_json({"sources": [_outcome(outcome) for outcome in outcomes]})
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)


def _store(workspace: Path) -> Store | None:
    """The workspace, if there is one: sources may be looked at before the first load."""
    from limner.histories.store import Store

    nearest = next((path for path in (workspace, *workspace.absolute().parents) if path.exists()), workspace)
    return None if nearest.is_dir() and not (workspace / "manifest.json").exists() else Store.open(workspace)


def _show_outcome(out: Console, outcome: Outcome) -> None:
    summary = outcome.summary
    if summary is None:
        return
    unchanged = f", {summary.unchanged:,} files unchanged" if summary.unchanged else ""
    dropped = f", {summary.repeats_dropped:,} repeats dropped" if summary.repeats_dropped else ""
    stored = ", ".join(f"{count:,} {kind}" for kind, count in summary.tables.items() if count) or "nothing new"
    line = f"{summary.rows:,} rows read, {stored} stored, {summary.duplicates:,} duplicates{dropped}"
    out.print(
        f"{outcome.source.name:20} {line}, {summary.quarantined:,} quarantined{unchanged}", markup=False, soft_wrap=True
    )
    if summary.quarantine_file:
        out.print(f"  Bad rows, each with its reason: {summary.quarantine_file}", markup=False, soft_wrap=True)


def _outcome(outcome: Outcome) -> dict[str, Any]:
    summary = outcome.summary
    told = {**summary.to_json(), "unchanged": summary.unchanged} if summary else {}
    return {"name": outcome.source.name, **told, "error": str(outcome.error) if outcome.error else None}


def _plain(state: SourceState) -> dict[str, Any]:
    source = state.source
    return {
        "name": source.name,
        "from": source.shown,
        "table": source.table,
        "increment": source.increment,
        "kind": source.kind or (source.mapping.kind if source.mapping else None),
        "mark": state.mark,
        "parts": state.parts,
        "last_load": state.last_load,
        "last_rows": state.last_rows,
        "last_stored": state.last_stored,
    }


def _show_states(out: Console, states: list[SourceState]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("Source", "From", "Kind", "Read up to", "Last load (UTC)"):
        table.add_column(name, overflow="fold")
    table.add_column("Rows", justify="right")
    for state in states:
        plain = _plain(state)
        place = plain["from"] + (f" ({plain['table']})" if plain["table"] else "")
        reached = state.mark or (f"{state.parts:,} files" if state.parts else "")
        cells = (state.source.name, place, plain["kind"] or "guessed", reached, state.last_load or "never")
        table.add_row(*map(Text, cells), Text(f"{state.last_rows:,}"))
    out.print(table)
