"""`extract` against a server that goes wrong: nobody is lost, nothing is paid twice, no limit is passed."""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faulty import FAULTS, Faulty, serve_faulty
from limner.agents.extractor import ExtractSummary
from limner.cli import main
from limner.errors import BudgetError, ModelError, UsageError
from limner.histories.store import Store
from limner.serving import connect, endpoint, http
from limner.serving.completions import same_model
from limner.serving.request import ChatAnswer, ChatFailure, ChatRequest, Message, PromptId
from limner.serving.spec import parse_spec
from limner.workspace import Workspace
from reading_workspace import event, load, signals
from serving_stub import Reply, completion, error, serve

pytestmark = pytest.mark.slow

USERS = 6
TOKENS = 14
"""Tokens of one call of the server."""

WAIT_SECONDS = 2.0
"""How long the client waits for an answer: short, but not so short that a busy machine makes a good answer late."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setenv(http.TIMEOUT, str(WAIT_SECONDS))
    for name in ("LIMNER_API_KEY", "LIMNER_NO_MODEL", "LIMNER_WORKSPACE", "LIMNER_MODEL"):
        monkeypatch.delenv(name, raising=False)


def fill(path: Path, users: int = USERS) -> Store:
    texts = [
        event(f"u{user:02}", f"Thing {user} of type {n} is {word}. I use it every day!", title=f"Thing type {n}")
        for user in range(users)
        for n, word in enumerate(("quiet and solid", "far too slow"))
    ]
    return load(path, *texts, event("客户", "龙井很香，每年都买。就是物流太慢了！", title="龙井茶"))


def question(number: int) -> ChatRequest:
    return ChatRequest((Message("user", f"question {number}"),), PromptId("test", 1, "en"))


def read(path: Path, server: Faulty, **options: Any) -> ExtractSummary:
    concurrency = options.pop("concurrency", None)
    return Workspace(path, model=server.model, concurrency=concurrency).extract(**{"plan": "small", **options})


def told(store: Store) -> list[dict[str, Any]]:
    """What was read, without what says how: a repaired answer says so."""
    return sorted(
        ({k: v for k, v in row.items() if k not in ("prompt", "confidence", "model")} for row in signals(store)),
        key=lambda row: json.dumps(row, default=str, sort_keys=True),
    )


def kept(path: Path) -> int:
    """Answers in the ledger, those included that a model gave and that could not be used."""
    with sqlite3.connect(path / "ledger.sqlite") as ledger:
        query = "SELECT count(*) FROM (SELECT key FROM answers UNION SELECT key FROM malformed WHERE text <> '')"
        return int(ledger.execute(query).fetchone()[0])


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What is read when nothing goes wrong."""
    path = tmp_path_factory.mktemp("clean") / "w"
    store = fill(path)
    with serve_faulty(0, 0.0) as server:
        assert read(path, server).failed == {}
    return told(store)


@pytest.mark.parametrize(("seed", "concurrency"), [(1, None), (2, 8)])
def test_everyone_ends_done_or_failed_and_nothing_is_paid_twice(
    seed: int, concurrency: int | None, tmp_path: Path, clean: list[dict[str, Any]]
) -> None:
    path = tmp_path / "w"
    store = fill(path)
    with serve_faulty(seed, 0.4) as server:
        summary = read(path, server, concurrency=concurrency)
        done = {row["user_id"] for row in store.rows("SELECT user_id FROM extractions")}
        assert summary.users == USERS + 1
        assert done.isdisjoint(summary.failed)
        assert len(done) + len(summary.failed) == USERS + 1
        assert all(reason.strip() for reason in summary.failed.values())
        assert max(server.good.values()) == 1
        assert kept(path) == sum(server.good.values())
        assert len(server.met) > 4
        server.share = 0.0
        before = sum(server.good.values())
        again = read(path, server, concurrency=concurrency)
        assert again.failed == {}
        assert again.calls == sum(server.good.values()) - before
        assert max(server.good.values()) == 1
        assert told(store) == clean
        assert read(path, server).calls == 0


REASONS = {
    "429 with Retry-After": "the server answered 429",
    "429 with a limit used up": "the server answered 429",
    "429 without a word": "the server answered 429",
    "500": "the server answered 500",
    "503": "the server answered 503",
    "409": "the server answered 409",
    "cut stream": "dropped in the middle of the answer",
    "invalid JSON": "not a chat completion",
    "truncated JSON": "not a chat completion",
    "empty choices": "the response holds no answer",
    "wrong model": "another model answered: somebody-else, not m",
    "lost connection": "the connection was dropped",
    "hang": "no answer in time",
}


def test_a_fault_that_never_ends_has_a_reason_and_harms_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every user's text is met with another fault, each time it is asked about."""
    monkeypatch.setattr(endpoint, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setenv(http.TIMEOUT, "1")
    path = tmp_path / "w"
    faults = {f"Quite a thing, number {chr(65 + n)}!": fault for n, fault in enumerate(FAULTS)}
    texts = [event(fault.name, text, title=f"Thing {text[-2]}") for text, fault in faults.items()]
    load(path, *texts, event("nobody", "It is fine, all of it!", title="A thing"))

    def reply(number: int, body: dict[str, Any]) -> Reply:
        asked = body["messages"][-1]["content"] if len(body["messages"]) < 4 else json.dumps(body["messages"])
        good = server.reply(number, body)
        met = [fault for text, fault in faults.items() if text in asked and "<text>" in asked]
        return met[0].reply(good) if met else good

    with serve_faulty(1, 0.0) as server, serve(reply) as stub:
        summary = Workspace(path, model=f"{stub.url}#m", concurrency=4).extract()
    assert {user: REASONS[user] in reason for user, reason in summary.failed.items()} == dict.fromkeys(REASONS, True)
    assert not any("\n" in reason for reason in summary.failed.values())
    assert summary.users == len(FAULTS) + 1


def test_the_budget_is_passed_by_no_more_than_the_calls_in_flight(tmp_path: Path) -> None:
    path = tmp_path / "w"
    fill(path, users=4)
    limit, concurrency = 20 * TOKENS, 4
    with serve_faulty(9, 0.3) as server:
        with pytest.raises(BudgetError):
            read(path, server, concurrency=concurrency, max_tokens=limit)
        paid = sum(server.good.values()) * TOKENS
        assert limit - TOKENS * server.met["empty choices"] <= paid < limit + concurrency * TOKENS
        assert kept(path) == sum(server.good.values())
        server.share = 0.0
        assert read(path, server).failed == {}
        assert max(server.good.values()) == 1


def test_a_busy_service_is_asked_less_at_once_and_a_willing_one_more(tmp_path: Path) -> None:
    path = tmp_path / "w"
    fill(path, users=8)
    room = 3

    def reply(number: int, body: dict[str, Any]) -> Reply:
        if stub.now > room:
            return error(429, "too many at once")
        time.sleep(0.02)
        return server.reply(number, body)

    with serve_faulty(1, 0.0) as server, serve(reply) as stub:
        summary = Workspace(path, model=f"{stub.url}#m", concurrency=16).extract()
    assert summary.failed == {}
    answered = sum(server.tries.values())
    assert 0 < len(stub.bodies) - answered < answered


def test_a_pause_that_is_asked_for_holds_for_everybody(tmp_path: Path) -> None:
    came: list[float] = []

    def reply(number: int, body: dict[str, Any]) -> Reply:
        came.append(time.monotonic())
        return error(429, "wait", retry_after="1") if number == 0 else completion("ok")

    with serve(reply) as stub, connect(tmp_path, f"{stub.url}#m", concurrency=1) as client:
        outcomes = client.ask([question(n) for n in range(5)])
    assert all(isinstance(outcome, ChatAnswer) for outcome in outcomes)
    assert came[1] - came[0] >= 1.0


def test_a_limit_used_up_is_waited_for_before_it_is_met(tmp_path: Path) -> None:
    came: list[float] = []

    def reply(number: int, body: dict[str, Any]) -> Reply:
        came.append(time.monotonic())
        left = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "400ms"}
        return replace(completion("ok"), headers=left if number == 0 else {})

    with serve(reply) as stub, connect(tmp_path, f"{stub.url}#m", concurrency=1) as client:
        client.ask([question(n) for n in range(3)])
    assert came[1] - came[0] >= 0.4
    assert len(came) == 3


def test_a_pause_of_an_hour_ends_the_run_with_what_was_answered(tmp_path: Path) -> None:
    def reply(number: int, body: dict[str, Any]) -> Reply:
        return completion("ok") if number < 2 else error(429, "quota of the day", retry_after="3600")

    with serve(reply) as stub, connect(tmp_path, f"{stub.url}#m", concurrency=1) as client:
        with pytest.raises(ModelError, match="asks to wait 60 minutes"):
            client.ask([question(n) for n in range(5)])
        assert len(client.ledger.find(question(n).key(client.model) for n in range(5))) == 2


def test_a_service_that_drips_is_not_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """White space every now and then keeps a connection alive; it is no answer."""
    monkeypatch.setenv(http.TIMEOUT, "0.5")
    with serve(lambda n, b: Reply(raw=b" " * 200, drip=0.1)) as stub, connect(tmp_path, f"{stub.url}#m") as client:
        started = time.monotonic()
        (outcome,) = client.ask([question(0)])
        assert time.monotonic() - started < 5
    assert isinstance(outcome, ChatFailure)
    assert "no answer in time" in outcome.error


SAME = [("m", "m"), ("gpt-x", "gpt-x-2026-01-31"), ("Qwen/Qwen3-8B", "qwen3-8b"), ("q.gguf", "/models/q.gguf")]


@pytest.mark.parametrize(("asked", "answered"), SAME)
def test_a_longer_name_of_the_model_is_the_model(asked: str, answered: str) -> None:
    assert same_model(asked, answered)


@pytest.mark.parametrize(
    ("asked", "answered"), [("gpt-4", "gpt-4o"), ("gpt-4o", "gpt-4"), ("m", "mm"), ("m", "-"), ("", "")]
)
def test_another_model_is_another(asked: str, answered: str) -> None:
    assert not same_model(asked, answered)


def test_an_alias_is_learned_from_the_first_answer(tmp_path: Path) -> None:
    names = iter(["the-real-name", "the-real-name", "somebody-else"])

    def reply(number: int, body: dict[str, Any]) -> Reply:
        good = completion("ok")
        return Reply(body={**good.body, "model": next(names)})

    with serve(reply) as stub, connect(tmp_path, f"{stub.url}#default", concurrency=1) as client:
        first, second, third = client.ask([question(n) for n in range(3)])
    assert isinstance(first, ChatAnswer)
    assert isinstance(second, ChatAnswer)
    assert isinstance(third, ChatFailure)
    assert third.error == "another model answered: somebody-else, not default"


KEY = "sk-very-secret-0123456789"


def test_a_key_is_nowhere_but_in_the_header(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The server says the key in every error; neither the workspace nor the terminal nor a log has it."""
    path = tmp_path / "w"
    fill(path, users=2)
    monkeypatch.setenv("LIMNER_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)

    def reply(number: int, body: dict[str, Any]) -> Reply:
        status = (400, 429, 500)[number % 3]
        return error(status, f"Bearer {KEY} is not welcome") if number % 2 else faulty.reply(number, body)

    with serve_faulty(1, 0.0) as faulty, serve(reply) as stub, pytest.raises(SystemExit) as ended:
        main(["extract", "--workspace", str(path), "--model", f"{stub.url}#m", "--json"])
    out, err = capsys.readouterr()
    assert ended.value.code == 1
    assert stub.headers[0]["authorization"] == f"Bearer {KEY}"
    assert "is not welcome" in err
    assert KEY not in out + err + caplog.text
    assert not [file for file in path.rglob("*") if file.is_file() and KEY.encode() in file.read_bytes()]


def test_an_address_with_a_password_is_refused_without_saying_it() -> None:
    with pytest.raises(UsageError, match="LIMNER_API_KEY") as caught:
        parse_spec("http://me:very-secret@localhost:8000/v1#m")
    assert "very-secret" not in str(caught.value)
