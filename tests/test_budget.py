"""Limits of a run: never passed by more than the calls in flight, and going on pays nothing twice."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import plausible
from limner.cli import main
from limner.errors import BudgetError, UsageError
from limner.serving import client as client_module
from limner.serving import connect, endpoint, http
from limner.serving.budget import Budget, Meter
from limner.serving.client import Client
from limner.serving.ledger import Ledger
from limner.serving.prices import Price
from limner.serving.request import ChatAnswer, ChatFailure, ChatRequest, Message, Outcome, PromptId
from limner.serving.scripted import ScriptedEngine
from limner.workspace import Workspace
from reading_workspace import event, export, load
from serving_stub import Reply, completion, error, serve

TOKENS = 14
"""Tokens of one call of the stub server: 11 read, 3 written."""

PRICE = Price("m", "USD", 1.0, 0.5, 10.0, Path("prices.toml"))


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(endpoint, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    for name in ("LIMNER_API_KEY", "LIMNER_NO_MODEL", "LIMNER_WORKSPACE", "LIMNER_MODEL"):
        monkeypatch.delenv(name, raising=False)


def questions(count: int) -> list[ChatRequest]:
    return [ChatRequest((Message("user", f"question {n}"),), PromptId("test", 1, "en")) for n in range(count)]


def slow(number: int, body: dict[str, Any]) -> Reply:
    time.sleep(0.02)
    return completion("ok")


def stopped(client: Client, requests: list[ChatRequest]) -> list[tuple[int, Outcome]]:
    given: list[tuple[int, Outcome]] = []
    with pytest.raises(BudgetError, match="nothing is paid twice"):
        given.extend(client.each(requests))
    return given


@pytest.mark.parametrize("concurrency", [1, 4, 8])
def test_tokens_are_passed_by_no_more_than_the_calls_in_flight(tmp_path: Path, concurrency: int) -> None:
    limit = 10 * TOKENS
    with serve(slow) as stub:
        spec = f"{stub.url}#m"
        with connect(tmp_path, spec, concurrency=concurrency, budget=Budget(tokens=limit)) as client:
            given = stopped(client, questions(40))
            assert limit <= client.meter.tokens < limit + concurrency * TOKENS
        assert len(given) == len(stub.bodies) == client.usage.calls
        with connect(tmp_path, spec, concurrency=concurrency) as client:
            assert all(isinstance(outcome, ChatAnswer) for outcome in client.ask(questions(40)))
        assert len(stub.bodies) == 40


def test_money_is_counted_with_what_the_server_says_it_had_read_before(tmp_path: Path) -> None:
    def reused(number: int, body: dict[str, Any]) -> Reply:
        reply = completion("ok")
        reply.body["usage"]["prompt_tokens_details"] = {"cached_tokens": 10}
        return reply

    each = (1 * 1.0 + 10 * 0.5 + 3 * 10.0) / 1e6
    (tmp_path / "prices.toml").write_text(
        '[[price]]\nmodel = "http://127.*"\ncurrency = "EUR"\ninput = 1\ncached_input = 0.5\noutput = 10\n'
    )
    with serve(reused) as stub:
        budget = Budget(money=each * 5)
        with connect(tmp_path, f"{stub.url}#m", run="r", concurrency=1, budget=budget) as client:
            stopped(client, questions(20))
            assert client.meter.money == pytest.approx(each * len(stub.bodies))
            assert "EUR spent" in client.meter.message()
            assert client.ledger.summary().costs == {"EUR": pytest.approx(each * len(stub.bodies))}
        assert 5 <= len(stub.bodies) <= 6


def test_an_unknown_price_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"price of openai:big is unknown(.|\n)*model = \"openai:big\""):
        connect(tmp_path, "openai:big", budget=Budget(money=1.0)).__enter__()
    assert not (tmp_path / "ledger.sqlite").exists()


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_a_limit_is_a_number_of_zero_or_more(value: float) -> None:
    with pytest.raises(UsageError, match="--budget must be 0 or more"):
        Budget(money=value)


def test_a_model_that_costs_nothing_never_reaches_a_limit_of_money() -> None:
    free = Meter(Budget(money=0), Price("m", "USD", 0, 0, 0, Path()))
    free.note(ChatAnswer("x", 10, 10, 0.0))
    assert not free.reached()
    assert Meter(Budget(money=0), PRICE).reached()


def test_what_is_known_is_given_out_beyond_every_limit(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        Client(ScriptedEngine(lambda _: "yes"), ledger).ask(questions(3))
        client = Client(ScriptedEngine(lambda _: "yes"), ledger, budget=Budget(tokens=0))
        assert [o.cached for o in client.ask(questions(3)) if isinstance(o, ChatAnswer)] == [True] * 3
        assert stopped(client, questions(4)) != []
        assert client.usage.calls == 0


def test_time_ends_a_run_whose_server_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "GRACE_SECONDS", 0.3)
    monkeypatch.setattr(http, "POLL_SECONDS", 0.05)
    with serve(lambda n, b: Reply(hang=30.0)) as stub:
        started = time.perf_counter()
        with connect(tmp_path, f"{stub.url}#m", concurrency=2, budget=Budget(seconds=2)) as client:
            assert stopped(client, questions(5)) == []
        assert time.perf_counter() - started < 20
        assert len(stub.bodies) == 2


def test_no_other_try_goes_out_once_the_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "POLL_SECONDS", 0.05)
    with serve(lambda n, b: error(503, "busy", Retry_After="20")) as stub:
        started = time.perf_counter()
        with connect(tmp_path, f"{stub.url}#m", concurrency=2, budget=Budget(seconds=2)) as client:
            assert stopped(client, questions(5)) == []  # Not given out as failed: they are still to be asked.
        assert time.perf_counter() - started < 12
        assert 1 <= len(stub.bodies) <= 2  # The first refusal may come before the second question goes out.


def test_no_other_try_goes_out_once_the_tokens_are_used(tmp_path: Path) -> None:
    def reply(number: int, body: dict[str, Any]) -> Reply:
        time.sleep(0.1 * (number == 0))
        return completion("ok") if number == 0 else error(503, "busy", Retry_After="1")

    with serve(reply) as stub:
        with connect(tmp_path, f"{stub.url}#m", concurrency=2, budget=Budget(tokens=TOKENS)) as client:
            assert len(stopped(client, questions(5))) == 1
        assert len(stub.bodies) == 2


def test_calls_under_way_when_the_time_is_over_are_kept(tmp_path: Path) -> None:
    with serve(lambda n, b: (time.sleep(0.6), completion("late"))[1]) as stub:
        with connect(tmp_path, f"{stub.url}#m", concurrency=3, budget=Budget(seconds=0.3)) as client:
            assert len(stopped(client, questions(9))) == 3
        with connect(tmp_path, f"{stub.url}#m", concurrency=3) as client:
            client.ask(questions(3))
        assert len(stub.bodies) == 3


class Batched:
    """An engine like the embedded one: takes a few requests at a time and writes them together, step by step."""

    model = "batched"

    def __init__(self, together: int) -> None:
        self.together = together
        self.cancelled = -1

    def run(self, requests: Iterable[ChatRequest]) -> Iterator[tuple[int, Outcome]]:
        waiting, live = enumerate(requests), list[tuple[int, ChatRequest]]()
        try:
            while True:
                while len(live) < self.together and (job := next(waiting, None)) is not None:
                    live.append(job)
                if not live:
                    return
                for _ in range(min(2, len(live))):  # Two finish in one step.
                    index, _ = live.pop(0)
                    yield index, ChatAnswer("x", 10, 4, 0.0)
        finally:
            self.cancelled = len(live)

    def wind_down(self, seconds: float) -> None: ...

    def close(self) -> None: ...


def test_a_batch_is_finished_and_ended_cleanly(tmp_path: Path) -> None:
    engine = Batched(4)
    with Ledger(tmp_path / "l") as ledger:
        client = Client(engine, ledger, budget=Budget(tokens=10 * TOKENS))
        given = stopped(client, questions(40))
        assert 10 <= len(given) < 10 + 4
        assert engine.cancelled == 0
        assert ledger.summary().answers == len(given)


def test_failed_calls_count_and_repairs_do_not_go_out(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        engine = ScriptedEngine(lambda _: ChatFailure("malformed: no", "?", 90, 10, 0.0))
        client = Client(engine, ledger, budget=Budget(tokens=300))
        assert len(stopped(client, questions(5))) == 3
        stopped(client, questions(5)[-1:])  # As a repair question would be.
        assert engine.calls == 3


USERS = 20


def fill(path: Path) -> None:
    load(
        path,
        *[
            event(f"u{user:02}", f"Thing {user} of type {n} is {word}. I use it every day!", title=f"Thing type {n}")
            for user in range(USERS)
            for n, word in enumerate(("quiet and solid", "far too slow"))
        ],
    )


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    def extract(path: Path, url: str, *options: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["extract", "--workspace", str(path), "--model", f"{url}#m", *options])
        said = capfd.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return extract


def test_a_stopped_extraction_keeps_whole_users_and_goes_on_at_no_price(tmp_path: Path, run: Run) -> None:
    fill(tmp_path / "clean")
    fill(tmp_path / "w")
    with serve(plausible.reply) as stub:
        assert run(tmp_path / "clean", stub.url)[0] == 0
        stops, calls = 0, len(stub.bodies)
        for _ in range(20):
            before = len(stub.bodies)
            code, out, err = run(tmp_path / "w", stub.url, "--max-tokens", str(calls // 4 * TOKENS), "--json")
            told = json.loads(out)
            assert len(stub.bodies) - before <= calls // 4 + 2
            if code == 0:
                break
            stops += 1
            assert code == 3
            assert err.startswith("Error: Stopped at the limit: ")
            assert told["stopped"] in err
            assert told["calls"] == len(stub.bodies) - before
            read = Workspace(tmp_path / "w").store.rows("SELECT count(*) AS n FROM extractions")[0]["n"]
            assert told["users"] == read or told["users"] == USERS
        assert stops >= 3
        assert len(stub.bodies) == 2 * calls
    for table in ("signals", "personas"):
        assert export(tmp_path / "w", table, tmp_path / "a.jsonl") == export(
            tmp_path / "clean", table, tmp_path / "b.jsonl"
        )


def test_the_api_raises_with_what_was_done(tmp_path: Path) -> None:
    fill(tmp_path / "w")
    with serve(plausible.reply) as stub:
        workspace = Workspace(tmp_path / "w", model=f"{stub.url}#m")
        with pytest.raises(BudgetError) as caught:
            workspace.extract(max_tokens=20 * TOKENS)
    assert caught.value.exit_code == 3
    assert caught.value.summary.calls == len(stub.bodies)
    assert caught.value.summary.quote.total.calls == len(stub.bodies)


def test_the_clock_of_a_run_is_stopped_with_it(tmp_path: Path) -> None:
    def clocks() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)}

    before = clocks()  # Of other tests, whose threads come and go.
    with connect(tmp_path, "http://127.0.0.1:9/v1#m", budget=Budget(seconds=100)):
        (clock,) = clocks() - before
    clock.join(5)
    assert not clock.is_alive()
