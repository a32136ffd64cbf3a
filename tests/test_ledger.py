"""The ledger: kept answers, recorded calls, several threads and processes, damage."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from limner.cli import app
from limner.errors import WorkspaceError
from limner.histories.store import Store
from limner.serving.ledger import Ledger
from limner.serving.request import ChatAnswer, ChatFailure, ChatRequest, Message, PromptId

REQUEST = ChatRequest((Message("user", "好不好？"),), PromptId("sentiment", 1, "zh"))
ANSWER = ChatAnswer("好", 12, 1, 0.25, logprob=-0.5)


def test_an_answer_is_kept_across_openings_and_a_failure_is_not(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.record("a", "r1", "m", REQUEST, ANSWER)
        ledger.record("b", "r1", "m", REQUEST, ChatFailure("the server said 500"))
        ledger.record("c", "r1", "m", REQUEST, ChatFailure("malformed: not JSON", "{", 9, 3, 0.1))
    with Ledger(path) as ledger:
        found = ledger.find(["a", "b", "c", "d"])
        assert found == {"a": ChatAnswer("好", 12, 1, 0.0, logprob=-0.5, cached=True)}
        usage = ledger.usage("r1")
    assert (usage.calls, usage.failures, usage.input_tokens, usage.output_tokens) == (3, 2, 21, 4)
    rows = sqlite3.connect(path).execute("SELECT key, outcome, error, prompt, version, lang FROM calls").fetchall()
    assert rows == [
        ("a", "answered", None, "sentiment", 1, "zh"),
        ("b", "failed", "the server said 500", "sentiment", 1, "zh"),
        ("c", "malformed", "malformed: not JSON", "sentiment", 1, "zh"),
    ]


def test_summary_adds_up_by_model_and_prompt(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        for n in range(3):
            ledger.record(f"k{n}", "r", "m", REQUEST, ANSWER)
        ledger.record("x", "r", "m", REQUEST, ChatFailure("no"))
        ledger.record("k0", "r2", "other", REQUEST, ANSWER)
        summary = ledger.summary()
    assert (summary.answers, summary.calls) == (3, 5)
    assert [(line.model, line.prompt, line.calls, line.answered) for line in summary.lines] == [
        ("m", "sentiment.v1.zh", 4, 3),
        ("other", "sentiment.v1.zh", 1, 1),
    ]


def test_many_keys_are_found_in_one_go(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        for n in range(1200):
            ledger.record(f"k{n}", "r", "m", REQUEST, ANSWER)
        assert len(ledger.find(f"k{n}" for n in range(2000))) == 1200


def test_recording_is_quick(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        started = time.perf_counter()
        for n in range(500):
            ledger.record(f"k{n}", "r", "m", REQUEST, ANSWER)
        assert (time.perf_counter() - started) / 500 < 0.01  # measured: under 0.1 ms on an idle machine


def test_threads_share_one_ledger(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:

        def write(name: str) -> None:
            for n in range(50):
                ledger.record(f"{name}{n}", "r", "m", REQUEST, ANSWER)
                ledger.find([f"{name}{n}"])

        threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ledger.usage("r").calls == 200


def test_processes_open_and_write_one_ledger_at_once(tmp_path: Path) -> None:
    code = """
import sys
from limner.serving.ledger import Ledger
from limner.serving.request import *
request = ChatRequest((Message("user", "x"),), PromptId("p", 1, "en"))
with Ledger(sys.argv[1]) as ledger:
    for n in range(100):
        ledger.record(f"{sys.argv[2]}{n}", "r", "m", request, ChatAnswer("y", 1, 1, 0.0))
"""
    path = tmp_path / "l"
    running = [subprocess.Popen([sys.executable, "-c", code, str(path), str(n)]) for n in range(4)]
    assert [process.wait(60) for process in running] == [0, 0, 0, 0]
    with Ledger(path) as ledger:
        assert ledger.usage("r").calls == 400
        assert ledger.summary().answers == 400


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough" * 200, b"SQLite format 3\x00" + b"\xff" * 8000]
)
def test_a_damaged_ledger_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(content)
    with pytest.raises(WorkspaceError, match="ledger") as caught:
        Ledger(path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content


def test_a_page_damaged_in_the_middle_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        for n in range(400):
            ledger.record(f"k{n}", "r", "m", REQUEST, ANSWER)
    content = bytearray(path.read_bytes())
    content[4096 : len(content) - 4096] = b"\xff" * (len(content) - 8192)
    path.write_bytes(bytes(content))

    def read_all() -> None:
        with Ledger(path) as ledger:
            ledger.find([f"k{n}" for n in range(400)])

    with pytest.raises(WorkspaceError, match="damaged"):
        read_all()


def test_a_ledger_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="Cannot use the ledger"):
        Ledger(tmp_path / "no" / "such" / "folder" / "ledger.sqlite")
    (tmp_path / "folder").mkdir()
    with pytest.raises(WorkspaceError, match="Cannot use the ledger"):
        Ledger(tmp_path / "folder")


def test_a_newer_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "l"
    Ledger(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.commit()
    connection.close()
    with pytest.raises(WorkspaceError, match="newer limner"):
        Ledger(path)


def test_half_characters_do_not_break_the_ledger(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        ledger.record("a", "r", "m", REQUEST, ChatAnswer("x\ud83dy", 1, 1, 0.0))
        assert ledger.find(["a"])["a"].text == "x?y"


def test_the_command_shows_calls_by_prompt(tmp_path: Path) -> None:
    Store.open(tmp_path, create=True)
    runner = CliRunner()
    empty = runner.invoke(app, ["ledger", "summary", "-w", str(tmp_path), "--json"])
    assert json.loads(empty.stdout) == {"answers": 0, "calls": 0, "lines": []}
    assert not (tmp_path / "ledger.sqlite").exists()
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.record("a", "r", "m", REQUEST, ANSWER)
    shown = runner.invoke(app, ["ledger", "summary", "-w", str(tmp_path)]).stdout
    assert "1 answers kept, 1 calls made" in shown
    assert "sentiment.v1.zh" in shown
    assert json.loads(runner.invoke(app, ["ledger", "summary", "-w", str(tmp_path), "--json"]).stdout)["calls"] == 1
