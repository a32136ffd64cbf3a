"""The LangChain chat model: real chains over a scripted engine, recorded in the ledger."""

from __future__ import annotations

from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.output_parsers import JsonOutputParser
from langchain_core.prompts import ChatPromptTemplate

from limner.errors import AnswerError, ModelError
from limner.serving.chat import ClientChatModel
from limner.serving.client import Client
from limner.serving.ledger import Ledger
from limner.serving.request import ChatFailure
from limner.serving.scripted import ScriptedEngine


def test_a_chain_is_answered_recorded_and_cached(tmp_path: Path) -> None:
    engine = ScriptedEngine(lambda request: '{"city":"' + request.messages[-1].content + '"}')
    with Client(engine, Ledger(tmp_path / "l"), "r") as client:
        schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
        model = ClientChatModel(client=client, prompt="city")
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
        answer = ClientChatModel(client=client).invoke([SystemMessage("s"), HumanMessage("x" * 40)], stop=["END"])
        assert answer.content == "one two "
        assert answer.usage_metadata["input_tokens"] == 10
        assert answer.response_metadata["cached"] is False


def test_failures_are_errors(tmp_path: Path) -> None:
    with Client(ScriptedEngine(lambda _: "neither"), Ledger(tmp_path / "l")) as client:
        with pytest.raises(AnswerError, match="malformed"):
            ClientChatModel(client=client).bind(choices=["a", "b"]).invoke("q")
        with pytest.raises(AnswerError, match="tool"):
            ClientChatModel(client=client).invoke([ToolMessage("x", tool_call_id="1")])
    with (
        Client(ScriptedEngine(lambda _: ChatFailure("503")), Ledger(tmp_path / "m")) as client,
        pytest.raises(ModelError, match="503"),
    ):
        ClientChatModel(client=client).invoke("q")
