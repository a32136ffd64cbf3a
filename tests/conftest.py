"""Fixtures that many tests share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

MODEL_SECONDS = 1800
"""The most a test with the real model may take, the fetching of its weights included where it is the first."""

FEW = 3
"""Tests of a file that `--once` leaves."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--once`."""
    parser.addoption(
        "--once", action="store_true", help="Of each file run the first few tests, with one set of parameters."
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Gives tests with the real model the time they need, and says which tests share a process when several run.

    A file's tests stay together, for they share its fixtures. The tests with the real model stay together too: each
    takes all processors and two gigabytes. What takes longest begins first.
    """
    for item in items:
        needs_model = item.get_closest_marker("model") is not None
        if needs_model and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(MODEL_SECONDS))
        item.add_marker(pytest.mark.xdist_group("model" if needs_model else item.path.stem))
    items.sort(key=_turn)
    if config.getoption("--once"):
        items[:] = _once(items)


def _once(items: list[pytest.Item]) -> Iterator[pytest.Item]:
    """The first few tests of each file, of one with several sets of parameters the first."""
    seen: dict[Path, set[str]] = {}
    for item in items:
        name, those = item.nodeid.partition("[")[0], seen.setdefault(item.path, set())
        if name not in those and len(those) < FEW:
            those.add(name)
            yield item


def _turn(item: pytest.Item) -> int:
    """0 for the tests against the built sdist, 1 for those with the real model, 2 for the others."""
    return 0 if item.path.stem == "test_package" else 1 if item.get_closest_marker("model") else 2


@pytest.fixture(scope="session")
def pulled_model() -> None:
    """The default model's weights, fetched as a person would: at once if they are here already."""
    command = [sys.executable, "-m", "limner", "models", "pull"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        pytest.fail(f"`limner models pull` failed: {done.stderr}")


@pytest.fixture(autouse=True)
def _model_is_here(request: pytest.FixtureRequest) -> None:
    """No test with the real model runs, or skips, for want of its weights."""
    if request.node.get_closest_marker("model"):
        request.getfixturevalue("pulled_model")


@pytest.fixture
def without_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loads in this process compute no facts, which take most of a small load's time and have tests of their own."""
    monkeypatch.setattr("limner.histories.load.refresh_facts", lambda store, run: 0)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The evaluation data folder, which is not part of the project."""
    named = os.environ.get("LIMNER_TEST_DATA")
    if not named or not Path(named).is_dir():
        pytest.skip("LIMNER_TEST_DATA does not name the evaluation data folder")
    return Path(named)


@pytest.fixture
def heard_ctrl_c() -> Iterator[None]:
    """What a test starts hears Ctrl-C: a shell script's background jobs ignore it, and so does what they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
