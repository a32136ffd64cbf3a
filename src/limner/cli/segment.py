"""`limner segment`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from limner.cli.options import DEFAULT_MODEL, DEFAULT_WORKSPACE, FlaggedOption, JsonOption, ModelOption, WorkspaceOption

if TYPE_CHECKING:
    from rich.table import Table

    from limner.segments.records import Membership

app = typer.Typer(help="Find groups of users, list them, show one.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def discover(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    k: Annotated[
        int | None, typer.Option("--k", min=1, help="How many segments; chosen from the data if not given.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same segments.")] = 0,
    include_flagged: FlaggedOption = False,
    model: ModelOption = DEFAULT_MODEL,
    json: JsonOption = False,
) -> None:
    """Find segments of users and name each from what sets it apart."""
    from limner.cli.output import console, print_json, remarks
    from limner.histories.store import Store
    from limner.reports.terminal import segments_table
    from limner.segments.discover import discover as discover_segments
    from limner.serving import connect

    store = Store.open(workspace)
    with remarks().status("Reading traits") as status, connect(store.path, model) as client:
        found = discover_segments(
            store,
            client,
            k=k,
            seed=seed,
            progress=lambda done, total: status.update(f"Reading traits: {done:,} of {total:,}"),
            include_flagged=include_flagged,
        )
    if json:
        print_json(found.to_json())
        return
    console().print(segments_table(found.to_json()["segments"], total=len(found.memberships)))
    remarks().print(found.criterion, markup=False)
    for reason in dict.fromkeys(user.reason for user in found.left_out):
        users = sum(user.reason == reason for user in found.left_out)
        remarks().print(f"Users in no segment: {users:,} ({reason}).", markup=False)


@app.command("list")
def list_segments(workspace: WorkspaceOption = DEFAULT_WORKSPACE, json: JsonOption = False) -> None:
    """List the segments."""
    from limner.cli.output import console, print_json, remarks
    from limner.histories.store import Store
    from limner.reports.terminal import segments_table
    from limner.segments.records import read_segments

    segments = [segment.to_json() for segment in read_segments(Store.open(workspace))]
    if json:
        print_json(segments)
    elif segments:
        console().print(segments_table(segments))
    else:
        remarks().print("There are no segments yet. Find some with `limner segment discover`.", markup=False)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A segment's name or id.")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Members shown, the surest first.")] = 20,
    json: JsonOption = False,
) -> None:
    """Show one segment: what sets it apart, and who is in it and why."""
    from dataclasses import asdict

    from limner.cli.output import console, print_json, remarks
    from limner.histories.store import Store
    from limner.reports.terminal import segments_table
    from limner.segments.records import find_segment, read_memberships, read_segments

    store = Store.open(workspace)
    segment = find_segment(store, name)
    members = read_memberships(store, segment.segment_id)
    if json:
        print_json({**segment.to_json(), "members": [asdict(member) for member in members]})
        return
    out = console()
    out.print(segments_table([segment.to_json()], total=sum(one.users for one in read_segments(store))))
    out.print(_members_table(members[:limit]))
    if len(members) > limit:
        remarks().print(f"{len(members) - limit:,} more members; --limit shows more.", markup=False)


def _members_table(members: list[Membership]) -> Table:
    """Members with confidence and reason, as text whatever their ids hold."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from limner.reports.wording import clean

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("User", overflow="fold", ratio=2)
    table.add_column("Confidence", justify="right")
    table.add_column("Has in common", overflow="fold", ratio=3)
    for member in members:
        table.add_row(Text(clean(member.user_id, 80)), f"{member.confidence:.2f}", Text(clean(member.reason, 200)))
    return table
