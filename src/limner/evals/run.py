"""Running tasks: load, solve, score; whatever cannot be scored is said with its reason."""

from __future__ import annotations

import hashlib
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from limner.errors import ModelError
from limner.evals.meter import Metered, Reading
from limner.evals.score import Score, counted, measured
from limner.evals.scorecard import Scorecard
from limner.evals.task import AbsentData, Loaded, Setting, Task, Unscored
from limner.evals.tasks import find_tasks
from limner.serving.client import Client

Connect = Callable[[Path, str], AbstractContextManager[Client]]
"""A client for a folder (where its ledger lies) and a model spec."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands: the task and model, and its questions answered, of how many."""

    task: str
    model: str
    done: int
    total: int


def run_tasks(
    names: Sequence[str] = (),
    *,
    models: Sequence[str] = ("embedded",),
    data: Path | None = None,
    folder: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    connect: Connect | None = None,
    progress: Callable[[Progress], None] | None = None,
    told: Callable[[Score], None] | None = None,
) -> Scorecard:
    """Runs tasks with models.

    Args:
        names: The tasks; all if none is named.
        models: Model specs. A task without a model is run once.
        data: The evaluation data folder.
        folder: Where ledgers and workspaces are kept, so that a second run asks nothing again; a temporary one if None.
        limit: The most cases of a part of a task.
        seed: Seed of every draw.
        connect: Makes clients; `limner.serving.connect` if None.
        progress: Told how far a task is.
        told: Given each score as it is ready.

    Raises:
        UsageError: There is no task of a name, or a model spec cannot be understood.
    """
    tasks = find_tasks(names)
    scores: list[Score] = []

    def add(score: Score) -> None:
        scores.append(score)
        if told is not None:
            told(score)

    with ExitStack() as stack:
        root = folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        root.mkdir(parents=True, exist_ok=True)
        base = Setting(root, data=data, limit=limit, seed=seed, cache=root)
        for task in tasks:
            if not task.needs_model:
                add(evaluate(task, base))
        for spec in dict.fromkeys(models) if any(task.needs_model for task in tasks) else ():
            with _client(connect, root, spec) as (client, place):
                for task in tasks:
                    if task.needs_model:
                        setting = replace(base, folder=place, spec=spec, client=client)
                        setting.progress = _teller(progress, task.name, spec)
                        add(evaluate(task, setting))
    order = {task.name: at for at, task in enumerate(tasks)}
    scores.sort(key=lambda score: order[score.task])
    made = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return Scorecard(made=made, limit=limit, scores=tuple(scores))


def evaluate(task: Task[Any, Any], setting: Setting) -> Score:
    """Loads, solves and scores one task."""
    started = time.perf_counter()
    reasons: Counter[str] = Counter()
    loaded: Loaded[Any] = Loaded(())
    answers: Sequence[Any] = ()
    if setting.client is not None:
        setting.client.reset()
    try:
        loaded = task.load(setting)
        answers = task.solve(loaded.cases, setting)
    except AbsentData as error:
        reasons[str(error)] += 1
    except ModelError as error:
        reasons[str(error).splitlines()[0]] += len(loaded.cases) or 1
    reasons.update(loaded.missing)
    reasons.update(answer.reason for answer in answers if isinstance(answer, Unscored))
    pairs = [(c, a) for c, a in zip(loaded.cases, answers, strict=False) if not isinstance(a, Unscored)]
    tallies = task.score([c for c, _ in pairs], [a for _, a in pairs]) if pairs else []
    spent = setting.client.reading if setting.client is not None else Reading()
    return Score(
        task=task.name,
        version=task.version,
        measure=task.measure,
        model=setting.client.model if setting.client is not None else "",
        n=len(pairs),
        unscored=sum(reasons.values()),
        reasons=counted(reasons),
        figures=tuple(measured(tally, setting.seed) for tally in tallies if len(tally.rows)),
        prompts=tuple(sorted(spent.prompts)),
        seconds=round(time.perf_counter() - started, 3),
        calls=spent.calls,
        cached_calls=spent.cached_calls,
        input_tokens=spent.input_tokens,
        output_tokens=spent.output_tokens,
        seed=setting.seed,
        suite=fingerprint(loaded.cases),
    )


def fingerprint(cases: Sequence[BaseModel]) -> str:
    """A short hash of cases, whatever their order; empty for none."""
    if not cases:
        return ""
    lines = sorted(case.model_dump_json() for case in cases)
    return hashlib.sha256("\n".join(lines).encode("utf-8", "replace")).hexdigest()[:12]


@contextmanager
def _client(connect: Connect | None, root: Path, spec: str) -> Iterator[tuple[Metered, Path]]:
    """A model's client, its ledger in a folder of its own."""
    from limner.serving import connect as connected

    place = root / (
        re.sub(r"[^\w.-]+", "-", spec).strip("-")[:60] + "-" + hashlib.sha256(spec.encode()).hexdigest()[:8]
    )
    place.mkdir(parents=True, exist_ok=True)
    with (connect or connected)(place, spec) as client:
        yield Metered(client), place


def _teller(progress: Callable[[Progress], None] | None, task: str, model: str) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, total: progress(Progress(task, model, done, total))
