"""Calls at once: growing slowly, halving when pushed back; pauses that headers ask for."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.serving.pace import Gate, Pace
from limner.serving.pauses import asked_pause, duration, used_up


def test_it_grows_by_one_after_as_many_answers_as_may_be_under_way() -> None:
    pace = Pace(2, 4)
    grown = []
    for n in range(12):
        pace.answered(float(n))
        grown.append(pace.limit)
    assert grown == [2, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4]


def test_one_refusal_of_many_calls_halves_once() -> None:
    pace = Pace(16)
    for _ in range(16):
        pace.pushed_back(sent_at=1.0, now=2.0)
    assert pace.limit == 8
    pace.pushed_back(sent_at=2.5, now=3.0)
    assert pace.limit == 4
    for _ in range(9):
        pace.answered(sent_at=1.5)  # Sent before the halving: no reason to grow.
    assert pace.limit == 4


def test_without_a_most_it_comes_back_to_where_it_began() -> None:
    pace = Pace(8)
    pace.pushed_back(0.0, 1.0)
    for n in range(1000):
        pace.answered(2.0 + n)
    assert pace.limit == 8


@given(
    st.integers(-3, 64),
    st.one_of(st.none(), st.integers(-3, 64)),
    st.lists(st.tuples(st.booleans(), st.floats(0, 5)), max_size=200),
)
def test_it_stays_between_one_and_most(start: int, most: int | None, events: list[tuple[bool, float]]) -> None:
    pace, now = Pace(start, most), 0.0
    highest = max(1, start, most or 0)
    for good, took in events:
        before, sent = pace.limit, now
        now += took
        pace.answered(sent) if good else pace.pushed_back(sent, now)
        assert 1 <= pace.limit <= highest
        assert pace.limit <= before + 1
        assert pace.limit >= before // 2
    assert pace.most == highest


def test_a_server_with_room_for_so_many_is_used_nearly_full() -> None:
    """Against a made server that refuses what is beyond its room, the mean stays between half of it and all of it."""
    room, pace, now, seen = 12, Pace(2, 64), 0.0, []
    for _ in range(400):
        sent, now = now, now + 1.0
        for call in range(pace.limit):
            pace.answered(sent) if call < room else pace.pushed_back(sent, now)
        seen.append(pace.limit)
    settled = seen[100:]
    assert room / 2 < sum(settled) / len(settled) <= room + 1


def test_the_gate_lets_no_more_through_than_the_pace() -> None:
    gate, now, most, lock = Gate(Pace(3)), 0, 0, threading.Lock()

    def call() -> None:
        nonlocal now, most
        sent = gate.enter()
        assert sent is not None
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.005)
        with lock:
            now -= 1
        gate.leave(sent, answered=True)

    threads = [threading.Thread(target=call) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert most == 3


def test_a_held_gate_waits_and_a_shut_one_sends_away() -> None:
    gate = Gate(Pace(1))
    gate.hold(0.15)
    gate.hold(0.01)  # The longer pause stands.
    started = time.monotonic()
    sent = gate.enter()
    assert sent is not None
    assert time.monotonic() - started >= 0.14
    gave: list[float | None] = []
    waiting = threading.Thread(target=lambda: gave.append(gate.enter()))
    waiting.start()
    gate.shut_down()
    waiting.join(5)
    assert gave == [None]
    assert gate.enter() is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *[("1s", 1.0), ("6m0s", 360.0), ("20ms", 0.02), ("1h2m3.5s", 3723.5), ("7.66", 7.66), ("0", 0.0)],
        *[
            ("1d", 86400.0),
            ("", None),
            ("soon", None),
            ("1 fortnight", None),
            ("-3", None),
            ("inf", None),
            ("nan", None),
        ],
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert duration(text) == (seconds if seconds is None else pytest.approx(seconds))


NOW = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)
GONE = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "8.64s"}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": format_datetime(NOW + timedelta(seconds=30), usegmt=True)}, 30.0),
        ({"retry-after": format_datetime(NOW - timedelta(days=1), usegmt=True)}, 0.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "later"}, None),
        (GONE, 8.64),
        ({"retry-after": "2", **GONE}, 2.0),
        ({**GONE, "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m"}, 60.0),
        ({**GONE, "x-ratelimit-remaining-requests": "3"}, None),
    ],
)
def test_what_a_refusal_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    assert asked_pause(headers, NOW) == (seconds if seconds is None else pytest.approx(seconds))


def test_what_is_left_of_a_limit_needs_no_pause() -> None:
    assert used_up({"x-ratelimit-remaining-tokens": "1", "x-ratelimit-reset-tokens": "1m"}) is None
    assert used_up({"x-ratelimit-remaining-tokens": "0"}) is None
