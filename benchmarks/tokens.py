"""Tokens that reading a workspace's users takes, against one naive prompt with each user's whole raw history.

    python benchmarks/tokens.py WORKSPACE [--users 30] [--plan small --plan joint] [--block 32]

All counts are of the default model's tokenizer. `raw` is the whole history, every event a line; `naive` is that in one
prompt. Of each plan: `billed`, all that is sent; `read`, what is left when the engine keeps what it read before, in
blocks of some tokens (32 the embedded engine, 16 vLLM); `written`, from the workspace's ledger where it has answers of
that prompt, otherwise the means that quotes use. No model is asked.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from limner.agents.extractor.plan import PLANS, Plan
from limner.agents.extractor.quote import WRITTEN
from limner.agents.extractor.run import choose_users, planned_questions
from limner.histories.store import Store
from limner.prompts import load
from limner.serving import open_ledger
from limner.serving.request import ChatRequest, PromptId
from limner.serving.spec import EmbeddedSpec
from limner.serving.tokens import GgufCounter, counter_for

RAW = """
SELECT concat_ws(' ', strftime(ts, '%Y-%m-%d %H:%M'), kind, title, category, text_title, text,
                 CASE WHEN rating IS NOT NULL THEN 'rating ' || rating END,
                 CASE WHEN price IS NOT NULL THEN 'price ' || price END)
FROM titled_events WHERE user_id = $1 ORDER BY ts
"""
ANSWER_TOKENS = 500
"""Tokens that a naive prompt's answer is given: 6 tags, an opinion with a quote on each text, a summary."""


@dataclass
class Prefixes:
    """Which beginnings of prompts an engine has read, in whole blocks."""

    block: int
    seen: set[int] = field(default_factory=set)

    def unread(self, tokens: list[int]) -> int:
        """Tokens of a prompt that have to be read; they are known afterwards."""
        known, mark = 0, 0
        for end in range(self.block, len(tokens) + 1, self.block):
            mark = hash((mark, *tokens[end - self.block : end]))
            if mark in self.seen:
                known = end if end < len(tokens) else end - 1  # The last token is always read.
            self.seen.add(mark)
        return len(tokens) - known


@dataclass
class Sums:
    """What a plan takes, in tokens, for all users."""

    calls: int = 0
    billed: int = 0
    read: int = 0
    written: float = 0.0


def requests_of(store: Store, plan: Plan, users: list[str]) -> Iterator[ChatRequest]:
    """The distinct questions of a plan, in the order in which they are asked."""
    asked: set[str] = set()
    for chunk in planned_questions(store, "tokens", plan, users, lambda requests: set()):
        for user in chunk:
            for request in user.requests:
                key = request.key("tokens")
                if key not in asked:
                    asked.add(key)
                    yield request


def taken(requests: Iterable[ChatRequest], counter: GgufCounter, block: int, written: dict[PromptId, float]) -> Sums:
    """Adds requests up."""
    sums, prefixes = Sums(), Prefixes(block)
    for request in requests:
        tokens = counter.tokens(request)
        sums.calls += 1
        sums.billed += len(tokens)
        sums.read += prefixes.unread(tokens)
        name = (request.prompt.name, request.prompt.lang)
        sums.written += written.get(request.prompt, WRITTEN.get(name, 0.0))
    return sums


def means_written(store: Store) -> dict[PromptId, float]:
    """Tokens written per answer of each prompt, as the workspace's ledger has them."""
    with open_ledger(store.path) as ledger:
        if ledger is None:
            return {}
        found = ledger.rows(
            "SELECT prompt, version, lang, avg(output_tokens) FROM calls WHERE outcome = 'answered' GROUP BY 1, 2, 3"
        )
    return {PromptId(name, version, lang): float(mean) for name, version, lang, mean in found}


def raw_histories(store: Store, users: list[str]) -> list[str]:
    """The whole history of each user, every event a line."""
    with store.read() as db:
        return ["\n".join(row[0] for row in db.execute(RAW, [user]).fetchall()) for user in users]


def repeated_share(histories: list[str]) -> float:
    """The share of lines, without their dates, that stood in the same history before."""
    lines = repeats = 0
    for history in histories:
        counts = Counter(line[17:] for line in history.splitlines())
        lines += counts.total()
        repeats += counts.total() - len(counts)
    return repeats / max(lines, 1)


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--users", type=int)
    parser.add_argument("--plan", action="append", choices=[*PLANS])
    parser.add_argument("--block", type=int, default=32)
    options = parser.parse_args()
    store = Store.open(options.workspace)
    counter = counter_for(EmbeddedSpec())
    if not isinstance(counter, GgufCounter):
        raise SystemExit("The default model's weights are not here: limner models pull")
    users = choose_users(store, None, options.users)
    histories = raw_histories(store, users)
    prompt = load("history", "en")
    naive = [counter.count(ChatRequest(prompt.render(history=history), prompt.id)) for history in histories]
    frame = counter.count(ChatRequest(prompt.render(history=""), prompt.id))
    raw = sum(naive) - frame * len(users)
    told = {
        "users": len(users),
        "raw_per_user": round(raw / len(users)),
        "repeated_lines": round(repeated_share(histories), 3),
        "naive": {"billed_per_user": round(sum(naive) / len(users)), "written_per_user": ANSWER_TOKENS},
        "plans": {},
    }
    means = means_written(store)
    for name in options.plan or ["small", "joint"]:
        sums = taken(requests_of(store, PLANS[name], users), counter, options.block, means)
        told["plans"][name] = {
            "calls_per_user": round(sums.calls / len(users), 1),
            "billed_per_user": round(sums.billed / len(users)),
            "read_per_user": round(sums.read / len(users)),
            "written_per_user": round(sums.written / len(users)),
            "billed_over_raw": round(sums.billed / raw, 2),
            "read_over_raw": round(sums.read / raw, 2),
        }
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
