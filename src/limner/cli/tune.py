"""`limner models tune` and `limner models profiles`: how models are asked, and measuring it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limner.cli.options import (
    DEFAULT_WORKSPACE,
    BudgetOption,
    JsonOption,
    MaxSecondsOption,
    MaxTokensOption,
    WorkspaceOption,
)

if TYPE_CHECKING:
    from limner.evals.tuning import Labelled, Tuned
    from limner.serving.profiles import Profile

NOT_MEASURED = "not measured: limner models tune {spec}"

SpecArgument = Annotated[str, typer.Argument(help="A model spec, as after --model.")]


def tune(
    spec: SpecArgument,
    labelled: Annotated[
        Path | None, typer.Option("--labelled", metavar="FILE", help="Your own texts: CSV, JSON, JSONL or Parquet.")
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option("--text", help="Column of its text; several are joined. [default: text]")
    ] = None,
    label: Annotated[str, typer.Option("--label", help="Column of its label: words, 0/1, or stars 1-5.")] = "label",
    limit: Annotated[
        int | None, typer.Option("--limit", "--users", min=2, help="Users of the sample (12), or texts of a file (60).")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the draw.")] = 0,
    quote: Annotated[
        bool, typer.Option("--quote", "--dry-run", help="Say what it would take at most, and ask nothing.")
    ] = False,
    budget: BudgetOption = None,
    max_tokens: MaxTokensOption = None,
    max_seconds: MaxSecondsOption = None,
    workspace: Annotated[
        Path | None,
        typer.Option("--workspace", "-w", help="Write the profile for this workspace only, not for all of yours."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Measure how a model is best asked, on a few labelled texts, and keep it as the model's profile."""
    from limner.cli.output import print_json, remarks
    from limner.cli.quote import print_quote
    from limner.evals.tuning import quote_tuning
    from limner.evals.tuning import tune as measure
    from limner.histories.store import Store
    from limner.serving.budget import Budget

    if workspace is not None:
        Store.open(workspace)
    own = _labelled(labelled, text, label)
    if quote:
        expected = quote_tuning(spec, workspace=workspace, labelled=own, limit=limit, seed=seed)
        print_json(expected.to_dict()) if json else print_quote(expected)
        return
    tuned = measure(
        spec,
        workspace=workspace,
        labelled=own,
        limit=limit,
        seed=seed,
        budget=Budget(budget, max_tokens, max_seconds),
        progress=lambda line: remarks().print(line, markup=False, highlight=False, soft_wrap=True),
    )
    print_json(tuned.to_dict()) if json else _print_tuned(tuned)


def _labelled(file: Path | None, text: list[str] | None, label: str) -> Labelled | None:
    from limner.errors import UsageError
    from limner.evals.tuning import Labelled

    if file is None:
        if text:
            raise UsageError("--text names a column of --labelled FILE. Give the file too.")
        return None
    return Labelled(file, tuple(text or ["text"]), label)


def _print_tuned(tuned: Tuned) -> None:
    from rich.table import Table

    from limner.cli.output import console

    out, profile = console(), tuned.profile
    table = Table(box=None, pad_edge=False)
    for number, name in enumerate(("plan", "score", "95 % interval", "sentiment", "traits", "calls", "tokens", "time")):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    for one in tuned.reached:
        score = one.score
        interval = "" if score.low is None else f"{score.low:.3f} to {score.high:.3f}"
        table.add_row(
            one.plan.name,
            f"{score.value or 0:.3f}",
            interval,
            f"{one.sentiment:.3f}",
            "" if one.traits is None else f"{one.traits:.3f}",
            f"{one.calls:,}",
            f"{one.tokens:,}",
            f"{one.seconds:,.0f} s" if one.fresh else "",
            style="bold" if one.plan.name == profile.plan else None,
        )
    out.print(table)
    out.print(_described(profile), markup=False, emoji=False, soft_wrap=True)
    spent = tuned.spent
    out.print(f"{spent.calls:,} calls, {spent.tokens:,} tokens, {tuned.seconds:,.0f} s", markup=False)
    kept = f"; as it was before: {tuned.before}" if tuned.before else ""
    written = f"Written to {profile.file}{kept}. To undo it, delete the entry."
    out.print(written, markup=False, emoji=False, soft_wrap=True)


def profiles(
    spec: Annotated[str, typer.Argument(help="Only what holds for this model spec.")] = "",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """Show how models are asked: what was measured of them, what holds for others, and the files that say so."""
    from limner.cli.output import console, print_json
    from limner.serving import engine_of
    from limner.serving.prices import read_prices
    from limner.serving.profiles import read_profiles

    table, costs = read_profiles(workspace), read_prices(workspace)
    if spec:
        engine_of(spec)
        found = table.of(spec)
        price = costs.find(spec)
        if json:
            price_told = price and {"currency": price.currency, "input": price.input, "output": price.output}
            print_json({**found.to_dict(), "spec": spec, "price": price_told})
            return
        cost = f"{price.currency} {price.input:g} read, {price.output:g} written" if price else "price unknown"
        console().print(f"{spec}: {_told(found, spec)}; {cost}", markup=False, emoji=False, soft_wrap=True)
        return
    if json:
        print_json(table.to_dict())
        return
    out = console()
    for profile in table.profiles:
        out.print(f"{_described(profile)} ({profile.file})", markup=False, emoji=False, soft_wrap=True)
    for default in table.defaults.values():
        told = f"other {default.model} models: plan {default.plan}; {NOT_MEASURED.format(spec='SPEC')}"
        out.print(told, markup=False, emoji=False, soft_wrap=True)
    out.print(f"\nA measurement goes into {table.files[1]}.", markup=False, emoji=False, soft_wrap=True)


def _told(profile: Profile, spec: str) -> str:
    """A profile in a line, whether it was measured or not."""
    return _described(profile) if profile.measured else f"plan {profile.plan}; {NOT_MEASURED.format(spec=spec)}"


def _described(profile: Profile) -> str:
    """What was measured, in a line."""
    parts = [f"plan {profile.plan}"]
    if profile.concurrency:
        parts.append(f"{profile.concurrency} calls at once")
    if profile.context:
        parts.append(f"{profile.context:,} tokens of context")
    parts += [f"{lang} positive from {limit:g}" for lang, limit in profile.positive_from.items()]
    return f"{profile.model}: {', '.join(parts)}; measured {profile.measured}"
