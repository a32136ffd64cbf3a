"""The LangChain chat model: real chains over a scripted engine, recorded in the ledger."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.output_parsers import JsonOutputParser
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel

from limner.errors import AnswerError, BudgetError, ModelError, UsageError
from limner.serving.accounts import summarise
from limner.serving.budget import Budget
from limner.serving.client import Client
from limner.serving.langchain import LimnerChatModel
from limner.serving.ledger import Ledger
from limner.serving.request import ChatFailure
from limner.serving.scripted import ScriptedEngine


def test_a_chain_is_answered_recorded_and_cached(tmp_path: Path) -> None:
    engine = ScriptedEngine(lambda request: '{"city":"' + request.messages[-1].content + '"}')
    with Client(engine, Ledger(tmp_path / "l"), "r") as client:
        schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
        model = LimnerChatModel(client=client, prompt="city")
        prompt = ChatPromptTemplate.from_messages([("system", "Name the city."), ("human", "{text}")])
        chain = prompt | model.bind(schema=schema) | JsonOutputParser()
        assert chain.invoke({"text": "上海"}) == {"city": "上海"}
        assert chain.invoke({"text": "上海"}) == {"city": "上海"}
        assert engine.calls == 1
        assert engine.seen[0].schema == schema
        assert [message.role for message in engine.seen[0].messages] == ["system", "user"]
        assert client.usage.cached_calls == 1


def test_usage_and_stop(tmp_path: Path) -> None:
    with Client(ScriptedEngine(lambda _: "one two END three"), Ledger(tmp_path / "l")) as client:
        answer = LimnerChatModel(client=client).invoke([SystemMessage("s"), HumanMessage("x" * 40)], stop=["END"])
        assert answer.content == "one two "
        assert answer.usage_metadata["input_tokens"] == 10
        assert answer.response_metadata["cached"] is False


def test_failures_are_errors(tmp_path: Path) -> None:
    with Client(ScriptedEngine(lambda _: "neither"), Ledger(tmp_path / "l")) as client:
        with pytest.raises(AnswerError, match="malformed"):
            LimnerChatModel(client=client).bind(choices=["a", "b"]).invoke("q")
        with pytest.raises(AnswerError, match="tool"):
            LimnerChatModel(client=client).invoke([ToolMessage("x", tool_call_id="1")])
    with (
        Client(ScriptedEngine(lambda _: ChatFailure("503")), Ledger(tmp_path / "m")) as client,
        pytest.raises(ModelError, match="503"),
    ):
        LimnerChatModel(client=client).invoke("q")


def test_asked_twice_it_is_paid_once_and_in_the_ledger(tmp_path: Path) -> None:
    with Client(ScriptedEngine(lambda _: "yes"), Ledger(tmp_path / "l"), "run-1") as client:
        model = LimnerChatModel(client=client, prompt="triage", version=2, lang="zh")
        assert [model.invoke("好吗？").content for _ in range(2)] == ["yes", "yes"]
        rows = client.ledger.rows("SELECT run, prompt, version, lang, outcome FROM calls")
        assert rows == [("run-1", "triage", 2, "zh", "answered")]
        assert summarise(client.ledger).calls == 1


def test_over_the_budget_nothing_is_asked(tmp_path: Path) -> None:
    engine = ScriptedEngine(lambda _: "a long enough answer")
    with Client(engine, Ledger(tmp_path / "l"), budget=Budget(tokens=10)) as client:
        model = LimnerChatModel(client=client)
        model.invoke("x" * 40)
        with pytest.raises(BudgetError, match="tokens used"):
            model.invoke("something else")
        assert engine.calls == 1
        assert model.invoke("x" * 40).response_metadata["cached"] is True


def test_asynchronous_and_in_a_batch(tmp_path: Path) -> None:
    engine = ScriptedEngine(lambda request: request.messages[-1].content.upper())
    with Client(engine, Ledger(tmp_path / "l")) as client:
        model = LimnerChatModel(client=client)
        assert asyncio.run(model.ainvoke("a")).content == "A"
        assert [m.content for m in model.batch(["a", "b", "c", "d"])] == ["A", "B", "C", "D"]
        assert engine.calls == client.usage.calls == 4


class City(BaseModel):
    """A city."""

    name: str
    people: int


def test_structured_output_is_asked_for_checked_and_parsed(tmp_path: Path) -> None:
    answers = {"good": '{"name":"上海","people":24}', "bad": '{"name":"上海"}'}
    engine = ScriptedEngine(lambda request: answers[request.messages[-1].content])
    with Client(engine, Ledger(tmp_path / "l")) as client:
        model = LimnerChatModel(client=client)
        structured = model.with_structured_output(City)
        assert structured.invoke("good") == City(name="上海", people=24)
        assert engine.seen[0].schema is not None
        assert engine.seen[0].schema["required"] == ["name", "people"]
        with pytest.raises(AnswerError, match="people"):
            structured.invoke("bad")
        schema = {"title": "city", **City.model_json_schema()}
        assert model.with_structured_output(schema).invoke("good") == {"name": "上海", "people": 24}
        raw = model.with_structured_output(City, include_raw=True).invoke("good")
        assert (raw["parsed"].people, raw["raw"].content, raw["parsing_error"]) == (24, answers["good"], None)
        with pytest.raises(UsageError, match="tools"):
            model.with_structured_output(City, tools=[])
