"""`limner extract`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limner.cli.options import (
    DEFAULT_MODEL,
    DEFAULT_WORKSPACE,
    BudgetOption,
    FlaggedOption,
    JsonOption,
    MaxSecondsOption,
    MaxTokensOption,
    ModelOption,
    PlanOption,
    WorkspaceOption,
)

if TYPE_CHECKING:
    from limner.agents.extractor import ExtractSummary
    from limner.serving.batch.mode import BatchMode
    from limner.serving.batch.service import BatchState
    from limner.workspace import Workspace


def extract(
    users: Annotated[str, typer.Option("--users", help="Only these users, ids separated by commas.")] = "",
    users_file: Annotated[
        Path | None, typer.Option("--users-file", help="Only the users named in this file, one id a line.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first N users.")] = None,
    include_flagged: FlaggedOption = False,
    model: ModelOption = DEFAULT_MODEL,
    plan: PlanOption = "auto",
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", min=1, help="Requests in flight together.")
    ] = None,
    quote: Annotated[
        bool, typer.Option("--quote", help="Only say what it would take: calls, tokens, money, time. Asks no model.")
    ] = False,
    budget: BudgetOption = None,
    max_tokens: MaxTokensOption = None,
    max_seconds: MaxSecondsOption = None,
    batch: Annotated[
        bool, typer.Option("--batch", help="Ask through the service's batches: slow, often at a lower price.")
    ] = False,
    batch_file: Annotated[
        Path | None, typer.Option("--batch-file", help="Ask nobody: write the open questions into this batch file.")
    ] = None,
    batch_results: Annotated[
        Path | None, typer.Option("--batch-results", help="Take answers from the file that came back for a batch file.")
    ] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Read histories with a model: intents, sentiment and interests, each with checked evidence."""
    from limner.cli.output import print_failed, print_json, remarks
    from limner.cli.progress import user_progress
    from limner.cli.quote import print_quote
    from limner.errors import BudgetError, PendingError, StoppedError
    from limner.workspace import Workspace

    opened = Workspace(workspace, model=model, concurrency=concurrency)
    chosen, mode = _named(users, users_file), _batch_mode(batch, batch_file, batch_results)
    stopped: StoppedError | None = None
    if quote:
        expected = opened.quote(chosen, limit=limit, plan=plan, batch=mode, include_flagged=include_flagged)
        print_json(expected.to_dict()) if json else print_quote(expected)
        return
    try:
        with user_progress("Reading", show=True) as told:
            summary = opened.extract(
                chosen, limit=limit, plan=plan, progress=told,
                budget=budget, max_tokens=max_tokens, max_seconds=max_seconds, batch=mode,
                include_flagged=include_flagged,
            )  # fmt: skip
    except (BudgetError, PendingError) as error:
        summary, stopped = error.summary, error
    if json:
        print_json({**summary.to_json(), "stopped": str(stopped) if stopped else None})
    else:
        _print(summary)
    print_failed(summary.failed)
    if chosen is None and not include_flagged:
        _print_flagged(opened)
    if isinstance(stopped, BudgetError):
        raise stopped
    if stopped is not None:
        remarks().print(str(stopped), markup=False, soft_wrap=True)
    if summary.failed:
        raise typer.Exit(1)


def _batch_mode(batch: bool, file: Path | None, results: Path | None) -> BatchMode | None:
    """What the options about batches ask for."""
    if not (batch or file or results):
        return None
    from limner.cli.output import remarks
    from limner.errors import UsageError
    from limner.serving.batch.mode import BatchMode

    if batch and (file or results):
        raise UsageError("--batch asks the service itself: leave out --batch-file and --batch-results, or --batch.")
    shown = ""

    def told(state: BatchState) -> None:
        nonlocal shown
        line = f"batch {state.batch}: {state.status}, {state.done:,} of {state.total:,} answered"
        if state.failed:
            line += f", {state.failed:,} failed"
        if line != shown:
            remarks().print(line, markup=False, highlight=False, soft_wrap=True)
        shown = line

    return BatchMode(file, results, told)


def _named(users: str, users_file: Path | None) -> list[str] | None:
    """The user ids named on the command line, or None for everyone."""
    from limner.errors import UsageError

    if users and users_file:
        raise UsageError("Give --users or --users-file, not both.")
    if users_file is not None:
        try:
            lines = users_file.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise UsageError(f"{users_file} is not a text file in UTF-8. Write one user id a line.") from error
        except OSError as error:
            raise UsageError(f"Cannot read {users_file}: {error.strerror}. Check the path.") from error
        named = [line.strip() for line in lines if line.strip()]
        if not named:
            raise UsageError(f"{users_file} names no user. Write one user id a line.")
        return named
    named = [user.strip() for user in users.split(",") if user.strip()]
    if users and not named:
        raise UsageError("--users names no user. Write ids separated by commas, or leave it out for everyone.")
    return named or None


def _print(summary: ExtractSummary) -> None:
    from limner.cli.output import console
    from limner.cli.quote import print_comparison

    out = console()
    out.print(
        f"{summary.users - len(summary.failed):,} users read: [green]{summary.accepted:,} signals accepted[/green], "
        f"{summary.rejected:,} rejected",
        markup=True,
    )
    for reason, count in sorted(summary.reasons.items(), key=lambda pair: -pair[1]):
        out.print(f"  rejected {count:,}: {reason.replace('_', ' ')}", markup=False)
    out.print(
        f"{summary.calls:,} model calls ({summary.cached_calls:,} answered before), {summary.input_tokens:,} tokens "
        f"read, {summary.output_tokens:,} written, {summary.seconds:,.0f} s",
        markup=False,
    )
    told = summary.sentences
    if told.get("kept") or told.get("refused"):
        out.print(
            f"{told['kept']:,} narrative sentences of the model kept ({told['repaired']:,} after a repair), "
            f"{told['refused']:,} refused, {told['replaced']:,} written by code instead",
            markup=False,
        )
    if summary.unread_texts:
        out.print(f"{summary.unread_texts:,} older texts beyond the plan's limit were not read.", markup=False)
    if summary.quote is not None and (summary.calls or summary.quote.quote.total.calls):
        print_comparison(summary.quote)


def _print_flagged(opened: Workspace) -> None:
    """Says on standard error whom a reading of everyone left out."""
    from limner.cli.output import remarks
    from limner.histories.flags import flagged_users

    if flagged := flagged_users(opened.store):
        left = f"{len(flagged):,} accounts that look like bots or tests were left out (limner flags list)."
        remarks().print(left, markup=False, soft_wrap=True)
