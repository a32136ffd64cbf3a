"""Compares the embedded engine with llama.cpp on the same requests, and the embedded engine's settings with each other.

    python benchmarks/engines.py                                   # the embedded engine, the default model
    python benchmarks/engines.py --gguf FILE                       # another model
    python benchmarks/engines.py --gguf FILE --engine llamacpp     # needs: pip install xllamacpp
    python benchmarks/engines.py --gguf FILE --batched-tokens 1024 --property KV_CACHE_PRECISION=f16

Twenty distinct reviews are judged (a label each) one at a time and sixteen at a time, and sixteen short JSON answers
are written at once. Processor seconds are given beside wall seconds, because other work on the machine stretches only
the latter. The answers are printed in one line, to see whether a setting changes them.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from limner.serving import openvino_model
from limner.serving.client import Client
from limner.serving.embedded import EmbeddedEngine
from limner.serving.engine import Engine
from limner.serving.http import HttpEngine
from limner.serving.ledger import Ledger
from limner.serving.models import DEFAULT, known_model
from limner.serving.request import ChatAnswer, ChatRequest, Message, PromptId
from limner.serving.spec import SERVICES, EmbeddedSpec, HttpSpec
from limner.serving.weights import pull

THINGS = ("guitar", "kettle", "novel", "tent", "headset", "lamp", "blender", "backpack", "keyboard", "watch")
GOOD = "It arrived early, works better than the one I had, and I would buy it again without thinking twice."
BAD = "It stopped working in the second week, the shop did not answer, and I want my money back."
FILLER = (
    "I ordered the {thing} on day {day} for {price} and used it {times} times since. The box had a manual, a cable and "
    "a small bag. I compared it with two others that a friend lent me, looked at the seams and the buttons, and wrote "
    "down what I noticed every evening. My neighbour has the same {thing} in another colour. "
)
GOOD_ZH = "比我想的还要好，送货也快，以后还会再买。"
BAD_ZH = "用了两个星期就坏了，客服一直不回复，我要退货。"
FILLER_ZH = (
    "第{day}天下单买的，花了{price}元，到现在用了{times}次。盒子里有说明书、数据线和一个小袋子，我和朋友的两个对比过。"
)

SYSTEM = "You judge the sentiment of customer reviews. Answer one word: positive or negative."
LABELS = ("positive", "negative")
SCHEMA = {
    "type": "object",
    "properties": {
        "wants": {"type": "array", "minItems": 3, "maxItems": 3, "items": {"type": "string", "maxLength": 30}},
        "summary": {"type": "string", "minLength": 40, "maxLength": 300},
    },
    "required": ["wants", "summary"],
}


def reviews(start: int, count: int) -> list[str]:
    texts = []
    for n in range(start, start + count):
        facts = {"thing": THINGS[n % len(THINGS)], "day": n + 1, "price": 20 + 7 * n, "times": 3 + n}
        good = n % 2 == 0
        if n % 4 < 2:
            texts.append(FILLER.format(**facts) + (GOOD if good else BAD))
        else:
            texts.append(FILLER_ZH.format(**facts) + (GOOD_ZH if good else BAD_ZH))
    return texts


def judgements(start: int, count: int) -> list[ChatRequest]:
    return [
        ChatRequest(
            (Message("system", SYSTEM), Message("user", f"Review: {text}\n\nSentiment:")),
            PromptId("bench_label", 1, "en"),
            choices=LABELS,
            max_tokens=4,
        )
        for text in reviews(start, count)
    ]


def summaries(start: int, count: int) -> list[ChatRequest]:
    system = "You read a review and answer in JSON: wants, three short wishes of the writer; summary, one sentence."
    return [
        ChatRequest(
            (Message("system", system), Message("user", text)),
            PromptId("bench_json", 1, "en"),
            schema=SCHEMA,
            max_tokens=120,
        )
        for text in reviews(start, count)
    ]


def processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def measure(name: str, engine: Engine, requests: list[ChatRequest]) -> None:
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.sqlite") as ledger:
        client = Client(engine, ledger)
        wall, processor = time.perf_counter(), processor_seconds()
        outcomes = client.ask(requests)
        wall, processor = time.perf_counter() - wall, processor_seconds() - processor
    usage = client.usage
    print(
        f"{name:12} {len(requests) / wall:6.2f} answers/s {usage.input_tokens / wall:7.0f} read/s "
        f"{usage.output_tokens / wall:6.1f} written/s | {len(requests) / processor:6.2f} answers, "
        f"{usage.input_tokens / processor:5.0f} read, {usage.output_tokens / processor:5.1f} written per "
        f"processor second | failures {usage.failures}",
        flush=True,
    )
    texts = [o.text if isinstance(o, ChatAnswer) else f"!{o.error}" for o in outcomes]
    print("  ", "".join(t[0] for t in texts) if requests[0].choices else texts[0], flush=True)


@contextmanager
def openvino(arguments: argparse.Namespace) -> Iterator[Callable[[int], Engine]]:
    if arguments.batched_tokens:
        openvino_model.BATCHED_TOKENS = arguments.batched_tokens
    properties = dict(pair.split("=", 1) for pair in arguments.property)
    if properties:
        openvino_model._properties = lambda: properties
    yield lambda at_once: EmbeddedEngine(EmbeddedSpec(str(arguments.gguf)), concurrency=at_once)


@contextmanager
def llamacpp(arguments: argparse.Namespace) -> Iterator[Callable[[int], Engine]]:
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(arguments.gguf)
    parameters.n_ctx, parameters.n_parallel = 16 * 1024, 16
    parameters.cpuparams.n_threads = os.cpu_count() or 1
    parameters.use_jinja, parameters.verbosity, parameters.port = True, -1, 0
    server = xllamacpp.Server(parameters)
    address = f"{server.listening_address}/v1"
    yield lambda at_once: HttpEngine(HttpSpec(SERVICES["http"], address, "bench"), concurrency=at_once, timeout=600)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gguf", type=Path, help="A model's file; the default model's, fetched if need be.")
    parser.add_argument("--engine", choices=("openvino", "llamacpp"), default="openvino")
    parser.add_argument("--batched-tokens", type=int, default=0)
    parser.add_argument("--property", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--only", choices=("labels", "json"))
    arguments = parser.parse_args()
    arguments.gguf = arguments.gguf or pull(known_model(DEFAULT))
    with {"openvino": openvino, "llamacpp": llamacpp}[arguments.engine](arguments) as engine:
        started = time.perf_counter()
        list(engine(1).run(judgements(1000, 1)))
        print(f"loaded and first answer in {time.perf_counter() - started:.1f} s", flush=True)
        if arguments.only != "json":
            measure("labels x1", engine(1), judgements(0, arguments.count))
            measure("labels x16", engine(16), judgements(100, arguments.count))
        if arguments.only != "labels":
            list(engine(1).run(summaries(1001, 1)))
            measure("json x1", engine(1), summaries(200, 3))
            measure("json x16", engine(16), summaries(300, min(16, arguments.count)))
    print(f"peak memory {peak_gb():.1f} GB")


if __name__ == "__main__":
    main()
