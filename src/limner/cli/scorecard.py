"""`limner eval list`, `run` and `compare`, and `limner eval --all`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limner.cli.options import DEFAULT_MODEL, JsonOption

if TYPE_CHECKING:
    from rich.table import Table

    from limner.evals.run import Progress
    from limner.evals.scorecard import Scorecard

DEFAULT_OUT = Path("limner-eval")

ModelsOption = Annotated[
    list[str] | None,
    typer.Option("--model", "-m", envvar="LIMNER_MODEL", help="Model to measure; several may be given."),
]
DataFolderOption = Annotated[
    Path | None,
    typer.Option("--data-folder", envvar="LIMNER_TEST_DATA", help="Folder of the evaluation data.", file_okay=False),
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="The most cases of each part of a task, such as a language.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of every draw.")]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="Folder for scorecard.json, scorecard.html and what was answered.", file_okay=False),
]


def tasks(json: JsonOption = False) -> None:
    """List the tasks."""
    from limner.cli.output import console, print_json
    from limner.evals.tasks import TASKS

    if json:
        print_json(
            [
                {
                    "name": task.name,
                    "version": task.version,
                    "about": task.about,
                    "measure": task.measure,
                    "needs_model": task.needs_model,
                }
                for task in TASKS
            ]
        )
        return
    width = max(len(task.name) for task in TASKS)
    for task in TASKS:
        console().print(f"{task.name:<{width}}  {task.about}", markup=False, soft_wrap=True)


def run(
    names: Annotated[list[str], typer.Argument(metavar="TASK...", help="Tasks, see `limner eval list`.")],
    model: ModelsOption = None,
    data_folder: DataFolderOption = None,
    limit: LimitOption = None,
    seed: SeedOption = 0,
    out: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Run tasks and print their figures with 95 % intervals."""
    scored(names, models=model, data=data_folder, limit=limit, seed=seed, out=out, json=json)


def compare(
    before: Annotated[Path, typer.Argument(metavar="A.json", help="A scorecard.", dir_okay=False)],
    after: Annotated[Path, typer.Argument(metavar="B.json", help="Another scorecard.", dir_okay=False)],
    json: JsonOption = False,
) -> None:
    """Compare two scorecards figure by figure."""
    from rich.text import Text

    from limner.cli.output import console, print_json
    from limner.evals import scorecard

    changes = scorecard.compare(scorecard.read_scorecard(before), scorecard.read_scorecard(after))
    if json:
        print_json(
            [
                {
                    "task": change.task,
                    "figure": change.figure,
                    "models": list(change.models),
                    "before": change.before.value,
                    "after": change.after.value,
                    "difference": change.difference,
                    "intervals_apart": change.apart,
                    "not_comparable": change.comparable,
                }
                for change in changes
            ]
        )
        return
    table = _table("task", "figure", "before", "after", "difference", "")
    for change in changes:
        difference = "–" if change.difference is None else f"{change.difference:+.3f}"
        note = change.comparable or ("intervals apart" if change.apart else "")
        cells = (scorecard.shown(change.before), scorecard.shown(change.after), difference, note)
        table.add_row(*map(Text, (change.task, change.figure, *cells)))
    console().print(table)


def scored(
    names: Sequence[str],
    *,
    models: Sequence[str] | None,
    data: Path | None,
    limit: int | None,
    seed: int,
    out: Path | None,
    json: bool,
) -> None:
    """Runs tasks, all if none is named; prints the scorecard and, with a folder, writes it there."""
    from limner.cli.output import print_json, remarks
    from limner.errors import UsageError
    from limner.evals.page import write_scorecard_page
    from limner.evals.run import run_tasks

    if data is not None and not data.is_dir():
        raise UsageError(f"There is no folder {data}. Name the evaluation data with --data-folder.")
    card = run_tasks(
        names,
        models=models or [DEFAULT_MODEL],
        data=data,
        folder=out,
        limit=limit,
        seed=seed,
        progress=_counter,
        told=None if json else (lambda score: remarks().print(f"{score.task} {score.model}: done", markup=False)),
    )
    if out is not None:
        written = card.write(out / "scorecard.json")
        page = write_scorecard_page(card, out / "scorecard.html")
        remarks().print(f"Wrote {written} and {page}.", markup=False, soft_wrap=True)
    if json:
        print_json(card.model_dump(mode="json"))
    else:
        _print(card)


def _print(card: Scorecard) -> None:
    from rich.text import Text

    from limner.cli.output import console
    from limner.evals.scorecard import model_columns, table

    shown = _table("task", "figure", *(model or "no model" for model in model_columns(card)))
    for line in table(card):
        cells = (line.task if line.main else "", line.figure, *line.cells)
        shown.add_row(*map(Text, cells), style="bold" if line.main else None)
    console().print(shown)
    for score in card.scores:
        for reason, count in score.reasons.items():
            console().print(f"{score.task}: {count} unscored: {reason}", markup=False, soft_wrap=True)


def _table(*headings: str) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        shown.add_column(Text(heading))
    return shown


def _counter(progress: Progress) -> None:
    """A line on standard error that counts, where there is a terminal to see it."""
    import sys

    if sys.stderr.isatty():
        end = "\n" if progress.done == progress.total else ""
        sys.stderr.write(f"\r{progress.task} {progress.model}: {progress.done}/{progress.total}{end}")
