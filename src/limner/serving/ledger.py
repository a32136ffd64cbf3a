"""The ledger: every model call that was made, and every answer that was paid for.

One SQLite file in the workspace, in WAL mode, so that several processes can write it and readers never wait. An answer
and the record of its call are one transaction: after a crash at any moment, either both are there or neither is.

Several calls share a transaction. What is recorded is written before the next question is claimed, so a process that is
killed loses no more answers than it had calls in flight, and at latest after `GROUP_SECONDS`.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limner.errors import WorkspaceError
from limner.serving.claims import HEARTBEAT_SECONDS, LEASE_SECONDS, PLACE, stands
from limner.serving.request import ChatAnswer, ChatFailure, ChatRequest, Outcome, Usage
from limner.serving.tokens import estimated_tokens

if TYPE_CHECKING:
    from limner.serving.accounts import LedgerSummary

_Execute = Callable[..., sqlite3.Cursor]

FORMAT = 4
"""Version of the tables; a ledger of a newer one is refused, not guessed at."""

BUSY_SECONDS = 30.0
"""How long a write waits for another process's write before it gives up."""

MALFORMED_KEPT = 2000
"""Characters kept of an unusable answer: more than any repair question quotes."""

GROUP_SECONDS = 0.05
"""How long a recorded call waits for others to be written with it."""

IDLE_SECONDS = 5.0
"""After so long without work the thread that writes in the background ends; it starts again when there is some."""

_KEYS_AT_ONCE = 500
"""Keys in one lookup: well under SQLite's limit of parameters in one statement."""

_TABLES = """
CREATE TABLE IF NOT EXISTS answers (
  key TEXT PRIMARY KEY,
  text TEXT NOT NULL,
  logprob REAL,
  finish TEXT NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  at TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS malformed (
  key TEXT PRIMARY KEY,
  error TEXT NOT NULL,
  text TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parts (
  key TEXT PRIMARY KEY,
  whole TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS calls (
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL,
  run TEXT NOT NULL,
  prompt TEXT NOT NULL,
  version INTEGER NOT NULL,
  lang TEXT NOT NULL,
  model TEXT NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  seconds REAL NOT NULL,
  outcome TEXT NOT NULL CHECK (outcome IN ('answered', 'failed', 'malformed')),
  error TEXT,
  at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS calls_run ON calls (run);
CREATE TABLE IF NOT EXISTS claims (
  key TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  place TEXT NOT NULL,
  pid INTEGER NOT NULL,
  until REAL NOT NULL
) WITHOUT ROWID;
"""

_ADDED = {
    "reused_tokens": "INTEGER NOT NULL DEFAULT 0",
    "estimated_tokens": "INTEGER",
    "cost": "REAL",
    "currency": "TEXT",
}
"""Columns that calls got after format 2; in older rows they say nothing."""

_CALL_COLUMNS = (
    "key, run, prompt, version, lang, model, input_tokens, output_tokens, seconds, outcome, error, at, reused_tokens,"
    " estimated_tokens, cost, currency"
)


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that is recorded, but not yet written."""

    key: str
    outcome: Outcome
    row: tuple[Any, ...]


class Ledger:
    """The ledger of one workspace. Safe to use from several threads and several processes.

    Attributes:
        path: The SQLite file.
    """

    def __init__(self, path: Path | str) -> None:
        """Opens the ledger, making it if it is not there; the folder must exist.

        Raises:
            WorkspaceError: The file is damaged, of a newer format, or cannot be written.
        """
        self.path = Path(path)
        self._owner = uuid.uuid4().hex
        self._lock = threading.RLock()
        self._pending: list[_Call] = []
        self._held: set[str] = set()
        self._wake = threading.Event()
        self._keeper: threading.Thread | None = None
        self._closed = False
        with self._explained():
            self._connection = sqlite3.connect(
                self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        try:
            with self._explained():
                self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        run = self._connection.execute
        run("PRAGMA journal_mode = WAL").fetchone()
        # NORMAL: a killed process loses nothing; only a power cut can take the last few answers, never the file.
        run("PRAGMA synchronous = NORMAL")
        found = int(run("PRAGMA user_version").fetchone()[0])
        if found > FORMAT:
            raise WorkspaceError(f"{self.path} was written by a newer limner (format {found}). Upgrade limner.")
        if found < FORMAT:
            with self._transaction():
                for statement in _TABLES.split(";\n"):
                    run(statement)
                there = {row[1] for row in run("PRAGMA table_info(calls)")}
                for name, kind in _ADDED.items():
                    if name not in there:
                        run(f"ALTER TABLE calls ADD COLUMN {name} {kind}")
                run(f"PRAGMA user_version = {FORMAT}")
        run("SELECT count(*) FROM (SELECT key FROM answers LIMIT 1)").fetchone()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns SQLite's errors into ones that say which file and what to do."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise WorkspaceError(
                f"Cannot use the ledger {self.path}: {error}. Check the folder's permissions and free space."
            ) from error
        except sqlite3.DatabaseError as error:
            raise WorkspaceError(
                f"The ledger {self.path} is damaged ({error}). Restore it from a backup, or move it away: "
                "then everything is asked again."
            ) from error

    @contextmanager
    def _transaction(self) -> Iterator[_Execute]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection.execute
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def transaction(self) -> Iterator[_Execute]:
        """One transaction, with what was recorded before written first; yields what runs a statement in it.

        Raises:
            WorkspaceError: The ledger cannot be written.
        """
        with self._lock, self._explained():
            with self._transaction() as run_sql:
                written = len(self._pending)
                for call in self._pending:
                    _write(run_sql, call)
                yield run_sql
            del self._pending[:written]

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query, with what was recorded before written first.

        Raises:
            WorkspaceError: The ledger cannot be read.
        """
        with self._lock, self._explained():
            self.flush()
            return self._connection.execute(query, tuple(parameters)).fetchall()

    def flush(self) -> None:
        """Writes what was recorded and is not written yet.

        Raises:
            WorkspaceError: The ledger cannot be written.
        """
        with self._lock:
            if self._pending:
                with self.transaction():
                    pass

    def find(self, keys: Iterable[str]) -> dict[str, ChatAnswer]:
        """The kept answers among these keys, each marked as cached and taking no time."""
        columns = "key, text, logprob, finish, input_tokens, output_tokens"
        return {
            key: ChatAnswer(text, read, written, 0.0, logprob, finish, cached=True)
            for key, text, logprob, finish, read, written in self._among(f"SELECT {columns} FROM answers", keys)
        }

    def known(self, keys: Iterable[str]) -> set[str]:
        """Those of these keys that are answered."""
        return {row[0] for row in self._among("SELECT key FROM answers", keys)}

    def malformed(self, keys: Iterable[str]) -> dict[str, ChatFailure]:
        """The unusable answers kept for these keys, without tokens: they were paid for when they were written."""
        rows = self._among("SELECT key, error, text FROM malformed", keys)
        return {key: ChatFailure(error, text) for key, error, text in rows}

    def _among(self, query: str, keys: Iterable[str]) -> Iterator[tuple[Any, ...]]:
        """The rows of a query whose key is one of these."""
        wanted = list(dict.fromkeys(keys))
        for start in range(0, len(wanted), _KEYS_AT_ONCE):
            part = wanted[start : start + _KEYS_AT_ONCE]
            yield from self.rows(f"{query} WHERE key IN ({','.join('?' * len(part))})", part)

    def forget_malformed(self, keys: Iterable[str]) -> None:
        """Drops the unusable answers kept for these keys, so that their questions are asked again."""
        dropped = [(key,) for key in keys]
        if dropped:
            with self.transaction() as run_sql:
                for key in dropped:
                    run_sql("DELETE FROM malformed WHERE key = ?", key)

    def record(
        self,
        key: str,
        run: str,
        model: str,
        request: ChatRequest,
        outcome: Outcome,
        *,
        cost: float | None = None,
        currency: str = "",
    ) -> None:
        """Records one call that reached the model, and what it answered if it did; its claim is given up.

        It is written, together with what else is recorded meanwhile, before the next claim is made, and at latest after
        `GROUP_SECONDS`, with `flush` or on closing.

        Args:
            key: The request's key for the model.
            run: Id of the run.
            model: The model's name in the cache key.
            request: What was asked.
            outcome: What came back.
            cost: Its price, None if that is unknown.
            currency: Of the price.
        """
        at = _now()
        prompt, state, error = request.prompt, "answered", None
        if isinstance(outcome, ChatFailure):
            state, error = ("malformed" if outcome.malformed else "failed"), _storable(outcome.error)
        row = (
            *(key, run, prompt.name, prompt.version, prompt.lang, model),
            *(outcome.input_tokens, outcome.output_tokens, outcome.seconds, state, error, at),
            *(outcome.reused_tokens, estimated_tokens(request), cost, currency or None),
        )
        with self._lock:
            self._pending.append(_Call(key, outcome, row))
            self._held.discard(key)
            self._keep()

    def keep(self, whole: str, answers: Mapping[str, ChatAnswer]) -> None:
        """Keeps the answers to questions that were asked together in one call, each under its own key.

        Args:
            whole: Key of the call's question.
            answers: By key of the single question.

        Raises:
            WorkspaceError: The ledger cannot be written.
        """
        at = _now()
        with self.transaction() as run_sql:
            for key, answer in answers.items():
                _keep_answer(run_sql, key, answer, at)
                run_sql("INSERT OR REPLACE INTO parts VALUES (?, ?)", (key, whole))

    def claim(self, key: str) -> ChatAnswer | bool:
        """Claims a question before it is asked, so that no other process asks it meanwhile.

        Returns:
            The answer, if there is one by now; else whether the claim is made: False while another process has it.

        Raises:
            WorkspaceError: The ledger cannot be written.
        """
        with self.transaction() as run_sql:
            columns = "text, input_tokens, output_tokens, logprob, finish"
            found = run_sql(f"SELECT {columns} FROM answers WHERE key = ?", (key,)).fetchone()
            if found is not None:
                text, read, written, logprob, finish = found
                return ChatAnswer(text, read, written, 0.0, logprob, finish, cached=True)
            claim = run_sql("SELECT owner, place, pid, until FROM claims WHERE key = ?", (key,)).fetchone()
            if claim is not None and claim[0] != self._owner and stands(*claim[1:]):
                return False
            values = (key, self._owner, PLACE, os.getpid(), time.time() + LEASE_SECONDS)
            run_sql("INSERT OR REPLACE INTO claims VALUES (?, ?, ?, ?, ?)", values)
            self._held.add(key)
            self._keep()
        return True

    def release(self, keys: Iterable[str]) -> None:
        """Gives up claims of this process that came to nothing."""
        with self._lock:
            mine = self._held.intersection(keys)
            if mine:
                self._held -= mine
                with self.transaction() as run_sql:
                    for key in mine:
                        run_sql("DELETE FROM claims WHERE key = ? AND owner = ?", (key, self._owner))

    def claimed(self, keys: Iterable[str]) -> set[str]:
        """Those of these keys that another process is asking now."""
        rows = self._among("SELECT key, owner, place, pid, until FROM claims", keys)
        return {key for key, owner, *claim in rows if owner != self._owner and stands(*claim)}

    def _keep(self) -> None:
        """Sees to it that what is recorded is written soon, and that claims do not expire; called with the lock."""
        if self._keeper is None:
            self._keeper = threading.Thread(target=self._keep_up, name="limner-ledger", daemon=True)
            self._keeper.start()
        self._wake.set()

    def _keep_up(self) -> None:
        beat = time.monotonic()
        while True:
            woken = self._wake.wait(IDLE_SECONDS)
            if woken:
                self._wake.clear()
                time.sleep(GROUP_SECONDS)
            with self._lock:
                if self._closed or not (woken or self._held):
                    self._keeper = None
                    return
                # What cannot be written now stays pending: the next who needs the ledger is told.
                with suppress(WorkspaceError):
                    self.flush()
                    if self._held and time.monotonic() - beat > HEARTBEAT_SECONDS:
                        beat = time.monotonic()
                        with self.transaction() as run_sql:
                            until = time.time() + LEASE_SECONDS
                            run_sql("UPDATE claims SET until = ? WHERE owner = ?", (until, self._owner))

    def compact(self) -> None:
        """Gives the room of deleted rows back to the disk, unless another process is at work."""
        with self._lock, suppress(sqlite3.OperationalError):
            self.flush()
            self._connection.execute("VACUUM")

    def usage(self, run: str) -> Usage:
        """The calls of one run as recorded: `seconds` is the calls' own times added up; cached calls leave no row."""
        row = self.rows(
            "SELECT count(*), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0),"
            " coalesce(sum(outcome <> 'answered'), 0), coalesce(sum(seconds), 0.0), coalesce(sum(reused_tokens), 0)"
            " FROM calls WHERE run = ?",
            (run,),
        )[0]
        return Usage(
            calls=row[0], input_tokens=row[1], output_tokens=row[2], failures=row[3], seconds=float(row[4]),
            reused_tokens=row[5],
        )  # fmt: skip

    def summary(self) -> LedgerSummary:
        """What the ledger holds, the most used model and prompt first. See `accounts.summarise`."""
        from limner.serving.accounts import summarise

        return summarise(self)

    def close(self) -> None:
        """Writes what is recorded, gives up this process's claims and closes the file.

        Raises:
            WorkspaceError: The ledger cannot be written.
        """
        with self._lock:
            if self._closed:
                return
            try:
                self.flush()
                self.release(list(self._held))
            finally:
                self._closed = True
                self._wake.set()
                self._connection.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _write(run_sql: _Execute, call: _Call) -> None:
    """Writes one recorded call."""
    key, outcome, at = call.key, call.outcome, call.row[11]
    if isinstance(outcome, ChatAnswer):
        _keep_answer(run_sql, key, outcome, at)
    elif outcome.malformed:
        kept = (key, call.row[10], _storable(outcome.text[:MALFORMED_KEPT]))
        run_sql("INSERT OR REPLACE INTO malformed VALUES (?, ?, ?)", kept)
    run_sql(f"INSERT INTO calls ({_CALL_COLUMNS}) VALUES ({','.join('?' * len(call.row))})", call.row)
    run_sql("DELETE FROM claims WHERE key = ?", (key,))


def _keep_answer(run_sql: _Execute, key: str, answer: ChatAnswer, at: str) -> None:
    """Writes an answer; an unusable one that was kept for the question goes."""
    row = (key, _storable(answer.text), answer.logprob, answer.finish, answer.input_tokens, answer.output_tokens, at)
    run_sql("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    run_sql("DELETE FROM malformed WHERE key = ?", (key,))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _storable(text: str) -> str:
    """Text with half characters (lone surrogates), which no encoding can write, replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")
