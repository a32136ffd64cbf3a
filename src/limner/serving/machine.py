"""What this machine gives a model: memory and processor threads, as far as this process may use them."""

from __future__ import annotations

import os
from pathlib import Path

THREADS = "LIMNER_THREADS"
"""Environment variable that sets the threads an embedded model uses."""

_CGROUP = Path("/sys/fs/cgroup")


def memory_gb() -> float:
    """Memory this process may use, in GB: the machine's, or its container's limit if that is less."""
    limits = []
    try:
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        limits.append(8_000_000_000)  # Windows has no sysconf; a laptop's usual minimum.
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        limit = _number(_CGROUP / name)
        if limit:
            limits.append(limit)
    return min(limits) / 1e9


def threads() -> int | None:
    """Threads a model should use; None to leave the choice to the engine, which knows the physical cores best."""
    named = os.environ.get(THREADS, "")
    if named.isdigit() and int(named) > 0:
        return int(named)
    everything = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else everything
    quota = _cpu_quota()
    if quota is not None:
        allowed = min(allowed, max(1, round(quota)))
    return allowed if allowed < everything else None


def _cpu_quota() -> float | None:
    """Processors a container is limited to."""
    try:
        quota, period = (_CGROUP / "cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        return None
