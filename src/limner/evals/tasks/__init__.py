"""All tasks, in the order in which a scorecard shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from limner.errors import UsageError
from limner.evals.task import Task
from limner.evals.tasks.aspects import Aspects
from limner.evals.tasks.cost import Cost
from limner.evals.tasks.evidence import Evidence
from limner.evals.tasks.hostile import Hostile
from limner.evals.tasks.intent import Intent
from limner.evals.tasks.next_item import NextItem
from limner.evals.tasks.personas import Personas
from limner.evals.tasks.sentiment import Sentiment
from limner.evals.tasks.stability import Stability

TASKS: tuple[Task[Any, Any], ...] = (
    Evidence(),
    Sentiment(),
    Aspects(),
    Intent(),
    Personas(),
    NextItem(),
    Stability(),
    Hostile(),
    Cost(),
)


def find_tasks(names: Sequence[str]) -> list[Task[Any, Any]]:
    """The tasks of these names, all if none is named, in the scorecard's order.

    Raises:
        UsageError: There is no task of a name.
    """
    known = {task.name: task for task in TASKS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(f"There is no task {unknown[0]!r}. Known tasks: {', '.join(known)}.")
    return [task for task in TASKS if not names or task.name in names]
