"""The Python API: one class whose methods are the commands, taking and giving pandas frames.

workspace = Workspace(".limner")
workspace.ingest("orders.csv", "reviews.jsonl")
workspace.extract()
print(workspace.persona("u1").to_json())
print(workspace.ask("Who dislikes the delivery?").answer)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from limner.errors import BudgetError, UsageError
from limner.histories.store import Store, new_run_id

if TYPE_CHECKING:
    import pandas as pd

    from limner.agents.analyst.schema import AskAnswer
    from limner.agents.copywriter.schema import CopySet, ProductSheet
    from limner.agents.extractor import ExtractSummary, Progress
    from limner.agents.portraitist import PortraySummary
    from limner.evidence.persona import Persona
    from limner.histories.load import IngestSummary
    from limner.histories.status import Status
    from limner.segments.records import Discovery, Segment
    from limner.serving.quote import Quote

DEFAULT_MODEL = "embedded"


class Workspace:
    """A workspace folder and the model that reads it.

    Nothing is loaded until it is needed: making a `Workspace` touches no file and no model.

    Attributes:
        path: The folder.
        model: The model spec (`embedded`, `http://host:port/v1#MODEL`, `openai:MODEL`, `vllm:MODEL`).
        concurrency: Calls in flight together; None for the engine's own choice.
    """

    def __init__(
        self, path: Path | str = ".limner", *, model: str = DEFAULT_MODEL, concurrency: int | None = None
    ) -> None:
        self.path = Path(path)
        self.model = model
        self.concurrency = concurrency

    @property
    def store(self) -> Store:
        """The tables.

        Raises:
            WorkspaceError: There is no workspace at the path.
        """
        return Store.open(self.path)

    def ingest(
        self,
        *sources: Path | str | pd.DataFrame,
        kind: str | None = None,
        mapping: Path | str | dict[str, Any] | None = None,
        repeats: Literal["keep", "drop"] | None = None,
    ) -> IngestSummary:
        """Reads files, folders, globs or one frame; makes the workspace if there is none. See `histories.ingest`."""
        from limner.histories.load import ingest

        store = Store.open(self.path, create=True)
        paths = [source for source in sources if isinstance(source, Path | str)]
        frames = [source for source in sources if not isinstance(source, Path | str)]
        if len(frames) > 1 or (frames and paths):
            raise UsageError("Give either paths or one data frame at a time.")
        frame = frames[0] if frames else None
        return ingest(store, paths, kind=kind, mapping=mapping, repeats=repeats, frame=frame)

    def extract(
        self,
        users: Sequence[str] | None = None,
        *,
        limit: int | None = None,
        plan: str = "auto",
        progress: Callable[[Progress], None] | None = None,
        told: Callable[[Persona], None] | None = None,
        budget: float | None = None,
        max_tokens: int | None = None,
        max_seconds: float | None = None,
    ) -> ExtractSummary:
        """Reads histories with the model and writes personas of the users read. See `agents.extractor.extract`.

        Args:
            users: Whose; everyone's if None.
            limit: Only the first so many.
            plan: How much is asked at once: `small`, `joint`, or `auto` by the kind of model.
            progress: Told how far the reading is.
            told: Given every persona that was written anew.
            budget: Money that the run may cost at most, in the currency of the model's price.
            max_tokens: Tokens that it may read and write at most; what was answered before does not count.
            max_seconds: How long it may take.

        Raises:
            BudgetError: A limit is reached. What was answered is kept; its `summary` says what was done.
        """
        from dataclasses import replace

        from limner.agents.extractor import choose_plan, extract
        from limner.agents.extractor.quote import quote_of
        from limner.agents.extractor.run import choose_users
        from limner.agents.portraitist import portray
        from limner.serving import connect
        from limner.serving.budget import Budget

        store, run = self.store, new_run_id("extract")
        chosen = choose_users(store, users, limit)
        way, limits = choose_plan(self.model, plan), Budget(budget, max_tokens, max_seconds)
        with connect(store.path, self.model, run=run, concurrency=self.concurrency, budget=limits) as client:
            quoted, summary = quote_of(store, client), None
            try:
                summary = extract(store, client, way, users=chosen, run=run, progress=progress, planned=quoted.add)
                read = [user for user in chosen if user not in summary.failed]
                portraits = portray(store, client, users=read, run=run, told=told)
            except BudgetError as error:
                error.summary = (summary or error.summary).counted(client.usage, quoted.compared(client))
                raise
            summary = summary.counted(client.usage, quoted.compared(client))
        return replace(summary, sentences=portraits.told())

    def quote(self, users: Sequence[str] | None = None, *, limit: int | None = None, plan: str = "auto") -> Quote:
        """What `extract` with the same arguments would take: calls, tokens, money and time. No model is asked."""
        from limner.agents.extractor import choose_plan
        from limner.agents.extractor.quote import quote
        from limner.agents.extractor.run import choose_users
        from limner.serving import connect
        from limner.serving.spec import parse_spec
        from limner.serving.tokens import counter_for

        store, way = self.store, choose_plan(self.model, plan)
        chosen = choose_users(store, users, limit)
        with connect(store.path, self.model) as client:
            return quote(store, client, way, users=chosen, counter=lambda: counter_for(parse_spec(self.model)))

    def portray(self, users: Sequence[str] | None = None, *, narratives: bool = True) -> PortraySummary:
        """Writes personas anew from the stored signals, with plain narratives if `narratives` is false."""
        from limner.agents.portraitist import portray
        from limner.serving import connect

        store, run = self.store, new_run_id("portray")
        if not narratives:
            return portray(store, None, users=users, run=run)
        with connect(store.path, self.model, run=run, concurrency=self.concurrency) as client:
            return portray(store, client, users=users, run=run)

    def persona(self, user: str) -> Persona:
        """One user's persona.

        Raises:
            UsageError: There is no such user.
        """
        from limner.evidence.persona import read_persona

        return read_persona(self.store, user)

    def personas(self) -> list[Persona]:
        """Everyone's personas, ordered by user id."""
        from limner.evidence.persona import read_personas

        return read_personas(self.store)

    def discover(self, *, k: int | None = None, seed: int = 0) -> Discovery:
        """Finds segments and names them. See `segments.discover`."""
        from limner.segments.discover import discover
        from limner.serving import connect

        store = self.store
        with connect(store.path, self.model, run=new_run_id("segment"), concurrency=self.concurrency) as client:
            return discover(store, client, k=k, seed=seed)

    def segments(self) -> list[Segment]:
        """The segments found last."""
        from limner.segments.records import read_segments

        return read_segments(self.store)

    def ask(self, question: str) -> AskAnswer:
        """Answers a question with counts and citations, or abstains. See `agents.analyst.ask`."""
        from limner.agents.analyst import ask
        from limner.serving import connect

        store = self.store
        with connect(store.path, self.model, run=new_run_id("ask"), concurrency=self.concurrency) as client:
            return ask(store, client, question)

    def copy(
        self, segment: str, product: Path | str | ProductSheet, *, channel: str = "email", variants: int = 3
    ) -> CopySet:
        """Writes variants of copy for a segment. See `agents.copywriter.write_copy`."""
        from limner.agents.copywriter import write_copy
        from limner.serving import connect

        store = self.store
        with connect(store.path, self.model, run=new_run_id("copy"), concurrency=self.concurrency) as client:
            return write_copy(store, client, segment, product, channel, variants)

    def frame(self, table: str) -> pd.DataFrame:
        """The present rows of a table (`events`, `users`, `facts`, `signals`, `traits`, `segments`, ...) as a frame."""
        from limner.histories.schema import TABLES

        if table not in TABLES:
            raise UsageError(f"There is no table {table!r}. Known tables: {', '.join(TABLES)}.")
        return self.store.frame(f"SELECT * EXCLUDE (run, seq) FROM {'titled_events' if table == 'events' else table}")

    def export(self, table: str, out: Path | str, format: str = "parquet") -> int:
        """Writes a table to a file and returns its rows. See `histories.export_table`."""
        from limner.histories.export import export_table

        return export_table(self.store, table, Path(out), format)

    def status(self) -> Status:
        """What the workspace holds."""
        from limner.histories.status import status

        return status(self.store)
