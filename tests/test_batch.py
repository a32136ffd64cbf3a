"""Batch mode against a real batch service: paid once, collected after a crash, equal to single calls."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import plausible
from batch_stub import Batches, serve_batches
from limner.agents.extractor import ExtractSummary
from limner.cli import main
from limner.errors import BudgetError, ModelError, PendingError, UsageError
from limner.histories.store import Store
from limner.serving import connect
from limner.serving.batch import engine
from limner.serving.batch.lines import Result, request_line, results_in
from limner.serving.batch.mode import BatchMode
from limner.serving.batch.pending import Pending, PendingBatches
from limner.serving.budget import Budget
from limner.serving.prices import read_prices
from limner.serving.request import ChatAnswer, ChatFailure, ChatRequest, Message, PromptId
from limner.workspace import Workspace
from reading_workspace import event, load, signals
from serving_stub import completion, serve

pytestmark = pytest.mark.slow

USERS = 4
TOKENS = 14


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(engine, "FIRST_LOOK_SECONDS", 0.02)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    for name in ("LIMNER_API_KEY", "LIMNER_NO_MODEL", "LIMNER_WORKSPACE", "LIMNER_MODEL", "LIMNER_VLLM_URL"):
        monkeypatch.delenv(name, raising=False)


def good(key: str, body: dict[str, Any]) -> tuple[int, Any]:
    return 200, plausible.reply(0, body).body


def fill(path: Path, users: int = USERS) -> Store:
    texts = [
        event(f"u{user:02}", f"Thing {user} of type {n} is {word}. I use it every day!", title=f"Thing type {n}")
        for user in range(users)
        for n, word in enumerate(("quiet and solid", "far too slow"))
    ]
    return load(path, *texts, event("客户", "龙井很香，每年都买。就是物流太慢了！", title="龙井茶"))


def told(store: Store) -> list[str]:
    rows = [{k: v for k, v in row.items() if k != "model"} for row in signals(store)]
    personas = store.rows("SELECT user_id, narrative FROM personas ORDER BY user_id")
    return [json.dumps(row, default=str, sort_keys=True, ensure_ascii=False) for row in [*rows, *personas]]


def question(number: int, text: str = "question") -> ChatRequest:
    return ChatRequest((Message("user", f"{text} {number}"),), PromptId("test", 1, "en"), max_tokens=10)


@pytest.fixture(scope="module")
def singly(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What single calls read."""
    path = tmp_path_factory.mktemp("singly") / "w"
    store = fill(path)
    with serve(plausible.reply) as stub:
        assert Workspace(path, model=f"{stub.url}#m").extract().failed == {}
    return told(store)


def read(path: Path, service: Batches, **options: Any) -> ExtractSummary:
    return Workspace(path, model=f"{service.url}#m").extract(batch=BatchMode(), **options)


def test_batches_read_what_single_calls_read(tmp_path: Path, singly: list[str]) -> None:
    store = fill(tmp_path / "w")
    with serve_batches(good) as service:
        summary = read(tmp_path / "w", service)
        assert summary.failed == {}
        assert told(store) == singly
        assert set(service.good.values()) == {1}
        assert len(service.batches) == 2  # The questions, then the narratives: no answer needed a repair.
        assert summary.calls == sum(service.sizes) == len(service.good)
        assert not list((tmp_path / "w" / "batches").iterdir())
        assert read(tmp_path / "w", service).calls == 0
        assert len(service.batches) == 2


def limner(path: Path, service: Batches) -> list[str]:
    return [
        sys.executable,
        "-m",
        "limner",
        "extract",
        "--batch",
        "-w",
        str(path),
        "--model",
        f"{service.url}#m",
        "--json",
    ]


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is a POSIX signal")
def test_killed_between_submitting_and_collecting_it_collects_and_pays_nothing_twice(
    tmp_path: Path, singly: list[str]
) -> None:
    store = fill(tmp_path / "w")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LIMNER_")}
    with serve_batches(good) as service:
        service.held.set()
        command = limner(tmp_path / "w", service)
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert service.made.wait(60)
            until = time.monotonic() + 20
            while not _named(tmp_path / "w") and time.monotonic() < until:
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert not service.good
        service.held.clear()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8", check=False)
        assert (done.returncode, json.loads(done.stdout)["failed_users"]) == (0, 0), done.stderr
        assert "batch batch_0: completed" in done.stderr
        assert len(service.batches) == 2
        assert set(service.good.values()) == {1}
    assert told(store) == singly


def _named(path: Path) -> bool:
    return any(json.loads(file.read_text())["batch"] for file in (path / "batches").glob("*.json"))


def client_of(path: Path, service: Batches, budget: Budget | None = None) -> Any:
    return connect(path, f"{service.url}#m", batch=BatchMode(), budget=budget)


def test_a_batch_whose_name_was_lost_is_found_again(tmp_path: Path) -> None:
    """Killed after the service made the batch, before its name was written; and an answer lost on its way."""
    requests = [question(n) for n in range(5)]
    with serve_batches(lambda key, body: (200, completion("ok").body)) as service:
        service.lose = 1
        with client_of(tmp_path, service) as client:
            assert all(isinstance(outcome, ChatAnswer) for outcome in client.ask(requests[:3]))
            keys = tuple(request.key(client.model) for request in requests[3:])
        assert len(service.batches) == 1
        records = PendingBatches(tmp_path / "batches")
        pending = records.write(Pending("a-run-of-before", service.url, client.model, keys))
        with client_of(tmp_path, service) as client:
            engine_ = client.engine
            lines = [request_line(k, engine_._dialect.body(r, "m")) for k, r in zip(keys, requests[3:], strict=True)]
            engine_._opened().submit(pending, lines)
            assert [o.text for o in client.ask(requests) if isinstance(o, ChatAnswer)] == ["ok"] * 5
        assert len(service.batches) == 2
        assert set(service.good.values()) == {1}
        records.write(Pending("never-made", service.url, client.model, (question(9).key(client.model),)))
        with client_of(tmp_path, service) as client:
            assert isinstance(client.ask([question(9)])[0], ChatAnswer)
        assert len(service.batches) == 3
        assert not list((tmp_path / "batches").iterdir())


def test_lines_that_fail_are_tried_again_or_end_with_a_reason(tmp_path: Path) -> None:
    seen: dict[str, int] = {}

    def answer(key: str, body: dict[str, Any]) -> tuple[int, Any]:
        text = body["messages"][-1]["content"]
        seen[text] = seen.get(text, 0) + 1
        kind = text.split()[0]
        if kind == "refused":
            return 400, {"error": {"message": "maximum context length is 10"}}
        if kind == "down" or (kind == "busy" and seen[text] == 1):
            return 503, {"error": {"message": "overloaded"}}
        if kind == "lost" and seen[text] < 3:
            return 0, None
        return 200, completion("ok").body

    kinds = ["fine", "refused", "busy", "lost", "down"]
    with serve_batches(answer) as service, client_of(tmp_path, service) as client:
        outcomes = dict(zip(kinds, client.ask([question(1, kind) for kind in kinds]), strict=True))
    assert [kind for kind in kinds if isinstance(outcomes[kind], ChatAnswer)] == ["fine", "busy", "lost"]
    assert isinstance(outcomes["refused"], ChatFailure)
    assert "maximum context length" in outcomes["refused"].error
    assert outcomes["down"].error == "the batch answered 503: overloaded (in 3 batches)"
    assert service.sizes == [5, 3, 2]
    assert set(service.good.values()) <= {0, 1}


def test_an_expired_batch_is_asked_for_the_rest(tmp_path: Path) -> None:
    with serve_batches(lambda key, body: (200, completion("ok").body)) as service:
        service.expire = 1
        with client_of(tmp_path, service) as client:
            assert all(isinstance(o, ChatAnswer) for o in client.ask([question(n) for n in range(6)]))
    assert service.sizes == [6, 3]
    assert set(service.good.values()) == {1}


def test_a_field_that_is_refused_is_left_out_of_the_next_batch(tmp_path: Path) -> None:
    def answer(key: str, body: dict[str, Any]) -> tuple[int, Any]:
        if "temperature" in body:
            return 400, {"error": {"message": "Unsupported value: 'temperature' does not support 0"}}
        return 200, completion("ok").body

    with serve_batches(answer) as service, client_of(tmp_path, service) as client:
        assert all(isinstance(o, ChatAnswer) for o in client.ask([question(n) for n in range(3)]))
    assert service.sizes == [3, 3]


def test_two_fields_that_are_refused_are_left_out_together(tmp_path: Path) -> None:
    def answer(key: str, body: dict[str, Any]) -> tuple[int, Any]:
        for name, text in (("logprobs", "one"), ("temperature", "two")):
            if name in body and text in body["messages"][0]["content"]:
                return 400, {"error": {"message": f"{name} is not supported"}}
        return 200, completion('{"label":"a"}').body

    requests = [replace(question(1, text), choices=("a", "b")) for text in ("one", "two", "one two")]
    with serve_batches(answer) as service, client_of(tmp_path, service) as client:
        assert [o.text for o in client.ask(requests) if isinstance(o, ChatAnswer)] == ["a"] * 3
    assert service.sizes == [3, 3]


def test_a_batch_refused_as_a_whole_ends_the_run(tmp_path: Path) -> None:
    with serve_batches(good) as service, client_of(tmp_path, service) as client:
        service.refuse = "Enqueued token limit reached"
        with pytest.raises(ModelError, match="Enqueued token limit reached"):
            client.ask([question(1)])
    assert not list((tmp_path / "batches").iterdir())


def test_a_server_without_batches_says_so(tmp_path: Path) -> None:
    with serve_batches(good) as service, client_of(tmp_path, service) as client:
        service.absent = True
        with pytest.raises(ModelError, match="no such files or batches"):
            client.ask([question(1)])
    assert not list((tmp_path / "batches").iterdir())


@pytest.mark.parametrize("spec", ["embedded", "vllm:m"])
def test_a_model_of_this_machine_takes_no_batches(spec: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="batch"), connect(tmp_path, spec, batch=BatchMode()):
        pass


def test_a_batch_is_kept_within_the_budget(tmp_path: Path) -> None:
    """The worst that a batch may cost is at most what is left, so the limit is not passed at all."""
    requests = [question(n) for n in range(60)]
    with serve_batches(lambda key, body: (200, completion("ok").body)) as service:
        with client_of(tmp_path, service, Budget(tokens=300)) as client:
            with pytest.raises(BudgetError):
                client.ask(requests)
            spent = client.meter.tokens
        assert 300 - TOKENS <= spent < 300 + TOKENS
        assert len(service.sizes) > 1
        assert sum(service.sizes) * TOKENS == spent


def test_batches_cost_the_share_that_the_price_says(tmp_path: Path) -> None:
    price = '[[price]]\nmodel = "http://*"\ncurrency = "USD"\ninput = 2.0\noutput = 10.0\nbatch = 0.5\n'
    (tmp_path / "prices.toml").write_text(price, encoding="utf-8")
    with (
        serve_batches(lambda key, body: (200, completion("ok").body)) as service,
        client_of(tmp_path, service) as client,
    ):
        client.ask([question(1)])
        assert client.meter.money == pytest.approx((11 * 1.0 + 3 * 5.0) / 1e6)
    (tmp_path / "prices.toml").write_text(price.replace("0.5", "1.5"), encoding="utf-8")
    with pytest.raises(UsageError, match="share of the price"):
        read_prices(tmp_path)


def test_time_ends_the_waiting_and_the_next_run_collects(tmp_path: Path) -> None:
    with serve_batches(lambda key, body: (200, completion("ok").body)) as service:
        service.held.set()
        with client_of(tmp_path, service, Budget(seconds=0.3)) as client, pytest.raises(BudgetError):
            client.ask([question(n) for n in range(3)])
        service.held.clear()
        with client_of(tmp_path, service) as client:
            assert all(isinstance(o, ChatAnswer) for o in client.ask([question(n) for n in range(5)]))
    assert service.sizes == [3, 2]
    assert set(service.good.values()) == {1}


def run_batch(lines: Path, out: Path, answer: Callable[[str, dict[str, Any]], tuple[int, Any]] = good) -> int:
    """What vLLM's `run_batch` does with a file."""
    results = []
    for line in map(json.loads, lines.read_text(encoding="utf-8").splitlines()):
        assert line["url"] == "/v1/chat/completions"
        status, body = answer(line["custom_id"], line["body"])
        response = {"status_code": status, "request_id": "vllm-batch-1", "body": body}
        results.append(
            json.dumps({"id": "vllm-1", "custom_id": line["custom_id"], "response": response, "error": None})
        )
    out.write_text("\n".join(results), encoding="utf-8")
    return len(results)


def command(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["extract", *words])
    return int(ended.value.code or 0)


def test_questions_carried_by_hand_end_as_single_calls_do(
    tmp_path: Path, singly: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    store, rounds = fill(tmp_path / "w"), []
    out, back = tmp_path / "out.jsonl", tmp_path / "back.jsonl"
    words = ["-w", str(tmp_path / "w"), "--model", "vllm:m", "--json"]
    more = ["--batch-file", str(out)]
    while not rounds or "then go on" in (json.loads(capsys.readouterr().out)["stopped"] or ""):
        if rounds:
            rounds[-1] = run_batch(out, back)
            more = ["--batch-file", str(out), "--batch-results", str(back)]
        assert command(*words, *more) == 0
        rounds.append(0)
        assert len(rounds) < 6
    assert len(rounds) == 3  # Questions, narratives, and nothing left.
    assert told(store) == singly
    assert command(*words) == 0  # The answers count for single calls too.
    assert json.loads(capsys.readouterr().out)["calls"] == 0


def test_a_narrative_that_cannot_be_used_ends_in_plain_sentences(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unusable answers are kept from one file to the next: the rounds come to an end."""
    fill(tmp_path / "w", users=1)
    out, back = tmp_path / "out.jsonl", tmp_path / "back.jsonl"

    def answer(key: str, body: dict[str, Any]) -> tuple[int, Any]:
        status, good_ = good(key, body)
        return status, good_ if "response_format" in body else completion("I would rather not.").body

    words = ["-w", str(tmp_path / "w"), "--model", "vllm:m", "--json", "--batch-file", str(out)]
    assert command(*words) == 0
    rounds = 0
    while "then go on" in (json.loads(capsys.readouterr().out)["stopped"] or ""):
        run_batch(out, back, answer)
        assert command(*words, "--batch-results", str(back)) == 0
        rounds += 1
        assert rounds < 6
    assert rounds == 3  # Questions, narratives, repairs of narratives.


def test_results_without_an_answer_to_a_question_say_what_to_do(tmp_path: Path) -> None:
    fill(tmp_path / "w", users=1)
    back = tmp_path / "back.jsonl"
    back.write_text('{"custom_id": "x", "response": {"status_code": 200, "body": {}}}', encoding="utf-8")
    with pytest.raises(PendingError, match="--batch-file OUT"):
        Workspace(tmp_path / "w", model="vllm:m").extract(batch=BatchMode(results=back))


@pytest.mark.parametrize("content", [b"", b"no json", b"[]\n{}\n", b"\xff\xfe\x00"])
def test_a_file_that_is_no_results_is_a_usage_error(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="batch result"), connect(
        tmp_path, "vllm:m", batch=BatchMode(results=file)
    ):  # fmt: skip
        pass


def test_result_lines() -> None:
    lines = [
        '{"custom_id": "a", "response": {"status_code": 200, "body": {"choices": []}}, "error": null}',
        '{"custom_id": "b", "response": {"status_code": 429, "body": {"error": {"message": "slow\\ndown"}}}}',
        '{"custom_id": "c", "response": null, "error": {"code": "batch_expired", "message": "too late"}}',
        '{"custom_id": "d", "response": {"status_code": 400, "body": "bad"}}',
        '{"custom_id": 3}', "[]", "nothing", "",
    ]  # fmt: skip
    found = list(results_in(lines))
    assert found == [
        Result("a", {"choices": []}),
        Result("b", None, 429, "slow down"),
        Result("c", None, 0, "too late"),
        Result("d", None, 400, "bad"),
    ]
    assert [result.passing for result in found] == [False, True, True, False]
