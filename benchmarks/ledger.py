"""What limner adds to one call, the ledger included, and how fast known answers are found.

    python benchmarks/ledger.py [--calls 5000]

A call is claimed, recorded and given out as the client does it, with an engine that answers at once, with 1, 8 and 32
calls under way together; beside it the same questions once they are known, and the bare ledger. The target is under
2 ms. `extraction` is no overhead of a call but all that an extraction does besides the model, by its calls: texts read
from the tables, questions rendered, answers checked against the texts, signals and personas stored. Processor time is
what to look at on a machine that does other work beside.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from nothing_new import MODEL, load, plain_answer, read

from limner.prompts import load as prompt_of
from limner.retrieval.space import Space
from limner.serving import LEDGER_FILE
from limner.serving.client import Client
from limner.serving.ledger import Ledger
from limner.serving.request import ChatAnswer, ChatRequest, Outcome

TARGET_MS = 2.0
CALLS_PER_USER = 4


class Together:
    """An engine that has some requests under way at once and answers them together, as the embedded one may."""

    model = "scripted"

    def __init__(self, slots: int, said: Callable[[ChatRequest], ChatAnswer]) -> None:
        self.slots = slots
        self.said = said

    def run(self, requests: Iterable[ChatRequest]) -> Iterator[tuple[int, Outcome]]:
        waiting = enumerate(requests)
        while True:
            live = [job for _, job in zip(range(self.slots), waiting, strict=False)]
            if not live:
                return
            for index, request in live:
                yield index, self.said(request)

    def wind_down(self, seconds: float) -> None: ...

    def close(self) -> None: ...


def answer(request: ChatRequest) -> ChatAnswer:
    return ChatAnswer("positive", 250, 4, 0.1, logprob=-0.1)


def questions(count: int) -> list[ChatRequest]:
    prompt = prompt_of("feeling", "en")
    return [
        ChatRequest(prompt.render(part=f"the strap number {n} broke after two days of use"), prompt.id, max_tokens=16)
        for n in range(count)
    ]


class Watch:
    """Wall and processor time since it was made; the latter is what counts on a machine that does other work beside."""

    def __init__(self) -> None:
        self.wall, self.busy = time.perf_counter(), time.process_time()

    def told(self, name: str, count: int) -> float:
        """Prints milliseconds a call, and returns them."""
        wall, busy = time.perf_counter() - self.wall, time.process_time() - self.busy
        print(f"{name:44} {1000 * wall / count:8.3f} ms a call, {1000 * busy / count:8.3f} of a processor", flush=True)
        return 1000 * wall / count


def extraction(folder: Path, slots: int, users: int, *, quiet: bool = False) -> None:
    """A whole extraction of small users, personas included."""
    load(folder, users)
    engine = Together(slots, lambda request: ChatAnswer(plain_answer(request), 250, 4, 0.1))
    engine.model = MODEL
    space = Space.open(folder)
    space.questions(["warm"]), space.passages(["warm"])  # Once for each workspace, however many users it has.
    watch = Watch()
    with Client(engine, Ledger(folder / LEDGER_FILE), "r") as client:
        read(folder, client)
        calls = client.usage.calls
    if not quiet:
        watch.told(f"extraction of {users:,} users, {slots} at once", calls)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=5000)
    count = parser.parse_args().calls
    asked = questions(count)
    with tempfile.TemporaryDirectory() as folder:
        whole = []
        for slots in (1, 8, 32):
            engine = Together(slots, answer)
            with Ledger(Path(folder) / str(slots)) as ledger:
                watch = Watch()
                given = sum(1 for _ in Client(engine, ledger, "r").each(asked))
                whole.append(watch.told(f"client and ledger, {slots} at once", count))
                assert given == count
                watch = Watch()
                known = sum(o.cached for _, o in Client(engine, ledger).each(asked) if isinstance(o, ChatAnswer))
                watch.told("  the same questions, all known", count)
                assert known == count
        with Ledger(Path(folder) / "bare") as ledger:
            keys = [request.key("m") for request in asked]
            laps, watch = [], Watch()
            for key, request in zip(keys, asked, strict=True):
                started = time.perf_counter()
                ledger.claim(key)
                ledger.record(key, "r", "m", request, answer(request))
                laps.append(time.perf_counter() - started)
            watch.told("ledger alone: claim and record", count)
            print(f"{'  99 of 100 of them under':44} {statistics.quantiles(laps, n=100)[98] * 1000:8.3f} ms")
        print("met" if max(whole) < TARGET_MS else "MISSED", f"the target of {TARGET_MS:g} ms a call")
        users = max(1, count // CALLS_PER_USER)
        extraction(Path(folder) / "first", 8, 20, quiet=True)  # Libraries and the label embedder are loaded once.
        for slots in (1, 8, 32):
            extraction(Path(folder) / f"workspace-{slots}", slots, users)


if __name__ == "__main__":
    main()
