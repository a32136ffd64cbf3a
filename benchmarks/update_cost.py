"""What an update costs when one user in a hundred has something new, against the run that read everybody.

    python benchmarks/update_cost.py [--users 2000] [--share 0.01] [--copies 0]

A workspace of small users (two orders and a review each) is loaded, read, portrayed, segmented and indexed by the real
code, by an engine that answers at once. Then new reviews of a share of the users come, and `Workspace.update` brings
everything up to date. Printed: seconds and tokens (by the characters, as quotes estimate them) of both, and their
ratio. The targets are 3 % of the tokens and 10 % of the time; what an engine would take is in the tokens, not in
the time.

With `--copies N` everybody who was read stands N more times in the workspace under other ids, with all that is kept of
them; segments are found among all and all are indexed. What reading all would take is then that of those who were
read, times as many.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from nothing_new import MODEL, SPEC, load, multiply, plain_answer

from limner import Workspace
from limner.retrieval.index import Index
from limner.serving import LEDGER_FILE
from limner.serving.client import Client
from limner.serving.ledger import Ledger
from limner.serving.request import ChatAnswer, ChatRequest
from limner.serving.scripted import ScriptedEngine
from limner.serving.tokens import estimated_tokens

TOKENS, SECONDS = 0.03, 0.10


@dataclass
class Bill:
    """What was asked of the engine."""

    calls: int = 0
    tokens: int = 0

    def answer(self, request: ChatRequest) -> ChatAnswer:
        said = '{"name": "Campers"}' if request.schema else plain_answer(request)
        read, written = estimated_tokens(request), max(1, len(said) // 3)
        self.calls += 1
        self.tokens += read + written
        return ChatAnswer(said, read, written, 0.0)


def timed(workspace: Workspace, bill: Bill, work: Any) -> dict[str, Any]:
    """Runs something with an engine that answers at once in place of the one named."""

    @contextmanager
    def connect(path: Path, spec: str, *, run: str = "", **_: Any) -> Any:
        with Client(ScriptedEngine(bill.answer, MODEL), Ledger(path / LEDGER_FILE), run) as client:
            yield client

    started = time.perf_counter()
    with patch("limner.serving.connect", connect):
        work()
    return {"seconds": round(time.perf_counter() - started, 1), "calls": bill.calls, "tokens": bill.tokens}


def news(folder: Path, users: int, share: float, copies: int) -> Path:
    """A file with one new review of every so manieth user."""
    endings = ["", *(f"-{copy}" for copy in range(1, copies + 1))]  # As `nothing_new.multiply` names copies.
    everyone = [f"u{user:07}{ending}" for ending in endings for user in range(users)]
    lines = [
        json.dumps(
            {
                "user_id": user_id, "event": "review", "timestamp": "2026-01-05T10:00:00", "item_id": f"n{number}",
                "title": "lantern", "text": f"Lantern {number} is bright and light. But the zip broke after a week.",
            }
        )
        for number, user_id in enumerate(everyone[:: round(1 / share)])
    ]  # fmt: skip
    path = folder / "news.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--share", type=float, default=0.01)
    parser.add_argument("--copies", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workspace = Workspace(folder / "workspace", model=SPEC)

        def everything() -> None:
            load(workspace.path, options.users)
            workspace.extract(plan="small")
            segmented_and_indexed()

        def segmented_and_indexed() -> None:
            workspace.discover()
            with Index.open(workspace.path) as index:
                index.refresh(workspace.store)

        whole = timed(workspace, Bill(), everything)
        if options.copies:
            multiply(workspace.path, options.copies + 1)
            timed(workspace, Bill(), segmented_and_indexed)
            whole = {name: value * (options.copies + 1) for name, value in whole.items()}
        new = news(folder, options.users, options.share, options.copies)
        part = timed(workspace, Bill(), lambda: workspace.update(new, plan="small"))
    ratios = {name: round(part[name] / whole[name], 4) for name in ("seconds", "calls", "tokens")}
    met = {"tokens": ratios["tokens"] < TOKENS, "seconds": ratios["seconds"] < SECONDS}
    print(
        json.dumps(
            {
                "users": options.users * (options.copies + 1),
                "read": options.users,
                "share": options.share,
                "whole": whole,
                "update": part,
                "ratio": ratios,
                "met": met,
                "largest_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            }
        )
    )


if __name__ == "__main__":
    main()
