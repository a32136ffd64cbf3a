"""A scripted engine: for tests, documentation and fault injection, with no model behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from limner.serving.request import ChatAnswer, ChatFailure, ChatRequest, Outcome


class ScriptedEngine:
    """Answers each request with what a function says.

    The function returns the answer's text, or a whole `ChatAnswer` or `ChatFailure`. If it raises a `ModelError`, the
    engine as a whole fails, as a dead server does; `ValueError`, `OSError` and `LookupError` make that one call fail.

    Attributes:
        calls: How many requests reached the engine.
        seen: Those requests, in order.
        closed: Whether it was closed.
    """

    def __init__(self, answer: Callable[[ChatRequest], str | Outcome], model: str = "scripted") -> None:
        self.model = model
        self.calls = 0
        self.seen: list[ChatRequest] = []
        self.closed = False
        self._answer = answer

    def run(self, requests: Iterable[ChatRequest]) -> Iterator[tuple[int, Outcome]]:
        """Answers the requests one after the other. Tokens are counted as characters divided by four."""
        for index, request in enumerate(requests):
            self.calls += 1
            self.seen.append(request)
            try:
                answer = self._answer(request)
            except (ValueError, OSError, LookupError) as error:
                answer = ChatFailure(str(error) or type(error).__name__)
            if isinstance(answer, str):
                read = sum(len(message.content) for message in request.messages) // 4
                answer = ChatAnswer(answer, read, len(answer) // 4, 0.0)
            yield index, answer

    def wind_down(self, seconds: float) -> None:
        """Nothing to do: nothing is ever under way."""

    def close(self) -> None:
        """Notes that it was closed."""
        self.closed = True
