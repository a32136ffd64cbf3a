"""The address itself: HTTP on this machine only, by uvicorn."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

from limner.errors import ModelError
from limner.serving.address import writing
from limner.serving.address.batch import Batch
from limner.serving.address.reading import Asked, Refused, asked
from limner.serving.engine import Engine

HOST = "127.0.0.1"
MAX_BYTES = 16_000_000
"""No body larger than this is read."""

BACKLOG = 512
"""Connections that may wait to be taken."""

GRACE_SECONDS = 5
"""How long requests under way may take once the address is closed."""

_LOCAL = frozenset({"127.0.0.1", "localhost", "[::1]", "::1"})

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Address:
    """An ASGI application with OpenAI's two ways: the models and the chat completions.

    Only programs of this machine are answered: a page in a browser that comes under another name is turned away, and
    cannot send JSON without being asked first, which is never granted.
    """

    def __init__(self, engine: Engine, names: Sequence[str]) -> None:
        """Prepares the address.

        Args:
            engine: Who answers.
            names: The model's names; a request with any of them is answered.
        """
        self._batch = Batch(engine)
        self._names = tuple(dict.fromkeys(names))
        self._created = int(time.time())

    def close(self) -> None:
        """Ends the engine's work."""
        self._batch.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        try:
            await self._route(scope, receive, send)
        except Refused as refused:
            await _send_json(send, refused.status, writing.error(refused))

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.lower(): value for name, value in scope["headers"]}
        if _name_of(headers.get(b"host", b"")) not in _LOCAL:
            raise Refused("This address is for programs on this machine.", status=403)
        way, path = scope["method"], scope["path"].rstrip("/")
        if way == "GET" and path == "/health":
            await _send_json(send, 200, {"status": "ok"})
        elif way == "GET" and path == "/v1/models":
            await _send_json(send, 200, writing.models(self._names, self._created))
        elif way == "POST" and path == "/v1/chat/completions":
            if not headers.get(b"content-type", b"").lower().startswith(b"application/json"):
                raise Refused("The body must be application/json.", status=415)
            await self._complete(_parsed(await _body(receive)), receive, send)
        else:
            raise Refused(f"There is nothing at {way} {path}. Try /v1/models or /v1/chat/completions.", status=404)

    async def _complete(self, payload: Any, receive: Receive, send: Send) -> None:
        question = asked(payload)
        model = payload.get("model")
        if model not in self._names:
            raise Refused(
                f"There is no model {model!r} here. It has: {', '.join(self._names)}.",
                status=404, code="model_not_found", field="model",
            )  # fmt: skip
        answer = self._batch.ask(question.request)
        gone = asyncio.ensure_future(_disconnected(receive))
        waited = asyncio.ensure_future(asyncio.wrap_future(answer))
        try:
            both: set[asyncio.Future[Any]] = {gone, waited}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not waited.done():
                waited.cancel()  # Nobody waits any more; not asked if its turn has not come.
                return
        finally:
            gone.cancel()
        await _respond(send, question, writing.completion(question, waited.result(), model))


async def _respond(send: Send, question: Asked, body: dict[str, Any]) -> None:
    if not question.stream:
        await _send_json(send, 200, body)
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    for event in writing.events(question, body):
        await send({"type": "http.response.body", "body": event, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _send_json(send: Send, status: int, value: Any) -> None:
    body = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _body(receive: Receive) -> bytes:
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused("The request was cut off.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BYTES:
            raise Refused(f"The body is larger than {MAX_BYTES:,} bytes.", status=413)
        more = message.get("more_body", False)
    return b"".join(parts)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused("The body is not JSON.") from error


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _name_of(host: bytes) -> str:
    """The name in a Host header, without the port."""
    text = host.decode("latin-1").lower()
    return text if text == "::1" else text[: text.index("]") + 1] if text.startswith("[") and "]" in text else (
        text.partition(":")[0]
    )  # fmt: skip


def bound(port: int) -> socket.socket:
    """A listening socket on this machine's loopback; port 0 takes a free one.

    Raises:
        ModelError: Somebody else has the port.
    """
    found = socket.socket()
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((HOST, port))
        found.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        found.close()
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"Port {port} cannot be had ({reason}). Name another one with --port.") from error
    return found


@contextmanager
def server_of(engine: Engine, names: Sequence[str], listening: socket.socket) -> Iterator[Any]:
    """A uvicorn server for an engine on a bound socket; its `run` method serves until it is interrupted."""
    import uvicorn

    address = Address(engine, names)
    config = uvicorn.Config(
        address, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=GRACE_SECONDS
    )
    server = uvicorn.Server(config)
    try:
        yield _Running(server, listening)
    finally:
        address.close()
        listening.close()


class _Running:
    """A server and its socket.

    Attributes:
        address: The base address.
    """

    def __init__(self, server: Any, listening: socket.socket) -> None:
        self._server, self._listening = server, listening
        self.address = f"http://{HOST}:{listening.getsockname()[1]}/v1"

    def run(self) -> None:
        """Serves until it is interrupted or stopped."""
        self._server.run(sockets=[self._listening])

    def stop(self) -> None:
        """Ends `run`, called from another thread."""
        self._server.should_exit = True
