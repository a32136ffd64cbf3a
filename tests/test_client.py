"""The client: cached first, equal requests once, recorded before given out, malformed answers never kept."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from limner.errors import ModelError
from limner.serving.client import Client
from limner.serving.ledger import Ledger
from limner.serving.request import ChatAnswer, ChatFailure, ChatRequest, Message, Outcome, PromptId
from limner.serving.scripted import ScriptedEngine

SCHEMA = {
    "type": "object",
    "properties": {
        "label": {"type": "string", "enum": ["a", "b"]},
        "lines": {"type": "array", "items": {"type": "integer"}},
    },
    "required": ["label", "lines"],
    "additionalProperties": False,
}


def question(text: str, **options: object) -> ChatRequest:
    return ChatRequest((Message("user", text),), PromptId("test", 1, "en"), **options)  # type: ignore[arg-type]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


def upper(request: ChatRequest) -> str:
    return request.messages[-1].content.upper()


def test_an_answered_request_is_never_asked_again(ledger: Ledger) -> None:
    first, second = ScriptedEngine(upper), ScriptedEngine(upper)
    assert [o.text for o in Client(first, ledger, "r1").ask([question("a"), question("b")])] == ["A", "B"]
    client = Client(second, ledger, "r2")
    outcomes = client.ask([question("b"), question("c"), question("a")])
    assert [o.text for o in outcomes] == ["B", "C", "A"]
    assert [request.messages[0].content for request in second.seen] == ["c"]
    assert (client.usage.calls, client.usage.cached_calls) == (1, 2)
    assert [o.cached for o in outcomes if isinstance(o, ChatAnswer)] == [True, False, True]


def test_cached_answers_come_first(ledger: Ledger) -> None:
    Client(ScriptedEngine(upper), ledger).ask([question("b")])
    order = [index for index, _ in Client(ScriptedEngine(upper), ledger).each([question("a"), question("b")])]
    assert order == [1, 0]


def test_equal_requests_are_asked_once_and_all_answered(ledger: Ledger) -> None:
    engine = ScriptedEngine(upper)
    client = Client(engine, ledger)
    outcomes = client.ask([question("a"), question("b"), question("a"), question("a")])
    assert [o.text for o in outcomes] == ["A", "B", "A", "A"]
    assert engine.calls == 2
    assert (client.usage.calls, client.usage.cached_calls) == (2, 2)


@pytest.mark.parametrize(
    "other",
    [
        question("a", temperature=0.5),
        question("a", max_tokens=5),
        question("a", choices=("A",)),
        question("a", schema={"type": "string"}),
    ],
)
def test_whatever_determines_the_answer_is_in_the_key(other: ChatRequest) -> None:
    assert question("a").key("m") != other.key("m")
    assert question("a").key("m") != question("a").key("n")


def test_an_answer_is_in_the_ledger_before_the_next_question_goes_out(ledger: Ledger) -> None:
    def kept() -> int:
        connection = sqlite3.connect(ledger.path)
        found = connection.execute("SELECT count(*) FROM answers").fetchone()[0]
        connection.close()
        return int(found)

    before: list[int] = []

    def answer(request: ChatRequest) -> str:
        before.append(kept())
        return upper(request)

    for _ in Client(ScriptedEngine(answer), ledger, "r").each([question(t) for t in "abc"]):
        pass
    assert before == [0, 1, 2]
    assert kept() == 3


def test_an_answer_given_out_is_in_the_ledger_soon(ledger: Ledger) -> None:
    stream = Client(ScriptedEngine(upper), ledger, "r").each([question(t) for t in "abc"])
    next(stream)
    time.sleep(0.5)  # It takes 0.05 s at most on an idle machine.
    connection = sqlite3.connect(ledger.path)
    assert connection.execute("SELECT count(*) FROM answers").fetchone() == (1,)
    connection.close()


def test_stopping_early_closes_the_engine_stream_and_keeps_what_was_answered(ledger: Ledger) -> None:
    engine = ScriptedEngine(upper)
    stream = Client(engine, ledger).each([question(t) for t in "abcdef"])
    next(stream)
    next(stream)
    stream.close()
    assert engine.calls == 2
    assert ledger.summary().answers == 2


def test_a_failed_call_is_recorded_and_asked_again(ledger: Ledger) -> None:
    def faulty(request: ChatRequest) -> str:
        if request.messages[0].content == "bad":
            raise ValueError("the server said 500")
        return "fine"

    engine = ScriptedEngine(faulty)
    client = Client(engine, ledger, "r")
    outcomes = client.ask([question("bad"), question("good")])
    assert outcomes[0] == ChatFailure("the server said 500")
    assert isinstance(outcomes[1], ChatAnswer)
    client.ask([question("bad"), question("good")])
    assert [request.messages[0].content for request in engine.seen] == ["bad", "good", "bad"]
    assert (client.usage.calls, client.usage.failures) == (3, 2)


def test_a_dead_engine_raises_and_keeps_what_was_answered(ledger: Ledger) -> None:
    def dying(request: ChatRequest) -> str:
        if request.messages[0].content == "c":
            raise ModelError("gone")
        return "x"

    with pytest.raises(ModelError, match="gone"):
        Client(ScriptedEngine(dying), ledger).ask([question(t) for t in "abcd"])
    assert ledger.summary().answers == 2


MALFORMED = {
    "not json": ({"schema": SCHEMA}, "Sure! Here it is"),
    "cut": ({"schema": SCHEMA}, '{"label":"a","lines":[1,'),
    "missing": ({"schema": SCHEMA}, '{"label":"a"}'),
    "wrong type": ({"schema": SCHEMA}, '{"label":"a","lines":["1"]}'),
    "not in enum": ({"schema": SCHEMA}, '{"label":"z","lines":[]}'),
    "extra": ({"schema": SCHEMA}, '{"label":"a","lines":[],"note":"x"}'),
    "nan": ({"schema": {"type": "number"}}, "NaN"),
    "half character": ({"schema": {"type": "string"}}, '"\\ud83d"'),
    "empty": ({"schema": SCHEMA}, ""),
    "empty prose": ({}, " \n"),
    "other label": ({"choices": ("yes", "no")}, "maybe"),
    "deep": ({"schema": SCHEMA}, "[" * 100_000),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_answer_is_a_failure_with_its_text_and_is_never_kept(ledger: Ledger, case: str) -> None:
    options, text = MALFORMED[case]
    engine = ScriptedEngine(lambda _: text)
    client = Client(engine, ledger, "r")
    outcome = client.ask([question("q", **options)])[0]
    assert isinstance(outcome, ChatFailure)
    assert outcome.error.startswith("malformed:")
    assert "\n" not in outcome.error
    assert outcome.text == text
    assert client.usage.failures == 1
    client.ask([question("q", **options)])
    assert engine.calls == 2
    assert ledger.summary().answers == 0


def test_a_malformed_answer_is_recalled_until_it_is_forgotten_or_answered(ledger: Ledger) -> None:
    asked = question("q", choices=("yes", "no"))
    bad, good = ScriptedEngine(lambda _: "maybe"), ScriptedEngine(lambda _: "yes")
    (first,) = Client(bad, ledger).ask([asked])
    (recalled,) = (outcome for _, outcome in Client(bad, ledger).each([asked], recall=True))
    assert isinstance(first, ChatFailure)
    assert isinstance(recalled, ChatFailure)
    assert (recalled.error, recalled.text, recalled.input_tokens, bad.calls) == (first.error, "maybe", 0, 1)
    client = Client(good, ledger)
    client.forget([asked])
    assert [outcome.text for _, outcome in client.each([asked], recall=True)] == ["yes"]
    assert good.calls == 1


def test_an_answer_takes_the_place_of_a_malformed_one(ledger: Ledger) -> None:
    asked = question("q", choices=("yes", "no"))
    said = iter(["maybe", "yes"])
    client = Client(ScriptedEngine(lambda _: next(said)), ledger)
    client.ask([asked])
    client.ask([asked])
    assert [outcome.text for _, outcome in client.each([asked], recall=True)] == ["yes"]
    assert ledger.malformed([asked.key(client.model)]) == {}


def test_answers_that_fit_are_given_as_they_are(ledger: Ledger) -> None:
    good = '{"label":"b","lines":[1,2]}'
    assert Client(ScriptedEngine(lambda _: good), ledger).ask([question("q", schema=SCHEMA)])[0].text == good
    assert (
        Client(ScriptedEngine(lambda _: "正面"), ledger).ask([question("q", choices=("正面", "负面"))])[0].text
        == "正面"
    )


def test_prose_cut_at_the_limit_is_an_answer_that_says_so(ledger: Ledger) -> None:
    cut: Callable[[ChatRequest], Outcome] = lambda _: ChatAnswer("half a sen", 3, 4, 0.1, finish="length")  # noqa: E731
    client = Client(ScriptedEngine(cut), ledger)
    for _ in range(2):
        outcome = client.ask([question("q")])[0]
        assert isinstance(outcome, ChatAnswer)
        assert outcome.finish == "length"
    assert client.usage.calls == 1


def test_closing_the_client_closes_engine_and_ledger(tmp_path: Path) -> None:
    engine = ScriptedEngine(upper)
    with Client(engine, Ledger(tmp_path / "l")) as client:
        client.ask([question("a")])
    assert engine.closed
