"""How often the trigger of a new portrait fires when nothing changed, and when something did.

    python benchmarks/change.py WORKSPACE [--rounds 5] [--alpha 0.01] [--words]

Of every user with a long enough history a new part is made, a random tenth to half of the active days. *Nothing
changed*: the days of the user's own history, and the gaps between them, in random order, so that whatever the new part
holds is chance. *Somebody else*: the new part is another user's. Printed: the share of users found changed in both, and
which test found them. `--words` compares texts too, which takes the embedder.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from limner.agents.change import DOINGS, FEW_DAYS, MOST_WAITING, Embed, judge, sides_of
from limner.histories.store import Store, arrow

Day = Sequence[Mapping[str, Any]]


def days_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Day]]:
    """Each user's events, day by day, of users with enough of them."""
    users: dict[str, dict[int, list[Mapping[str, Any]]]] = {}
    for row in rows:
        users.setdefault(row["user_id"], {}).setdefault(row["day"], []).append(row)
    return {user: list(days.values()) for user, days in users.items() if len(days) >= FEW_DAYS + 2}


def laid_out(old: Sequence[Day], new: Sequence[Day], gaps: Sequence[int]) -> tuple[list[dict[str, Any]], int]:
    """Events of days laid out one after the other, those of the new part marked, and the last day."""
    rows, day = [], 0
    for number, events in enumerate([*old, *new]):
        day += int(gaps[number - 1]) if number else 0
        rows += [{**event, "day": day, "since": number >= len(old)} for event in events]
    return rows, day


def measured(days: Mapping[str, list[Day]], rounds: int, alpha: float, embed: Embed | None) -> dict[str, Any]:
    """The shares of users found changed."""
    rng = np.random.default_rng(0)
    users = [*days]
    found: dict[str, Counter[str]] = {"nothing_changed": Counter(), "somebody_else": Counter()}
    for turn in range(rounds):
        for user in users:
            mine = [days[user][n] for n in rng.permutation(len(days[user]))]
            gaps = rng.permutation(np.diff([events[0]["day"] for events in days[user]]))
            most = min(len(mine) // 2, MOST_WAITING - 1, len(mine) - FEW_DAYS)
            new = int(rng.integers(1, max(1, most) + 1))
            other = days[users[int(rng.integers(len(users)))]]
            theirs = [other[int(n)] for n in rng.integers(len(other), size=new)]
            for name, part in (("nothing_changed", mine[-new:]), ("somebody_else", theirs)):
                rows, end = laid_out(mine[:-new], part, [*gaps])
                change = judge(f"{turn}/{user}", sides_of(rows, end + int(rng.choice(gaps)) // 2), alpha, embed)
                found[name][change.reason or "none"] += 1
    return {
        name: {"share": round(1 - counts["none"] / counts.total(), 4), "n": counts.total(), **counts}
        for name, counts in found.items()
    }


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--alpha", type=float, default=0.01)
    parser.add_argument("--words", action="store_true")
    options = parser.parse_args()
    embed: Embed | None = None
    if options.words:
        from limner.retrieval.embedder import embed_passages

        embed = embed_passages
    with Store.open(options.workspace).read() as db:
        days = days_of(arrow(db, f"{DOINGS} ORDER BY user_id, ts, event_id").to_pylist())
    told = {"users": len(days), "alpha": options.alpha, **measured(days, options.rounds, options.alpha, embed)}
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
