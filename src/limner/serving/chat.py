"""A LangChain chat model over the client, so that chains and agents built with LangChain are in the ledger too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import ConfigDict

from limner.errors import AnswerError, ModelError
from limner.serving.client import Client
from limner.serving.request import ChatFailure, ChatRequest, Message, PromptId, Role

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "human": "user",
    "ai": "assistant",
    "user": "user",
    "assistant": "assistant",
}


class ClientChatModel(BaseChatModel):
    """Answers LangChain messages through a limner client: cached, recorded, checked.

    `choices` and `schema` can be given when it is called or bound (`model.bind(schema={...})`), as in `ChatRequest`.

    Attributes:
        client: The client to ask.
        prompt: What the ledger calls these questions.
        max_tokens: Upper limit of written tokens.
        temperature: 0 for the most likely answer.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    client: Client
    prompt: str = "langchain"
    max_tokens: int = 512
    temperature: float = 0.0

    @property
    def _llm_type(self) -> str:
        return "limner"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.client.model, "max_tokens": self.max_tokens, "temperature": self.temperature}

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        request = ChatRequest(
            tuple(_message(message) for message in messages),
            PromptId(self.prompt, 1, "en"),
            choices=tuple(kwargs.get("choices") or ()),
            schema=kwargs.get("schema"),
            max_tokens=int(kwargs.get("max_tokens", self.max_tokens)),
            temperature=float(kwargs.get("temperature", self.temperature)),
        )
        (outcome,) = self.client.ask([request])
        if isinstance(outcome, ChatFailure):
            failed = AnswerError if outcome.malformed else ModelError
            raise failed(f"{self.client.model} gave no usable answer: {outcome.error}")
        text = _until(outcome.text, stop or ())
        read, written = outcome.input_tokens, outcome.output_tokens
        answer = AIMessage(
            text,
            usage_metadata={"input_tokens": read, "output_tokens": written, "total_tokens": read + written},
            response_metadata={"model": self.client.model, "cached": outcome.cached, "finish_reason": outcome.finish},
        )
        return ChatResult(generations=[ChatGeneration(message=answer)])


def _message(message: BaseMessage) -> Message:
    role = _ROLES.get(message.type)
    if role is None or not isinstance(message.content, str):
        raise AnswerError(f"Only text messages of system, user and assistant can be asked, not {message.type}.")
    return Message(role, message.content)


def _until(text: str, stop: list[str] | tuple[str, ...]) -> str:
    """The text up to the first of the stop strings."""
    ends = [text.find(mark) for mark in stop if mark and mark in text]
    return text[: min(ends)] if ends else text
