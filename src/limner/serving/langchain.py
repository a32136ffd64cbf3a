"""A LangChain chat model over the client, so that chains and agents built with LangChain are in the ledger too.

```python
with connect(".limner", "openai:NAME", budget=Budget(money=2.5)) as client:
    model = LimnerChatModel(client=client, prompt="triage")
    chain = prompt | model.with_structured_output(Ticket)
```
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import nullcontext
from inspect import isclass
from operator import itemgetter
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.base import LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser, PydanticOutputParser
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import BaseModel, ConfigDict

from limner.errors import AnswerError, ModelError, UsageError
from limner.serving.client import Client
from limner.serving.request import ChatFailure, ChatRequest, Message, PromptId, Role

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "human": "user",
    "ai": "assistant",
    "user": "user",
    "assistant": "assistant",
}

_ONE_AT_A_TIME = threading.Lock()


class LimnerChatModel(BaseChatModel):
    """Answers LangChain messages through a limner client: an answer is paid once, recorded, checked, and budgeted.

    `choices`, `schema`, `pattern` and `seed` can be given when it is called or bound (`model.bind(schema={...})`), as
    in `ChatRequest`. Asynchronous calls and `batch` ask from threads: over HTTP as many as the address bears, of an
    engine in this process one at a time.

    Raises, when it is asked:
        BudgetError: A limit of the client's run is reached.
        AnswerError: The answer is not what was asked for.
        ModelError: The model cannot be used, or the call failed.

    Attributes:
        client: The client to ask.
        prompt: What the ledger calls these questions.
        version: Of the prompt, for the ledger.
        lang: Language of the prompt, for the ledger.
        max_tokens: Upper limit of written tokens.
        temperature: 0 for the most likely answer.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    client: Client
    prompt: str = "langchain"
    version: int = 1
    lang: str = "en"
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
            PromptId(self.prompt, self.version, self.lang),
            choices=tuple(kwargs.get("choices") or ()),
            schema=kwargs.get("schema"),
            pattern=str(kwargs.get("pattern") or ""),
            max_tokens=int(kwargs.get("max_tokens", self.max_tokens)),
            temperature=float(kwargs.get("temperature", self.temperature)),
            seed=int(kwargs.get("seed", 0)),
        )
        with nullcontext() if getattr(self.client.engine, "in_threads", False) else _ONE_AT_A_TIME:
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

    def with_structured_output(
        self, schema: dict[str, Any] | type, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """A model whose answers are objects: the engine is held to the schema where it can be, and they are checked.

        Args:
            schema: A pydantic model, a TypedDict, or a JSON schema with a title.
            include_raw: Give a dict of `raw`, `parsed` and `parsing_error`.
            **kwargs: None are known.

        Raises:
            UsageError: There is an option that is not known.
        """
        if set(kwargs) - {"method", "strict"}:
            raise UsageError(f"with_structured_output does not know {sorted(kwargs)[0]!r}.")
        asked = self.bind(schema=convert_to_json_schema(schema))
        parser: BaseOutputParser[Any]
        if isclass(schema) and issubclass(schema, BaseModel):
            parser = PydanticOutputParser(pydantic_object=schema)
        else:
            parser = JsonOutputParser()
        if not include_raw:
            return asked | parser
        parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
        failed = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=asked) | parsed.with_fallbacks([failed], exception_key="parsing_error")


def _message(message: BaseMessage) -> Message:
    role = _ROLES.get(message.type)
    if role is None or not isinstance(message.content, str):
        raise AnswerError(f"Only text messages of system, user and assistant can be asked, not {message.type}.")
    return Message(role, message.content)


def _until(text: str, stop: list[str] | tuple[str, ...]) -> str:
    """The text up to the first of the stop strings."""
    ends = [text.find(mark) for mark in stop if mark and mark in text]
    return text[: min(ends)] if ends else text
