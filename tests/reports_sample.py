"""A small workspace for the report tests: two languages, emoji, and a customer who attacks the page."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from limner.histories.store import Store

HOSTILE = "</script><img src=x onerror=alert(1)><!--<script>alert(2)</script> \u2028 [x](javascript:alert(3)) http://evil.example"
NOW = datetime(2026, 3, 1, 12, 0)


def event(event_id: str, user_id: str, kind: str, days: int, **more: Any) -> dict[str, Any]:
    row = {"event_id": event_id, "user_id": user_id, "ts": NOW - timedelta(days=days), "kind": kind, "source": "test"}
    return {**row, "ordinal": 0, "attrs": json.dumps({}), **more}


def span(row: dict[str, Any], field: str, quote: str) -> dict[str, Any]:
    start = row[field].index(quote)
    return {"event_id": row["event_id"], "field": field, "start": start, "end": start + len(quote), "quote": quote}


def trait(
    trait_id: str, user_id: str, kind: str, label: str, polarity: str, confidence: float, *evidence: dict
) -> dict:
    return {
        "trait_id": trait_id,
        "user_id": user_id,
        "kind": kind,
        "label": label,
        "polarity": polarity,
        "confidence": confidence,
        "mentions": len(evidence),
        "first_seen": NOW - timedelta(days=200),
        "last_confirmed": NOW - timedelta(days=3),
        "evidence": list(evidence),
    }


def facts(user_id: str, lang: str, **more: Any) -> dict[str, Any]:
    row = {
        "user_id": user_id,
        "as_of": NOW,
        "events": 9,
        "texts": 3,
        "first_seen": NOW - timedelta(days=300),
        "last_seen": NOW - timedelta(days=3),
        "recency_days": 3.0,
        "lang": lang,
        "frequency": 12,
        "monetary": 1204.5,
        "currency": "CNY" if lang == "zh" else "USD",
        "rating_mean": 4.25,
        "ratings": 4,
        "events_90d": 6,
        "trend_90d": 0.5,
        "top_categories": [{"value": "茶叶" if lang == "zh" else "Guitars", "n": 7}],
    }
    return {**row, **more}


def rejected(user_id: str, label: str, quote: str, reason: str, event_id: str) -> dict[str, Any]:
    return {
        "signal_id": f"s-{user_id}-{label}",
        "user_id": user_id,
        "kind": "interest",
        "label": label,
        "polarity": "positive",
        "confidence": 0.4,
        "ts": NOW,
        "lang": "en",
        "event_id": event_id,
        "field": "text",
        "start": -1,
        "end": -1,
        "quote": quote,
        "status": "rejected",
        "reason": reason,
        "prompt": "signals.v1.en",
        "model": "test",
    }


def build(path: Path) -> Store:
    """A workspace with four users: Chinese, English, hostile, and one with facts only."""
    store = Store.open(path, create=True)
    tea = event(
        "e-tea",
        "u-lin",
        "review",
        3,
        title="明前龙井 250g",
        text="🍵🍵 这款龙井香气很足，就是包装太简陋了。👩‍🌾茶农辛苦！",
        rating=4.0,
        lang="zh",
    )
    chat = event("e-chat", "u-lin", "chat", 40, text="请问下个月还有春茶礼盒吗？想送给岳父。", lang="zh")
    strings = event(
        "e-str", "u-amy", "review", 10, title="Phosphor bronze strings", text_title="Warm & bright 🎸",
        text="Lovely tone. They would last longer if I didn't play them every night!", rating=5.0, lang="en",
    )  # fmt: skip
    attack = event("e-evil", "u-<b>evil</b>", "review", 5, title=HOSTILE, text=HOSTILE, text_title=HOSTILE, lang="en")
    with store.commit("test") as commit:
        commit.add("events", [tea, chat, strings, attack, event("e-view", "u-new", "view", 1, item_id="i1")])
        commit.add(
            "facts",
            [
                facts("u-lin", "zh"),
                facts("u-amy", "en", return_rate=0.08),
                facts("u-<b>evil</b>", "en", top_categories=[{"value": HOSTILE, "n": 1}]),
                {"user_id": "u-new", "as_of": NOW, "events": 1, "texts": 0, "lang": "en"},
            ],
        )
        commit.add("signals", [rejected("u-amy", "violins", "I adore violins", "quote_not_in_text", "e-str")])
        commit.add(
            "extractions",
            [
                {"user_id": u, "history_key": "k", "model": "test", "accepted": 2, "rejected": 1}
                for u in ("u-lin", "u-amy")
            ],
        )
        commit.add(
            "personas",
            [
                persona(
                    "u-lin",
                    "zh",
                    [("喜欢龙井，嫌包装简陋。", ["t-tea", "t-pack"]), ("共下单 12 笔订单。", ["fact:frequency"])],
                ),
                persona("u-amy", "en", [("Plays guitar every night.", ["t-str"])]),
                persona("u-<b>evil</b>", "en", [(HOSTILE, ["t-evil"])]),
            ],
        )
        commit.add(
            "traits",
            [
                trait(
                    "t-tea",
                    "u-lin",
                    "interest",
                    "龙井茶",
                    "positive",
                    0.93,
                    span(tea, "text", "龙井香气很足"),
                    span(tea, "title", "龙井"),
                ),
                trait("t-pack", "u-lin", "objection", "包装简陋", "negative", 0.71, span(tea, "text", "包装太简陋")),
                trait("t-gift", "u-lin", "intent", "买礼盒送岳父", "neutral", 0.55, span(chat, "text", "春茶礼盒")),
                trait(
                    "t-str",
                    "u-amy",
                    "interest",
                    "guitar strings",
                    "positive",
                    0.9,
                    span(strings, "text", "Lovely tone"),
                    span(strings, "text_title", "bright 🎸"),
                ),
                trait(
                    "t-evil",
                    "u-<b>evil</b>",
                    "interest",
                    HOSTILE,
                    "mixed",
                    0.5,
                    span(attack, "text", "<img src=x onerror=alert(1)>"),
                ),
            ],
        )
        commit.add(
            "segments",
            [
                {
                    "segment_id": "s1",
                    "name": "Tea lovers 茶客",
                    "description": "Buy tea",
                    "origin": "discovered",
                    "users": 1,
                    "features": [{"label": "龙井", "kind": "trait", "share": 1.0, "lift": 4.0}],
                },
                {
                    "segment_id": "s2",
                    "name": HOSTILE,
                    "description": "",
                    "origin": "discovered",
                    "users": 2,
                    "features": [],
                },
            ],
        )
        commit.add(
            "memberships",
            [
                {"segment_id": "s1", "user_id": "u-lin", "origin": "discovered", "confidence": 0.9, "reason": "tea"},
                {"segment_id": "s2", "user_id": "u-amy", "origin": "discovered", "confidence": 0.8, "reason": ""},
                {
                    "segment_id": "s2",
                    "user_id": "u-<b>evil</b>",
                    "origin": "discovered",
                    "confidence": 0.8,
                    "reason": "",
                },
            ],
        )
    return store


def persona(user_id: str, lang: str, sentences: list[tuple[str, list[str]]]) -> dict[str, Any]:
    return {
        "user_id": user_id,
        "language": lang,
        "narrative": [{"text": text, "supports": supports} for text, supports in sentences],
        "narrated_by": "portrait.v1",
        "model": "test-model",
        "traits_key": "k",
    }


ANSWER = {
    "question": "谁喜欢龙井？",
    "language": "zh",
    "answer": "有 1 位客户喜欢龙井。",
    "citations": [{"type": "user", "id": "u-lin"}, {"type": "event", "id": "e-tea"}, {"type": "segment", "id": "s1"}],
    "n": 1,
    "abstained": False,
}

COPY = {
    "segment": "Tea lovers 茶客",
    "channel": "sms",
    "variants": [
        {
            "headline": "春茶到了",
            "body": "明前龙井，香气很足。",
            "cta": "去看看",
            "uses": ["t-tea"],
            "checks": [
                {"rule": "length", "ok": True, "detail": "18 of 70"},
                {"rule": "facts", "ok": False, "detail": HOSTILE},
            ],
        }
    ],
}
