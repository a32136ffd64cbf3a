"""`limner ledger`: what was asked of models, what it took, and throwing old answers away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from limner.cli.options import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption

if TYPE_CHECKING:
    from limner.serving.accounts import LedgerLine
    from limner.serving.ledger import Ledger

app = typer.Typer(help="The record of every model call.", no_args_is_help=True)

RunOption = Annotated[str, typer.Option("--run", help="Only calls of this run (an id or its beginning).")]
PromptOption = Annotated[str, typer.Option("--prompt", help="Only this prompt: NAME, NAME.vN or NAME.vN.LANG.")]
ModelNameOption = Annotated[str, typer.Option("--model", help="Only this model (its name or the beginning of it).")]
SinceOption = Annotated[str, typer.Option("--since", help="Only calls from this day on, such as 2026-01-31 (UTC).")]


@app.callback()
def _root() -> None:
    """The record of every model call."""


@app.command("summary")
def summary(
    by: Annotated[str, typer.Option("--by", help="What to tell apart: prompt, model, day or run.")] = "prompt",
    run: RunOption = "",
    prompt: PromptOption = "",
    model: ModelNameOption = "",
    since: SinceOption = "",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Show calls, tokens, money and time by prompt, model, day or run."""
    from limner.cli.output import console, print_json
    from limner.histories.store import Store
    from limner.serving import open_ledger
    from limner.serving.accounts import CallFilter, LedgerSummary, summarise

    with open_ledger(Store.open(workspace).path) as ledger:
        among = CallFilter(run, prompt, model, since=since)
        found = summarise(ledger, by=by, among=among) if ledger else LedgerSummary(0, ())
    if json:
        print_json(found.to_dict())
        return
    out = console()
    out.print(f"{found.answers:,} answers kept, {found.calls:,} calls made", markup=False)
    for line in found.lines:
        named = "  ".join(part for part in (line.day, line.run, line.prompt, line.model) if part)
        out.print(
            f"{line.calls:>8,} calls  {line.answered:>8,} answered  {line.input_tokens:>11,} read  "
            f"{line.output_tokens:>9,} written  {line.seconds:>9,.0f} s  {_money(line):>14}  {named}",
            markup=False,
            soft_wrap=True,
        )
    if len(found.lines) > 1 and found.costs:
        total = ", ".join(f"{cost:,.4f} {currency}" for currency, cost in sorted(found.costs.items()))
        out.print(f"In all {total}.", markup=False)


def _money(line: LedgerLine) -> str:
    known = [f"{cost:,.4f} {currency}" for currency, cost in sorted(line.costs.items())]
    return " + ".join([*known, *(["unknown"] if line.unpriced else [])])


@app.command("calls")
def calls(
    run: RunOption = "",
    prompt: PromptOption = "",
    model: ModelNameOption = "",
    outcome: Annotated[str, typer.Option("--outcome", help="Only these: answered, failed or malformed.")] = "",
    since: SinceOption = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many, the newest.")] = 50,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """List single calls, the newest first."""
    from limner.cli.output import console, print_json
    from limner.histories.store import Store
    from limner.serving import open_ledger
    from limner.serving.accounts import CallFilter, list_calls

    with open_ledger(Store.open(workspace).path) as ledger:
        among = CallFilter(run, prompt, model, outcome, since)
        found = list_calls(ledger, among, limit=limit) if ledger else []
    if json:
        print_json(found)
        return
    out = console()
    for call in found:
        error = f"  {call['error']}" if call["error"] else ""
        out.print(
            f"{call['at']}  {call['outcome']:9}  {call['input_tokens']:>6,} read  {call['output_tokens']:>5,} written  "
            f"{call['seconds']:>7.2f} s  {call['prompt']}  {call['run']}{error}",
            markup=False,
            soft_wrap=True,
        )


@app.command("prune")
def prune(
    older_than: Annotated[
        float | None, typer.Option("--older-than", min=0, help="Answers that are at least so many days old.")
    ] = None,
    prompt: Annotated[
        list[str] | None, typer.Option("--prompt", help="Answers to this prompt: NAME.vN, or NAME.vN.LANG. Repeatable.")
    ] = None,
    old_prompts: Annotated[
        bool, typer.Option("--old-prompts", help="Answers to prompt versions that are no longer used.")
    ] = False,
    with_calls: Annotated[
        bool, typer.Option("--with-calls", help="Also the records of the calls, which say what was spent.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Really do it; without it, only say what would go.")] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Throw kept answers away, by age or by prompt. Personas stay; what goes is paid for again if needed again."""
    from dataclasses import asdict

    from limner.cli.output import console, print_json
    from limner.histories.store import Store
    from limner.serving import open_ledger
    from limner.serving.accounts import Pruned
    from limner.serving.accounts import prune as throw_away

    with open_ledger(Store.open(workspace).path) as ledger:
        prompts = [*(prompt or []), *(_unused_prompts(ledger) if old_prompts and ledger else [])]
        nothing = ledger is None or (old_prompts and not prompts)
        done = Pruned(0, 0, yes)
        if ledger is not None and not nothing:
            done = throw_away(ledger, days=older_than, prompts=prompts, calls=with_calls, sure=yes)
    if json:
        print_json(asdict(done))
        return
    records = f" and {done.calls:,} records of calls" if with_calls else ""
    told = f"{done.answers:,} answers{records}"
    console().print(f"{told} deleted." if yes else f"{told} would be deleted. Add --yes to do it.", markup=False)


def _unused_prompts(ledger: Ledger) -> list[str]:
    """Prompts in the ledger that are not the version that is asked now."""
    from limner.errors import LimnerError
    from limner.prompts import latest_version

    unused = []
    for name, version, lang in ledger.rows("SELECT DISTINCT prompt, version, lang FROM calls"):
        try:
            newest = latest_version(name, lang)
        except LimnerError:  # A prompt that is no longer there at all.
            newest = 0
        if version != newest:
            unused.append(f"{name}.v{version}.{lang}")
    return unused
