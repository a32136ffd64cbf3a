"""Ingest: from files or frames to the workspace's tables, with an account of every row.

    summary = ingest(Store.open(".limner", create=True), ["orders.csv", "reviews/"])

Each source is read into a raw table (`reading`), its columns are mapped by a mapping file or a guess (`mapping`,
`guessing`), its rows are cleaned and judged (`staging`), repeats and duplicates are set aside (`repeats`), and what is
new is committed at once for all sources. Bad rows go to the quarantine file. Every row is accounted for:
rows = stored + duplicates + dropped repeats + quarantined.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Mapping as Dict
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from limner.errors import UsageError, WorkspaceError
from limner.histories.cleaning import GIVEN, apply
from limner.histories.columns import Raw, find_column
from limner.histories.compaction import compact_if_due
from limner.histories.databases import TableSource
from limner.histories.dates import date_order
from limner.histories.finding import Found, find_sources
from limner.histories.guessing import file_words, guess
from limner.histories.hashing import with_hashes
from limner.histories.manifest import Manifest
from limner.histories.mapping import KINDS, Mapping
from limner.histories.marks import Marks
from limner.histories.nested import with_paths
from limner.histories.objects import AnySource, fetched
from limner.histories.plans import Plan, plan_fields
from limner.histories.quarantine import Quarantine
from limner.histories.reading import Reader
from limner.histories.refresh import refresh_facts
from limner.histories.repeats import Counts, Policy, Settling, settle_things
from limner.histories.staging import Statement, create_stage, occurring_words, stage
from limner.histories.store import Commit, Store, new_run_id
from limner.histories.streams import Staging
from limner.histories.summary import IngestSummary, Reading, save_mappings
from limner.histories.writing import WRITERS, write_by_user

__all__ = ["FRAME", "IngestSummary", "Progress", "Reading", "ingest", "save_mappings"]

Progress = Callable[[str, int, int], None]
"""Called as each source is begun, with its name, how many are done and how many there are."""

FRAME = "frame"
"""The name of a data frame as a source."""

SHIFT = 1 << 40
"""Rows one source may have; the place of a row in a load is its source's number times this plus its own number."""

FRAME_NUMBER = (1 << 22) - 1
"""The number of a frame among the sources of a load: the last one possible."""


def ingest(
    store: Store,
    paths: str | Path | Iterable[str | Path] | Found = (),
    *,
    kind: str | None = None,
    mapping: Mapping | Dict[str, Any] | str | Path | None = None,
    repeats: Policy | None = None,
    save_map: str | Path | None = None,
    progress: Progress | None = None,
    frame: Any = None,
    marks: Marks | None = None,
) -> IngestSummary:
    """Loads files, tables of databases, objects or a data frame, and brings the facts of their users up to date.

    Args:
        store: The workspace.
        paths: Files, folders, globs, addresses (`postgresql://host/shop?table=orders`, `s3://bucket/logs/`), `-` for
            standard input; or what was found at them. All of it is committed together, or nothing.
        kind: The table the rows go to (events, items, users or ties); None: by the mapping, else guessed per file.
        mapping: A mapping, a mapping file or what one says; None: guessed from names and values.
        repeats: Keep or drop exact repeats of every kind of event; None: as `schema.EVENT_KINDS` says.
        save_map: A file to save the mapping used to. Where sources were read in several ways, one file for each, with
            the table's name before the ending.
        progress: Told of each source.
        frame: A pandas or Polars frame, or anything that gives Arrow, instead of paths or beside them.
        marks: How far a named source was read before: only what is new is read, and the marks are moved.

    Raises:
        UsageError: A path is not there, or the mapping does not fit.
        DataError: A source as a whole cannot be read.
        WorkspaceError: The workspace cannot be written, or another process wrote it meanwhile.
    """
    if kind is not None and kind not in KINDS:
        raise UsageError(f"There is no kind {kind!r} of data. Choose one of: {', '.join(KINDS)}.")
    if save_map is not None:
        _check_target(Path(save_map).expanduser())
    if repeats not in (None, "keep", "drop"):
        raise UsageError(f"repeats = {repeats!r} must be keep or drop.")
    given = _given_mapping(mapping, kind)
    found = paths if isinstance(paths, Found) else _found(paths, frame)
    pending = marks.pending(found.sources) if marks else found.sources
    run = new_run_id("ingest")
    load = _Load(store, run, kind, given, repeats, progress or _silent, marks)
    summary = load.run_all(pending, frame, found.shown)
    unchanged = len(found.sources) - len(pending)
    summary = replace(summary, empty_files=found.empty, linked_files=found.linked, unchanged=unchanged)
    if save_map is not None:
        save_mappings(summary.readings, Path(save_map))
    return summary


def _found(paths: str | Path | Iterable[str | Path], frame: Any) -> Found:
    listed = [paths] if isinstance(paths, str | Path) else list(paths)
    return find_sources(listed) if listed or frame is None else Found((), FRAME)


def _given_mapping(mapping: Mapping | Dict[str, Any] | str | Path | None, kind: str | None) -> Mapping | None:
    if mapping is None:
        return None
    if isinstance(mapping, str | Path):
        mapping = Mapping.load(mapping)
    elif not isinstance(mapping, Mapping):
        mapping = Mapping.from_dict(mapping)
    return mapping.with_kind(kind) if kind and kind != mapping.kind else mapping


def _silent(name: str, done: int, total: int) -> None:
    """No progress wanted."""


def _check_target(path: Path) -> None:
    """Refuses a place where a mapping cannot be saved before anything is loaded, not after."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        why = "it is a folder" if path.is_dir() else "there is no such folder"
        raise UsageError(f"Cannot write {path}: {why}. Choose another file with --save-map.")


@dataclass
class _Load:
    """One load under way."""

    store: Store
    run: str
    kind: str | None
    mapping: Mapping | None
    repeats: Policy | None
    progress: Progress
    marks: Marks | None = None
    rows: int = 0
    staged: set[str] = field(default_factory=set)
    staging: dict[str, Staging] = field(default_factory=dict)
    readings: dict[tuple[Any, ...], Reading] = field(default_factory=dict)
    orders: dict[tuple[str, ...], str] = field(default_factory=dict)

    def run_all(self, sources: Sequence[AnySource], frame: Any, named: str) -> IngestSummary:
        """Reads all sources and commits what is new."""
        started = time.monotonic()
        quarantine = Quarantine(self.store.path / "quarantine" / f"{self.run}.jsonl")
        scratch = self.store.path / "tmp" / self.run
        try:
            scratch.mkdir(parents=True)
            manifest = self.store.manifest()
            with self.store.read(manifest, merged=False) as connection:
                reader = Reader(connection, quarantine, scratch)
                total = len(sources) + (frame is not None)
                for number, source in enumerate(fetched(sources, scratch)):
                    self.progress(source.name, number, total)
                    raw = reader.read(source, self.mapping)
                    self._take(connection, raw, source.name, quarantine, number)
                    if self.marks and isinstance(source, TableSource):
                        self.marks.reach(source, raw.newest)
                if frame is not None:
                    self.progress(FRAME, total - 1, total)
                    self._take(connection, reader.read_frame(frame), FRAME, quarantine, FRAME_NUMBER)
                self.progress("", total, total)
                connection.execute("DROP TABLE IF EXISTS raw")
                counts, users = self._store(connection, manifest, quarantine)
        except OSError as error:
            quarantine.discard()
            where, reason = error.filename or self.store.path, error.strerror or str(error)
            raise WorkspaceError(
                f"Cannot go on with {where}: {reason}. Check its permissions and the free space on the disk."
            ) from error
        except duckdb.Error as error:
            quarantine.discard()
            raise WorkspaceError(
                f"The load failed in the database: {str(error).splitlines()[0]} Nothing was stored. "
                "Check memory and free space, or load fewer files at a time."
            ) from error
        except BaseException:
            quarantine.discard()
            raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        facts = refresh_facts(self.store, self.run)
        compact_if_due(self.store)
        return IngestSummary(
            source=named,
            rows=self.rows,
            stored=sum(c.new for c in counts.values()),
            duplicates=sum(c.duplicates for c in counts.values()),
            repeats=sum(c.kept + c.dropped for c in counts.values()),
            repeats_dropped=sum(c.dropped for c in counts.values()),
            quarantined=quarantine.count,
            users=users,
            quarantine_file=quarantine.path if quarantine.count else None,
            run=self.run,
            tables={kind: c.new for kind, c in counts.items()},
            reasons=dict(quarantine.reasons.most_common()),
            readings=tuple(self.readings.values()),
            facts=facts,
            seconds=round(time.monotonic() - started, 3),
        )

    def _take(
        self, connection: duckdb.DuckDBPyConnection, raw: Raw, name: str, quarantine: Quarantine, number: int
    ) -> None:
        """Maps and stages one source that was read."""
        mapping = self.mapping
        if mapping is not None:
            raw = with_hashes(connection, with_paths(connection, raw, mapping), mapping, name, self.store.path)
        doubts: tuple[str, ...] = ()
        signature = tuple(c.name for c in raw.columns)
        if mapping is None:
            known = self.readings.get(self._key(name, signature))
            if known is None:
                guessed = guess(connection, raw, name, self.kind)
                mapping, doubts = guessed.mapping, guessed.doubts
            else:
                mapping = known.mapping
        plans = plan_fields(connection, raw, mapping, name)
        order, doubt = self._order(connection, raw, mapping, name, signature, plans)
        words = occurring_words(connection, raw, mapping, name)
        if self.mapping is not None and words.unknown:
            doubts = (f"unknown kinds of events become `other`: {', '.join(words.unknown[:8])}",)
        self._note(connection, raw, name, mapping, (*doubts, *doubt), signature)
        if mapping.kind not in self.staged:
            create_stage(connection, mapping.kind)
            self.staged.add(mapping.kind)
        statement = Statement(raw, mapping, name, order, words, plans)
        self.rows += raw.bad + stage(connection, statement, quarantine, number * SHIFT)
        self.staging.setdefault(mapping.kind, Staging(mapping.kind)).add(statement, number * SHIFT)

    def _check_files(self) -> None:
        """Refuses files that were written to while they were read again and again.

        Raises:
            DataError: One was.
        """
        for staging in self.staging.values():
            staging.check()

    def _key(self, name: str, signature: tuple[str, ...]) -> tuple[Any, ...]:
        """What sources read alike share: their columns and, where the mapping is guessed, the words of their name."""
        return signature if self.mapping is not None else (signature, frozenset(file_words(name)))

    def _order(
        self,
        connection: duckdb.DuckDBPyConnection,
        raw: Raw,
        mapping: Mapping,
        name: str,
        signature: tuple[str, ...],
        plans: Dict[str, Plan],
    ) -> tuple[str, tuple[str, ...]]:
        """The order of day and month in a source's times: as mapped, as its column shows, or as in files like it."""
        names = mapping.columns.get("ts")
        if mapping.dates or not names or plans["ts"].known:
            return mapping.dates or "MDY", ()
        found = date_order(connection, raw, [find_column(raw, n, name, "ts") for n in names])
        if found.certain:
            self.orders[signature] = found.order
            return found.order, ()
        if signature in self.orders:
            return self.orders[signature], ()
        return found.order, (
            f"in {name}, dates such as 03/04 may be day or month first; taken month first. Set dates in the mapping",
        )

    def _note(
        self,
        connection: duckdb.DuckDBPyConnection,
        raw: Raw,
        name: str,
        mapping: Mapping,
        doubts: tuple[str, ...],
        signature: tuple[str, ...],
    ) -> None:
        """Remembers how a source was read, for the summary and for further sources like it."""
        key = self._key(name, signature)
        known = self.readings.get(key)
        if known is not None:
            more = tuple(d for d in doubts if d not in known.doubts)
            self.readings[key] = Reading(
                known.source, known.sources + 1, known.mapping, known.guessed, known.examples, known.doubts + more
            )
            return
        examples: dict[str, str] = {}
        for target, names in mapping.columns.items():
            text = find_column(raw, names[0], name, target).text
            rows = connection.execute(
                f"SELECT x FROM {apply(GIVEN, f'(SELECT {text} AS x FROM {raw.table} LIMIT 200)')}"
                " WHERE x IS NOT NULL LIMIT 1"
            ).fetchall()
            examples[target] = str(rows[0][0]) if rows else ""
        self.readings[key] = Reading(name, 1, mapping, self.mapping is None, examples, doubts)

    def _store(
        self, connection: duckdb.DuckDBPyConnection, manifest: Manifest, quarantine: Quarantine
    ) -> tuple[dict[str, Counts], int]:
        """Settles repeats and duplicates and commits what is new; also counts the users seen."""
        for staging in self.staging.values():
            staging.finish(connection)
        counts = {kind: settle_things(connection, kind) for kind in sorted(self.staged - {"events"})}
        with self.store.commit("ingest", run=self.run) as commit:
            commit.seq = manifest.seq + 1
            for kind, count in counts.items():
                if count.new:
                    commit.add_query(kind, connection, f"SELECT * FROM new_{kind}")
            if "events" in self.staged:
                counts["events"] = self._events(connection, commit, manifest, quarantine)
            users = self._users(connection)
            quarantine.close()
            self._check_files()
            if self.marks and (reached := self.marks.rows()):
                commit.add("marks", reached)
                commit.summary["source"] = self.marks.source
            stored = sum(count.new for count in counts.values())
            commit.summary.update(rows=self.rows, stored=stored, quarantined=quarantine.count)
        return counts, users

    def _events(
        self, connection: duckdb.DuckDBPyConnection, commit: Commit, manifest: Manifest, quarantine: Quarantine
    ) -> Counts:
        """Writes the staged events that are new, some users' after another's."""
        staging, narrow = self.staging["events"], partial(self.store.narrow, connection, manifest, "events")
        settling = Settling(connection, self.repeats, staging.given, narrow)
        write_by_user(commit, connection, "events", staging.rows(settling, self.rows - quarantine.count))
        return settling.counts

    def _users(self, connection: duckdb.DuckDBPyConnection) -> int:
        """How many users were seen."""
        tables = [WRITERS if kind == "events" else f"staged_{kind}" for kind in sorted(self.staged - {"items"})]
        if not tables:
            return 0
        people = " UNION ALL ".join(f"SELECT user_id FROM {table}" for table in tables)
        seen = f"SELECT count(DISTINCT user_id) FROM ({people})"
        return int(connection.execute(seen).fetchall()[0][0])
