"""Claims: which process is asking which question right now, and whether it still lives.

A claim is a row in the ledger with a lease that its process renews. It counts for nothing once the lease is over or,
where that can be seen, once the process is gone: a killed run must not hold up the one that goes on.
"""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

LEASE_SECONDS = 120.0
"""How long a claim stands without a sign of life: loading a large model keeps a process busy for most of a minute."""

HEARTBEAT_SECONDS = 15.0
"""How often a process renews its claims."""


def _place() -> str:
    """Where process ids of this process's kind count: the machine, since its start, and the container."""
    parts = [platform.node()]
    for source in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        path = Path(source)
        try:
            parts.append(str(path.readlink()) if path.is_symlink() else path.read_text(encoding="ascii").strip())
        except OSError:
            parts.append("")
    return "|".join(parts)


PLACE = _place()


def stands(place: str, pid: int, until: float) -> bool:
    """Whether a claim counts.

    Args:
        place: Where its process runs.
        pid: Its process id there.
        until: When its lease ends, seconds since 1970.
    """
    return until > time.time() and (place != PLACE or _lives(pid))


def _lives(pid: int) -> bool:
    """Whether there is a process of that id here; where that cannot be asked, the lease decides."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # A process that ended, but that its parent has not looked after yet, is still found.
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return True
    return state not in ("Z", "X")
