"""Loading many events and computing facts, against a bare DuckDB script over the same Parquet file, in turn.

    python benchmarks/scale.py [--events 10000000] [--runs 1] [--memory 10GB] [--folder FOLDER]

The generator draws users and items with a long tail (a power law over ranks), five kinds of events, prices, devices and
places, and a short text on one event in fifty. The bare script reads the file, sorts it by user into compressed Parquet
and computes totals, money, trends and the most frequent categories, items, hours, weekdays, devices and places of every
user: the facts, without checks, ids, duplicates, a quarantine or commits. Both run as processes of their own with all
processors and the same memory limit for the database (`LIMNER_MEMORY`).
On a machine that does other work too, `cpu_seconds` can be compared where `seconds` cannot.
`history_ms` is how long one user's lines take to build from the finished workspace, the median of 40 users drawn at
random; `history_cold_ms` is the first one of a new process, after its imports.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

EVENTS_PER_USER = 50
EVENTS_PER_ITEM = 500

GENERATE = """
COPY (
    WITH drawn AS (
        SELECT i, hash(i, {seed}) / 18446744073709551616.0 AS a, hash(i, {seed} + 1) / 18446744073709551616.0 AS b,
            hash(i, {seed} + 2) % 1000 AS c, hash(i, {seed} + 3) AS d
        FROM range({start}, {end}) t(i)
    )
    SELECT 'u' || floor({users} * power(a, 3))::BIGINT AS user_id,
        'i' || floor({items} * power(b, 3))::BIGINT AS item_id,
        CASE WHEN c < 700 THEN 'view' WHEN c < 800 THEN 'click' WHEN c < 960 THEN 'order' WHEN c < 980 THEN 'return'
            ELSE 'review' END AS kind,
        TIMESTAMP '2024-01-01' + to_seconds((d % 63072000)::BIGINT) AS ts,
        CASE WHEN c BETWEEN 800 AND 979 THEN round(5 + (d % 20000) / 100, 2) END AS price,
        'category ' || (floor({items} * power(b, 3))::BIGINT % 40) AS category,
        ['phone', 'laptop', 'tablet'][1 + (d % 3)::INTEGER] AS device,
        'city ' || (floor({users} * power(a, 3))::BIGINT % 300) AS place,
        CASE WHEN c >= 980 THEN 'Review ' || i || ': works well, the delivery took ' || (d % 9) || ' days.' END AS text,
        CASE WHEN c >= 980 THEN 1 + d % 5 END AS rating
    FROM drawn
) TO '{path}' (FORMAT parquet, COMPRESSION zstd)
"""

BARE = """
import sys, duckdb
source, folder, memory = sys.argv[1:]
db = duckdb.connect(config={"temp_directory": folder + "/tmp", "memory_limit": memory})
db.execute(f"COPY (SELECT * FROM read_parquet('{source}') ORDER BY user_id, ts) TO '{folder}/sorted.parquet' "
           "(FORMAT parquet, COMPRESSION zstd)")
db.execute(f"CREATE VIEW e AS SELECT * FROM read_parquet('{folder}/sorted.parquet')")
end = db.execute("SELECT max(ts) FROM e").fetchone()[0]
def top(name, value, n, where="true"):
    return (f"LEFT JOIN (SELECT user_id, list({{'v': v, 'n': n}} ORDER BY r) AS {name} FROM (SELECT *, row_number() "
            f"OVER (PARTITION BY user_id ORDER BY n DESC, v) AS r FROM (SELECT user_id, {value} AS v, count(*) AS n "
            f"FROM e WHERE {where} GROUP BY ALL)) WHERE r <= {n} GROUP BY user_id) USING (user_id)")
db.execute(f\"\"\"COPY (SELECT * FROM (
    SELECT user_id, count(*) AS events, count(text) AS texts, min(ts) AS first_seen, max(ts) AS last_seen,
        count(*) FILTER (kind = 'order') AS orders, count(*) FILTER (kind = 'return') AS returns,
        sum(price) FILTER (kind = 'order') - coalesce(sum(price) FILTER (kind = 'return'), 0) AS monetary,
        avg(rating) AS rating_mean, count(*) FILTER (ts > TIMESTAMP '{end}' - INTERVAL 30 DAY) AS events_30d,
        count(*) FILTER (ts > TIMESTAMP '{end}' - INTERVAL 90 DAY) AS events_90d
    FROM e GROUP BY user_id)
    {top('kinds', 'kind', 99)} {top('categories', 'category', 5)} {top('items', 'item_id', 5)}
    {top('hours', "strftime(ts, '%H')", 3)} {top('weekdays', "strftime(ts, '%a')", 3)}
    {top('devices', 'device', 5)} {top('places', 'place', 5)}
    ) TO '{folder}/facts.parquet' (FORMAT parquet, COMPRESSION zstd)\"\"\")
"""


@dataclass(frozen=True, slots=True)
class Took:
    """What one process took: seconds, of which processors were busy with it, its largest resident memory in GiB, and
    what it left on disk over its input."""

    seconds: float
    cpu_seconds: float
    memory_gb: float
    disk_over_input: float


def generate(folder: Path, events: int, seed: int = 7) -> list[Path]:
    """Writes the events, 10 million a file."""
    import duckdb

    paths = []
    with duckdb.connect() as db:
        for number, start in enumerate(range(0, events, 10_000_000)):
            path = folder / f"events-{number:03}.parquet"
            end = min(start + 10_000_000, events)
            users, items = max(events // EVENTS_PER_USER, 10), max(events // EVENTS_PER_ITEM, 10)
            db.execute(GENERATE.format(seed=seed, start=start, end=end, users=users, items=items, path=path))
            paths.append(path)
    return paths


def run(command: list[str], out: Path, source_bytes: int) -> Took:
    """Runs a process that writes into a new folder."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    started = time.perf_counter()
    done = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(done.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command[:4])}")
    size = sum(path.stat().st_size for path in out.rglob("*.parquet"))
    busy = usage.ru_utime + usage.ru_stime
    return Took(
        round(time.perf_counter() - started, 1),
        round(busy, 1),
        round(usage.ru_maxrss / 2**20, 2),
        round(size / source_bytes, 2),
    )


HISTORIES = """
import json, sys, time
from limner.histories.lines import build_histories
from limner.histories.store import Store
store, times = Store.open(sys.argv[1]), []
for user in sys.argv[2:]:
    started, busy = time.perf_counter(), time.process_time()
    list(build_histories(store, [user]))
    times.append([1000 * (time.perf_counter() - started), 1000 * (time.process_time() - busy)])
print(json.dumps(times))
"""


def history_milliseconds(workspace: Path, users: int = 40) -> list[list[float]]:
    """How long single users' histories take in a process of its own, and how long a processor was busy with each."""
    from limner.histories.store import Store

    chosen = Store.open(workspace).rows(f"SELECT user_id FROM facts ORDER BY hash(user_id) LIMIT {users}")
    # What a load leaves behind once (the best rating of each source) is not part of a history.
    subprocess.run(
        [sys.executable, "-c", HISTORIES, str(workspace), chosen[0]["user_id"]], check=True, capture_output=True
    )
    command = [sys.executable, "-c", HISTORIES, str(workspace), *(row["user_id"] for row in chosen)]
    found: list[list[float]] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--memory", default="10GB")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    os.environ["LIMNER_MEMORY"] = options.memory
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        (folder / "in").mkdir()
        paths = generate(folder / "in", options.events)
        size = sum(path.stat().st_size for path in paths)
        (folder / "bare.py").write_text(BARE, encoding="utf-8")
        bare_command = [
            sys.executable, str(folder / "bare.py"), f"{folder}/in/*.parquet", str(folder / "bare"), options.memory,
        ]  # fmt: skip
        limner_command = [
            sys.executable, "-m", "limner", "ingest", str(folder / "in"), "--kind", "events", "--json",
            "--workspace", str(folder / "workspace"),
        ]  # fmt: skip
        taken: dict[str, list[Took]] = {"bare": [], "limner": []}
        for _ in range(options.runs):
            taken["bare"].append(run(bare_command, folder / "bare", size))
            taken["limner"].append(run(limner_command, folder / "workspace", size))
        middle = {who: sorted(all_, key=lambda took: took.seconds)[len(all_) // 2] for who, all_ in taken.items()}
        histories = history_milliseconds(folder / "workspace")
        told = {
            "events": options.events,
            "input_mb": round(size / 2**20),
            **{who: asdict(took) for who, took in middle.items()},
            "seconds_over_bare": round(middle["limner"].seconds / middle["bare"].seconds, 2),
            "cpu_seconds_over_bare": round(middle["limner"].cpu_seconds / middle["bare"].cpu_seconds, 2),
            "history_ms": round(median(took for took, _ in histories[1:]), 1),
            "history_cpu_ms": round(median(busy for _, busy in histories[1:]), 1),
            "history_cold_ms": round(histories[0][0], 1),
        }
        print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
