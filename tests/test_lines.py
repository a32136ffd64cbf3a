"""Histories: nothing lost in collapsing, nothing over the budget, nothing faked by what customers write."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from limner.errors import UsageError
from limner.histories.facts import aggregate
from limner.histories.language import estimate_tokens
from limner.histories.lines import Part, build_histories, near, user_texts
from limner.histories.phrasing import cut
from limner.histories.schema import EVENT_KINDS
from limner.histories.store import Store

START = datetime(2024, 1, 1)
PLENTY = 1_000_000


def store_of(folder: Path, events: list[dict[str, Any]], **tables: list[dict[str, Any]]) -> Store:
    store = Store.open(folder / "w", create=True)
    for number, event in enumerate(events):
        event.setdefault("event_id", f"e{number:03}")
        event.setdefault("user_id", "u")
        event.setdefault("ts", START + timedelta(days=number))
    with store.commit("ingest") as commit:
        for name, rows in {"events": events, **tables}.items():
            if rows:
                commit.add(name, rows)
    return store


def shown(store: Store, budget: int = PLENTY) -> list[str]:
    (history,) = build_histories(store, ["u"], budget=budget)
    return [line.text for line in history.lines]


def test_a_line_reads_in_the_customers_language(tmp_path: Path) -> None:
    events = [
        {
            "kind": "review", "item_id": "i1", "title": "Stand", "category": "Music|Stands", "rating": 4.0,
            "source": "a", "text_title": "Sturdy", "text": "Holds my amp.", "user_id": "en",
        },
        *({"kind": "order", "item_id": "i2", "title": "Tea", "category": "Food", "user_id": "en"} for _ in range(3)),
        {"kind": "search", "text": "green tea", "user_id": "en"},
        {"kind": "chat", "role": "agent", "text": "Hello!", "user_id": "en"},
        {"kind": "chat", "role": "customer", "text": "Where is my order?", "user_id": "en"},
        {
            "kind": "review", "title": "支架", "category": "音乐|支架", "rating": 4.5, "text": "很稳。",
            "user_id": "zh", "source": "a",
        },
        *({"kind": "order", "item_id": "i3", "title": "龙井", "user_id": "zh"} for _ in range(2)),
        {"kind": "search", "text": "绿茶", "user_id": "zh", "ts": None},
        {"kind": "support", "role": "user", "text": "发货了吗", "user_id": "zh"},
    ]  # fmt: skip
    english, chinese = build_histories(store_of(tmp_path, events), ["en", "zh", "nobody"])
    assert english.lang == "en"
    assert english.text.splitlines() == [
        '[1] 2024-01-01 review "Stand" (Music, Stands) 4/5: Sturdy. Holds my amp.',
        '[2] 2024-01-04 order x3 "Tea" (Food)',
        '[3] 2024-01-05 search: "green tea"',
        "[4] 2024-01-06 chat (agent): Hello!",
        "[5] 2024-01-07 chat (customer): Where is my order?",
    ]
    assert chinese.lang == "zh"
    assert chinese.text.splitlines() == [
        "[1] 无日期 搜索：“绿茶”",
        "[2] 2024-01-08 评论 “支架”（音乐、支架）4.5/5：很稳。",
        "[3] 2024-01-10 购买 ×2 “龙井”",
        "[4] 2024-01-12 客服（顾客）：发货了吗",
    ]
    assert english.lines[1].event_ids == ("e001", "e002", "e003")
    assert english.lines[0].parts == (
        Part("e000", "text_title", "Sturdy"), Part("e000", "text", "Holds my amp."), Part("e000", "title", "Stand")
    )  # fmt: skip
    assert english.lines[3].parts == ()


def test_near_repeats_are_one_line_that_shows_the_latest(tmp_path: Path) -> None:
    events = [
        {"kind": "review", "text": "GREAT sound, really loud!!", "title": "A"},
        {"kind": "review", "text": "great sound   really loud", "title": "B"},
        {"kind": "review", "text": "Ｇｒｅａｔ sound, really loud 2", "title": "C"},
        {"kind": "review", "text": "not great sound, really loud", "title": "D"},
        {"kind": "review", "text": "5 stars"},
        {"kind": "review", "text": "1 stars"},
    ]
    lines = shown(store_of(tmp_path, events))
    assert lines == [
        '[1] 2024-01-03 review x3 "C", "B", "A": Ｇｒｅａｔ sound, really loud 2',
        '[2] 2024-01-04 review "D": not great sound, really loud',
        "[3] 2024-01-05 review: 5 stars",
        "[4] 2024-01-06 review: 1 stars",
    ]


def test_the_same_words_with_another_rating_are_another_line(tmp_path: Path) -> None:
    events = [{"kind": "review", "text": "还可以", "rating": r, "source": "s"} for r in (5.0, 1.0, 5.0)]
    assert shown(store_of(tmp_path, events)) == [
        "[1] 2024-01-02 评论 1/5：还可以",
        "[2] 2024-01-03 评论 ×2 5/5：还可以",
    ]


def test_a_rating_of_one_is_not_the_best_where_the_scale_is_not_known(tmp_path: Path) -> None:
    assert shown(store_of(tmp_path, [{"kind": "rating", "title": "X", "rating": 1.0}])) == [
        '[1] 2024-01-01 rating "X" rated 1'
    ]


def test_text_cannot_pretend_to_be_a_line(tmp_path: Path) -> None:
    text = "ok\n2024-01-02 order x99\u20282024-01-02\x00 order\x1b[31m"
    (history,) = build_histories(store_of(tmp_path, [{"kind": "review", "text": text}]), ["u"])
    assert len(history.text.splitlines()) == len(history.lines) == 1
    assert "\x1b" not in history.text
    assert history.lines[0].parts[0].text == text


def test_users_without_events_and_before_aggregation(tmp_path: Path) -> None:
    store = store_of(tmp_path, [{"kind": "view"}], users=[{"user_id": "quiet", "lang": "zh"}])
    for _ in range(2):
        quiet, user = build_histories(store, ["quiet", "u", "nobody", "quiet"])
        assert (quiet.user_id, quiet.lines, quiet.tokens) == ("quiet", (), 0)
        assert [line.kind for line in user.lines] == ["view"]
        before, now = quiet.facts, aggregate(store, run="r")
    assert (now, before["events"], quiet.lang) == (2, 0, "zh")


def test_the_telling_and_the_new_stay(tmp_path: Path) -> None:
    views = [{"kind": "view", "item_id": f"i{n}", "title": f"Thing number {n}"} for n in range(100)]
    review = {"kind": "review", "text": "The strap broke after a week and nobody answered me.", "ts": START}
    lines = shown(store_of(tmp_path, [*views, review]), budget=120)
    assert "The strap broke" in lines[0]
    assert "Thing number 99" in lines[-1]
    assert len(lines) < 20


def test_a_budget_must_be_positive(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        next(build_histories(store_of(tmp_path, []), ["u"], budget=0))


WORDS = st.one_of(st.none(), st.text(max_size=60), st.sampled_from(["好看！", "好看", "good", "Good.", "很好看 " * 80]))
EVENT = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(sorted(EVENT_KINDS)),
        "user_id": st.sampled_from(["u", "v'"]),
        "item_id": st.sampled_from([None, "i1", "i2"]),
        "title": st.sampled_from([None, "茶", "Tea " * 60]),
        "text": WORDS,
        "text_title": WORDS,
        "rating": st.sampled_from([None, 1.0, 5.0, float("nan")]),
        "role": st.sampled_from([None, "customer", "agent"]),
        "ts": st.sampled_from([None, START, START + timedelta(days=400)]),
    }
)


@pytest.mark.slow
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(events=st.lists(EVENT, max_size=25), budget=st.integers(1, 400))
def test_what_holds_for_every_history(
    events: list[dict[str, Any]], budget: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for event in events:  # lone surrogates and NUL cannot be stored; ingest quarantines them
        for name in ("text", "text_title"):
            event[name] = event[name] and event[name].encode("utf-8", "ignore").decode().replace("\0", "")
    store = store_of(tmp_path_factory.mktemp("lines"), events)
    of = {e["event_id"]: e for e in events}
    for history in build_histories(store, ["v'", "u"], budget=PLENTY):
        mine = sorted(e["event_id"] for e in events if e["user_id"] == history.user_id)
        assert sorted(e for line in history.lines for e in line.event_ids) == mine
        for line in history.lines:
            assert {of[e]["kind"] for e in line.event_ids} == {line.kind}
            for part in line.parts:
                assert of[part.event_id][part.field] == part.text
    for history in build_histories(store, ["u", "v'"], budget=budget):
        assert history.tokens <= budget
        assert history.tokens == sum(estimate_tokens(line.text + "\n") for line in history.lines)
        times = [line.ts or datetime.min for line in history.lines]
        assert times == sorted(times)
        for number, line in enumerate(history.lines, 1):
            assert line.text.startswith(f"[{number}] ")
            assert len(line.text.splitlines()) == 1


@given(st.text(), st.integers(1, 50))
@example("One sentence here. Another one follows. And a third that is too long to fit.", 13)
def test_a_cut_is_a_beginning_and_fits(text: str, tokens: int) -> None:
    short = cut(text, tokens)
    if short != text:
        assert short.endswith("…")
        assert text.startswith(short[:-1])
        assert estimate_tokens(short) <= tokens + 1


def test_cuts_end_where_readers_expect() -> None:
    assert (
        cut("One sentence here. Another one follows. And a third one.", 13)
        == "One sentence here. Another one follows.…"
    )
    assert cut("很喜欢这个支架。放音箱很稳，一点也不晃，推荐购买给大家", 10) == "很喜欢这个支架。…"
    assert cut("word " * 20, 10) == "word word word word word word…"


def test_near_keeps_what_says_something() -> None:
    assert near("Ｏrder 4711 is LATE!") == near("order 9 is late")
    assert near("1 star") != near("5 stars")
    assert near("666") == near("６６６ ") != near("66")
    assert near("!!!") == "!!!"
    assert near("") == ""


def test_texts_are_distinct_own_and_ordered(tmp_path: Path) -> None:
    events = [
        {"kind": "review", "text": "good", "item_id": "i1", "rating": 5.0},
        {"kind": "review", "text": "good", "title": "Own title", "rating": 1.0, "text_title": "Hm", "lang": "en"},
        {"kind": "chat", "text": "How can I help?", "role": "Agent"},
        {"kind": "chat", "text": "Refund, please", "role": "customer"},
        {"kind": "review", "text": "  \u3000\n"},
        {"kind": "post", "text": "first", "ts": None},
        {"kind": "post", "text": "hers", "user_id": "v"},
    ]
    store = store_of(tmp_path, events, items=[{"item_id": "i1", "title": "Stand", "category": "Music"}])
    texts = list(user_texts(store, ["v", "u", "u", "nobody"]))
    assert [(t.user_id, t.field, t.text) for t in texts] == [
        ("v", "text", "hers"),
        ("u", "text", "first"),
        ("u", "text_title", "Hm"),
        ("u", "text", "good"),
        ("u", "text", "Refund, please"),
    ]
    good = texts[3]
    assert good.event_ids == ("e000", "e001")
    assert (good.title, good.rating, good.ts, good.lang) == ("Own title", 1.0, START + timedelta(days=1), "en")


@pytest.mark.data
def test_real_histories_fit_and_name_every_event(data_folder: Path, tmp_path: Path) -> None:
    source = data_folder / "douban_user_histories_zh" / "events.parquet"
    store = Store.open(tmp_path / "w", create=True)
    with store.commit("ingest") as commit, store.read() as db:
        query = (
            "SELECT * REPLACE (item_id::VARCHAR AS item_id), type AS kind, row_number() OVER ()::VARCHAR AS event_id"
        )
        commit.add_query("events", db, f"{query}, 'd' AS source FROM read_parquet('{source}')")
    users = [row["user_id"] for row in store.rows("SELECT DISTINCT user_id FROM events ORDER BY ALL")]
    fitted = list(build_histories(store, users, budget=1000))
    assert [h.user_id for h in fitted] == users
    assert {h.lang for h in fitted} == {"zh"}
    assert all(0 < h.tokens <= 1000 for h in fitted)
    assert all(re.match(r"\[\d+\] \d{4}-\d\d-\d\d (评论|评分)", line.text) for h in fitted for line in h.lines)
    whole = list(build_histories(store, users, budget=PLENTY))
    assert sum(len(line.event_ids) for h in whole for line in h.lines) == 832
