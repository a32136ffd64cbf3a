"""Errors a person can act on: each says what happened, where, and what to do."""

from __future__ import annotations

from typing import Any


class LimnerError(Exception):
    """Root of every error limner raises on purpose.

    The command line prints the message on standard error, without a traceback, and ends with `exit_code`.
    """

    exit_code = 1


class UsageError(LimnerError):
    """What was asked cannot be done as asked: a wrong option, a missing file, an unknown user."""

    exit_code = 2


class DataError(LimnerError):
    """A source as a whole cannot be read; single bad rows are quarantined, not raised."""


class WorkspaceError(LimnerError):
    """The workspace cannot be opened, locked or written."""


class ModelError(LimnerError):
    """A model cannot be reached, loaded, or did not answer."""


class AnswerError(LimnerError):
    """A model answered, but with something that cannot be used."""


class StoppedError(LimnerError):
    """A run ended before all was done, as it was told to. What was answered is kept; the next one goes on."""

    summary: Any = None
    """What was done before, where the stopped work has a summary."""


class BudgetError(StoppedError):
    """A run reached a limit the person set. What was answered is kept; the same command goes on from there."""

    exit_code = 3


class PendingError(StoppedError):
    """Questions were written into a file, and wait for what comes back."""

    exit_code = 0


class MissingExtra(LimnerError):
    """An optional package is not installed; the message names the command that installs it."""

    def __init__(self, what: str, extra: str, otherwise: str = "") -> None:
        command = f"{what} is not installed. Install it with: pip install 'limner[{extra}]'"
        super().__init__(f"{command}\n{otherwise}" if otherwise else command)
        self.extra = extra
