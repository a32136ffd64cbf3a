"""kill -9 in the middle of `limner extract`: what was answered is never asked again, and the end is the same."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import plausible
from limner.histories.store import Store
from reading_workspace import event, export, load, not_slices
from serving_stub import Reply, Stub, serve

USERS = 20
"""More than one chunk of users, so that a kill can come with signals committed and with none."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="kill -9 is a POSIX signal"),
]


@dataclass
class Counted:
    """A model server that counts what it is asked, and tells when it was asked so many times."""

    stub: Stub
    reached: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)
    alarm: int = 0

    @property
    def calls(self) -> int:
        return len(self.stub.bodies)


@contextmanager
def counting(seconds: float = 0.01) -> Iterator[Counted]:
    def reply(number: int, body: dict[str, Any]) -> Reply:
        time.sleep(seconds)
        if counted.alarm and number + 1 >= counted.alarm:
            counted.reached.set()
            counted.release.wait(10)  # The kill comes while this call is under way, however slow the machine is.
        return plausible.reply(number, body)

    with serve(reply) as stub:
        counted = Counted(stub)
        yield counted


def fill(path: Path, users: int = USERS, texts_each: int = 2) -> Store:
    texts = [
        event(f"u{user:02}", f"Thing {user} of type {n} is {word}. I use it every day!", title=f"Thing type {n}")
        for user in range(users)
        for n, word in zip(range(texts_each), itertools.cycle(("quiet and solid", "far too slow")), strict=False)
    ]
    return load(path, *texts, event("客户", "龙井很香，每年都买。就是物流太慢了！", title="龙井茶"))


def extract(workspace: Path, model: Counted, *words: str, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "limner", "extract", "--json", "--workspace", str(workspace), *words]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LIMNER_")}
    return subprocess.Popen(
        [*command, "--model", f"{model.stub.url}#m"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", env=environment, **options,
    )  # fmt: skip


def finish(workspace: Path, model: Counted, *words: str) -> dict[str, Any]:
    """Runs to the end; what `--json` printed."""
    with extract(workspace, model, *words) as process:
        out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    told: dict[str, Any] = json.loads(out)
    return told


def kill_after(calls: int, workspace: Path, model: Counted) -> None:
    """Starts it and kills it when the server gets so many calls more."""
    model.alarm = model.calls + calls
    model.reached.clear()
    model.release.clear()
    with extract(workspace, model) as process:
        assert model.reached.wait(60), "it ended before it was to be killed"
        process.send_signal(signal.SIGKILL)
        process.communicate()
    model.release.set()
    assert process.returncode == -signal.SIGKILL
    model.alarm = 0
    time.sleep(0.2)  # What the server still had under way ends.


@pytest.fixture(scope="module")
def model() -> Iterator[Counted]:
    with counting() as counted:
        yield counted


@pytest.fixture(scope="module")
def clean(model: Counted, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, list[Any], list[Any]]:
    """One run from beginning to end: its calls, its signals and its personas."""
    folder = tmp_path_factory.mktemp("clean")
    fill(folder / "w")
    before = model.calls
    told = finish(folder / "w", model)
    assert told["calls"] == model.calls - before
    assert told["failed_users"] == 0
    return told["calls"], *results(folder)


def results(folder: Path) -> tuple[list[Any], list[Any]]:
    return export(folder / "w", "signals", folder / "s.jsonl"), export(folder / "w", "personas", folder / "p.jsonl")


@pytest.mark.parametrize("share", [0.15, 0.75, 0.97], ids=["first chunk", "second chunk", "narratives"])
def test_after_kill_9_the_run_goes_on_where_it_was(
    share: float, model: Counted, clean: tuple[int, list[Any], list[Any]], tmp_path: Path
) -> None:
    calls, signals, personas = clean
    assert len(signals) > 3 * USERS
    fill(tmp_path / "w")
    before = model.calls
    kill_after(round(calls * share), tmp_path / "w", model)
    killed = model.calls - before
    assert killed >= round(calls * share)
    assert Store.open(tmp_path / "w").rows("SELECT count(*) AS n FROM events")[0]["n"] == 2 * USERS + 1
    second = finish(tmp_path / "w", model)
    both = model.calls - before
    assert calls <= both <= calls + 2
    assert second["calls"] == both - killed
    assert second["users"] == USERS + 1
    assert results(tmp_path) == (signals, personas)
    assert not_slices(signals, export(tmp_path / "w", "events", tmp_path / "e.jsonl")) == []
    third = finish(tmp_path / "w", model)
    assert (third["calls"], model.calls - before) == (0, both)
    assert third["signals"] == {
        "accepted": sum(s["status"] == "accepted" for s in signals),
        "rejected": sum(s["status"] == "rejected" for s in signals),
    }
    assert results(tmp_path) == (signals, personas)


@pytest.mark.slow
def test_killed_again_and_again_it_still_ends(
    model: Counted, clean: tuple[int, list[Any], list[Any]], tmp_path: Path
) -> None:
    calls, signals, personas = clean
    fill(tmp_path / "w")
    before = model.calls
    for _ in range(3):
        kill_after(round(calls * 0.2), tmp_path / "w", model)
    finish(tmp_path / "w", model)
    assert model.calls - before <= calls + 3 * 2
    assert results(tmp_path) == (signals, personas)


KILLS = 20
MANY = {"users": 42, "texts_each": 12}
SMALL = ("--plan", "small", "--concurrency")


def test_killed_20_times_it_makes_two_percent_more_calls_at_most(tmp_path: Path) -> None:
    """Every call that the server got counts, those too that were under way when the process was killed.

    A killed process loses what was under way and nothing else: so many calls are made again as may be under way at
    once, at most, for each kill. Here that is one.
    """
    moments = random.Random(4)
    with counting(seconds=0.0) as model:
        fill(tmp_path / "clean" / "w", **MANY)
        calls = finish(tmp_path / "clean" / "w", model, *SMALL, "8")["calls"]
        assert calls >= KILLS / 0.02
        fill(tmp_path / "killed" / "w", **MANY)
        before = model.calls
        done = 0
        for moment in sorted(moments.sample(range(1, calls), KILLS)):
            with extract(tmp_path / "killed" / "w", model, *SMALL, "1") as process:
                wait_for(model, before + max(done + 1, moment))
                time.sleep(moments.uniform(0.0, 0.02))
                process.send_signal(signal.SIGKILL)
                process.communicate()
            assert process.returncode == -signal.SIGKILL
            done = model.calls - before
        finish(tmp_path / "killed" / "w", model, *SMALL, "1")
        assert calls <= model.calls - before <= calls + KILLS
        assert model.calls - before <= 1.02 * calls
    assert results(tmp_path / "killed") == results(tmp_path / "clean")


def wait_for(model: Counted, calls: int) -> None:
    until = time.monotonic() + 60
    while model.calls < calls:
        assert time.monotonic() < until, "it ended before it was to be killed"
        time.sleep(0.001)


@pytest.mark.usefixtures("heard_ctrl_c")
def test_ctrl_c_says_so_and_loses_nothing(
    model: Counted, clean: tuple[int, list[Any], list[Any]], tmp_path: Path
) -> None:
    calls, signals, _ = clean
    fill(tmp_path / "w")
    before = model.calls
    model.alarm = before + calls // 2
    model.reached.clear()
    model.release.clear()
    with extract(tmp_path / "w", model) as process:
        assert model.reached.wait(60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    model.release.set()
    model.alarm = 0
    assert (process.returncode, out) == (130, "")
    assert err == "Stopped. What was answered is kept; run the same command to go on.\n"
    time.sleep(0.2)
    finish(tmp_path / "w", model)
    assert model.calls - before <= calls + 2
    assert results(tmp_path)[0] == signals
