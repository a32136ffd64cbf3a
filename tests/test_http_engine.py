"""The HTTP engine against a real server on this machine: answers, faults, limits, and resuming after kill -9."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from limner.errors import LimnerError, ModelError, UsageError
from limner.serving import connect, endpoint
from limner.serving.http import HttpEngine
from limner.serving.request import ChatAnswer, ChatFailure, ChatRequest, Message, PromptId
from limner.serving.spec import EmbeddedSpec, HttpSpec, parse_spec
from serving_stub import Reply, completion, error, serve

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_PAUSE_SECONDS", 0.01)
    for name in ("OPENAI_API_KEY", "LIMNER_API_KEY", "OPENAI_BASE_URL", "LIMNER_VLLM_URL", "LIMNER_NO_MODEL"):
        monkeypatch.delenv(name, raising=False)


def question(text: str = "q", **options: object) -> ChatRequest:
    return ChatRequest((Message("user", text),), PromptId("test", 1, "en"), **options)  # type: ignore[arg-type]


def ask(url: str, *requests: ChatRequest, timeout: float = 5.0, concurrency: int | None = None) -> list[object]:
    spec = parse_spec(f"{url}#the-model")
    assert isinstance(spec, HttpSpec)
    engine = HttpEngine(spec, timeout=timeout, concurrency=concurrency)
    outcomes = dict(engine.run(requests))
    engine.close()
    return [outcomes[n] for n in range(len(requests))]


def test_an_answer_with_its_tokens() -> None:
    with serve(lambda n, b: completion(f"answer to {b['messages'][0]['content']}")) as stub:
        outcome = ask(stub.url, question("hello"))[0]
    assert isinstance(outcome, ChatAnswer)
    assert (outcome.text, outcome.input_tokens, outcome.output_tokens) == ("answer to hello", 11, 3)
    assert stub.bodies[0]["model"] == "the-model"
    assert stub.bodies[0]["temperature"] == 0
    assert "response_format" not in stub.bodies[0]


def test_a_schema_is_sent_strict_and_closed() -> None:
    with serve(lambda n, b: completion('{"n":1}')) as stub:
        ask(stub.url, question(schema=SCHEMA))
    sent = stub.bodies[0]["response_format"]["json_schema"]
    assert sent["strict"] is True
    assert sent["schema"]["additionalProperties"] is False
    assert "additionalProperties" not in SCHEMA


@pytest.mark.parametrize(
    "text", ['{"label":"负面"}', '{\n "label": "负面"\n}', "负面", ' "负面"\n', '```json\n{"label":"负面"}\n```']
)
def test_choices_are_wrapped_and_unwrapped(text: str) -> None:
    with serve(lambda n, b: completion(text)) as stub:
        outcome = ask(stub.url, question(choices=("正面", "负面"), max_tokens=4))[0]
    assert outcome.text == "负面"
    assert stub.bodies[0]["response_format"]["json_schema"]["schema"]["properties"]["label"]["enum"] == ["正面", "负面"]
    assert stub.bodies[0]["max_tokens"] > 4


def test_a_labels_logprob_leaves_the_wrapping_out() -> None:
    tokens = [('{"', -5.0), ('label":"', -5.0), ("posi", -0.25), ("tive", -0.125), ('"}', -5.0)]
    with serve(lambda n, b: completion('{"label":"positive"}', logprobs=tokens)) as stub:
        outcome = ask(stub.url, question(choices=("positive", "negative")))[0]
    assert outcome.logprob == pytest.approx(-0.375)


def test_thinking_and_fences_are_not_part_of_the_answer() -> None:
    with serve(lambda n, b: completion('<think>hm\n{}</think>\n```json\n{"n":1}\n```')) as stub:
        assert ask(stub.url, question(schema=SCHEMA))[0].text == '{"n":1}'


PASSING = {
    "429": error(429, "slow down"),
    "408": error(408, "timeout"),
    "500": error(500, "oops"),
    "503 not json": Reply(503, raw=b"<html>busy</html>", headers={"content-type": "text/html"}),
    "dropped": Reply(drop=True),
    "cut body": Reply(raw=b'{"id": "x", "choices": [', cut=True),
    "bad json": Reply(raw=b'{"id": "x", "choices": ['),
}


@pytest.mark.parametrize("fault", PASSING)
def test_a_passing_fault_is_tried_again(fault: str) -> None:
    with serve(lambda n, b: PASSING[fault] if n < 2 else completion("fine")) as stub:
        outcome = ask(stub.url, question())[0]
    assert isinstance(outcome, ChatAnswer), outcome
    assert len(stub.bodies) == 3


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_stays_fails_that_call_after_some_tries(fault: str) -> None:
    tries = endpoint.LIMITED_TRIES if fault == "429" else endpoint.TRIES
    with serve(lambda n, b: PASSING[fault] if b["messages"][0]["content"] == "bad" else completion("fine")) as stub:
        bad, good = ask(stub.url, question("bad"), question("good"), concurrency=1)
    assert isinstance(bad, ChatFailure)
    assert f"{tries} tries" in bad.error
    assert "\n" not in bad.error
    assert isinstance(good, ChatAnswer)
    assert len(stub.bodies) == tries + 1


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_request_is_not_tried_again(status: int) -> None:
    with serve(lambda n, b: error(status, "This model's maximum context length is 10 tokens")) as stub:
        outcome = ask(stub.url, question(schema=SCHEMA))[0]
    assert isinstance(outcome, ChatFailure)
    assert "maximum context length" in outcome.error
    assert len(stub.bodies) == 1


def test_retry_after_is_honoured_in_seconds_and_as_a_date() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=4), usegmt=True)
    for asked in ("0.6", soon):
        with serve(
            lambda n, b, asked=asked: error(429, "wait", retry_after=asked) if n == 0 else completion("ok")
        ) as stub:
            started = time.perf_counter()
            assert ask(stub.url, question())[0].text == "ok"
            assert time.perf_counter() - started > 0.5


def test_a_server_that_hangs_is_given_up_after_two_waits() -> None:
    with serve(lambda n, b: Reply(hang=30)) as stub:
        started = time.perf_counter()
        outcome = ask(stub.url, question(), timeout=0.4)[0]
        assert time.perf_counter() - started < 5
    assert isinstance(outcome, ChatFailure)
    assert "no answer in time" in outcome.error
    assert len(stub.bodies) == 2


def test_a_dead_address_is_one_clear_error(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with connect(tmp_path, f"http://127.0.0.1:{port}/v1#m") as client, pytest.raises(ModelError) as caught:
        client.ask([question()])
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert client.usage.calls == 0


def test_a_server_that_dies_in_the_middle_keeps_what_was_answered(tmp_path: Path) -> None:
    with serve(lambda n, b: completion("ok")) as stub, connect(tmp_path, f"{stub.url}#m", concurrency=1) as client:
        assert isinstance(client.ask([question("a")])[0], ChatAnswer)
        url = stub.url
    with connect(tmp_path, f"{url}#m") as client:
        assert client.ask([question("a")])[0].cached
        with pytest.raises(ModelError, match="Nothing answers"):
            client.ask([question("a"), question("b")])


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_names_the_variable_and_not_the_key(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_API_KEY", "very-secret")
    with serve(lambda n, b: error(status, "Incorrect API key provided: very-secret")) as stub:
        with pytest.raises(ModelError, match="LIMNER_API_KEY") as caught:
            ask(stub.url, question(), question("b"))
        assert stub.headers[0]["authorization"] == "Bearer very-secret"
    assert "very-secret" not in str(caught.value)


def test_an_openai_key_is_not_sent_to_an_address_that_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "very-secret")
    with serve(lambda n, b: completion("ok")) as stub:
        ask(stub.url, question())
    assert "very-secret" not in json.dumps(stub.headers)


def test_a_missing_model_says_which_there_are() -> None:
    with serve(lambda n, b: error(404, "no such model")) as stub, pytest.raises(ModelError, match="It has: the-model"):
        ask(stub.url, question())


def test_no_credit_is_not_tried_again() -> None:
    with serve(lambda n, b: error(429, "quota", code="insufficient_quota")) as stub:
        with pytest.raises(ModelError, match="no credit"):
            ask(stub.url, question())
        assert len(stub.bodies) == 1


def test_a_service_that_is_down_ends_the_run() -> None:
    with serve(lambda n, b: error(500, "down")) as stub:
        with pytest.raises(ModelError, match="in a row"):
            ask(stub.url, *[question(str(n)) for n in range(50)], concurrency=4)
        assert len(stub.bodies) < 60


def test_response_format_refused_falls_back_to_words_once() -> None:
    def reply(n: int, body: dict[str, object]) -> Reply:
        if "response_format" in body:
            return error(400, "'response_format.type' must be 'text'")
        return completion('{"n":1}')

    with serve(reply) as stub:
        outcomes = ask(stub.url, *[question(str(n), schema=SCHEMA) for n in range(3)], concurrency=1)
    assert [o.text for o in outcomes] == ['{"n":1}'] * 3
    assert len(stub.bodies) == 4
    assert "JSON schema" in stub.bodies[1]["messages"][0]["content"]


def test_the_form_of_an_answer_is_sent_as_local_servers_take_it() -> None:
    with serve(lambda n, b: completion("like: tea")) as stub:
        ask(stub.url, question(pattern="like: [^\\n]{1,9}"))
    assert stub.bodies[0]["structured_outputs"] == {"regex": "like: [^\\n]{1,9}"}
    assert stub.bodies[0]["grammar"] == 'root ::= "l" "i" "k" "e" ":" " " [^\\n] {1,9}\n'


def test_a_server_that_knows_no_forms_is_asked_without_them() -> None:
    def reply(n: int, body: dict[str, object]) -> Reply:
        for field in ("grammar", "structured_outputs"):
            if field in body:
                return error(400, f"Extra inputs are not permitted: {field}")
        return completion("like: tea")

    with serve(reply) as stub:
        asked = [question(text, pattern="like: [^\\n]{1,9}") for text in "ab"]
        outcomes = ask(stub.url, *asked, concurrency=1)
    assert [o.text for o in outcomes] == ["like: tea"] * 2
    assert len(stub.bodies) == 4


def test_a_hosted_service_is_sent_no_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    with serve(lambda n, b: completion("like: tea")) as stub:
        monkeypatch.setenv("OPENAI_BASE_URL", stub.url)
        spec = parse_spec("openai:m")
        assert isinstance(spec, HttpSpec)
        engine = HttpEngine(spec)
        assert len(list(engine.run([question(pattern="like: [^\\n]{1,9}")]))) == 1
        engine.close()
    assert not {"grammar", "structured_outputs"} & set(stub.bodies[0])


def test_fields_a_server_refuses_are_left_out() -> None:
    def reply(n: int, body: dict[str, object]) -> Reply:
        if "logprobs" in body:
            return error(400, "logprobs are not supported with this model")
        if body.get("temperature") is not None:
            return error(400, "Unsupported value: 'temperature' does not support 0")
        if "max_tokens" in body:
            return error(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        return completion('{"label":"a"}')

    with serve(reply) as stub:
        outcome = ask(stub.url, question(choices=("a", "b")))[0]
    assert outcome.text == "a"
    assert stub.bodies[-1]["max_completion_tokens"] > 0


ODD = {
    "no choices": Reply(body={"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": []}),
    "null choices": Reply(body={"id": "x", "choices": None}),
    "not a completion": Reply(body={"hello": "world"}),
    "a list": Reply(body=[1, 2]),
    "null content": completion(None),
    "filtered": completion("half", finish="content_filter"),
    "html": Reply(raw=b"<html>login</html>", headers={"content-type": "text/html"}),
}


@pytest.mark.parametrize("case", ODD)
def test_an_odd_response_is_a_loud_failure(case: str, tmp_path: Path) -> None:
    with serve(lambda n, b: ODD[case]) as stub, connect(tmp_path, f"{stub.url}#m") as client:
        outcome = client.ask([question()])[0]
    assert isinstance(outcome, ChatFailure)
    assert outcome.error.startswith("malformed:")


@pytest.mark.parametrize(("form", "limit"), [("{url}#m", 2), ("vllm:m", 16)])
def test_calls_at_once_stay_within_the_address_limit(
    form: str, limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reply(n: int, body: dict[str, object]) -> Reply:
        time.sleep(0.03)
        return completion("ok")

    with serve(reply) as stub:
        monkeypatch.setenv("LIMNER_VLLM_URL", stub.url)
        with connect(tmp_path, form.format(url=stub.url)) as client:
            outcomes = client.ask([question(str(n)) for n in range(40)])
    assert all(isinstance(outcome, ChatAnswer) for outcome in outcomes)
    assert limit / 2 < stub.at_once <= limit


def test_a_slow_reader_does_not_let_unrecorded_answers_pile_up(tmp_path: Path) -> None:
    with serve(lambda n, b: completion("ok")) as stub, connect(tmp_path, f"{stub.url}#m") as client:
        for answered, _ in enumerate(client.each([question(str(n)) for n in range(12)]), start=1):
            time.sleep(0.02)
            assert len(stub.bodies) <= answered + 2


def test_a_repair_question_can_be_asked_while_others_run(tmp_path: Path) -> None:
    with serve(lambda n, b: completion("ok")) as stub, connect(tmp_path, f"{stub.url}#m") as client:
        for index, _ in client.each([question(str(n)) for n in range(6)]):
            assert isinstance(client.ask([question(f"repair {index}")])[0], ChatAnswer)
        assert client.usage.calls == 12
        assert stub.at_once <= 2


def test_stopping_early_asks_no_more(tmp_path: Path) -> None:
    with serve(lambda n, b: completion("ok")) as stub, connect(tmp_path, f"{stub.url}#m") as client:
        stream = client.each([question(str(n)) for n in range(50)])
        next(stream)
        stream.close()
        time.sleep(0.3)
        assert len(stub.bodies) <= 4


def test_no_model_makes_a_real_call_impossible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(lambda n, b: completion("ok")) as stub:
        with connect(tmp_path, f"{stub.url}#m") as client:
            client.ask([question("known")])
        monkeypatch.setenv("LIMNER_NO_MODEL", "1")
        with connect(tmp_path, f"{stub.url}#m") as client:
            assert client.ask([question("known")])[0].text == "ok"
            with pytest.raises(ModelError, match="LIMNER_NO_MODEL"):
                client.ask([question("new")])
        assert len(stub.bodies) == 1
    with connect(tmp_path, "embedded") as client, pytest.raises(ModelError, match="LIMNER_NO_MODEL"):
        client.ask([question("new")])


ASKING = """
import sys
from limner.serving import connect
from limner.serving.request import ChatRequest, Message, PromptId
requests = [ChatRequest((Message("user", str(n)),), PromptId("t", 1, "en")) for n in range(40)]
with connect(sys.argv[1], sys.argv[2]) as client:
    for index, outcome in client.each(requests):
        print(index, flush=True)
    print("cached", client.usage.cached_calls, "calls", client.usage.calls)
"""


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is a POSIX signal")
def test_after_kill_9_no_more_is_asked_again_than_was_in_flight(tmp_path: Path) -> None:
    asked: list[str] = []
    lock = threading.Lock()

    def reply(n: int, body: dict[str, list[dict[str, str]]]) -> Reply:
        with lock:
            asked.append(body["messages"][0]["content"])
        time.sleep(0.05)
        return completion("ok")

    with serve(reply) as stub:
        command = [sys.executable, "-c", ASKING, str(tmp_path), f"{stub.url}#m"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            answered = [process.stdout.readline() for _ in range(15)]
            process.send_signal(signal.SIGKILL)
            answered += process.stdout.readlines()
        before = len(asked)
        assert 15 <= before < 40
        second = subprocess.run(command, capture_output=True, text=True, check=True)
    given = {line.strip() for line in answered if line.strip()}
    assert len(given.intersection(asked[before:])) <= 2  # Answers that waited to be written with the next ones.
    assert len(asked) <= 40 + 2
    assert second.stdout.splitlines()[-1].startswith("cached ")
    assert int(second.stdout.split()[-3]) >= len(given) - 2


def test_specs() -> None:
    assert parse_spec("embedded") == EmbeddedSpec()
    assert parse_spec("embedded:/a b/模型.gguf") == EmbeddedSpec("/a b/模型.gguf")
    plain = parse_spec("http://localhost:8080/v1/#Qwen/Qwen3-8B")
    assert isinstance(plain, HttpSpec)
    assert (plain.address, plain.model) == ("http://localhost:8080/v1", "Qwen/Qwen3-8B")
    assert plain.identity == "Qwen/Qwen3-8B@localhost:8080"
    hosted = parse_spec("openai:gpt-x")
    assert isinstance(hosted, HttpSpec)
    assert (hosted.address, hosted.identity) == ("https://api.openai.com/v1", "openai:gpt-x")


@pytest.mark.parametrize(
    "spec",
    ["", "gpt-4", "openai:", "vllm", "embedded:", "http://host/v1", "http://#m", "http://host:no/v1#m", "ftp://h#m"],
)
def test_a_bad_spec_is_a_usage_error(spec: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError), connect(tmp_path, spec):
        pass


@pytest.mark.parametrize("spec", ["embedded:no-such-model", "embedded:/no/such/file.gguf"])
def test_an_unknown_embedded_model_is_a_usage_error(spec: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError), connect(tmp_path, spec):
        pass


def test_openai_without_a_key_says_which_variable(tmp_path: Path) -> None:
    with connect(tmp_path, "openai:gpt-x") as client, pytest.raises(LimnerError, match="OPENAI_API_KEY"):
        client.ask([question()])
