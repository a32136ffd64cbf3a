"""`limner flags`: accounts that look like bots or tests."""

from __future__ import annotations

from typing import Annotated

import typer

from limner.cli.options import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption

app = typer.Typer(
    help="Find accounts that look like bots or tests, list them, clear them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def check(workspace: WorkspaceOption = DEFAULT_WORKSPACE, json: JsonOption = False) -> None:
    """Look at every account by every rule. Flagged ones are left out of segments and of what a model reads."""
    from limner.cli.output import console, print_json
    from limner.histories.flags import check as check_accounts
    from limner.histories.store import Store

    found = check_accounts(Store.open(workspace))
    if json:
        print_json(found.to_json())
        return
    out = console()
    share = found.flagged / found.users if found.users else 0.0
    out.print(f"{found.flagged:,} of {found.users:,} users flagged ({share:.2%})", markup=False)
    for name, users in found.by_flag.items():
        out.print(f"  {users:,} {name.replace('_', ' ')}", markup=False)
    if found.new or found.gone:
        out.print(f"{found.new:,} are new, {found.gone:,} are not flagged any more", markup=False)
    if found.cleared:
        out.print(f"{found.cleared:,} more were cleared by hand", markup=False)
    if found.flagged:
        out.print("`limner flags list` says why, `limner flags clear USER` clears one.", markup=False)


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many rows.")] = 50,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """List flagged accounts, each with the reason."""
    from dataclasses import asdict

    from limner.cli.output import console, print_json, remarks
    from limner.histories.flags import flags_of
    from limner.histories.store import Store

    found = flags_of(Store.open(workspace))
    if json:
        print_json([asdict(flag) for flag in found])
        return
    for flag in found[:limit]:
        console().print(f"{flag.user_id}: {flag.flag.replace('_', ' ')}: {flag.reason}", markup=False, soft_wrap=True)
    if len(found) > limit:
        remarks().print(f"... and {len(found) - limit:,} more. --limit shows them.", markup=False)
    if not found:
        remarks().print("Nobody is flagged. `limner flags check` looks for bots and test accounts.", markup=False)


@app.command()
def clear(
    users: Annotated[list[str], typer.Argument(metavar="USER...", help="Accounts that are people's.")],
    again: Annotated[bool, typer.Option("--again", help="Take it back: let the rules flag them again.")] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Say that flagged accounts are people's: they are used again, whatever later checks find."""
    from limner.cli.output import console, print_json
    from limner.histories.flags import clear as clear_accounts
    from limner.histories.store import Store

    run = clear_accounts(Store.open(workspace), users, again=again)
    if json:
        print_json({"run": run, "users": users})
        return
    done = "The rules hold again for" if again else "Cleared:"
    console().print(f"{done} {', '.join(users)}", markup=False, soft_wrap=True)
