"""What a task is: a data set, a solver and a scorer, with a name and a version.

Nothing judges an answer but code. What cannot be scored (no data, no answer) is told apart from what is wrong: it is
counted with its reason and is in no figure.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from limner.errors import LimnerError, UsageError
from limner.evals.meter import Metered
from limner.evals.score import Tally

if TYPE_CHECKING:
    from limner.retrieval.space import Space
    from limner.serving.request import ChatAnswer, ChatRequest


class AbsentData(LimnerError):
    """A task's data is not there: the task is unscored, and the message is the reason."""


class EvalCase(BaseModel):
    """The base of every task's cases: typed, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Unscored:
    """In place of an answer: why a case cannot be scored."""

    reason: str


C = TypeVar("C", bound=BaseModel)
A = TypeVar("A")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Loaded(Generic[C]):
    """A task's cases, and what of its data is missing, in words."""

    cases: tuple[C, ...]
    missing: tuple[str, ...] = ()


@dataclass
class Setting:
    """What a task runs with.

    Attributes:
        folder: Where workspaces and caches of the evaluation lie.
        spec: The model spec; empty for a task without a model.
        client: The model; None for a task without one.
        data: The evaluation data folder, if there is one.
        limit: The most cases (texts, users) of a part of a task; None for the task's own choice.
        seed: Seed of every draw.
        progress: Told how many of how many questions are answered.
        cache: Where embeddings are cached; `folder` if None.
    """

    folder: Path
    spec: str = ""
    client: Metered | None = None
    data: Path | None = None
    limit: int | None = None
    seed: int = 0
    progress: Callable[[int, int], None] | None = None
    cache: Path | None = None

    def file(self, name: str) -> Path:
        """A file of the data folder.

        Raises:
            AbsentData: There is no data folder, or the file is not in it.
        """
        if self.data is None:
            raise AbsentData("no evaluation data folder (--data-folder)")
        if not (self.data / name).is_file():
            raise AbsentData(f"{name} is not in the data folder")
        return self.data / name

    def rows(self, sql: str, *names: str) -> list[tuple[Any, ...]]:
        """Rows of an SQL query in which `{0}`, `{1}`, ... stand for files of the data folder.

        Raises:
            AbsentData: A file is missing.
        """
        import duckdb

        from limner.histories.store import quote_path

        paths = [quote_path(self.file(name)) for name in names]
        with duckdb.connect() as db:
            try:
                return db.execute(sql.format(*paths)).fetchall()
            except duckdb.Error as error:
                reason = str(error).strip().splitlines()[0][:120]
                raise AbsentData(f"{names[0]} cannot be read: {reason}") from error

    @cached_property
    def space(self) -> Space:
        """Embeddings, cached on disk."""
        from limner.retrieval.space import Space

        return Space.open(self.cache or self.folder)

    @property
    def model(self) -> Metered:
        """The client.

        Raises:
            UsageError: The task runs without a model.
        """
        if self.client is None:
            raise UsageError("This task needs a model. Name one with --model.")
        return self.client

    def ask(self, requests: Sequence[ChatRequest]) -> list[ChatAnswer | Unscored]:
        """The answers to requests, in their order; a question without a usable answer is unscored."""
        from limner.serving.request import ChatAnswer

        answers: list[ChatAnswer | Unscored] = [Unscored("no answer")] * len(requests)
        for done, (index, outcome) in enumerate(self.model.each(requests), 1):
            if isinstance(outcome, ChatAnswer):
                answers[index] = outcome
            else:
                answers[index] = Unscored("malformed answer" if outcome.malformed else "failed call")
            if self.progress is not None:
                self.progress(done, len(requests))
        return answers

    def draw(self, items: Sequence[T], count: int, key: Callable[[T], str]) -> list[T]:
        """`count` items (all, if there are no more) drawn by a seeded hash of their key: blind to their order."""

        def place(item: T) -> bytes:
            return hashlib.sha256(f"{self.seed}\0{key(item)}".encode("utf-8", "replace")).digest()

        return sorted(items, key=place)[:count]


class Task(ABC, Generic[C, A]):
    """A data set, a solver and a scorer.

    Attributes:
        name: What a person types.
        version: Raised when cases, solver or scorer change so that figures cannot be compared any more.
        about: One line.
        measure: Name of the main figure, the first tally.
        needs_model: Whether a model takes part.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    about: ClassVar[str]
    measure: ClassVar[str]
    needs_model: ClassVar[bool] = True

    @abstractmethod
    def load(self, setting: Setting) -> Loaded[C]:
        """The cases.

        Raises:
            AbsentData: There are none to be had.
        """

    @abstractmethod
    def solve(self, cases: Sequence[C], setting: Setting) -> Sequence[A | Unscored]:
        """One answer for each case, in their order."""

    @abstractmethod
    def score(self, cases: Sequence[C], answers: Sequence[A]) -> list[Tally]:
        """Tallies of the answered cases, the main one first."""
