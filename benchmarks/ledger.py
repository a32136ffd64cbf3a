"""What the ledger adds to one call, and how fast known answers are found.

    python benchmarks/ledger.py [--calls 5000]

A call is claimed, recorded and given out as the client does it, with an engine that answers at once; beside it the
same with several calls finished together, the bare ledger, and questions that are all known. The target is under 2 ms.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from limner.prompts import load
from limner.serving.client import Client
from limner.serving.ledger import Ledger
from limner.serving.request import ChatAnswer, ChatRequest, Outcome
from limner.serving.scripted import ScriptedEngine

TARGET_MS = 2.0


class Together:
    """An engine that finishes sixteen requests at a time, as the embedded one may."""

    model = "scripted"

    def run(self, requests: Iterable[ChatRequest]) -> Iterator[tuple[int, Outcome]]:
        waiting = enumerate(requests)
        while True:
            live = [job for _, job in zip(range(16), waiting, strict=False)]
            if not live:
                return
            for index, _ in live:
                yield index, answer()

    def wind_down(self, seconds: float) -> None: ...

    def close(self) -> None: ...


def answer() -> ChatAnswer:
    return ChatAnswer("positive", 250, 4, 0.1, logprob=-0.1)


def questions(count: int) -> list[ChatRequest]:
    prompt = load("feeling", "en")
    return [
        ChatRequest(prompt.render(part=f"the strap number {n} broke after two days of use"), prompt.id, max_tokens=16)
        for n in range(count)
    ]


def timed(name: str, count: int, seconds: float) -> float:
    each = seconds / count * 1000
    print(f"{name:44} {each:8.3f} ms a call  {count / seconds:10,.0f} a second")
    return each


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=5000)
    count = parser.parse_args().calls
    asked = questions(count)
    with tempfile.TemporaryDirectory() as folder:
        whole = []
        for name, engine in (("one", ScriptedEngine(lambda _: answer())), ("sixteen", Together())):
            with Ledger(Path(folder) / name) as ledger:
                started = time.perf_counter()
                given = sum(1 for _ in Client(engine, ledger, "r").each(asked))
                whole.append(timed(f"client, {name} finished at a time", count, time.perf_counter() - started))
                assert given == count
                started = time.perf_counter()
                known = sum(o.cached for _, o in Client(engine, ledger).each(asked) if isinstance(o, ChatAnswer))
                timed("  the same questions, all known", count, time.perf_counter() - started)
                assert known == count
        with Ledger(Path(folder) / "bare") as ledger:
            keys = [request.key("m") for request in asked]
            laps = []
            for key, request in zip(keys, asked, strict=True):
                started = time.perf_counter()
                ledger.claim(key)
                ledger.record(key, "r", "m", request, answer())
                laps.append(time.perf_counter() - started)
            timed("ledger alone: claim and record", count, sum(laps))
            print(f"{'  99 of 100 of them under':44} {statistics.quantiles(laps, n=100)[98] * 1000:8.3f} ms")
    print("met" if max(whole) < TARGET_MS else "MISSED", f"the target of {TARGET_MS:g} ms a call")


if __name__ == "__main__":
    main()
