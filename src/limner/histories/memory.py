"""How much memory the database may take: `LIMNER_MEMORY`, else a half of what the machine or its container has.

What does not fit goes to files in the workspace's `tmp` folder, so that a smaller amount costs time and not the load.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from limner.errors import UsageError

VARIABLE = "LIMNER_MEMORY"

SHARE = 0.5
"""The part of the machine's memory that is taken where nothing is said."""

LEAST = 1 << 30
"""Bytes that are taken at least."""

_AMOUNT = re.compile(r"\s*\d+(\.\d+)?\s*(MB|MiB|GB|GiB|TB|TiB)\s*", re.IGNORECASE)


def memory_limit() -> str:
    """The limit as the database takes it, such as `8GB`.

    Raises:
        UsageError: `LIMNER_MEMORY` is no amount of memory.
    """
    said = os.environ.get(VARIABLE, "")
    if said:
        if not _AMOUNT.fullmatch(said):
            raise UsageError(f"{VARIABLE}={said!r} is no amount of memory. Give one such as 8GB or 500MB.")
        return said.strip()
    return f"{max(LEAST, int(_machine() * SHARE)) >> 20}MiB"


def _machine() -> int:
    """Bytes of memory of the machine, or of the container if that has less; 4 GiB where neither says."""
    limits = []
    with suppress(AttributeError, ValueError, OSError):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            limits.append(int((Path("/sys/fs/cgroup") / name).read_text(encoding="ascii")))
    return min(limits, default=4 << 30)
