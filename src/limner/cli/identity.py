"""`limner identity`: one person under several ids, merged and split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limner.cli.options import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption

if TYPE_CHECKING:
    from limner.histories.identity import MergeSummary

app = typer.Typer(
    help="Merge ids that are one person's, list them, split them.", no_args_is_help=True, rich_markup_mode=None
)

DEFAULT_MOST = 10


@app.command()
def merge(
    ties: Annotated[
        list[Path] | None,
        typer.Option("--ties", metavar="FILE", help="A file of pairs of ids: CSV, JSONL, Parquet and so on."),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key", metavar="COLUMN", help="A column of profiles or events whose equal values are one person."
        ),
    ] = None,
    kind: Annotated[
        str, typer.Option("--as", metavar="SORT", help="What the keys are: email, phone or exact; found if not given.")
    ] = "",
    most: Annotated[
        int, typer.Option("--most", min=2, help="Ids that one person may have; larger groups are left alone and told.")
    ] = DEFAULT_MOST,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Merge ids that are one person's: by a ties file, by exact keys, else by stored ties of the kind same_as.

    Nothing is rewritten: `limner runs undo` or `limner identity split` gives every id its own history back. Keys are
    compared by a hash with a secret, and kept nowhere.
    """
    from limner.cli.output import print_json
    from limner.histories.identity import merge as merge_ids
    from limner.histories.links import find_links
    from limner.histories.store import Store

    store = Store.open(workspace)
    summary = merge_ids(store, find_links(store, ties or (), key or (), kind), most=most)
    print_json(summary.to_json()) if json else _print(summary)


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many people.")] = 50,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """List everyone who has several ids."""
    from dataclasses import asdict

    from limner.cli.output import console, print_json, remarks
    from limner.histories.identity import people
    from limner.histories.store import Store

    found = people(Store.open(workspace))
    if json:
        print_json([asdict(person) for person in found])
        return
    for person in found[:limit]:
        line = f"{person.user_id}: {', '.join(person.members)} ({', '.join(person.reasons)})"
        console().print(line, markup=False, soft_wrap=True)
    if len(found) > limit:
        remarks().print(f"... and {len(found) - limit:,} more. --limit shows them.", markup=False)
    if not found:
        remarks().print("No ids are merged. `limner identity merge` does it.", markup=False)


@app.command()
def split(
    ids: Annotated[
        list[str], typer.Argument(metavar="ID...", help="Merged ids; a person's own id splits all of them.")
    ],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Give merged ids back to themselves. They are not merged again by keys, only by a ties file."""
    from limner.cli.output import console, print_json
    from limner.histories.identity import split as split_ids
    from limner.histories.store import Store

    run, apart = split_ids(Store.open(workspace), ids)
    if json:
        print_json({"run": run, "ids": list(apart)})
        return
    console().print(f"Split: {', '.join(apart)}", markup=False, soft_wrap=True)
    console().print("What a model wrote of them is hidden; `limner update` reads them again.", markup=False)


def _print(summary: MergeSummary) -> None:
    from limner.cli.output import console, remarks

    out, err = console(), remarks()
    found = ", ".join(f"{count:,} by {reason}" for reason, count in summary.links.items()) or "none"
    out.print(f"pairs found: {found}", markup=False, soft_wrap=True)
    done = f"{summary.ids:,} ids merged into {summary.people:,} people, their facts computed again"
    out.print(done if summary.run else "Nothing new to merge.", markup=False)
    if summary.held_apart:
        out.print(f"{summary.held_apart:,} left alone because they were split by hand", markup=False)
    if summary.unknown:
        out.print(f"{summary.unknown:,} ids that the workspace does not know yet", markup=False)
    for group in summary.too_large[:20]:
        shared = f"share one {group.reason} (hash {group.key})" if group.key else "hang together by chains"
        err.print(
            f"Left alone: {group.ids:,} ids {shared}, such as {', '.join(group.examples)}", markup=False, soft_wrap=True
        )
    if summary.too_large:
        hint = f"{len(summary.too_large):,} groups are too large for one person. --most allows larger ones."
        err.print(hint, markup=False)
    if summary.run:
        out.print(f"Taken back by: limner runs undo {summary.run}", markup=False, soft_wrap=True)
