"""What many nights leave behind: files, seconds and the time of a read, with and without folding old runs together.

    python benchmarks/nights.py [--nights 100] [--users 2000] [--events 200]

Each night some events of some users come and everybody's facts are computed anew, since the newest time moved. `plain`
writes one file for each bucket and never folds, `folded` is what limner does. Both run in this process, in turn.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from limner.histories import store as stores
from limner.histories.compaction import compact_if_due
from limner.histories.facts import aggregate
from limner.histories.store import Store

READS = 5


@contextmanager
def one_file_a_bucket() -> Iterator[None]:
    """Writes small commits as large ones."""
    with patch.object(stores, "FEW", 0):
        yield


def night(store: Store, number: int, users: int, events: int) -> None:
    """One night's events, and the facts after it."""
    run, ts = f"ingest-{number}", datetime(2025, 1, 1) + timedelta(days=number)
    with store.commit("ingest", run=run) as commit:
        commit.add(
            "events",
            [
                {
                    "event_id": f"e{number}-{at}", "user_id": f"u{(at * 7 + number) % users}", "kind": "view", "ts": ts,
                    "item_id": f"i{at % 40}",
                }
                for at in range(events)
            ],
        )  # fmt: skip
    aggregate(store, run=run)


def told(store: Store, nights: int, users: int, events: int, *, fold: bool) -> dict[str, Any]:
    """All nights, and what they left behind."""
    started, most = time.perf_counter(), 0
    for number in range(nights):
        night(store, number, users, events)
        if fold:
            compact_if_due(store)
        most = max(most, sum(map(len, store.manifest().tables.values())))
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    for _ in range(READS):
        store.rows("SELECT count(*), sum(events) FROM facts")
    files = [store.path / file.path for files in store.manifest().tables.values() for file in files]
    return {
        "seconds": round(seconds, 1),
        "files": len(files),
        "most_files": most,
        "megabytes": round(sum(path.stat().st_size for path in files) / 2**20, 1),
        "read_ms": round(1000 * (time.perf_counter() - started) / READS),
    }


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nights", type=int, default=100)
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--events", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        size = (options.nights, options.users, options.events)
        with one_file_a_bucket():
            plain = told(Store.open(Path(name) / "plain", create=True), *size, fold=False)
        folded = told(Store.open(Path(name) / "folded", create=True), *size, fold=True)
    print(json.dumps({**vars(options), "plain": plain, "folded": folded}, indent=1))


if __name__ == "__main__":
    main()
