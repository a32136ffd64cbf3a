"""A scorecard: the scores of several tasks and models, written, read and compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

import limner
from limner.errors import DataError, UsageError
from limner.evals.score import Figure, Score

FORMAT = 1


class Scorecard(BaseModel):
    """What one run of `limner eval` measured.

    Attributes:
        format: Version of the file.
        limner: Version of limner.
        made: When, UTC, ISO 8601.
        limit: The most cases of a part of a task, None for the tasks' own choice.
        scores: By task, then model.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    limner: str = limner.__version__
    made: str = ""
    limit: int | None = None
    scores: tuple[Score, ...] = ()

    def write(self, path: Path) -> Path:
        """Writes the scorecard as JSON and returns the path."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        return path


def read_scorecard(path: Path) -> Scorecard:
    """Reads a scorecard that `Scorecard.write` wrote.

    Raises:
        UsageError: There is no such file.
        DataError: It is no scorecard.
    """
    if not path.is_file():
        raise UsageError(f"There is no file {path}.")
    try:
        return Scorecard.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DataError(
            f"{path} is no scorecard of this version: {where}: {first['msg']}. Write one with `limner eval run --out`."
        ) from error


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a scorecard's table: a figure of a task, with one cell for each model.

    Attributes:
        task: The task; the figure is the main one if `main`.
        figure: The figure's name.
        cells: By model, as `model_columns` orders them; a figure without a model stands in all of them.
    """

    task: str
    figure: str
    main: bool
    cells: tuple[str, ...]


def model_columns(card: Scorecard) -> tuple[str, ...]:
    """The models of a scorecard, in the order they were run; one column without a name if no model took part."""
    return tuple(dict.fromkeys(score.model for score in card.scores if score.model)) or ("",)


def table(card: Scorecard, *, every_figure: bool = True) -> list[Line]:
    """The lines of the table that people see."""
    columns = model_columns(card)
    lines: list[Line] = []
    for task in dict.fromkeys(score.task for score in card.scores):
        scores = {score.model: score for score in card.scores if score.task == task}
        of = [scores.get(column) or scores.get("") for column in columns]
        names = list(dict.fromkeys(figure.name for score in of if score for figure in score.figures))
        if not names:
            lines.append(Line(task, next(s.measure for s in scores.values()), True, tuple(_why(s) for s in of)))
        for at, name in enumerate(names if every_figure else names[:1]):
            lines.append(Line(task, name, at == 0, tuple(_cell(score, name, at == 0) for score in of)))
    return lines


def _cell(score: Score | None, name: str, main: bool) -> str:
    if score is None:
        return ""
    figure = next((figure for figure in score.figures if figure.name == name), None)
    if figure is None:
        return _why(score)
    unscored = f", {score.unscored} unscored" if main and score.unscored else ""
    return f"{shown(figure)} (n {figure.n}{unscored})"


def _why(score: Score | None) -> str:
    if score is None:
        return ""
    return "unscored: " + ("; ".join(score.reasons) or "no cases")


def shown(figure: Figure) -> str:
    """A figure with its interval, for people."""
    if figure.value is None:
        return "–"
    interval = "" if figure.low is None or figure.high is None else f" [{_number(figure.low)}, {_number(figure.high)}]"
    return _number(figure.value) + interval


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.0f}"


@dataclass(frozen=True, slots=True)
class Change:
    """One figure in two scorecards.

    Attributes:
        comparable: Empty, or why the two figures cannot be compared.
        apart: Whether the intervals do not overlap.
    """

    task: str
    figure: str
    models: tuple[str, str]
    before: Figure
    after: Figure
    comparable: str = ""

    @property
    def difference(self) -> float | None:
        """After less before; None if one of them is not known."""
        if self.before.value is None or self.after.value is None:
            return None
        return self.after.value - self.before.value

    @property
    def apart(self) -> bool:
        """Whether both intervals are known and do not overlap."""
        first, second = self.before, self.after
        if None in (first.low, first.high, second.low, second.high):
            return False
        return bool(first.high < second.low or second.high < first.low)  # type: ignore[operator]


def compare(before: Scorecard, after: Scorecard) -> list[Change]:
    """The figures that both scorecards have, of the same task and model.

    Where each has scores of only one model for a task, these are compared although the models differ.
    """
    changes: list[Change] = []
    for old, new in _matched(before.scores, after.scores):
        known = {figure.name: figure for figure in old.figures}
        wrong = _incomparable(old, new)
        changes += [
            Change(old.task, figure.name, (old.model, new.model), known[figure.name], figure, wrong)
            for figure in new.figures
            if figure.name in known
        ]
    return changes


def _matched(before: Sequence[Score], after: Sequence[Score]) -> list[tuple[Score, Score]]:
    pairs: list[tuple[Score, Score]] = []
    of: Callable[[Sequence[Score], str], dict[str, Score]] = lambda scores, task: {  # noqa: E731
        score.model: score for score in scores if score.task == task
    }
    for task in dict.fromkeys(score.task for score in before):
        old, new = of(before, task), of(after, task)
        if len(old) == len(new) == 1:
            pairs.append((*old.values(), *new.values()))  # type: ignore[arg-type]
        else:
            pairs += [(old[model], new[model]) for model in old if model in new]
    return pairs


def _incomparable(old: Score, new: Score) -> str:
    if old.version != new.version:
        return f"versions {old.version} and {new.version} of the task"
    return "other cases" if old.suite != new.suite else ""
