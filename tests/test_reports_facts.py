from __future__ import annotations

from datetime import datetime

import pytest

from limner.histories.schema import TABLES
from limner.reports.facts_text import FACTS, UNKNOWN, fact_lines, fact_phrases
from limner.reports.wording import clean, money

FULL = {
    "frequency": 12,
    "monetary": 1204.5,
    "currency": "USD",
    "events": 1,
    "texts": 1234,
    "recency_days": 3.9,
    "first_seen": datetime(2024, 1, 31, 23, 59),
    "last_seen": datetime(2025, 3, 3),
    "return_rate": 0.083,
    "rating_mean": 4.26,
    "ratings": 9,
    "events_90d": 14,
    "trend_90d": -0.4,
    "trend_30d": 0.01,
    "top_categories": [{"value": "Guitars", "n": 5}, {"value": "Strings", "n": 2}],
    "top_items": [{"value": "Blue\x1b[31m\u202e pick\nset", "n": 1}],
    "top_hours": [{"value": "20", "n": 3}],
    "top_weekdays": [{"value": "7", "n": 3}],
    "lang": "zh",
}


def test_phrases_in_english():
    said = fact_phrases(FULL, "en")
    assert said["frequency"] == "12 orders"
    assert said["monetary"] == "US$1,204.50"
    assert said["events"] == "1 event"
    assert said["texts"] == "1,234 texts"
    assert said["recency_days"] == "3 days"
    assert said["last_seen"] == "3 March 2025"
    assert said["return_rate"] == "8.3%"
    assert said["rating_mean"] == "4.3"
    assert said["events_90d"] == "14 events in the last 90 days"
    assert said["trend_90d"] == "down 40%"
    assert said["trend_30d"] == "steady"
    assert said["top_category"] == "Guitars"
    assert said["top_item"] == "Blue[31m pick set"
    assert said["top_hour"] == "20:00"
    assert said["top_weekday"] == "Sunday"


def test_phrases_in_chinese():
    said = fact_phrases({**FULL, "currency": "CNY"}, "zh")
    assert said["frequency"] == "12 笔订单"
    assert said["monetary"] == "¥1,204.50"
    assert said["first_seen"] == "2024年1月31日"
    assert said["top_weekday"] == "星期日"
    assert said["trend_90d"] == "下降 40%"


def test_unknown_is_left_out_of_phrases_and_said_in_lines():
    facts = {"frequency": 0, "monetary": None, "rating_mean": float("nan"), "top_items": None, "last_seen": None}
    assert fact_phrases(facts, "en") == {"frequency": "0 orders"}
    lines = {line.slot: line for line in fact_lines(facts, "zh")}
    assert lines["frequency"].known
    assert lines["frequency"].value == "0"
    assert not lines["monetary"].known
    assert lines["monetary"].value == lines["top_item"].value == UNKNOWN["zh"]


def test_every_fact_reads_a_column_that_exists_and_none_is_forgotten():
    columns = {name for name, _ in TABLES["facts"].columns}
    used = {fact.column for fact in FACTS}
    assert used <= columns
    assert columns - used == {"user_id", "kinds", "currency"}
    assert len({fact.slot for fact in FACTS}) == len(FACTS)


@pytest.mark.parametrize(
    ("amount", "currency", "lang", "said"),
    [
        (0.0, "USD", "en", "US$0.00"),
        (-5.0, "EUR", "en", "-€5.00"),
        (-0.001, "EUR", "en", "€0.00"),
        (1500.4, "JPY", "en", "JP¥1,500"),
        (250_000.75, "CNY", "zh", "¥250,001"),
        (12.0, "CNY", "en", "CN¥12.00"),
        (12.0, None, "en", "12.00"),
        (12.0, "xyz", "en", "12.00 XYZ"),
    ],
)
def test_money(amount, currency, lang, said):
    assert money(amount, currency, lang) == said


def test_clean_cuts_and_keeps_emoji():
    assert clean("a" * 70, 60) == "a" * 59 + "…"
    assert clean("👩‍🌾  好\u200b\r\n吃\x00", 60) == "👩‍🌾 好 吃"
