"""Starting a vLLM server, waiting until it answers, and ending it.

What is ended is the process group that was started here, by its id, and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from limner.errors import ModelError, WorkspaceError
from limner.serving.vllm.running import models_at

START_SECONDS = 3600.0
"""How long a server may take to start: a large model may have to be fetched first."""

LOOK_SECONDS = 0.5
PORT_TRIES = 3
STOP_SECONDS = 25.0
"""How long a server may take to end before it is killed: a little longer than its guard waits."""

KEPT_LOGS = 5
SHOWN_LINES = 4

STAGES = (
    ("fetching the weights", r"[Dd]ownloading|Fetching \d+ files"),
    ("loading the weights", r"[Ll]oading (?:model|weights|safetensors)|Starting to load model"),
    ("compiling", r"torch\.compile|[Dd]ynamo|[Ii]nductor|[Cc]ompil"),
    ("laying out its cache", r"KV cache|cache blocks"),
    ("recording its graphs", r"CUDA graph"),
    ("warming up", r"[Ww]arming up"),
    ("opening its address", r"Starting vLLM .*server|Started server process|Application startup"),
)
"""What a server is doing, by the lines of its log; the latest line that says something counts."""

_IN_USE = re.compile(r"[Aa]ddress already in use|Errno 98|EADDRINUSE")
_PREFIX = re.compile(r"^(?:\([^)]*\)\s*)?(?:(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)\s+\S+\s+\S+\s+\[[^\]]*\]\s*)?")
_TRACE = re.compile(r'^\s*(?:File "|Traceback|\^+$|raise |return |\.\.\.)|^\s{2,}')


@dataclass(frozen=True, slots=True)
class Starting:
    """How far a start is.

    Attributes:
        name: The model.
        stage: What the server is doing, in a few words.
        seconds: Since the start.
        log: The file with everything it says; None while nothing is started yet.
    """

    name: str
    stage: str
    seconds: float
    log: Path | None = None


Progress = Callable[[Starting], None]


class Ended(ModelError):
    """The server ended before it answered.

    Attributes:
        port_taken: Whether it was for its port.
    """

    port_taken = False


class Server:
    """A server that this process started.

    Attributes:
        name: What requests call the model.
        address: Its base address.
        log: The file with everything it says.
        pid: The id of its process group.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], name: str, port: int, log: Path) -> None:
        """Starts the process; `wait` waits for its answer.

        Raises:
            ModelError: It cannot be started.
        """
        self.name, self.log = name, log
        self.address = f"http://127.0.0.1:{port}/v1"
        guard = [sys.executable, str(Path(__file__).with_name("guard.py")), *command]
        with log.open("ab") as out:
            try:
                self._process = subprocess.Popen(
                    guard, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT, env=dict(environment),
                    start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                raise ModelError(f"Cannot start vLLM: {error.strerror}.") from error
        self.pid = self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def wait(self, progress: Progress, giving_up: threading.Event, seconds: float = START_SECONDS) -> bool:
        """Waits until the server has the model; False if told to give up first.

        Raises:
            Ended: It ended instead.
            ModelError: It takes too long.
        """
        started = time.monotonic()
        reader = _LogReader(self.log)
        while not giving_up.wait(LOOK_SECONDS):
            passed = time.monotonic() - started
            progress(Starting(self.name, reader.stage(), passed, self.log))
            if not self.running:
                raise self.ended("ended while it started")
            if self.name in models_at(self.address):
                return True
            if passed > seconds:
                raise ModelError(f"vLLM did not start within {seconds:,.0f} s. {_said(self.log)}")
        return False

    def ended(self, how: str) -> Ended:
        """The error that says how the server ended and what it said last."""
        error = Ended(f"vLLM {how} (status {self._process.poll()}). {_said(self.log)}")
        error.port_taken = bool(_IN_USE.search(_tail(self.log)))
        return error

    def stop(self) -> None:
        """Ends the process and its children; waits until they are gone."""
        if self.running:
            self._signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                self._process.wait()
        self._signal(signal.SIGKILL)  # Children that outlived it.
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


class _LogReader:
    """Follows a log and keeps the latest stage it tells of."""

    def __init__(self, log: Path) -> None:
        self._log, self._at, self._stage = log, 0, "starting"

    def stage(self) -> str:
        with self._log.open("rb") as file:
            file.seek(self._at)
            text = file.read().decode("utf-8", "replace")
            self._at = file.tell()
        for line in text.splitlines():
            self._stage = next((name for name, sign in STAGES if re.search(sign, line)), self._stage)
        return self._stage


def start(
    command: Callable[[int], Sequence[str]],
    environment: Mapping[str, str],
    name: str,
    logs: Path,
    *,
    port: int | None = None,
    progress: Progress,
    giving_up: threading.Event,
) -> Server | None:
    """Starts a server and waits until it answers. A port that somebody else takes meanwhile is replaced by another.

    Args:
        command: The server's command for a port.
        environment: Its environment.
        name: What requests call the model.
        logs: The folder for its log, made if it is not there.
        port: The port it must have; a free one if None.
        progress: Told how far the start is.
        giving_up: Set when it is no longer wanted.

    Returns:
        The server; None if it was given up.

    Raises:
        ModelError: It ended, or took too long.
        WorkspaceError: The log cannot be written.
    """
    log = new_log(logs)
    for attempt in range(1, PORT_TRIES + 1):
        chosen = port or free_port()
        server = Server(command(chosen), environment, name, chosen, log)
        try:
            if server.wait(progress, giving_up):
                return server
        except Ended as error:
            server.stop()
            if not error.port_taken or port is not None or attempt == PORT_TRIES:
                raise
            log = new_log(logs)
            continue
        except BaseException:
            server.stop()
            raise
        server.stop()
        return None
    raise AssertionError("the last attempt either returns or raises")


def free_port() -> int:
    """A loopback port that nobody uses just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def new_log(logs: Path) -> Path:
    """A new log file; only the newest few are kept.

    Raises:
        WorkspaceError: The folder cannot be written.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S")
    log = logs / f"vllm-{stamp}-{os.getpid()}-{time.monotonic_ns() % 1_000_000:06d}.log"
    try:
        logs.mkdir(parents=True, exist_ok=True)
        log.touch()
        for old in sorted(logs.glob("vllm-*.log"))[:-KEPT_LOGS]:
            old.unlink(missing_ok=True)
    except OSError as error:
        raise WorkspaceError(f"Cannot write vLLM's log into {logs}: {error.strerror}.") from error
    return log


def _tail(log: Path, size: int = 40_000) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - size))
        return file.read().decode("utf-8", "replace")


def _said(log: Path) -> str:
    """The last lines of a log that say something, and where the whole log is."""
    lines = [_PREFIX.sub("", line).rstrip() for line in _tail(log).splitlines()]
    lines = [line for line in lines if line.strip() and not _TRACE.search(line)]
    shown = "".join(f"\n  {line[:200]}" for line in lines[-SHOWN_LINES:])
    return f"Its log: {log}" + (f". It ends with:{shown}" if shown else " (empty)")
