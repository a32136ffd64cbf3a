"""The ledger: every model call that was made, and every answer that was paid for.

One SQLite file in the workspace, in WAL mode, so that several processes can write it and readers never wait. An answer
and the record of its call are one transaction: after a crash at any moment, either both are there or neither is.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from limner.errors import WorkspaceError
from limner.serving.request import ChatAnswer, ChatFailure, ChatRequest, Outcome, Usage

_Execute = Callable[..., sqlite3.Cursor]

FORMAT = 2
"""Version of the tables; a ledger of a newer one is refused, not guessed at."""

BUSY_SECONDS = 30.0
"""How long a write waits for another process's write before it gives up."""

MALFORMED_KEPT = 2000
"""Characters kept of an unusable answer: more than any repair question quotes."""

_KEYS_AT_ONCE = 500
"""Keys in one lookup: well under SQLite's limit of parameters in one statement."""

_TABLES = f"""
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
PRAGMA user_version = {FORMAT};
"""


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """The calls of one prompt to one model, added up.

    Attributes:
        model: The model's name as in the cache key.
        prompt: The prompt with version and language, `sentiment.v1.zh`.
        calls: Calls that reached the model.
        answered: Calls that ended in a usable answer.
        input_tokens: Prompt tokens of all calls.
        output_tokens: Tokens written in all calls.
        seconds: The calls' own times added up (calls run side by side, so this is more than the time waited).
    """

    model: str
    prompt: str
    calls: int
    answered: int
    input_tokens: int
    output_tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class LedgerSummary:
    """What a ledger holds: the number of distinct answers kept, and the calls by model and prompt."""

    answers: int
    lines: tuple[LedgerLine, ...]

    @property
    def calls(self) -> int:
        """Calls that reached a model."""
        return sum(line.calls for line in self.lines)

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"answers": self.answers, "calls": self.calls, "lines": [asdict(line) for line in self.lines]}


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
        self._lock = threading.Lock()
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
            self._connection.executescript(f"BEGIN IMMEDIATE;{_TABLES}COMMIT;")
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

    def find(self, keys: Iterable[str]) -> dict[str, ChatAnswer]:
        """The kept answers among these keys, each marked as cached and taking no time."""
        wanted = list(dict.fromkeys(keys))
        found: dict[str, ChatAnswer] = {}
        with self._lock, self._explained():
            for start in range(0, len(wanted), _KEYS_AT_ONCE):
                part = wanted[start : start + _KEYS_AT_ONCE]
                marks = ",".join("?" * len(part))
                rows = self._connection.execute(
                    "SELECT key, text, logprob, finish, input_tokens, output_tokens FROM answers"
                    f" WHERE key IN ({marks})",
                    part,
                )
                for key, text, logprob, finish, read, written in rows:
                    found[key] = ChatAnswer(text, read, written, 0.0, logprob, finish, cached=True)
        return found

    def malformed(self, keys: Iterable[str]) -> dict[str, ChatFailure]:
        """The unusable answers kept for these keys, without tokens: they were paid for when they were written."""
        wanted = list(dict.fromkeys(keys))
        found: dict[str, ChatFailure] = {}
        with self._lock, self._explained():
            for start in range(0, len(wanted), _KEYS_AT_ONCE):
                part = wanted[start : start + _KEYS_AT_ONCE]
                marks = ",".join("?" * len(part))
                rows = self._connection.execute(f"SELECT key, error, text FROM malformed WHERE key IN ({marks})", part)
                found.update((key, ChatFailure(error, text)) for key, error, text in rows)
        return found

    def forget_malformed(self, keys: Iterable[str]) -> None:
        """Drops the unusable answers kept for these keys, so that their questions are asked again."""
        with self._lock, self._explained(), self._transaction() as run_sql:
            for key in keys:
                run_sql("DELETE FROM malformed WHERE key = ?", (key,))

    def record(self, key: str, run: str, model: str, request: ChatRequest, outcome: Outcome) -> None:
        """Writes one call that reached the model, and what it answered if it did, in one transaction.

        Raises:
            WorkspaceError: The ledger cannot be written.
        """
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        prompt = request.prompt
        state, error = "answered", None
        if isinstance(outcome, ChatFailure):
            state, error = ("malformed" if outcome.malformed else "failed"), _storable(outcome.error)
        with self._lock, self._explained(), self._transaction() as run_sql:
            if isinstance(outcome, ChatAnswer):
                run_sql(
                    "INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        key,
                        _storable(outcome.text),
                        outcome.logprob,
                        outcome.finish,
                        outcome.input_tokens,
                        outcome.output_tokens,
                        at,
                    ),
                )
                run_sql("DELETE FROM malformed WHERE key = ?", (key,))
            elif outcome.malformed:
                kept = _storable(outcome.text[:MALFORMED_KEPT])
                run_sql("INSERT OR REPLACE INTO malformed VALUES (?, ?, ?)", (key, error, kept))
            run_sql(
                "INSERT INTO calls (key, run, prompt, version, lang, model, input_tokens, output_tokens, seconds,"
                " outcome, error, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    key,
                    run,
                    prompt.name,
                    prompt.version,
                    prompt.lang,
                    model,
                    outcome.input_tokens,
                    outcome.output_tokens,
                    outcome.seconds,
                    state,
                    error,
                    at,
                ),
            )

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

    def usage(self, run: str) -> Usage:
        """The calls of one run as recorded: `seconds` is the calls' own times added up; cached calls leave no row."""
        with self._lock, self._explained():
            row = self._connection.execute(
                "SELECT count(*), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0),"
                " coalesce(sum(outcome <> 'answered'), 0), coalesce(sum(seconds), 0.0) FROM calls WHERE run = ?",
                (run,),
            ).fetchone()
        return Usage(calls=row[0], input_tokens=row[1], output_tokens=row[2], failures=row[3], seconds=float(row[4]))

    def summary(self) -> LedgerSummary:
        """What the ledger holds, the most used model and prompt first."""
        with self._lock, self._explained():
            answers = self._connection.execute("SELECT count(*) FROM answers").fetchone()[0]
            rows = self._connection.execute(
                "SELECT model, prompt || '.v' || version || '.' || lang AS name, count(*), sum(outcome = 'answered'),"
                " sum(input_tokens), sum(output_tokens), sum(seconds) FROM calls"
                " GROUP BY model, name ORDER BY count(*) DESC, model, name"
            ).fetchall()
        return LedgerSummary(answers, tuple(LedgerLine(*row) for row in rows))

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _storable(text: str) -> str:
    """Text with half characters (lone surrogates), which no encoding can write, replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")
