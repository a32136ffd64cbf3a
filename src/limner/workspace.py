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

from limner.errors import StoppedError, UsageError
from limner.histories.store import Store, new_run_id

if TYPE_CHECKING:
    import pandas as pd

    from limner.agents.analyst.schema import AskAnswer
    from limner.agents.copywriter.schema import CopySet, ProductSheet
    from limner.agents.extractor import ExtractSummary, Progress
    from limner.agents.portraitist import PortraySummary
    from limner.agents.update import Loaded, UpdateSummary
    from limner.evidence.persona import Persona
    from limner.histories.compaction import Compacted
    from limner.histories.flags import Checked
    from limner.histories.identity import MergeSummary
    from limner.histories.load import IngestSummary
    from limner.histories.named import Outcome
    from limner.histories.profile import Profile
    from limner.histories.status import Status
    from limner.segments.records import Discovery, Segment
    from limner.serving.batch.mode import BatchMode
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
        self._store: Store | None = None

    @property
    def store(self) -> Store:
        """The tables.

        Raises:
            WorkspaceError: There is no workspace at the path.
        """
        if self._store is None or not self._store.exists():
            self._store = Store.open(self.path)
        return self._store

    def ingest(
        self,
        *sources: Path | str | pd.DataFrame,
        kind: str | None = None,
        mapping: Path | str | dict[str, Any] | None = None,
        repeats: Literal["keep", "drop"] | None = None,
    ) -> IngestSummary:
        """Reads files, folders, globs, addresses of tables or objects, or one frame of pandas, Polars or Arrow.

        Makes the workspace if there is none. See `histories.ingest`.
        """
        from limner.histories.load import ingest

        store = Store.open(self.path, create=True)
        paths = [source for source in sources if isinstance(source, Path | str)]
        frames = [source for source in sources if not isinstance(source, Path | str)]
        if len(frames) > 1 or (frames and paths):
            raise UsageError("Give either paths or one data frame at a time.")
        frame = frames[0] if frames else None
        return ingest(store, paths, kind=kind, mapping=mapping, repeats=repeats, frame=frame)

    def ingest_sources(
        self, file: Path | str = "sources.toml", names: Sequence[str] = (), *, again: bool = False
    ) -> list[Outcome]:
        """Loads what is new in named sources; one that fails is told of and does not keep the others from loading.

        Args:
            file: The file that names them.
            names: Which; all if none is given.
            again: Read them from their beginning.
        """
        from limner.histories.named import choose, ingest_sources, read_sources

        chosen = choose(read_sources(file), names)
        return list(ingest_sources(Store.open(self.path, create=True), chosen, again=again))

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
        batch: BatchMode | None = None,
        include_flagged: bool = False,
    ) -> ExtractSummary:
        """Reads histories with the model and writes personas of the users read. See `agents.extractor.extract`.

        Args:
            users: Whose; everyone's but flagged accounts' if None.
            limit: Only the first so many.
            plan: How much is asked at once: `small`, `joint`, or `auto` by the kind of model.
            progress: Told how far the reading is.
            told: Given every persona that was written anew.
            budget: Money that the run may cost at most, in the currency of the model's price.
            max_tokens: Tokens that it may read and write at most; what was answered before does not count.
            max_seconds: How long it may take.
            batch: Ask in batches, which are slow and cheap: `limner.serving.batch.mode.BatchMode()`.
            include_flagged: Read accounts too that look like bots or tests.

        Raises:
            BudgetError: A limit is reached. What was answered is kept; its `summary` says what was done.
            PendingError: The same, where `batch` wrote questions into a file.
        """
        from dataclasses import replace

        from limner.agents.extractor import choose_plan, extract
        from limner.agents.extractor.quote import quote_of
        from limner.agents.extractor.run import choose_users
        from limner.agents.portraitist import portray
        from limner.serving import connect
        from limner.serving.batch.mode import USERS
        from limner.serving.budget import Budget

        together: dict[str, int] = {} if batch is None else {"chunk": USERS}
        store, run = self.store, new_run_id("extract")
        chosen = choose_users(store, users, limit, include_flagged=include_flagged)
        way, limits = choose_plan(self.model, plan, self.path), Budget(budget, max_tokens, max_seconds)
        with connect(
            store.path, self.model, run=run, concurrency=self.concurrency, budget=limits, batch=batch
        ) as client:
            quoted, summary = quote_of(store, client), None
            try:
                summary = extract(
                    store, client, way, users=chosen, run=run, progress=progress,
                    planned=quoted.add, passed=quoted.pass_over, **together
                )  # fmt: skip
                read = [user for user in chosen if user not in summary.failed]
                portraits = portray(store, client, users=read, run=run, told=told, **together)
            except StoppedError as error:
                error.summary = (summary or error.summary).counted(client.usage, quoted.compared(client))
                raise
            summary = summary.counted(client.usage, quoted.compared(client))
        return replace(summary, sentences=portraits.told())

    def update(
        self,
        *paths: Path | str,
        sources: Path | str | None = None,
        unread: bool = False,
        trigger: str = "any",
        plan: str = "auto",
        progress: Callable[[Progress], None] | None = None,
        budget: float | None = None,
        max_tokens: int | None = None,
        max_seconds: float | None = None,
    ) -> UpdateSummary:
        """Loads what is new and reads again only those whose histories changed, up to their vectors and memberships.

        An update run twice changes nothing the second time.

        Args:
            paths: Files, folders or addresses to load, as `ingest` takes them.
            sources: A file of named sources, of which all that is new is loaded.
            unread: Read also users who were never read.
            trigger: What makes a user be read again: `any` new row, or a `significant` change of behaviour.
            plan: How much is asked at once, as in `extract`.
            progress: Told how far the reading is.
            budget, max_tokens, max_seconds: Limits of the reading, as in `extract`.

        Raises:
            UsageError: There is no such trigger.
            BudgetError: A limit is reached. What was loaded and answered is kept; the next update goes on.
        """
        from limner.agents.extractor import choose_plan
        from limner.agents.update import Trigger, UpdateSummary, worth_reading
        from limner.histories.compaction import compact_if_due
        from limner.histories.touched import touched_users
        from limner.retrieval.index import Index
        from limner.segments.refill import Refilled, refill
        from limner.serving.spec import parse_spec

        if trigger not in [*Trigger]:
            raise UsageError(f"There is no trigger {trigger!r}. Known: {', '.join(Trigger)}.")
        parse_spec(self.model)  # What cannot be read with is said before loading.
        choose_plan(self.model, plan, self.path)
        loaded = self._load(paths, sources)
        store = self.store
        touched = touched_users(store)
        again = worth_reading(store, touched.changed, Trigger(trigger))
        users = [*again, *touched.new, *(touched.unread if unread else ())]
        left = 0 if unread else len(touched.unread)
        told = refreshed = None
        if users or touched.unfinished:
            told = self.extract(
                [*users, *touched.unfinished],
                plan=plan,
                progress=progress,
                budget=budget,
                max_tokens=max_tokens,
                max_seconds=max_seconds,
            )
        refilled = refill(store, run=told.run if told else None)  # Also of those read before a run that was stopped.
        with Index.open(store.path) as index:  # Behind, too, where an update died before it came to the index.
            if told or refilled != Refilled() or index.behind(store):
                refreshed = index.refresh(store)
        compact_if_due(store)
        return UpdateSummary(
            loaded,
            changed=len(touched.changed),
            new=len(users) - len(again),
            unread=left,
            extract=told,
            refilled=refilled,
            index=refreshed,
            deferred=len(touched.changed) - len(again),
            flagged=touched.flagged,
        )

    def _load(self, paths: Sequence[Path | str], sources: Path | str | None) -> Loaded:
        """Loads what an update is given."""
        from dataclasses import replace

        from limner.agents.update import Loaded

        loaded = Loaded()
        if paths:
            loaded = loaded.plus(self.ingest(*paths))
        if sources is not None:
            for outcome in self.ingest_sources(sources):
                if outcome.summary is not None:
                    loaded = loaded.plus(outcome.summary)
                if outcome.error:
                    loaded = replace(loaded, errors={**loaded.errors, outcome.source.name: str(outcome.error)})
        return loaded

    def compact(self, *, keep: int | None = None) -> Compacted:
        """Folds the files of all runs but the newest together; what is shown stays the same.

        Args:
            keep: The newest runs, which can still be undone after; `limner.histories.compaction.KEEP` if None.

        Raises:
            WorkspaceError: The workspace cannot be written, or another process changed what was being folded.
        """
        from limner.histories.compaction import KEEP, compact

        return compact(self.store, keep=KEEP if keep is None else keep)

    def quote(
        self,
        users: Sequence[str] | None = None,
        *,
        limit: int | None = None,
        plan: str = "auto",
        batch: BatchMode | None = None,
        include_flagged: bool = False,
    ) -> Quote:
        """What `extract` with the same arguments would take: calls, tokens, money and time. No model is asked."""
        from limner.agents.extractor import choose_plan
        from limner.agents.extractor.quote import quote
        from limner.agents.extractor.run import choose_users
        from limner.serving import connect
        from limner.serving.spec import parse_spec
        from limner.serving.tokens import counter_for

        store, way = self.store, choose_plan(self.model, plan, self.path)
        chosen = choose_users(store, users, limit, include_flagged=include_flagged)
        with connect(store.path, self.model, batch=batch) as client:
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

    def discover(self, *, k: int | None = None, seed: int = 0, include_flagged: bool = False) -> Discovery:
        """Finds segments and names them. See `segments.discover`."""
        from limner.segments.discover import discover
        from limner.serving import connect

        store = self.store
        with connect(store.path, self.model, run=new_run_id("segment"), concurrency=self.concurrency) as client:
            return discover(store, client, k=k, seed=seed, include_flagged=include_flagged)

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

    def merge_ids(
        self, *, ties: Path | str | None = None, keys: Sequence[str] = (), kind: str = "", most: int = 10
    ) -> MergeSummary:
        """Merges ids that are one person's: by a ties file, by keys, else by stored ties. See `histories.identity`."""
        from limner.histories.identity import merge
        from limner.histories.links import find_links

        store = self.store
        return merge(store, find_links(store, [Path(ties)] if ties is not None else [], keys, kind), most=most)

    def split_ids(self, *ids: str) -> tuple[str, ...]:
        """Gives merged ids back to themselves, and returns all that stand for themselves now."""
        from limner.histories.identity import split

        return split(self.store, ids)[1]

    def check_flags(self) -> Checked:
        """Looks for accounts that look like bots or tests. See `histories.flags`."""
        from limner.histories.flags import check

        return check(self.store)

    def profile(self) -> Profile:
        """What is in each column before and after cleaning. See `histories.profile`."""
        from limner.histories.profile import profile

        return profile(self.store)

    def status(self) -> Status:
        """What the workspace holds."""
        from limner.histories.status import status

        return status(self.store)
