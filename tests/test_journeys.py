"""Sessions and journeys against a plain Python computation that shares no code with the SQL."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime, time, timedelta
from pathlib import Path
from statistics import mean, median
from typing import Any

import pytest

from limner.histories.journeys import FEWEST, GAP_MINUTES, RECENT_DAYS, read_journeys
from limner.histories.store import Store
from reading_workspace import START, event, export, load

Row = dict[str, Any]
LOOKED = ("view", "click")


def made(seed: int, users: int = 25, events: int = 60) -> list[Row]:
    """Random doings: sessions with and without ids, dates without a clock, searches in both languages."""
    rng = random.Random(seed)
    rows = []
    for number in range(users):
        now = START + timedelta(days=rng.randint(0, 200), seconds=rng.randint(0, 86_000))
        for _ in range(rng.randint(0, events)):
            now += timedelta(seconds=rng.choice([0, 5, 60, 60 * GAP_MINUTES, 60 * GAP_MINUTES + 1, 86_400 * 40]))
            kind = rng.choice(["view", "view", "click", "search", "cart", "order", "chat", "campaign"])
            rows.append(
                event(
                    f"u{number:02}",
                    rng.choice([" Tea ", "tea", "龙井", "", "  "]) if kind == "search" else None,
                    kind=kind,
                    ts=datetime.combine(now.date(), time()) if rng.random() < 0.1 else now,
                    item_id=None if kind in ("search", "chat", "campaign") else f"i{rng.randint(1, 5)}",
                    session_id=rng.choice([None, None, "s1", "s2"]),
                    device=rng.choice([None, "phone", "laptop"]),
                    place=rng.choice([None, "上海", "Berlin"]),
                    role="agent" if kind == "chat" and rng.random() < 0.5 else None,
                )
            )
    return rows


def own(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The users' own doings by time; events of one moment by id, which `load` gives in the order of the rows."""
    users: dict[str, list[Row]] = defaultdict(list)
    for number, row in enumerate(rows):
        if row["kind"] != "campaign" and row.get("role") != "agent":
            users[row["user_id"]].append({**row, "id": f"e{number:03}"})
    return {user: sorted(mine, key=lambda r: (r["ts"], r["id"])) for user, mine in users.items()}


def sessions_of(mine: Sequence[Row]) -> list[list[Row]]:
    named: dict[str, list[Row]] = defaultdict(list)
    runs: list[list[Row]] = []
    last: datetime | None = None
    for row in mine:
        if row["session_id"]:
            named[row["session_id"]].append(row)
        elif row["ts"].time() != time():
            if last is None or row["ts"] - last > timedelta(minutes=GAP_MINUTES):
                runs.append([])
            runs[-1].append(row)
            last = row["ts"]
    return sorted([*named.values(), *runs], key=lambda s: (s[0]["ts"], min(row["id"] for row in s)))


def turns(session: Sequence[Row]) -> list[Row]:
    """A session without further looks at the item that is being looked at."""
    kept: list[Row] = []
    for before, row in zip([None, *session], session, strict=False):
        again = before is not None and row["item_id"] is not None and row["item_id"] == before["item_id"]
        if not (again and row["kind"] in LOOKED and before is not None and before["kind"] in LOOKED):
            kept.append(row)
    return kept


def expected(mine: Sequence[Row]) -> Row:
    found = sessions_of(mine)
    steps = [(a, b) for session in found for a, b in zip(turns(session), [*turns(session)[1:], None], strict=True)]
    dwell = [(b["ts"] - a["ts"]).total_seconds() for a, b in steps if b is not None and a["kind"] in LOOKED]
    after = [b is not None and b["kind"] in (*LOOKED, "cart", "order") for a, b in steps if a["kind"] == "search"]
    queries = Counter(r["text"].strip().lower() for r in mine if r["kind"] == "search" and r["text"].strip())
    times: dict[str, dict[str, list[datetime]]] = defaultdict(lambda: defaultdict(list))
    for row in mine:
        if row["item_id"]:
            times[row["item_id"]]["look" if row["kind"] in LOOKED else row["kind"]].append(row["ts"])
    looked = [t for t in times.values() if t["look"]]
    carted = [t for t in times.values() if t["cart"]]
    later = [any(x >= min(t["look"]) for x in (*t["cart"], *t["order"])) for t in looked]
    bought = [any(x >= min(t["cart"]) for x in t["order"]) for t in carted]
    return {
        "sessions": len(found) or None,
        "session_minutes": median((s[-1]["ts"] - s[0]["ts"]).total_seconds() / 60 for s in found) if found else None,
        "session_events": mean(map(len, found)) if found else None,
        "dwell_seconds": median(dwell) if dwell else None,
        "search_clicks": mean(after) if after else None,
        "searches": queries.total() or None,
        "queries": [{"value": q, "n": n} for q, n in sorted(queries.items(), key=lambda p: (-p[1], p[0]))[:5]] or None,
        "viewed_items": len(looked) if times else None,
        "carted_items": len(carted) if times else None,
        "ordered_items": sum(bool(t["order"]) for t in times.values()) if times else None,
        "view_to_cart": mean(later) if later else None,
        "cart_to_order": mean(bought) if bought else None,
        **used("device", mine),
        **used("place", mine),
    }


def used(column: str, mine: Sequence[Row]) -> Row:
    border = max(row["ts"] for row in mine) - timedelta(days=RECENT_DAYS)
    late = Counter(row[column] for row in mine if row[column] and row["ts"] > border)
    early = Counter(row[column] for row in mine if row[column] and row["ts"] <= border)
    ranked = [value for value, _ in sorted((late + early).items(), key=lambda pair: (-pair[1], pair[0]))] + [None] * 2
    first = [min(c.items(), key=lambda pair: (-pair[1], pair[0]))[0] if c else None for c in (late, early)]
    enough = min(late.total(), early.total()) >= FEWEST
    return {
        f"main_{column}": ranked[0],
        f"second_{column}": ranked[1],
        f"{column}_changed": first[0] != first[1] if enough else None,
    }


def agree(got: Row, want: Row) -> None:
    for name, value in want.items():
        assert got[name] == (pytest.approx(value) if isinstance(value, float) else value), name


@pytest.mark.parametrize("seed", [1, 2])
def test_journeys_are_what_plain_python_finds(seed: int, tmp_path: Path) -> None:
    rows = made(seed)
    store, mine = load(tmp_path, *rows), own(rows)
    found = {row["user_id"]: row for row in read_journeys(store, sorted(mine))}
    assert set(found) == {user for user, doings in mine.items() if doings}
    for user, doings in mine.items():
        agree(found[user], expected(doings))
    exported = {row["user_id"]: row for row in export(tmp_path, "journeys", tmp_path / "j.jsonl")}
    assert set(exported) == set(found)


def test_sessions_are_exported_one_a_row(tmp_path: Path) -> None:
    rows = made(3)
    load(tmp_path, *rows)
    found = export(tmp_path, "sessions", tmp_path / "s.jsonl")
    for user, doings in own(rows).items():
        mine = [row for row in found if row["user_id"] == user]
        want = sessions_of(doings)
        assert [row["session"] for row in mine] == list(range(1, len(want) + 1))
        assert [row["events"] for row in mine] == [len(session) for session in want]
        assert [row["searches"] for row in mine] == [sum(r["kind"] == "search" for r in session) for session in want]
        starts = [datetime.fromisoformat(row["started"]) for row in mine]
        assert starts == [session[0]["ts"] for session in want]


def test_users_are_given_in_the_order_asked_for_and_unknown_ones_left_out(tmp_path: Path) -> None:
    look = {"kind": "view", "item_id": "i", "ts": START + timedelta(hours=3)}
    store = load(tmp_path, *(event(user, **look) for user in ("a", "b", "c")))
    assert [row["user_id"] for row in read_journeys(store, ["c", "nobody", "a"])] == ["c", "a"]
    assert read_journeys(Store.open(tmp_path / "none", create=True), ["a"]) == []


@pytest.mark.data
def test_real_clicks_have_sessions(data_folder: Path, tmp_path: Path) -> None:
    from limner import Workspace

    workspace = Workspace(tmp_path / "w")
    maps = Path(__file__).parent.parent / "docs" / "maps"
    workspace.ingest(data_folder / "jd_clicks_sample_zh" / "events.parquet", mapping=maps / "jd_events.toml")
    sessions = workspace.store.rows("SELECT count(*) AS n FROM events WHERE kind = 'view'")
    rows = export(workspace.path, "sessions", tmp_path / "s.jsonl")
    assert sum(row["events"] for row in rows) == workspace.store.rows("SELECT count(*) AS n FROM events")[0]["n"]
    assert sum(row["views"] for row in rows) >= sessions[0]["n"] > 0
