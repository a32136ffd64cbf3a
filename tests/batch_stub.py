"""A real HTTP server with `/v1/files` and `/v1/batches` that works through batches as a test says."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[str, dict[str, Any]], tuple[int, Any]]
"""Given a request's custom_id and body: the status and the body of its response; status 0 for no answer at all."""


@dataclass
class Batches:
    """A running batch service.

    Attributes:
        url: Its base address.
        batches: Those that were made, by name, in order.
        files: What is in its files, by name.
        held: While set, batches stay in progress.
        made: Set when the first batch is made.
        good: How often each question was answered well in a batch.
        sizes: Requests in each batch.
        lose: Answers to `POST /v1/batches` that are lost on their way, though the batch is made.
        refuse: Why batches are refused as a whole, if they are.
        expire: Batches that expire with every other request unanswered.
        absent: Whether there is no such service here.
    """

    url: str = ""
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    held: threading.Event = field(default_factory=threading.Event)
    made: threading.Event = field(default_factory=threading.Event)
    good: Counter[str] = field(default_factory=Counter)
    sizes: list[int] = field(default_factory=list)
    lose: int = 0
    refuse: str = ""
    expire: int = 0
    absent: bool = False

    def put(self, content: bytes) -> str:
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return name


@contextmanager
def serve_batches(answer: Answer) -> Iterator[Batches]:
    """Runs the service; a batch is worked through when it is first asked about and nothing holds it."""
    lock = threading.RLock()
    service = Batches()

    def make(asked: dict[str, Any]) -> dict[str, Any]:
        lines = service.files[asked["input_file_id"]].decode().splitlines()
        batch = {
            "id": f"batch_{len(service.batches)}",
            "object": "batch",
            "endpoint": asked["endpoint"],
            "input_file_id": asked["input_file_id"],
            "completion_window": asked["completion_window"],
            "metadata": asked.get("metadata"),
            "status": "validating",
            "created_at": 1,
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
        }
        service.batches[batch["id"]] = batch
        service.sizes.append(len(lines))
        service.made.set()
        return batch

    def work(batch: dict[str, Any]) -> None:
        if batch["status"] not in ("validating", "in_progress"):
            return
        if service.refuse:
            batch["status"] = "failed"
            batch["errors"] = {"object": "list", "data": [{"code": "x", "message": service.refuse, "line": 1}]}
            return
        if service.held.is_set():
            batch["status"] = "in_progress"
            return
        done, wrong = [], []
        lines = [json.loads(line) for line in service.files[batch["input_file_id"]].decode().splitlines()]
        expired = service.expire > 0
        service.expire -= expired
        for number, line in enumerate(lines):
            assert (line["method"], line["url"]) == ("POST", "/v1/chat/completions")
            status, body = (0, None) if expired and number % 2 else answer(line["custom_id"], line["body"])
            if status == 0:
                continue
            service.good[line["custom_id"]] += status == 200
            response = {"status_code": status, "request_id": "r", "body": body}
            told = {"id": "r", "custom_id": line["custom_id"], "response": response, "error": None}
            (done if status == 200 else wrong).append(json.dumps(told))
        done.reverse()  # A service promises no order.
        batch["output_file_id"] = service.put("\n".join(done).encode()) if done else None
        batch["error_file_id"] = service.put("\n".join(wrong).encode()) if wrong else None
        batch["request_counts"] = {"total": len(lines), "completed": len(done), "failed": len(wrong)}
        batch["status"] = "expired" if expired else "completed"

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            with lock:
                if service.absent:
                    self._send(404, b'{"error": {"message": "nothing here"}}')
                elif self.path == "/v1/files":
                    assert b'name="purpose"\r\n\r\nbatch' in content
                    mark = b"--" + self.headers["content-type"].partition("boundary=")[2].encode()
                    part = next(p for p in content.split(mark) if b"filename=" in p)
                    name = service.put(part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n"))
                    file = {
                        "id": name,
                        "object": "file",
                        "bytes": 1,
                        "created_at": 1,
                        "filename": "f",
                        "purpose": "batch",
                    }
                    self._send(200, json.dumps({**file, "status": "processed"}).encode())
                elif self.path == "/v1/batches":
                    batch = make(json.loads(content))
                    if service.lose:
                        service.lose -= 1
                        self.close_connection = True
                        self.connection.close()
                        return
                    self._send(200, json.dumps(batch).encode())
                else:
                    self._send(404, b'{"error": {"message": "nothing here"}}')

        def do_GET(self) -> None:
            with lock:
                path = self.path.partition("?")[0]
                if found := re.fullmatch(r"/v1/files/([\w-]+)/content", path):
                    self._send(200, service.files[found[1]])
                elif (found := re.fullmatch(r"/v1/batches/(\w+)", path)) and found[1] in service.batches:
                    batch = service.batches[found[1]]
                    work(batch)
                    self._send(200, json.dumps(batch).encode())
                elif path == "/v1/batches":
                    listed = {"object": "list", "data": list(service.batches.values())[::-1], "has_more": False}
                    self._send(200, json.dumps(listed).encode())
                else:
                    self._send(404, b'{"error": {"message": "nothing here"}}')

        def _send(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
