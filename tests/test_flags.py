"""Bots and test accounts: what each rule flags, what people do that no rule may flag, and what comes of a flag."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from limner.agents.extractor.run import choose_users
from limner.cli import main
from limner.errors import UsageError
from limner.histories.facts import aggregate
from limner.histories.flags import check, clear, flagged_users, flags_of
from limner.histories.profile import profile
from limner.histories.status import status
from limner.histories.store import Store
from limner.histories.touched import touched_users
from limner.histories.undo import undo
from reading_workspace import make

START = datetime(2025, 3, 3, 9)
TEXT = "质量很好，包装也很仔细，物流特别快，客服态度不错，下次还会再来购买，推荐给大家。"


def acts(user: str, *seconds: float, kind: str = "view", **more: Any) -> list[dict[str, Any]]:
    return [{"user_id": user, "kind": kind, "ts": START + timedelta(seconds=s), **more} for s in seconds]


def busy() -> list[dict[str, Any]]:
    draw = random.Random(2)
    return acts("fast", *(2.5 * n + draw.uniform(-2, 2) for n in range(900)))


def tireless(draw: random.Random) -> list[dict[str, Any]]:
    at, moments = 0.0, []
    while at < 45 * 3600:
        moments.append(at)
        at += draw.uniform(60, 5000)
    return acts("awake", *moments)


def clockwork(draw: random.Random) -> list[dict[str, Any]]:
    return acts("clock", *(300 * n + draw.choice((0, 0, 0, 1)) + 7 * 3600 * (n // 40) for n in range(80)))


def person(user: str, draw: random.Random) -> Iterator[dict[str, Any]]:
    """Evenings of clicks with pauses to read, an order now and then, and a few words."""
    for day in range(20):
        at = day * 86_400 + draw.uniform(8, 14) * 3600
        for _ in range(draw.randint(5, 80)):
            at += draw.expovariate(1 / 25)
            yield from acts(user, at)
        yield from acts(user, at + 60, kind="order", amount=draw.uniform(5, 90), item_id="i")
    yield from acts(
        user, 21 * 86_400, kind="review", text=f"Arrived on day {draw.random()}, works as it should, {user}."
    )


def write(path: Path, rows: list[dict[str, Any]], users: tuple[dict[str, Any], ...] = ()) -> Store:
    store = make(path / "w")
    with store.commit("ingest") as commit:
        commit.add("events", [{"event_id": f"e{n}", **row} for n, row in enumerate(rows)])
        if users:
            commit.add("users", list(users))
    aggregate(store, run="test")
    return store


def flags(store: Store) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for flag in flags_of(store):
        found.setdefault(flag.user_id, []).append(flag.flag)
    return found


def test_each_rule_flags_its_own_and_no_person(tmp_path: Path) -> None:
    draw = random.Random(7)
    rows = [*busy(), *tireless(draw), *clockwork(draw)]
    for n in range(30):
        rows += person(f"u{n}", draw)
    found = check(write(tmp_path, rows))
    store = Store.open(tmp_path / "w")
    assert flags(store) == {"fast": ["pace"], "awake": ["tireless"], "clock": ["clockwork"]}
    assert (found.flagged, found.new, found.users) == (3, 3, 33)
    reasons = {flag.user_id: flag.reason for flag in flags_of(store)}
    assert "minutes of one hour" in reasons["fast"]
    assert "hours on end without a pause" in reasons["awake"]
    assert "after the same 300 seconds" in reasons["clock"]


def test_times_to_the_minute_or_day_and_carts_of_one_moment_are_no_pace_and_no_rhythm(tmp_path: Path) -> None:
    rows = acts("cart", *([0] * 2000), kind="order")
    rows += acts("minutes", *(60 * n for n in range(300)))
    rows += acts("days", *(86_400 * n - 9 * 3600 for n in range(400)), kind="order")
    rows += acts("subscriber", *(86_400 * 7 * n for n in range(60)), kind="order")
    assert check(write(tmp_path, rows)).flagged == 0


def test_a_name_alone_makes_no_test_account(tmp_path: Path) -> None:
    words = "The kettle boils fast and the lid is quiet, I use it daily."
    rows = acts("test_7", 0, 60, kind="review", text="test 123")
    rows += acts("demo-user", 0, kind="order", amount=0.01) + acts("demo-user", 1, kind="order", amount=0.0)
    rows += acts("tester_of_tea", 0, kind="review", text=words) + acts("contest", 0, kind="review", text="test")
    rows += acts("u9", 0, kind="review", text="测试") + acts("u8", 0, kind="order", amount=0.0)
    store = write(tmp_path, rows, ({"user_id": "u9", "attrs": json.dumps({"昵称": "测试账号2"}, ensure_ascii=False)},))
    check(store)
    assert flags(store) == {"test_7": ["test_account"], "demo-user": ["test_account"], "u9": ["test_account"]}


def test_long_texts_of_many_users_are_shared_and_short_or_few_ones_are_not(tmp_path: Path) -> None:
    rows = []
    for n in range(6):
        for m in range(3):
            rows += acts(
                f"copy{n}", 60 * m, kind="review", text=TEXT.replace("推荐给大家", f"推荐给朋友{n}{m}"), item_id=f"i{m}"
            )
        rows += acts(f"brief{n}", *(60 * m for m in range(4)), kind="review", text="很好，很满意！")
    for n in range(3):
        rows += acts(f"once{n}", 0, kind="review", text=TEXT)
    store = write(tmp_path, rows)
    check(store)
    assert flags(store) == {f"copy{n}": ["shared_texts"] for n in range(6)}


def test_flagged_accounts_are_left_out_until_they_are_cleared(tmp_path: Path) -> None:
    store = write(tmp_path, [*busy(), *acts("ann", 0, 5000, kind="review", text="Good.")])
    assert choose_users(store, None, None) == ["ann", "fast"]
    check(store)
    assert choose_users(store, None, None) == ["ann"]
    assert choose_users(store, ["fast"], None) == ["fast"]
    assert choose_users(store, None, None, include_flagged=True) == ["ann", "fast"]
    assert touched_users(store).new == ("ann",)
    assert status(store).flagged == 1
    assert profile(store).flagged == {"pace": 1}
    assert check(store).run == ""
    clear(store, ["fast"])
    found = check(store)
    assert (found.flagged, found.cleared, flagged_users(store)) == (0, 1, frozenset())
    clear(store, ["fast"], again=True)
    assert check(store).flagged == 1
    with pytest.raises(UsageError, match="was not cleared"):
        clear(store, ["ann"], again=True)
    with pytest.raises(UsageError, match="not in"):
        clear(store, ["nobody"])
    for _ in range(4):
        undo(store)
    assert profile(store).flagged is None


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


def test_the_command_checks_lists_and_clears(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = str(write(tmp_path, [*busy(), *acts("ann", 0, kind="review", text="Good.")]).path)
    assert run("flags", "check", "-w", place) == 0
    assert "1 of 2 users flagged (50.00%)" in capsys.readouterr().out
    assert run("flags", "list", "-w", place) == 0
    assert capsys.readouterr().out.startswith("fast: pace: 88")
    assert run("flags", "clear", "fast", "-w", place) == 0
    assert "Cleared: fast" in capsys.readouterr().out
    assert run("status", "-w", place) == 0
    assert "look like bots" not in capsys.readouterr().out
