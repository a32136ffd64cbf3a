"""Runs a command and ends it, with all its children, when whoever started this is gone. Run as a script.

The starter keeps the other end of this process's standard input open. When it ends, however it ends (killed too), the
input ends, and the whole process group is ended: no server is left behind on anyone's GPU. The group is this process's
own, made by the starter.

Usage: guard.py COMMAND...
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

PATIENCE_SECONDS = 20.0
"""How long the command may take to end by itself."""


def end_group(patience: float = PATIENCE_SECONDS) -> None:
    """Asks the whole group to end, and kills it, this process too, if it takes too long."""
    os.killpg(os.getpgid(0), signal.SIGTERM)
    time.sleep(patience)
    os.killpg(os.getpgid(0), signal.SIGKILL)


def _watch() -> None:
    while os.read(0, 4096):
        pass
    end_group()


def main(command: list[str]) -> int:
    """Runs the command to its end and returns its status."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # The command gets it too; what it does about it decides.
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    threading.Thread(target=_watch, daemon=True).start()
    status = child.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
