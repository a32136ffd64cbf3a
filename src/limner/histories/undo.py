"""Taking runs back, and putting them back: a run's files leave the manifest, or return to it, in one step.

A table's present rows are the newest of those that are named in the manifest, so without the newest files it is again
what it was before them. Nothing is deleted. What models answered stays in the ledger, so that doing it again is free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from limner.errors import UsageError
from limner.histories.manifest import DataFile, Manifest, RunRecord, Undone, utc_now
from limner.histories.store import Store


@dataclass(frozen=True, slots=True)
class RunOfWorkspace:
    """One run, all its commits together.

    Attributes:
        run: Its id.
        command: What it was.
        started, ended: UTC.
        rows: Rows written by table.
        summary: What its last commit noted.
        undone: Whether it was taken back.
        seq: Number of its last commit.
        folded: Whether it was folded together with others (`compaction`), so that it cannot be taken back.
    """

    run: str
    command: str
    started: str
    ended: str
    rows: Mapping[str, int]
    summary: Mapping[str, Any]
    undone: bool = False
    seq: int = 0
    folded: bool = False

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "run": self.run,
            "command": self.command,
            "started": self.started,
            "ended": self.ended,
            "rows": dict(self.rows),
            "summary": dict(self.summary),
            "undone": self.undone,
            "folded": self.folded,
        }


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken back or put back: the runs, newest first, and their rows by table."""

    runs: tuple[RunOfWorkspace, ...]
    rows: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {"runs": [run.run for run in self.runs], "rows": dict(self.rows)}


def list_runs(store: Store) -> list[RunOfWorkspace]:
    """Every run that committed, newest first, those taken back among them."""
    manifest = store.manifest()
    found = [replace(run, folded=run.seq <= manifest.folded) for run in _together(manifest.runs, manifest.tables)]
    for group in manifest.undone:
        found += [replace(run, undone=True) for run in _together(group.runs, group.tables)]
    found.sort(key=lambda run: run.seq)
    found.reverse()  # Of commits with one number, one of which overtook the other, the later one comes first.
    return found


def find_run(store: Store, name: str) -> RunOfWorkspace:
    """A run by its id or the beginning of it; the newest if `name` is `last`.

    Raises:
        UsageError: There is none, or there are several.
    """
    runs = list_runs(store)
    if name == "last" and runs:
        return runs[0]
    found = [run for run in runs if run.run == name] or [run for run in runs if run.run.startswith(name)]
    if len(found) != 1:
        many = f"Several runs begin with {name!r}" if found else f"There is no run {name!r}"
        raise UsageError(f"{many} in {store.path}. `limner runs list` shows them.")
    return found[0]


def undo(store: Store, name: str = "last", *, and_later: bool = False) -> Taken:
    """Takes a run back. Readers see the workspace before or after, never half of it.

    Args:
        store: The workspace's tables.
        name: The run's id or the beginning of it, or `last` for the newest that is not taken back.
        and_later: Take back also every run after it.

    Raises:
        UsageError: There is no such run, it was taken back already, or other runs came after it.
    """
    if name == "last":
        standing = [run for run in list_runs(store) if not run.undone]
        if not standing:
            raise UsageError(f"There is no run to undo in {store.path}.")
        name = standing[0].run
    run = find_run(store, name)
    if run.folded:
        raise UsageError(
            f"The run {run.run} was folded together with others by a compaction and cannot be undone any more. "
            "`limner runs list` shows which can."
        )
    if run.undone:
        raise UsageError(f"The run {run.run} is undone already. `limner runs redo` puts back what was undone last.")
    group: list[Undone] = []

    def without(manifest: Manifest) -> Manifest:
        group.append(_taken_out(manifest, run.run, and_later))
        gone = {record.run for record in group[0].runs}
        return replace(
            manifest,
            seq=group[0].seq,
            tables={name: _kept(files, group[0].tables.get(name, ())) for name, files in manifest.tables.items()},
            runs=tuple(record for record in manifest.runs if record.run not in gone),
            undone=(*manifest.undone, group[0]),
        )

    store.change(without)
    return _taken(group[0], undone=True)


def redo(store: Store) -> Taken:
    """Puts back what was undone last.

    Raises:
        UsageError: Nothing was undone, or something was committed since.
    """
    group: list[Undone] = []

    def with_it(manifest: Manifest) -> Manifest:
        if not manifest.undone:
            raise UsageError(f"Nothing was undone in {store.path}.")
        last = manifest.undone[-1]
        if manifest.seq != last.seq:
            raise UsageError("Something was committed since the last undo, so that it cannot be put back.")
        group.append(last)
        names = list(dict.fromkeys([*manifest.tables, *last.tables]))
        tables = {name: (*manifest.tables.get(name, ()), *last.tables.get(name, ())) for name in names}
        before = manifest.undone[:-1]
        if before and before[-1].seq == last.seq - 1:  # Undone right before it: it can be put back next.
            before = (*before[:-1], replace(before[-1], seq=manifest.seq + 1))
        return replace(manifest, seq=manifest.seq + 1, tables=tables, runs=(*manifest.runs, *last.runs), undone=before)

    store.change(with_it)
    return _taken(group[0], undone=False)


def _taken_out(manifest: Manifest, run: str, and_later: bool) -> Undone:
    """The runs and files that have to go."""
    first = next((at for at, record in enumerate(manifest.runs) if record.run == run), None)
    if first is None:
        raise UsageError(f"The run {run} is not in the workspace any more.")
    others = list(dict.fromkeys(record.run for record in manifest.runs[first:] if record.run != run))
    if others and not and_later:
        raise UsageError(
            f"{len(others)} run{'s' if len(others) > 1 else ''} came after {run}, such as {others[-1]}, and may rest "
            "on it. Undo them first, or add --and-later."
        )
    gone = {run, *others}
    records = tuple(record for record in manifest.runs if record.run in gone)
    seqs = {record.seq for record in records}
    shared = {record.seq for record in manifest.runs if record.run not in gone}
    tables: dict[str, tuple[DataFile, ...]] = {}
    for name, files in manifest.tables.items():
        chosen = tuple(f for f in files if f.run in gone or (not f.run and f.seq in seqs))
        if any(not f.run and f.seq in shared for f in chosen):
            raise UsageError(f"The run {run} was written by an older limner beside another, and cannot be told apart.")
        if chosen:
            tables[name] = chosen
    return Undone(utc_now(), manifest.seq + 1, records, tables)


def _kept(files: tuple[DataFile, ...], gone: tuple[DataFile, ...]) -> tuple[DataFile, ...]:
    names = {file.path for file in gone}
    return tuple(file for file in files if file.path not in names)


def rows_written(run: str, records: Sequence[RunRecord], tables: Mapping[str, Sequence[DataFile]]) -> dict[str, int]:
    """How many rows all commits of a run wrote, by table."""
    own = [record for record in records if record.run == run]
    known = next((dict(record.rows) for record in own if record.rows), None)
    if known is not None:
        return known
    seqs = {record.seq for record in own}
    rows = {
        name: sum(f.rows for f in files if f.run == run or (not f.run and f.seq in seqs))
        for name, files in tables.items()
    }
    return {name: count for name, count in rows.items() if count}


def _together(records: Sequence[RunRecord], tables: Mapping[str, Sequence[DataFile]]) -> list[RunOfWorkspace]:
    """Runs with what all their commits wrote."""
    found = []
    for run in dict.fromkeys(record.run for record in records):
        own = [record for record in records if record.run == run]
        summary = next((record.summary for record in reversed(own) if record.summary), {})
        rows = rows_written(run, records, tables)
        found.append(
            RunOfWorkspace(run, own[0].command, own[0].started, own[-1].committed, rows, summary, seq=own[-1].seq)
        )
    return found


def _taken(group: Undone, *, undone: bool) -> Taken:
    rows = {name: sum(file.rows for file in files) for name, files in group.tables.items()}
    runs = [replace(run, undone=undone) for run in _together(group.runs, group.tables)]
    return Taken(tuple(reversed(runs)), rows)
