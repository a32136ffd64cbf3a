"""What a workspace holds, in a few numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from limner.histories.facts import EVERYONE
from limner.histories.flags import FLAGGED
from limner.histories.manifest import RunRecord
from limner.histories.schema import TABLES
from limner.histories.store import Store

RUNS = 10
"""How many runs are told of."""


@dataclass(frozen=True, slots=True)
class RunOfStatus:
    """One run: several commits of one run are one.

    Attributes:
        run: The run's id.
        command: What it was.
        started, committed: First start and last commit, UTC, ISO 8601.
        commits: How many commits it made.
        summary: What the commits noted, later ones over earlier ones.
    """

    run: str
    command: str
    started: str
    committed: str
    commits: int
    summary: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Status:
    """A workspace in numbers.

    Attributes:
        path: The workspace folder.
        tables: Present rows by table.
        users: Known users: with events, a profile or a tie.
        first_event, last_event: Times of the oldest and the newest event, UTC; None without one.
        runs: The last runs, newest first.
        disk_bytes: Size of the folder, model calls and vectors included.
        merged: Ids that are merged into another.
        flagged: Users who look like bots or tests.
    """

    path: str
    tables: Mapping[str, int]
    users: int
    first_event: datetime | None
    last_event: datetime | None
    runs: tuple[RunOfStatus, ...]
    disk_bytes: int
    merged: int = 0
    flagged: int = 0

    def to_json(self) -> dict[str, Any]:
        """The status as `limner status --json` prints it."""
        plain = asdict(self)
        for name in ("first_event", "last_event"):
            plain[name] = plain[name].isoformat() if plain[name] else None
        return plain


def status(store: Store) -> Status:
    """Counts what a workspace holds, from one version of it.

    Raises:
        WorkspaceError: The workspace cannot be read.
    """
    version = store.manifest()
    counts = ", ".join(f"(SELECT count(*) FROM {name})" for name in TABLES)
    with store.read(version) as connection:
        rows = connection.execute(f"SELECT {counts}, (SELECT count(*) FROM ({EVERYONE}))").fetchall()[0]
        times = "SELECT min(ts), max(ts) FROM events WHERE isfinite(ts)"
        first, last = connection.execute(times).fetchall()[0]
        merged, flagged = connection.execute(
            "SELECT (SELECT count(*) FROM identities WHERE member_id <> user_id),"
            f" (SELECT count(DISTINCT user_id) FROM ({FLAGGED}))"
        ).fetchall()[0]
    return Status(
        path=str(store.path),
        tables=dict(zip(TABLES, rows, strict=False)),
        users=rows[-1],
        first_event=first,
        last_event=last,
        runs=_runs(version.runs),
        disk_bytes=_size(store.path),
        merged=int(merged),
        flagged=int(flagged),
    )


def _runs(records: tuple[RunRecord, ...]) -> tuple[RunOfStatus, ...]:
    """The last runs, newest first; a run's command is that of its first commit."""
    by_run: dict[str, list[RunRecord]] = {}
    for record in records:
        by_run.setdefault(record.run, []).append(record)
    last = sorted(by_run.values(), key=lambda commits: commits[-1].seq)[-RUNS:]
    return tuple(
        RunOfStatus(
            run=commits[0].run,
            command=commits[0].command,
            started=commits[0].started,
            committed=commits[-1].committed,
            commits=len(commits),
            summary={name: value for commit in commits for name, value in commit.summary.items()},
        )
        for commits in reversed(last)
    )


def _size(folder: Path) -> int:
    """Bytes of all files below a folder; a file that goes away meanwhile counts nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total
