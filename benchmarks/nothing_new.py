"""What `limner extract` costs when nothing is new: every user read before, and nothing about them changed.

    python benchmarks/nothing_new.py [--users 100000] [--read 10000] [--folder FOLDER]

Small users (two orders and a review each, half of them Chinese) are loaded and read once through the real code, by an
engine that answers at once; of more than `--read` users the rest are copies of these under other ids, with their
signals, personas and what is kept of them. Then the real `limner extract` runs over all of them in a process of its
own, twice: it must ask nothing and write nothing. `--slow` runs it once more with what is kept taken away, which shows
what that saves. The target is a minute for 100,000 users.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from limner.agents.extractor import choose_plan, extract
from limner.agents.extractor.run import choose_users
from limner.agents.extractor.unchanged import settled_readings
from limner.agents.portraitist import portray
from limner.agents.portraitist import run as portraits
from limner.agents.portraitist.labels import refresh_names
from limner.histories.facts import aggregate
from limner.histories.settled import Settled
from limner.histories.store import Store
from limner.serving import LEDGER_FILE
from limner.serving.client import Client
from limner.serving.ledger import Ledger
from limner.serving.request import ChatRequest
from limner.serving.scripted import ScriptedEngine

SPEC = "http://127.0.0.1:9/v1#nobody"
"""An address where nothing listens: a run that asks anything fails."""

MODEL = "nobody@127.0.0.1:9"
TARGET_SECONDS = 60.0
TARGET_USERS = 100_000
CHUNK = 4000
"""Users read together while the workspace is made; not what is measured."""

EVENTS = """
SELECT 'e' || (3 * u + n) AS event_id, 'u' || lpad(u::VARCHAR, 7, '0') AS user_id,
    TIMESTAMP '2025-01-01' + to_hours((u * 7 + n * 997) % 8000) AS ts,
    CASE n WHEN 2 THEN 'review' ELSE 'order' END AS kind,
    'i' || (u * 31 + n * 17) % 900 AS item_id,
    things[1 + ((u * 31 + n * 17) % len(things))::INTEGER] AS title,
    'category ' || (u + n) % 12 AS category,
    CASE WHEN n < 2 THEN NULL
        WHEN u % 2 = 0 THEN 'The ' || things[1 + (u % len(things))::INTEGER] || ' number ' || u || ' is light and easy '
            || 'to clean. But the ' || parts[1 + (u % len(parts))::INTEGER] || ' broke after ' || 2 + u % 30 || ' days.'
        ELSE '第' || u || '个' || zh_things[1 + (u % len(zh_things))::INTEGER] || '用着很顺手，' || 2 + u % 30
            || '天没出毛病。就是' || zh_parts[1 + (u % len(zh_parts))::INTEGER] || '太差了。'
    END AS text,
    CASE n WHEN 2 THEN 1.0 + u % 5 END AS rating,
    CASE WHEN n < 2 THEN 10.0 + u % 90 END AS price, 'made' AS source
FROM range({users}) t(u), range(3) m(n),
    (SELECT ['kettle', 'tent', 'stroller', 'grinder', 'lamp', 'desk', 'backpack'] AS things,
        ['lid', 'strap', 'handle', 'zip', 'switch', 'wheel'] AS parts,
        ['水壶', '帐篷', '台灯', '书桌', '背包'] AS zh_things, ['包装', '物流', '盖子', '说明书'] AS zh_parts) w
"""


@dataclass(frozen=True, slots=True)
class Took:
    """What one process took: seconds, and its largest resident memory in MB."""

    seconds: float
    memory_mb: float
    told: dict[str, object]


def plain_answer(request: ChatRequest) -> str:
    """Answers at once, in the form that is asked for."""
    shown, zh = request.messages[-1].content, request.prompt.lang == "zh"
    if request.choices:
        return request.choices[0]
    if request.prompt.name == "interests":
        return "兴趣 露营：1" if zh else "interest camping: 1"
    if request.prompt.name == "narrative":
        return "[T1] 喜欢这个。" if zh else "[T1] Likes it."
    bad = re.search(r"the (\w+) broke|就是(\S+?)太差", shown)
    if bad:
        return f"讨厌：{bad[2]}" if zh else f"dislike: {bad[1]}"
    return "无" if zh else "none"


def load(folder: Path, users: int) -> Store:
    """Makes a workspace of users."""
    import duckdb

    store = Store.open(folder, create=True)
    with duckdb.connect() as db, store.commit("ingest") as commit:
        commit.add_query("events", db, EVENTS.format(users=users))
    aggregate(store, run="made")
    return store


def read(folder: Path, client: Client, chunk: int | None = None) -> None:
    """Reads everyone and writes the personas, as `limner extract` does."""
    store = Store.open(folder)
    extract(store, client, choose_plan(SPEC, "small"), chunk=chunk)
    portray(store, client, chunk=chunk)


def make(folder: Path, users: int) -> float:
    """Loads and reads the users; returns how long the reading took."""
    load(folder, users)
    started = time.perf_counter()
    with Client(ScriptedEngine(plain_answer, MODEL), Ledger(folder / LEDGER_FILE), "first") as client:
        read(folder, client, CHUNK)
    return time.perf_counter() - started


def again(folder: Path) -> Took:
    """`limner extract` in a process of its own."""
    command = [sys.executable, "-m", "limner", "extract", "--workspace", str(folder), "--model", SPEC]
    with tempfile.TemporaryFile("w+") as out:
        started = time.perf_counter()
        done = subprocess.Popen([*command, "--plan", "small", "--json"], stdout=out, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(done.pid, 0)
        seconds = time.perf_counter() - started
        out.seek(0)
        told = json.loads(out.read())
    if status or told["calls"]:
        raise SystemExit(f"the second extract failed or asked something: {told}")
    return Took(seconds, usage.ru_maxrss / 1024, told)


_OF_COPIES = """
list_transform({0}, lambda e: struct_pack(
    event_id := e.event_id || '-' || n, field := e.field, start := e.start, "end" := e."end", quote := e.quote)) AS {0}
"""
"""SQL for pieces of evidence as they are of a copied event."""


def multiply(folder: Path, times: int) -> None:
    """Copies everyone under other ids, with all that is stored of them."""
    store = Store.open(folder)
    with store.read() as db, store.commit("copy") as commit:
        for name in ("events", "facts", "extractions", "signals", "personas", "traits"):
            other = "user_id || '-' || n AS user_id"
            if name in ("events", "signals"):
                other += ", event_id || '-' || n AS event_id"
            if name == "traits":
                other += f", {_OF_COPIES.format('evidence')}, {_OF_COPIES.format('against')}"
            query = f"SELECT * EXCLUDE (run, seq, n) REPLACE ({other}) FROM {name}, range(1, {times}) c(n)"
            commit.add_query(name, db, query)
    with Client(ScriptedEngine(plain_answer, MODEL), Ledger(folder / LEDGER_FILE), "copy") as client:
        users = choose_users(store, None, None)
        readings = settled_readings(store, client.model, choose_plan(SPEC, "small"), users)
        keep_copies(store, readings, "SELECT user_id, history_key FROM extractions")
        way = portraits._way(client, refresh_names(store))
        keep_copies(store, Settled(store, portraits.PERSONAS, way, users), "SELECT user_id, traits_key FROM personas")


def keep_copies(store: Store, kept: Settled, keys: str) -> None:
    """Notes of copies what is noted of those they are copies of."""
    with store.read() as db:
        stored = dict(db.execute(keys).fetchall())
    for user in kept.open:
        kept.note(user, stored[user], kept.told[user.partition("-")[0]])
    kept.keep()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--read", type=int, default=10_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--slow", action="store_true")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="limner-nothing-new-"))
    try:
        if not (folder / "manifest.json").is_file():
            read_users = min(options.read, options.users)
            print(f"{read_users:,} users read in {make(folder, read_users):,.0f} s", flush=True)
            if options.users > read_users:
                multiply(folder, options.users // read_users)
        seq = Store.open(folder).manifest().seq
        for name in ("nothing new", "nothing new, again", *(["nothing new, nothing kept"] if options.slow else [])):
            if "kept" in name:
                shutil.rmtree(folder / "cache" / "settled", ignore_errors=True)
            told(name, again(folder))
        if Store.open(folder).manifest().seq != seq:
            raise SystemExit("a run that had nothing to do wrote something")
    finally:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


def told(name: str, took: Took) -> None:
    """Prints what a run took."""
    users = int(str(took.told["users"]))
    verdict = ""
    if users >= TARGET_USERS and "kept" not in name:
        verdict = f"{'met' if took.seconds < TARGET_SECONDS else 'MISSED'}: {TARGET_SECONDS:g} s"
    print(
        f"{name:28} {users:,} users  {took.seconds:8.1f} s  {took.memory_mb:8,.0f} MB  "
        f"{took.told['cached_calls']:,} questions answered before  {verdict}",
        flush=True,
    )


if __name__ == "__main__":
    main()
