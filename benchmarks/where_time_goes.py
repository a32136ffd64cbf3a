"""Where the time of reading with the embedded engine goes: prompts, answers, Python.

    python benchmarks/where_time_goes.py WORKSPACE [--users 6] [--plan small] [--rounds 2]

The questions about some users go to a freshly loaded engine three ways, in turn: as they are; cut after one token, free
in form, which is reading alone; and through `limner extract` into a fresh ledger, over the same tables, which adds the
ledger, the evidence checks and the tables. Each pass begins its prompts with a mark of its own, so that what an earlier
pass left in the engine's cache helps none. Printed: seconds of each, medians of the rounds, and the shares of reading,
writing and Python in the last.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from engine_rate import Marking

from limner.agents.extractor import extract
from limner.agents.extractor.plan import PLANS, Plan
from limner.agents.extractor.run import choose_users, planned_questions
from limner.histories.store import Store
from limner.serving import connect
from limner.serving.client import Client
from limner.serving.engine import Engine
from limner.serving.ledger import Ledger
from limner.serving.request import ChatRequest, Outcome

MARKS = itertools.count(1)


class Timed(Marking):
    """An engine that adds up the time spent in it, each with a mark of its own.

    Its name is another than the engine's, so that what a workspace has stored counts as read by another model.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, next(MARKS))
        self.model, self.seconds = f"{engine.model}-timed", 0.0

    def run(self, requests: Iterable[ChatRequest]) -> Iterator[tuple[int, Outcome]]:
        stream = super().run(requests)
        while True:
            started = time.perf_counter()
            found = next(stream, None)
            self.seconds += time.perf_counter() - started
            if found is None:
                return
            yield found

    def close(self) -> None:
        """The engine is used again."""


def read_only(request: ChatRequest) -> ChatRequest:
    """The same prompt, with one free token for an answer."""
    return replace(request, choices=(), schema=None, pattern="", max_tokens=1)


def seconds_of(engine: Engine, requests: Iterable[ChatRequest]) -> float:
    """How long an engine takes for requests."""
    timed = Timed(engine)
    for _ in timed.run(requests):
        pass
    return timed.seconds


def extraction(engine: Engine, workspace: Path, plan: Plan, users: list[str]) -> tuple[float, float]:
    """Seconds of an extraction into a copy of a workspace's tables, and those of them spent in the engine."""
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / "workspace"
        shutil.copytree(workspace, copied, ignore=shutil.ignore_patterns("ledger.sqlite*"))
        started = time.perf_counter()
        timed = Timed(engine)
        with Client(timed, Ledger(copied / "ledger.sqlite"), "r") as client:
            extract(Store.open(copied), client, plan, users=users)
        return time.perf_counter() - started, timed.seconds


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--users", type=int, default=6)
    parser.add_argument("--plan", default="small", choices=[*PLANS])
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    store, plan = Store.open(options.workspace), PLANS[options.plan]
    users = choose_users(store, None, options.users)
    asked = planned_questions(store, "none", plan, users, lambda requests: set())
    requests = list({r.key(""): r for chunk in asked for user in chunk for r in user.requests}.values())
    rounds: list[tuple[float, float, float, float]] = []
    with tempfile.TemporaryDirectory() as folder, connect(Path(folder), "embedded", run="time") as client:
        seconds_of(client.engine, requests[:1])
        for _ in range(options.rounds):
            whole, reading = (seconds_of(client.engine, batch) for batch in (requests, map(read_only, requests)))
            rounds.append((whole, reading, *extraction(client.engine, options.workspace, plan, users)))
    whole, reading, run, in_engine = (statistics.median(column) for column in zip(*rounds, strict=True))
    told = {
        "users": len(users),
        "calls": len(requests),
        "engine_seconds": round(whole, 1),
        "of_these_reading": round(reading, 1),
        "extract_seconds": round(run, 1),
        "of_these_in_the_engine": round(in_engine, 1),
        "shares": {
            "reading": round(in_engine / run * reading / whole, 3),
            "writing": round(in_engine / run * (1 - reading / whole), 3),
            "python": round(1 - in_engine / run, 3),
        },
        "users_a_minute": round(60 * len(users) / run, 2),
    }
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
