"""Which of a request's fields a server takes: found out from its refusals, one field at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from limner.serving.completions import FEATURES, payload
from limner.serving.request import ChatRequest
from limner.serving.spec import Service

MOST_REFUSALS = len(FEATURES) + 2
"""Times that a request can be sent anew for a field that is refused."""

_LIMIT_FIELDS = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_TOO_LONG = ("context", "too long", "maximum", "max_model_len")


@dataclass(frozen=True, slots=True)
class Dialect:
    """The form of chat completion that a server takes.

    Attributes:
        limit_field: What it calls the limit of written tokens.
        holds_forms: Whether to send the form of the answer the ways vLLM and llama.cpp take it.
        without: Fields that it has refused.
    """

    limit_field: str
    holds_forms: bool
    without: frozenset[str] = frozenset()

    @classmethod
    def of(cls, service: Service) -> Dialect:
        """What a kind of service takes, before it has refused anything."""
        return cls(service.limit_field, service.holds_forms)

    def body(self, request: ChatRequest, model: str) -> dict[str, Any]:
        """A request as the arguments of the SDK's call."""
        return payload(request, model, self.limit_field, self.without, holds_forms=self.holds_forms)

    def with_losses_of(self, other: Dialect, since: Dialect) -> Dialect:
        """What is left after two refusals of requests in the same dialect."""
        limit_field = other.limit_field if other.limit_field != since.limit_field else self.limit_field
        return replace(self, limit_field=limit_field, without=self.without | other.without)

    def after(self, status: int, message: str, body: Mapping[str, Any]) -> Dialect | None:
        """The dialect to ask in again after a refusal; None if it is about something else than a field.

        Args:
            status: The refusal's status.
            message: What it says.
            body: What was sent.
        """
        if status not in (400, 422):
            return None
        text = message.lower()
        if self.limit_field in text and "max_completion_tokens" in text and "max_tokens" in text:
            return replace(self, limit_field=_LIMIT_FIELDS[self.limit_field])
        sent = {*body, *body.get("extra_body", ())}
        for feature in FEATURES:
            if feature.field in sent and any(word in text for word in feature.words):
                return replace(self, without=self.without | {feature.field})
        if "response_format" in body and not any(word in text for word in _TOO_LONG):
            return replace(self, without=self.without | {"response_format"})
        return None
