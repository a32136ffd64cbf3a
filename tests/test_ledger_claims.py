"""Claims and group commits: two processes asking the same make one call, and the dead hold nobody up."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from limner.serving import claims
from limner.serving import ledger as ledger_module
from limner.serving.claims import PLACE
from limner.serving.client import Client
from limner.serving.ledger import Ledger
from limner.serving.request import ChatAnswer, ChatFailure, ChatRequest, Message, PromptId
from limner.serving.scripted import ScriptedEngine
from serving_stub import Reply, completion, serve

REQUEST = ChatRequest((Message("user", "?"),), PromptId("test", 1, "en"))
ANSWER = ChatAnswer("x", 12, 1, 0.25)

ASKING = """
import sys
from limner.serving import connect
from limner.serving.request import ChatAnswer, ChatRequest, Message, PromptId
requests = [ChatRequest((Message("user", str(n)),), PromptId("t", 1, "en")) for n in range(30)]
with connect(sys.argv[1], sys.argv[2], concurrency=3) as client:
    sys.stdin.readline()
    outcomes = client.ask(requests)
    assert all(isinstance(outcome, ChatAnswer) for outcome in outcomes), outcomes
    print([outcome.text for outcome in outcomes], client.usage.calls, client.usage.cached_calls)
"""


def questions(*texts: str) -> list[ChatRequest]:
    return [ChatRequest((Message("user", text),), PromptId("test", 1, "en")) for text in texts]


def test_two_processes_asking_the_same_make_one_call(tmp_path: Path) -> None:
    asked: list[str] = []

    def reply(number: int, body: dict[str, Any]) -> Reply:
        text = body["messages"][0]["content"]
        asked.append(text)
        time.sleep(0.05)
        return completion(f"answer {text}")

    with serve(reply) as stub:
        command = [sys.executable, "-c", ASKING, str(tmp_path), f"{stub.url}#m"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        both = [subprocess.Popen(command, **pipes) for _ in range(2)]  # type: ignore[call-overload]
        for process in both:
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(asked, key=int) == [str(n) for n in range(30)]
    texts, counts = zip(*(line.strip().rsplit("] ", 1) for line in said), strict=True)
    assert texts[0] == texts[1]
    calls, cached = zip(*(map(int, count.split()) for count in counts), strict=True)
    assert sum(calls) == 30
    assert sum(cached) == 30
    assert min(calls) > 0, "both did a part of the work"


def claim(path: Path, key: str, **values: object) -> None:
    row = {"key": key, "owner": "another", "place": PLACE, "pid": os.getpid(), "until": time.time() + 60, **values}
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT OR REPLACE INTO claims VALUES (:key, :owner, :place, :pid, :until)", row)
    connection.close()


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize(
    ("values", "free"),
    [
        ({}, False),
        ({"until": 1.0}, True),
        ({"place": "another machine", "pid": 1}, False),
        ({"place": "another machine", "until": 1.0}, True),
    ],
)
def test_a_claim_stands_while_its_process_lives_and_its_lease_runs(
    tmp_path: Path, values: dict[str, Any], free: bool
) -> None:
    with Ledger(tmp_path / "l") as ledger:
        claim(ledger.path, "k", **values)
        assert ledger.claim("k") is free
        assert ledger.claimed(["k"]) == (set() if free else {"k"})


@pytest.mark.skipif(os.name != "posix", reason="whether a process lives is asked on POSIX only")
def test_a_dead_process_holds_nobody_up(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        claim(ledger.path, "k", pid=dead_process())
        assert ledger.claim("k") is True


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc here")
def test_a_process_that_ended_but_was_not_looked_after_is_dead_too(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    try:
        for _ in range(100):
            if not claims.stands(PLACE, process.pid, time.time() + 60):
                break
            time.sleep(0.05)
        assert not claims.stands(PLACE, process.pid, time.time() + 60)
    finally:
        process.wait()


def test_a_claim_is_given_up_with_the_answer_with_a_failure_and_on_closing(tmp_path: Path) -> None:
    path = tmp_path / "l"
    with Ledger(path) as other, Ledger(path) as ledger:
        assert [ledger.claim(key) for key in "abc"] == [True] * 3
        assert [other.claim(key) for key in "abc"] == [False] * 3
        ledger.record("a", "r", "m", REQUEST, ANSWER)
        ledger.record("b", "r", "m", REQUEST, ChatFailure("the server said 500"))
        ledger.flush()
        assert other.claim("a") == ChatAnswer("x", 12, 1, 0.0, cached=True)
        assert other.claim("b") is True
        assert other.claim("c") is False
        ledger.close()
        assert other.claim("c") is True


def test_a_client_waits_for_the_answer_of_another(tmp_path: Path) -> None:
    path = tmp_path / "l"
    with Ledger(path) as other, Ledger(path) as ledger:
        engine = ScriptedEngine(lambda _: "mine")
        client = Client(engine, ledger)
        theirs, mine = questions("theirs", "mine")
        key = theirs.key("scripted")
        assert other.claim(key) is True

        def answer_later() -> None:
            time.sleep(0.3)
            other.record(key, "r", "scripted", theirs, ChatAnswer("theirs", 1, 1, 0.0))
            other.flush()

        thread = threading.Thread(target=answer_later)
        thread.start()
        outcomes = client.ask([theirs, mine])
        thread.join()
    assert [outcome.text for outcome in outcomes] == ["theirs", "mine"]
    assert (engine.calls, client.usage.calls, client.usage.cached_calls) == (1, 1, 1)


def test_what_another_gives_up_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "l"
    with Ledger(path) as other, Ledger(path) as ledger:
        (theirs,) = questions("theirs")
        key = theirs.key("scripted")
        assert other.claim(key) is True
        timer = threading.Timer(0.2, other.release, [[key]])
        timer.start()
        client = Client(ScriptedEngine(lambda _: "mine"), ledger)
        assert client.ask([theirs])[0].text == "mine"
        timer.join()


def test_what_came_back_malformed_elsewhere_is_recalled_if_wanted(tmp_path: Path) -> None:
    path = tmp_path / "l"
    with Ledger(path) as other, Ledger(path) as ledger:
        (theirs,) = questions("theirs")
        key = theirs.key("scripted")
        other.claim(key)
        failure = ChatFailure("malformed: no", "?", 1, 1, 0.0)
        timer = threading.Timer(0.2, other.record, [key, "r", "scripted", theirs, failure])
        timer.start()
        engine = ScriptedEngine(lambda _: "mine")
        given = [outcome for _, outcome in Client(engine, ledger).each([theirs], recall=True)]
        assert [(type(outcome), outcome.text) for outcome in given] == [(ChatFailure, "?")]
        assert engine.calls == 0
        timer.join()


def test_a_claim_is_renewed_while_its_call_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("LEASE_SECONDS", 0.6), ("HEARTBEAT_SECONDS", 0.1), ("IDLE_SECONDS", 0.1)):
        monkeypatch.setattr(ledger_module, name, value)
    with Ledger(tmp_path / "l") as ledger, Ledger(tmp_path / "l") as other:
        assert ledger.claim("k") is True
        time.sleep(1.5)
        assert other.claim("k") is False


def kept(path: Path) -> int:
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT count(*) FROM calls").fetchone()[0]
    connection.close()
    return int(found)


def test_calls_are_written_together_and_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "GROUP_SECONDS", 0.3)
    with Ledger(tmp_path / "l") as ledger:
        for n in range(10):
            ledger.record(f"k{n}", "r", "m", REQUEST, ANSWER)
        assert kept(ledger.path) == 0
        assert len(ledger.find(["k3"])) == 1  # Who asks is told what is recorded, written or not.
        for n in range(10, 15):
            ledger.record(f"k{n}", "r", "m", REQUEST, ANSWER)
        before = kept(ledger.path)
        assert before == 10
        time.sleep(1.0)
        assert kept(ledger.path) == 15
        ledger.record("last", "r", "m", REQUEST, ANSWER)
    assert kept(tmp_path / "l") == 16


def test_what_cannot_be_written_is_told_and_written_when_it_can(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l")
    ledger._connection.execute("PRAGMA busy_timeout = 50")
    blocker = sqlite3.connect(tmp_path / "l", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    ledger.record("k", "r", "m", REQUEST, ANSWER)
    time.sleep(0.3)
    with pytest.raises(Exception, match="Cannot use the ledger"):
        ledger.claim("next")
    blocker.execute("ROLLBACK")
    blocker.close()
    assert ledger.claim("next") is True
    assert kept(tmp_path / "l") == 1
    ledger.close()


OLD = """
CREATE TABLE answers (key TEXT PRIMARY KEY, text TEXT NOT NULL, logprob REAL, finish TEXT NOT NULL,
  input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, at TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE calls (id INTEGER PRIMARY KEY, key TEXT NOT NULL, run TEXT NOT NULL, prompt TEXT NOT NULL,
  version INTEGER NOT NULL, lang TEXT NOT NULL, model TEXT NOT NULL, input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL, seconds REAL NOT NULL, outcome TEXT NOT NULL, error TEXT, at TEXT NOT NULL);
INSERT INTO answers VALUES ('a', 'x', NULL, 'stop', 12, 1, '2026-01-01T00:00:00.000Z');
INSERT INTO calls VALUES (1, 'a', 'r', 't', 1, 'en', 'm', 12, 1, 0.5, 'answered', NULL, '2026-01-01T00:00:00.000Z');
PRAGMA user_version = 1;
"""


def test_an_older_ledger_is_brought_up_to_date_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "l"
    connection = sqlite3.connect(path)
    connection.executescript(OLD)
    connection.close()
    with Ledger(path) as first, Ledger(path) as ledger:
        assert first.find(["a"])["a"].text == "x"
        ledger.record("b", "r", "m", REQUEST, ANSWER, cost=0.5, currency="USD")
        line, other = sorted(ledger.summary().lines, key=lambda line: line.prompt, reverse=True)
        assert (line.prompt, line.calls, line.costs, line.unpriced) == ("test.v1.en", 1, {"USD": 0.5}, 0)
        assert (other.prompt, other.costs, other.unpriced) == ("t.v1.en", {}, 1)
        assert json.dumps(ledger.summary().to_dict())
