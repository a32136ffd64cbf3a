"""The OpenAI-compatible address in front of an engine of this process."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from limner.errors import ModelError, UsageError
from limner.serving import connect
from limner.serving.address.app import bound
from limner.serving.keep import Kept, keep, kept_engine
from limner.serving.request import ChatAnswer, ChatFailure, ChatRequest, Message, Outcome, PromptId
from limner.serving.scripted import ScriptedEngine

SCHEMA = {
    "type": "object",
    "properties": {"word": {"type": "string"}, "sure": {"type": "boolean"}},
    "required": ["word", "sure"],
    "additionalProperties": False,
}


def answer(request: ChatRequest) -> str | Outcome:
    """What the scripted model says to each form of question."""
    text = request.messages[-1].content
    if text == "too much":
        return ChatFailure("too long: scripted reads fewer than 10 tokens here")
    if text == "break":
        raise ModelError("scripted broke")
    if text == "surprise":
        raise TypeError("a defect")
    if request.choices:
        return ChatAnswer(request.choices[-1], 20, 2, 0.0, -0.25)
    if request.schema is not None:
        return '{"word":"茶","sure":true}'
    if request.pattern:
        return "red, blue"
    return f"heard {text}"


@pytest.fixture
def scripted() -> ScriptedEngine:
    return ScriptedEngine(answer)


@pytest.fixture
def up(scripted: ScriptedEngine) -> Iterator[Kept]:
    with kept_engine(scripted, ("scripted", "other-name"), 0) as kept:
        yield kept


def question(text: str = "hello", **options: Any) -> ChatRequest:
    return ChatRequest((Message("system", "Be brief."), Message("user", text)), PromptId("test", 1, "en"), **options)


def post(up: Kept, payload: Any, **headers: str) -> tuple[int, Any]:
    """Sends a body as it is; the status and the parsed answer."""
    host = up.address.removeprefix("http://").partition("/")[0]
    connection = http.client.HTTPConnection(host, timeout=10)
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    given = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    connection.request("POST", "/v1/chat/completions", body, given)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def asking(text: str = "hello", **more: Any) -> dict[str, Any]:
    return {"model": "scripted", "messages": [{"role": "user", "content": text}], **more}


def test_limners_own_client_gets_each_form_of_answer(up: Kept, scripted: ScriptedEngine, tmp_path: Path) -> None:
    requests = [
        question("plain", max_tokens=33),
        question("好评？", choices=("正面", '"负面"'), max_tokens=8),
        question("fill in", schema=SCHEMA, temperature=0.5, seed=7),
        question("colours", pattern=r"[a-z]+(, [a-z]+)*"),
    ]
    with connect(tmp_path, up.spec) as client:
        plain, label, filled, colours = client.ask(requests)
    assert isinstance(plain, ChatAnswer)
    assert (plain.text, plain.output_tokens) == ("heard plain", len("heard plain") // 4)
    assert isinstance(label, ChatAnswer)
    assert label.text == '"负面"'
    assert isinstance(filled, ChatAnswer)
    assert filled.text == '{"word":"茶","sure":true}'
    assert isinstance(colours, ChatAnswer)
    assert colours.text == "red, blue"
    seen = {request.messages[-1].content: request for request in scripted.seen}
    assert seen["plain"].messages == requests[0].messages
    assert seen["plain"].max_tokens == 33
    assert seen["好评？"].choices == ("正面", '"负面"')
    assert seen["好评？"].max_tokens == 8
    assert seen["fill in"].schema == SCHEMA
    assert (seen["fill in"].temperature, seen["fill in"].seed) == (0.5, 7)
    assert seen["colours"].pattern == r"[a-z]+(, [a-z]+)*"


def test_a_labels_probability_comes_through(up: Kept, tmp_path: Path) -> None:
    with connect(tmp_path, up.spec) as client:
        (label,) = client.ask([question(choices=("positive", "negative"))])
    assert isinstance(label, ChatAnswer)
    assert (label.text, label.logprob) == ("negative", -0.25)


def test_openais_own_client_gets_an_answer_whole_and_as_events(up: Kept) -> None:
    client = openai.OpenAI(base_url=up.address, api_key="any")
    assert [model.id for model in client.models.list()] == ["scripted", "other-name"]
    messages: Any = [{"role": "user", "content": [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]}]
    whole = client.chat.completions.create(model="other-name", messages=messages, stop=["two"])
    assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == ("heard one ", "stop")
    assert whole.usage is not None
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    events = list(
        client.chat.completions.create(
            model="scripted", messages=messages, stream=True, stream_options={"include_usage": True}
        )
    )
    assert "".join(e.choices[0].delta.content or "" for e in events if e.choices) == "heard one two"
    assert events[-2].choices[0].finish_reason == "stop"
    assert events[-1].usage is not None


@pytest.mark.parametrize(
    ("payload", "status", "said"),
    [
        (b"{not json", 400, "not JSON"),
        ([], 400, "JSON object"),
        ({"model": "scripted"}, 400, "messages"),
        (asking() | {"messages": [{"role": "tool", "content": "x"}]}, 400, "messages[0]"),
        (asking() | {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "messages[0]"),
        (asking(model="gpt-9"), 404, "It has: scripted, other-name"),
        (asking(tools=[{"type": "function"}]), 400, "tools"),
        (asking(n=2), 400, "n must be 1"),
        (asking(max_tokens="many"), 400, "max_tokens"),
        (asking(temperature=-1), 400, "temperature"),
        (asking(response_format={"type": "json_object"}), 400, "json_schema"),
        (asking(response_format={"type": "json_schema"}), 400, "schema"),
        (asking(structured_outputs={"grammar": "x"}), 400, "structured_outputs"),
        (asking("too much"), 400, "context"),
        (asking("break"), 500, "scripted broke"),
        (asking("surprise"), 500, "a defect"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_its_reason(up: Kept, payload: Any, status: int, said: str) -> None:
    got, body = post(up, payload)
    assert (got, said in body["error"]["message"]) == (status, True), body
    assert post(up, asking())[0] == 200  # The address goes on.


def test_only_programs_of_this_machine_are_answered(up: Kept) -> None:
    assert post(up, asking(), Host="evil.example")[0] == 403
    assert post(up, asking(), Content_Type="text/plain")[0] == 415
    assert post(up, b" " * 16_000_001)[0] == 413
    assert up.address.startswith("http://127.0.0.1:")


def test_a_question_that_is_too_long_fails_alone(up: Kept, tmp_path: Path) -> None:
    with connect(tmp_path, up.spec) as client:
        good, bad = client.ask([question("fine"), question("too much", schema=SCHEMA)])
    assert isinstance(good, ChatAnswer)
    assert isinstance(bad, ChatFailure)
    assert "too long" in bad.error


class Together:
    """An engine that answers nothing before it has as many questions as it wants at once."""

    model = "together"

    def __init__(self, wanted: int) -> None:
        self.wanted, self.runs = wanted, 0

    def run(self, requests: Iterable[ChatRequest]) -> Iterator[tuple[int, Outcome]]:
        self.runs += 1
        waiting, live = enumerate(requests), []
        while len(live) < self.wanted:
            while (job := next(waiting, None)) is not None:
                live.append(job[0])
            time.sleep(0.005)
        for index in live:
            yield index, ChatAnswer(f"answer {index}", 1, 1, 0.0)

    def wind_down(self, seconds: float) -> None:
        pass

    def close(self) -> None:
        pass


def test_late_questions_join_the_batch_under_way() -> None:
    engine, statuses = Together(4), []

    def one(up: Kept) -> None:
        statuses.append(post(up, asking() | {"model": "together"})[0])

    with kept_engine(engine, ("together",), 0) as up:
        threads = [threading.Thread(target=one, args=(up,)) for _ in range(4)]
        for thread in threads:
            thread.start()
            time.sleep(0.05)
        for thread in threads:
            thread.join(10)
    assert statuses == [200] * 4
    assert engine.runs == 1


def test_a_port_that_is_taken_is_said() -> None:
    with bound(0) as taken, pytest.raises(ModelError, match="--port"):
        bound(taken.getsockname()[1])


def test_an_address_is_not_kept_up() -> None:
    with pytest.raises(UsageError, match="address already"), keep("http://127.0.0.1:9/v1#x"):
        pass


@pytest.mark.model
def test_the_real_model_gives_at_its_address_what_it_gives_in_this_process(tmp_path: Path) -> None:
    system = "You judge the sentiment of customer reviews. Answer one word: positive or negative."
    texts = [
        "The lid broke.",
        "茶叶很香，会再买。",
        "I love the colour!",
        "物流太慢了，非常失望。",
        "Works as it should.",
        "坏了两次。",
    ]
    requests = [
        ChatRequest(
            (Message("system", system), Message("user", f"Review: {text}\n\nSentiment:")),
            PromptId("test", 1, "en"),
            choices=("positive", "negative"),
            max_tokens=4,
        )
        for text in texts
    ]
    requests.append(question("What is one colour?", schema=SCHEMA, max_tokens=60))
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    with connect(tmp_path / "here", "embedded") as client:
        here = client.ask(requests)
    with keep("embedded", port=None) as up, connect(tmp_path / "there", up.spec, concurrency=8) as client:
        there = client.ask(requests)
        assert client.usage.failures == 0
    assert [outcome.text for outcome in there] == [outcome.text for outcome in here]
    for one, other in zip(here[:-1], there[:-1], strict=True):
        assert isinstance(one, ChatAnswer)
        assert isinstance(other, ChatAnswer)
        assert other.logprob == pytest.approx(one.logprob, abs=0.1)
        assert (other.input_tokens, other.output_tokens) == (one.input_tokens, one.output_tokens)
