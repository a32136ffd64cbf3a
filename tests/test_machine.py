"""What the machine gives a model: limits of containers and the person's own choice are respected."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from limner.serving import machine


@pytest.fixture(autouse=True)
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    monkeypatch.delenv("LIMNER_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    if hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    return tmp_path


def test_the_containers_memory_limit_counts(container: Path) -> None:
    whole = machine.memory_gb()
    assert whole > 0.5
    (container / "memory.max").write_text("500000000\n")
    assert machine.memory_gb() == pytest.approx(0.5)
    (container / "memory.max").write_text("max\n")
    assert machine.memory_gb() == whole


def test_threads_are_left_to_the_engine_unless_something_limits_them(
    container: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert machine.threads() is None
    (container / "cpu.max").write_text("max 100000\n")
    assert machine.threads() is None
    (container / "cpu.max").write_text("250000 100000\n")
    assert machine.threads() == 2
    monkeypatch.setenv("LIMNER_THREADS", "5")
    assert machine.threads() == 5
    monkeypatch.setenv("LIMNER_THREADS", "many")
    assert machine.threads() == 2
