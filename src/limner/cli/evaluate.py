"""`limner eval`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from limner.cli.options import DEFAULT_MODEL, JsonOption, ModelOption
from limner.cli.scorecard import (
    DEFAULT_OUT,
    DataFolderOption,
    LimitOption,
    ModelsOption,
    OutOption,
    SeedOption,
    compare,
    run,
    scored,
    tasks,
)

app = typer.Typer(help="Measure models on tasks with known answers.", no_args_is_help=True, rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="Run every task and write a scorecard.")] = False,
    model: ModelsOption = None,
    data_folder: DataFolderOption = None,
    limit: LimitOption = None,
    seed: SeedOption = 0,
    out: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Measure models on tasks with known answers."""
    if context.invoked_subcommand is None:
        if not every:
            context.fail("Name a command, or run every task with --all.")
        scored([], models=model, data=data_folder, limit=limit, seed=seed, out=out or DEFAULT_OUT, json=json)


app.command("list")(tasks)
app.command("run")(run)
app.command("compare")(compare)


@app.command()
def sentiment(
    data: Annotated[Path, typer.Option("--data", help="CSV, JSON, JSONL or Parquet file.")],
    text: Annotated[list[str], typer.Option("--text", help="Column of the text; several are joined.")],
    label: Annotated[str, typer.Option("--label", help="Column of the label: words, 0/1, or stars 1-5.")],
    limit: Annotated[int, typer.Option("--limit", min=2, help="Texts drawn, half of each class.")] = 200,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the draw.")] = 0,
    mistakes: Annotated[bool, typer.Option("--mistakes", help="Also show what was wrong.")] = False,
    model: ModelOption = DEFAULT_MODEL,
    json: JsonOption = False,
) -> None:
    """Score the sentiment question on balanced, seeded labelled texts."""
    import tempfile

    from limner.cli.output import console, print_json, remarks
    from limner.evals import evaluate_sentiment
    from limner.serving import connect

    with tempfile.TemporaryDirectory() as ledger, connect(ledger, model) as client:
        progress = _counter()
        score = evaluate_sentiment(client, data, text, label, limit=limit, seed=seed, progress=progress)
    if mistakes:
        for wrong in score.mistakes:
            said = "negative" if wrong.positive else "positive"
            remarks().print(f"said {said}: {wrong.text[:300]}", markup=False, soft_wrap=True)
    if json:
        print_json(score.to_json())
        return
    console().print(
        f"{score.n} texts, accuracy {score.accuracy:.3f}, macro F1 {score.macro_f1:.3f}, {score.seconds:.1f} s"
        + (f", {score.unscored} without a usable answer" if score.unscored else ""),
        markup=False,
    )


def _counter() -> Callable[[int, int], None]:
    """A line on standard error that counts, where there is a terminal to see it."""
    import sys

    def count(done: int, total: int) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{done}/{total}" + ("\n" if done == total else ""))

    return count
