"""How much of a server's rate limner reaches: `limner extract` against the barest asyncio client, in turn, in one run.

    python benchmarks/engine_rate.py --keep vllm:qwen2.5-coder-0.5b           # starts the server, and ends it
    python benchmarks/engine_rate.py --keep embedded --users 4
    python benchmarks/engine_rate.py --url http://127.0.0.1:8000/v1 --model NAME --at-once 1 8 32 128

First an extraction of some users of the bundled sample goes through a recorder in front of the server. Then the very
same bodies go out from a client that does nothing but keep so many requests open, and the same users are extracted
again into a fresh workspace, in turn, once or more for each number of requests at once. Every pass begins its prompts
with a mark of its own, so that what an earlier pass left in the server's prefix cache helps none. A rate is tokens read
and written by the seconds of the pass, limner's with all that it does besides: checking evidence, ledger, tables.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any
from urllib.parse import urlsplit

from limner.agents.extractor import PLANS, extract
from limner.histories.store import Store
from limner.sample import load_sample
from limner.serving.client import Client
from limner.serving.engine import Engine, slots_of
from limner.serving.http import HttpEngine
from limner.serving.keep import keep
from limner.serving.ledger import Ledger
from limner.serving.request import ChatRequest, Outcome
from limner.serving.spec import SERVICES, HttpSpec

TARGET = 0.95


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over all requests."""

    requests: int
    tokens: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds


def marked(text: str, mark: int) -> str:
    return f"[{mark:06d}] {text}"


class Marking:
    """An engine whose every prompt begins with a mark."""

    def __init__(self, engine: Engine, mark: int) -> None:
        self.model, self.slots, self._engine, self._mark = engine.model, slots_of(engine), engine, mark

    def run(self, requests: Iterable[ChatRequest]) -> Iterator[tuple[int, Outcome]]:
        yield from self._engine.run(self._with_mark(request) for request in requests)

    def _with_mark(self, request: ChatRequest) -> ChatRequest:
        first, *others = request.messages
        return replace(request, messages=(replace(first, content=marked(first.content, self._mark)), *others))

    def wind_down(self, seconds: float) -> None:
        self._engine.wind_down(seconds)

    def close(self) -> None:
        self._engine.close()


@contextmanager
def recorder(url: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An address in front of the server's that keeps every body it passes on."""
    parts, bodies, lock = urlsplit(url), [], Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            upstream = HTTPConnection(parts.hostname or "", parts.port or 80, timeout=600)
            upstream.request("POST", self.path, body, {"Content-Type": "application/json"})
            response = upstream.getresponse()
            content = response.read()
            if response.status == 200:
                with lock:
                    bodies.append(json.loads(body))
            self.send_response(response.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}{parts.path}", bodies
    finally:
        server.shutdown()
        server.server_close()


def extracted(template: Path, spec: HttpSpec, mark: int, arguments: argparse.Namespace, at_once: int) -> Pass:
    """One extraction in a copy of the workspace, with an empty ledger."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "w"
        shutil.copytree(template, workspace)
        engine = Marking(HttpEngine(spec, concurrency=at_once), mark)
        started = time.perf_counter()
        with Client(engine, Ledger(workspace / "ledger.sqlite"), "rate") as client:
            summary = extract(Store.open(workspace), client, PLANS[arguments.plan], limit=arguments.users)
        seconds = time.perf_counter() - started
        usage = client.usage
        if usage.failures:
            print(
                f"  ({usage.failures} of {usage.calls} calls gave nothing usable; {len(summary.failed)} users failed)"
            )
        return Pass(usage.calls, usage.input_tokens + usage.output_tokens, seconds)


async def bare(url: str, bodies: Sequence[dict[str, Any]], mark: int, at_once: int) -> Pass:
    """All bodies, so many open at a time: each worker holds one connection and takes the next body when it has read."""
    parts, waiting, tokens = urlsplit(url), iter(bodies), 0
    path = f"{parts.path}/chat/completions"

    async def work() -> None:
        nonlocal tokens
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
        for body in waiting:
            first, *others = body["messages"]
            messages = [{**first, "content": marked(first["content"], mark)}, *others]
            content = json.dumps({**body, "messages": messages}, ensure_ascii=False).encode()
            head = f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
            writer.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
            status, answer = await response(reader)
            if status != 200:
                raise SystemExit(f"The server answered {status}: {answer[:300].decode('utf-8', 'replace')}")
            tokens += json.loads(answer)["usage"]["total_tokens"]
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(min(at_once, len(bodies)))))
    return Pass(len(bodies), tokens, time.perf_counter() - started)


async def response(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The status and the body of one response."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status = int(head.split(" ", 2)[1])
    if "transfer-encoding: chunked" in head:
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
        return status, body
    length = int(head.partition("content-length:")[2].partition("\r\n")[0])
    return status, await reader.readexactly(length)


def measure(url: str, model: str, arguments: argparse.Namespace) -> None:
    marks = itertools.count(1)
    spec = HttpSpec(SERVICES["http"], url, model)
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "w"
        load_sample(Store.open(template, create=True))
        with recorder(url) as (address, bodies):
            first = extracted(template, replace(spec, address=address), next(marks), arguments, 8)
        for body in bodies:
            body["messages"][0]["content"] = body["messages"][0]["content"].partition("] ")[2]
        print(f"{platform.machine()}, {os.cpu_count()} processors; {model} at {url}")
        print(f"{arguments.users} users, plan {arguments.plan}: {len(bodies)} requests, {first.tokens:,} tokens\n")
        print("at once | bare client: requests, tokens/s | limner extract: requests, tokens/s | ratio")
        for at_once in arguments.at_once:
            pairs = []
            for round_ in range(arguments.rounds):
                ways = [
                    lambda: asyncio.run(bare(url, bodies, next(marks), at_once)),  # noqa: B023
                    lambda: extracted(template, spec, next(marks), arguments, at_once),  # noqa: B023
                ]
                done = [way() for way in (ways if round_ % 2 == 0 else reversed(ways))]
                pairs.append(done if round_ % 2 == 0 else done[::-1])
            ours, theirs = max((p[1] for p in pairs), key=rate), max((p[0] for p in pairs), key=rate)
            ratio = ours.rate / theirs.rate
            print(
                f"{at_once:7} | {theirs.requests:5} {theirs.rate:10,.1f} | {ours.requests:5} {ours.rate:10,.1f} | "
                f"{ratio:6.1%}{'' if ratio >= TARGET else f'  (below {TARGET:.0%})'}",
                flush=True,
            )


def rate(one: Pass) -> float:
    return one.rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a running server's base address, up to /v1")
    parser.add_argument("--model", help="the model's name there")
    parser.add_argument("--keep", help="or a spec to start and end: embedded, vllm:MODEL")
    parser.add_argument("--users", type=int, default=8)
    parser.add_argument("--plan", choices=sorted(PLANS), default="joint")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=2, help="passes of each client; the best counts")
    arguments = parser.parse_args()
    if bool(arguments.keep) == bool(arguments.url and arguments.model):
        parser.error("give --keep SPEC, or --url and --model")
    if arguments.keep:
        most = max(arguments.at_once)
        kept: Any = keep(arguments.keep, concurrency=most if arguments.keep.startswith("embedded") else None)
    else:
        kept = nullcontext()
    with kept as up:
        url = up.address if up else arguments.url.rstrip("/")
        measure(url, up.names[0] if up else arguments.model, arguments)


if __name__ == "__main__":
    sys.exit(main())
