"""Running a function in a process of its own, and killing that at a moment."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import BaseContext


@dataclass(frozen=True)
class Ran:
    """Whether it came to its end, and how many seconds it took."""

    ended: bool
    seconds: float


def processes(*modules: str) -> BaseContext:
    """Processes that have modules loaded already, so that the moments fall into the work and not before it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*modules])
    return context


def run(context: BaseContext, target: Callable[..., None], *arguments: object, kill_after: float | None = None) -> Ran:
    """Runs a function, with kill -9 after so many seconds if it is not done then."""
    started = time.perf_counter()
    process = context.Process(target=target, args=arguments)
    process.start()
    process.join(kill_after)
    if process.exitcode is None and kill_after is not None:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return Ran(process.exitcode == 0, time.perf_counter() - started)
