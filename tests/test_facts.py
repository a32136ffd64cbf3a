"""Facts against an independent computation in pandas, on generated and on real histories."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limner.errors import UsageError
from limner.histories import facts
from limner.histories.facts import aggregate
from limner.histories.schema import EVENT_KINDS, TABLES
from limner.histories.store import Store

START = datetime(2023, 1, 1)
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def store_of(folder: Path, **tables: list[dict[str, Any]]) -> Store:
    store = Store.open(folder / "w", create=True)
    with store.commit("ingest") as commit:
        for name, rows in tables.items():
            if rows:
                commit.add(name, rows)
    return store


def facts_of(store: Store) -> dict[str, dict[str, Any]]:
    return {row["user_id"]: row for row in store.rows("FROM facts")}


# The oracle -----------------------------------------------------------------------------------------------------------


def finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def ranked(values: Iterable[Any], most: int | None, key: Any = None) -> list[dict[str, Any]]:
    counts = Counter(v for v in values if v)
    order = sorted(counts, key=lambda v: (-counts[v], key(v) if key else v.encode()))
    return [{"value": v, "n": counts[v]} for v in order[:most]]


def amount_of(row: dict[str, Any]) -> float | None:
    amount = finite(row["amount"])
    if amount is None and finite(row["price"]) is not None:
        quantity = finite(row["quantity"])
        amount = row["price"] * (1 if quantity is None else quantity)
    return amount


def occasion(row: dict[str, Any]) -> str:
    return row["session_id"] or (str(row["ts"].date()) if row["ts"] else row["event_id"])


def trend(times: list[datetime], as_of: datetime, days: int) -> float | None:
    width = timedelta(days=days)
    windows = [(as_of - t) // width for t in times]
    before = [w for w in windows if w > 0]
    if not before:
        return None
    return windows.count(0) / (len(before) / max(before)) - 1


def money_of(rows: list[dict[str, Any]]) -> tuple[float | None, str | None, float | None]:
    paid = [r for r in rows if r["kind"] in ("order", "return") and amount_of(r) is not None]
    if not paid:
        return None, None, None
    counts = Counter(r["currency"] or "" for r in paid)
    main = min(counts, key=lambda c: (-counts[c], c))
    paid = [r for r in paid if (r["currency"] or "") == main]
    orders = [r for r in paid if r["kind"] == "order"]
    bought = sum(amount_of(r) for r in orders)
    monetary = bought - sum(abs(amount_of(r)) for r in paid if r["kind"] == "return")
    return monetary, main or None, bought / len({occasion(r) for r in orders}) if orders else None


def expected(user: str, events: list[dict[str, Any]], as_of: datetime | None, any_orders: bool) -> dict[str, Any]:
    rows = [r for r in events if r["user_id"] == user and (r["ts"] is None or r["ts"] <= as_of)]
    acts = [r for r in rows if r["kind"] != "campaign" and (r["role"] or "") in ("", "customer", "user")]
    times = sorted(r["ts"] for r in acts if r["ts"])
    ordered = [r for r in rows if r["kind"] == "order"]
    order_times = [r["ts"] for r in ordered if r["ts"]]
    recent = max(order_times) if order_times else (times[-1] if times else None)
    ratings = [r["rating"] for r in rows if finite(r["rating"]) is not None]
    monetary, currency, average = money_of(rows)
    name = {}
    for row in acts:
        if row["item_id"] and row["title"]:
            name[row["item_id"]] = max(name.get(row["item_id"], ""), row["title"], key=str.encode)
    return {
        "events": len(rows),
        "texts": sum(bool(r["text"] and r["text"].strip()) and (r["role"] or "") != "agent" for r in rows),
        "kinds": ranked((r["kind"] for r in rows), None),
        "first_seen": times[0] if times else None,
        "last_seen": times[-1] if times else None,
        "recency_days": (as_of - recent) / timedelta(days=1) if recent else None,
        "frequency": len({occasion(r) for r in ordered}) if any_orders else None,
        "monetary": monetary,
        "currency": currency,
        "average_order": average,
        "return_rate": min(1.0, sum(r["kind"] == "return" for r in rows) / len(ordered)) if ordered else None,
        "rating_mean": sum(ratings) / len(ratings) if ratings else None,
        "ratings": len(ratings),
        "events_30d": sum(as_of - t < timedelta(days=30) for t in times),
        "events_90d": sum(as_of - t < timedelta(days=90) for t in times),
        "trend_30d": trend(times, as_of, 30) if as_of else None,
        "trend_90d": trend(times, as_of, 90) if as_of else None,
        "top_categories": ranked((c.strip() for r in acts for c in set((r["category"] or "").split("|"))), 5),
        "top_items": ranked((name.get(r["item_id"], r["item_id"]) if r["item_id"] else r["title"] for r in acts), 5),
        "top_hours": ranked((f"{t:%H}" for t in times if t.time() != datetime.min.time()), 3),
        "top_weekdays": ranked((DAYS[t.weekday()] for t in times), 3, DAYS.index),
        "top_devices": ranked((r["device"] for r in acts), 5),
        "top_channels": ranked((r["channel"] for r in acts), 5),
    }


def assert_same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name, value in wanted.items():
        if isinstance(value, float):
            assert found[name] == pytest.approx(value, rel=1e-6, abs=1e-6), name
        else:
            assert found[name] == value, name


# Generated histories --------------------------------------------------------------------------------------------------

USERS = ("u1", "用户'2\n", 'x"; DROP TABLE facts; --')
NUMBERS = st.one_of(
    st.none(), st.sampled_from([0.0, 1.0, 2.5, -3.0, 19.99]), st.sampled_from([math.nan, math.inf, -math.inf])
)
MOMENTS = st.one_of(
    st.none(),
    st.sampled_from([0, 1, 30, 31, 60, 90, 91, 180]).map(lambda d: START + timedelta(days=d)),
    st.integers(0, 400 * 86_400_000_000).map(lambda us: START + timedelta(microseconds=us)),
)


def maybe(*values: str) -> st.SearchStrategy[str | None]:
    return st.sampled_from([None, *values])


EVENT = st.fixed_dictionaries(
    {
        "user_id": st.sampled_from(USERS),
        "ts": MOMENTS,
        "kind": st.sampled_from(["order", "order", "return", *sorted(EVENT_KINDS)]),
        "item_id": maybe("i1", "i2", "商品"),
        "title": maybe("Tea", "茶|'", "tea"),
        "category": maybe("A", "A|B", "B|", "家居|A|家居"),
        "text": maybe("good", "不错，很好", " \n"),
        "rating": NUMBERS,
        "price": NUMBERS,
        "quantity": NUMBERS,
        "amount": NUMBERS,
        "currency": maybe("CNY", "USD", ""),
        "session_id": maybe("s1", "s2", ""),
        "device": maybe("ios", "pc"),
        "channel": maybe("web"),
        "role": maybe("", "customer", "agent"),
    }
)


@pytest.mark.slow
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(events=st.lists(EVENT, max_size=60))
def test_facts_agree_with_pandas(events: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> None:
    for number, event in enumerate(events):
        event["event_id"] = f"e{number}"
    store = store_of(tmp_path_factory.mktemp("facts"), events=events, users=[{"user_id": "idle", "lang": "zh-CN"}])
    times = [e["ts"] for e in events if e["ts"]]
    as_of = max(times, default=None)
    known = {e["user_id"] for e in events} | {"idle"}
    assert aggregate(store, run="r") == len(known)
    found = facts_of(store)
    assert set(found) == known
    any_orders = True if any(e["kind"] == "order" for e in events) else None
    for user in known:
        assert found[user]["as_of"] == as_of
        assert_same(found[user], expected(user, events, as_of, bool(any_orders)))
        for value in found[user].values():
            assert not isinstance(value, float) or math.isfinite(value)


def test_every_column_is_written(tmp_path: Path) -> None:
    event = {
        "event_id": "1", "user_id": "u", "ts": START + timedelta(hours=9), "kind": "order", "item_id": "i",
        "price": 5.0,
        "rating": 4.0, "currency": "CNY", "device": "ios", "place": "上海", "channel": "app", "text": "很好",
        "category": "茶",
    }  # fmt: skip
    old = event | {"event_id": "0", "ts": START - timedelta(days=100)}
    store = store_of(tmp_path, events=[event, old], ties=[{"user_id": "u", "other_id": "v", "kind": "friend"}])
    aggregate(store, run="r")
    row = facts_of(store)["u"]
    assert [name for name, _ in TABLES["facts"].columns if row[name] in (None, [])] == []
    assert row["lang"] == "zh"
    assert row["top_places"] == [{"value": "上海", "n": 2}]


# Single rules ---------------------------------------------------------------------------------------------------------


def test_people_known_only_by_profile_or_tie_have_facts(tmp_path: Path) -> None:
    ties = [{"user_id": "a", "other_id": "b", "kind": "friend"}, {"user_id": "b", "other_id": "a", "kind": "friend"}]
    store = store_of(tmp_path, users=[{"user_id": "c", "lang": "en"}], ties=[*ties, {"user_id": "a", "other_id": "a"}])
    assert aggregate(store, run="r") == 3
    found = facts_of(store)
    assert {user: row["ties"] for user, row in found.items()} == {"a": 1, "b": 1, "c": 0}
    assert found["c"]["events"] == 0
    assert found["c"]["lang"] == "en"
    assert found["c"]["as_of"] is None


def test_many_users_with_few_events_are_computed_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = {
        "events": [
            {
                "event_id": str(n),
                "user_id": f"u{n % 40}",
                "ts": START + timedelta(days=n),
                "kind": "view",
                "item_id": "i",
            }
            for n in range(60)
        ],
        "users": [{"user_id": f"p{n}", "lang": "zh"} for n in range(20)],
        "ties": [{"user_id": f"u{n}", "other_id": f"t{n}", "kind": "friend"} for n in range(20)],
    }
    whole, parted = store_of(tmp_path / "whole", **tables), store_of(tmp_path / "parted", **tables)
    aggregate(whole, run="r")
    monkeypatch.setattr(facts, "USERS_AT_ONCE", 10)
    parts: list[Any] = []
    narrow = parted.narrow
    monkeypatch.setattr(parted, "narrow", lambda *given: (parts.append(given[-1]), narrow(*given)))
    assert aggregate(parted, run="r") == 80
    assert len(parts) == 8
    assert facts_of(parted) == facts_of(whole)


def test_unknown_is_not_zero(tmp_path: Path) -> None:
    events = [{"event_id": "1", "user_id": "u", "ts": START, "kind": "review", "text": "ok"}]
    store = store_of(tmp_path, events=events)
    aggregate(store, run="r")
    row = facts_of(store)["u"]
    assert (row["frequency"], row["monetary"], row["return_rate"], row["ties"]) == (None, None, None, None)


def test_as_of_leaves_later_events_out(tmp_path: Path) -> None:
    events = [
        {"event_id": str(n), "user_id": "u", "ts": START + timedelta(days=n), "kind": "order", "price": 10.0}
        for n in range(5)
    ]
    store = store_of(tmp_path, events=events)
    aggregate(store, run="r", as_of=START + timedelta(days=2))
    row = facts_of(store)["u"]
    assert (row["events"], row["monetary"], row["recency_days"]) == (3, 30.0, 0.0)


def test_one_slip_into_the_future_does_not_age_everyone(tmp_path: Path) -> None:
    events = [
        {"event_id": "1", "user_id": "u", "ts": START, "kind": "order"},
        {"event_id": "2", "user_id": "v", "ts": datetime(2199, 1, 1), "kind": "order"},
    ]
    store = store_of(tmp_path, events=events)
    aggregate(store, run="r")
    assert facts_of(store)["u"]["recency_days"] == 0.0
    assert facts_of(store)["v"]["events"] == 0


def test_named_users_only_and_the_same_numbers(tmp_path: Path) -> None:
    events = [
        {"event_id": f"{u}{n}", "user_id": u, "ts": START + timedelta(days=n), "kind": "view"}
        for u in USERS
        for n in range(3)
    ]
    store = store_of(tmp_path, events=events)
    aggregate(store, run="all")
    before = facts_of(store)
    assert aggregate(store, run="one", users=[USERS[2], USERS[2]]) == 1
    after = facts_of(store)
    assert after[USERS[2]]["run"] == "one"
    assert after[USERS[0]] == before[USERS[0]]
    kept = {name for name, _ in TABLES["facts"].columns}
    assert {k: after[USERS[2]][k] for k in kept} == {k: before[USERS[2]][k] for k in kept}
    with pytest.raises(UsageError, match="nobody"):
        aggregate(store, run="r", users=["u1", "nobody"])


def test_items_are_named_by_the_catalogue(tmp_path: Path) -> None:
    events = [
        {"event_id": "1", "user_id": "u", "ts": START, "kind": "view", "item_id": "i1"},
        {"event_id": "2", "user_id": "u", "ts": START, "kind": "view", "item_id": "i1", "title": "other name"},
        {"event_id": "3", "user_id": "u", "ts": START, "kind": "view", "item_id": "i2"},
    ]
    items = [{"item_id": "i1", "title": "龙井茶", "category": "茶|饮料"}]
    store = store_of(tmp_path, events=events, items=items)
    aggregate(store, run="r")
    row = facts_of(store)["u"]
    assert row["top_items"] == [{"value": "龙井茶", "n": 2}, {"value": "i2", "n": 1}]
    assert row["top_categories"] == [{"value": "茶", "n": 2}, {"value": "饮料", "n": 2}]


# Real data ------------------------------------------------------------------------------------------------------------


@pytest.mark.data
def test_real_orders_agree_with_pandas(data_folder: Path, tmp_path: Path) -> None:
    source = data_folder / "online_retail_uk" / "events.parquet"
    frame = pd.read_parquet(source)
    store = Store.open(tmp_path / "w", create=True)
    with store.commit("ingest") as commit, store.read() as db:
        commit.add_query(
            "events",
            db,
            "SELECT * REPLACE (item_id::VARCHAR AS item_id), type AS kind, row_number() OVER ()::VARCHAR AS event_id"
            f" FROM read_parquet('{source}')",
        )
    assert aggregate(store, run="r") == frame.user_id.nunique()
    found = store.frame("SELECT * FROM facts").set_index("user_id").sort_index()
    frame["value"] = (frame.price * frame.quantity).abs() * frame.type.map({"order": 1, "return": -1})
    orders = frame[frame.type == "order"]
    newest = frame.ts.max()
    by_user = frame.groupby("user_id")
    pd.testing.assert_series_equal(found.monetary, by_user.value.sum(), check_names=False, rtol=1e-9)
    bought = orders.groupby("user_id").session_id.nunique().reindex(found.index).fillna(0)
    pd.testing.assert_series_equal(found.frequency.astype(float), bought, check_names=False)
    last = orders.groupby("user_id").ts.max().reindex(found.index).fillna(by_user.ts.max())
    recency = (newest - last) / pd.Timedelta(days=1)
    pd.testing.assert_series_equal(found.recency_days, recency, check_names=False, rtol=1e-9)
    recent = frame[newest - frame.ts < pd.Timedelta(days=90)].groupby("user_id").size().reindex(found.index).fillna(0)
    pd.testing.assert_series_equal(found.events_90d.astype(float), recent, check_names=False)


def test_new_events_that_move_the_newest_time_refresh_everyone(tmp_path):
    """Recency counts back from the newest event, so a user without new events must not keep an older `as_of`."""
    import pandas as pd

    from limner.workspace import Workspace

    workspace = Workspace(tmp_path / "w")
    reviews = {"user_id": ["a", "b"], "ts": ["2025-01-01 10:00", "2025-01-02 10:00"], "kind": ["review", "review"]}
    workspace.ingest(pd.DataFrame({**reviews, "text": ["good", "bad"]}))
    assert workspace.frame("facts")["frequency"].isna().all()
    workspace.ingest(pd.DataFrame({"user_id": ["a"], "ts": ["2025-03-01 10:00"], "kind": ["order"], "amount": ["5"]}))
    facts = workspace.frame("facts").set_index("user_id")
    assert facts["as_of"].nunique() == 1
    assert facts["frequency"].to_dict() == {"a": 1, "b": 0}
    assert facts["recency_days"]["b"] == 58
