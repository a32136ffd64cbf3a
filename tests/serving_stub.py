"""A real HTTP server that answers chat completions as a test says, faults included."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """What the server does with one request."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    hang: float = 0.0
    drop: bool = False
    cut: bool = False
    drip: float = 0.0


def completion(text: str | None, *, finish: str = "stop", logprobs: list[tuple[str, float]] | None = None) -> Reply:
    choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    if logprobs is not None:
        tokens = [
            {"token": token, "logprob": value, "bytes": list(token.encode()), "top_logprobs": []}
            for token, value in logprobs
        ]
        choice["logprobs"] = {"content": tokens}
    return Reply(
        body={
            "id": "x",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [choice],
            "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14},
        }
    )


def error(status: int, message: str, *, code: str | None = None, **headers: str) -> Reply:
    return Reply(
        status,
        {"error": {"message": message, "type": "x", "code": code}},
        {k.replace("_", "-"): v for k, v in headers.items()},
    )


@dataclass
class Stub:
    """A running server.

    Attributes:
        url: Its base address.
        bodies: The chat payloads it got, in order.
        headers: Their headers.
        at_once: The most calls it had at the same time.
    """

    url: str
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    at_once: int = 0
    now: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def serve(reply: Callable[[int, dict[str, Any]], Reply]) -> Iterator[Stub]:
    """Runs the server; `reply` gets the number of the request, from 0, and its payload."""
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._send(
                200, json.dumps({"object": "list", "data": [{"id": "the-model", "object": "model"}]}).encode(), {}
            )

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with stub.lock:
                number = len(stub.bodies)
                stub.bodies.append(body)
                stub.headers.append({k.lower(): v for k, v in self.headers.items()})
                stub.now += 1
                stub.at_once = max(stub.at_once, stub.now)
            try:
                self._reply(reply(number, body))
            finally:
                with stub.lock:
                    stub.now -= 1

        def _reply(self, answer: Reply) -> None:
            if answer.hang:
                ended.wait(answer.hang)
            if answer.drop:
                self.close_connection = True
                self.connection.close()
                return
            content = answer.raw if answer.raw is not None else json.dumps(answer.body).encode()
            self._send(answer.status, content, answer.headers, cut=answer.cut, drip=answer.drip)

        def _send(
            self, status: int, content: bytes, headers: dict[str, str], *, cut: bool = False, drip: float = 0.0
        ) -> None:
            self.send_response(status)
            for name, value in {"content-type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content) + (50 if cut else 0)))
            self.end_headers()
            for at in range(len(content) if drip else 0):
                self.wfile.write(content[at : at + 1])
                self.wfile.flush()
                if ended.wait(drip):
                    return
            if not drip:
                self.wfile.write(content)
            if cut:
                self.close_connection = True

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """A client that went away, perhaps in the middle of a request, is no news in what a test captured."""
            if not isinstance(sys.exception(), ConnectionError | json.JSONDecodeError):
                super().handle_error(*_)

    server = Server(("127.0.0.1", 0), Handler)
    stub = Stub(f"http://127.0.0.1:{server.server_address[1]}/v1")
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield stub
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
