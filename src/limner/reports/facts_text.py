"""Facts in words for people, in Chinese and English: units, dates, currency, rounding, and "unknown" said as such.

Two forms of each fact: the *value* stands beside its label in a table ("Orders", "12"), the *phrase* stands inside a
sentence ("12 orders"). A fact the data does not know has neither; it is never shown as zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from limner.histories.directives import directive_in
from limner.reports.wording import clean, money

Facts = Mapping[str, Any]
Formatter = Callable[[Facts, str], "str | None"]
"""Takes all facts and a language (`zh` or `en`); None means unknown."""

UNKNOWN = {"en": "unknown", "zh": "未知"}

NAME_CHARACTERS = 60
"""Names out of the data (items, categories, places) are cut to this many characters inside a phrase."""

_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_WEEKDAYS_ZH = "一二三四五六日"


@dataclass(frozen=True, slots=True)
class Fact:
    """How one fact is said.

    Attributes:
        slot: Name of the narrative slot; the column's name, in the singular for lists (`top_category`).
        column: Column of the `facts` table it is computed from.
        label_en: Label in English.
        label_zh: Label in Chinese.
        value: The short form, beside the label.
        phrase: The form inside a sentence.
    """

    slot: str
    column: str
    label_en: str
    label_zh: str
    value: Formatter
    phrase: Formatter

    def label(self, lang: str) -> str:
        """The label in a language."""
        return self.label_zh if lang == "zh" else self.label_en


@dataclass(frozen=True, slots=True)
class FactLine:
    """A fact ready to be shown: `known` is False where the value says "unknown"."""

    slot: str
    column: str
    label: str
    value: str
    known: bool


def _number(facts: Facts, column: str) -> float | None:
    value = facts.get(column)
    if value is None or isinstance(value, bool | str):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def grouped(number: float) -> str:
    """A whole number with thousands separated: 12,345."""
    return f"{round(number):,}"


def _count(column: str, one: str = "", many: str = "", zh: str = "{}") -> Formatter:
    """A count, bare or with its unit: `one` and `many` are English units, `zh` is a pattern."""

    def say(facts: Facts, lang: str) -> str | None:
        number = _number(facts, column)
        if number is None:
            return None
        if lang == "zh":
            return zh.format(grouped(number))
        return f"{grouped(number)} {one if round(number) == 1 else many}".strip()

    return say


def _money(column: str) -> Formatter:
    def say(facts: Facts, lang: str) -> str | None:
        number = _number(facts, column)
        return None if number is None else money(number, facts.get("currency"), lang)

    return say


def _share(column: str) -> Formatter:
    def say(facts: Facts, lang: str) -> str | None:
        number = _number(facts, column)
        return None if number is None else percent(number)

    return say


def percent(share: float) -> str:
    """A share of 1 as a percentage, with one decimal only where it says something: 8%, 0.4%."""
    digits = f"{share * 100:.1f}" if 0 < abs(share) < 0.0995 else f"{share * 100:.0f}"
    return digits.removesuffix(".0") + "%"


def _days(facts: Facts, lang: str) -> str | None:
    number = _number(facts, "recency_days")
    if number is None:
        return None
    if number < 1:
        return "不到 1 天" if lang == "zh" else "less than a day"
    days = math.floor(number)
    return f"{days:,} 天" if lang == "zh" else f"{days:,} day{'' if days == 1 else 's'}"


def _days_ago(facts: Facts, lang: str) -> str | None:
    days = _days(facts, lang)
    return None if days is None else (f"{days}前" if lang == "zh" else f"{days} ago")


def date(moment: datetime, lang: str) -> str:
    """A date as people write it: 3 March 2025, 2025年3月3日."""
    if lang == "zh":
        return f"{moment.year}年{moment.month}月{moment.day}日"
    return f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}"


def _date(column: str) -> Formatter:
    def say(facts: Facts, lang: str) -> str | None:
        moment = facts.get(column)
        return date(moment, lang) if isinstance(moment, datetime) else None

    return say


def _rating(facts: Facts, lang: str) -> str | None:
    number = _number(facts, "rating_mean")
    if number is None:
        return None
    return f"{number:.1f} 分" if lang == "zh" else f"{number:.1f}"


def _rating_value(facts: Facts, lang: str) -> str | None:
    mean, ratings = _number(facts, "rating_mean"), _number(facts, "ratings")
    if mean is None or not ratings:
        return _rating(facts, lang)
    if lang == "zh":
        return f"{mean:.1f}（{grouped(ratings)} 次评分）"
    return f"{mean:.1f} ({grouped(ratings)} rating{'' if round(ratings) == 1 else 's'})"


def _trend(column: str) -> Formatter:
    """A change against the period before: up 40%, down 40%, steady (within 5 %)."""

    def say(facts: Facts, lang: str) -> str | None:
        change = _number(facts, column)
        if change is None:
            return None
        if abs(change) < 0.05:
            return "持平" if lang == "zh" else "steady"
        word = ("上升", "up") if change > 0 else ("下降", "down")
        return f"{word[0]} {percent(abs(change))}" if lang == "zh" else f"{word[1]} {percent(abs(change))}"

    return say


def _plain_name(name: str, lang: str) -> str:
    return clean(name, NAME_CHARACTERS)


def _hour(name: str, lang: str) -> str:
    """20 -> 20:00; the source's own word if it is not a number."""
    if not name.strip().isdecimal():
        return clean(name, NAME_CHARACTERS)
    return f"{int(name)} 点" if lang == "zh" else f"{int(name):02d}:00"


def _weekday(name: str, lang: str) -> str:
    """ISO number (1 is Monday) or English name of a day -> the day's name."""
    text = name.strip()
    if text.isdecimal() and 1 <= int(text) <= 7:
        day = int(text) - 1
    elif text[:3].title() in {d[:3] for d in _WEEKDAYS}:
        day = [d[:3] for d in _WEEKDAYS].index(text[:3].title())
    else:
        return clean(name, NAME_CHARACTERS)
    return f"星期{_WEEKDAYS_ZH[day]}" if lang == "zh" else _WEEKDAYS[day]


Namer = Callable[[str, str], str]


def _counted(facts: Facts, column: str, namer: Namer, lang: str) -> list[tuple[str, int]]:
    """The named entries of a counted list, most frequent first; names that speak to a machine are not told."""
    entries = facts.get(column)
    pairs = [(e.get("value"), e.get("n") or 0) for e in (entries if entries is not None else ())]
    named = [(namer(str(v), lang), int(n)) for v, n in pairs if v is not None and str(v).strip()]
    return [(name, n) for name, n in named if name and not directive_in(name)]


def _first(column: str, namer: Namer = _plain_name) -> Formatter:
    def say(facts: Facts, lang: str) -> str | None:
        entries = _counted(facts, column, namer, lang)
        return entries[0][0] if entries else None

    return say


def _several(column: str, namer: Namer = _plain_name, shown: int = 3) -> Formatter:
    def say(facts: Facts, lang: str) -> str | None:
        entries = _counted(facts, column, namer, lang)[:shown]
        return ("、" if lang == "zh" else ", ").join(f"{name} ×{n:,}" for name, n in entries) or None

    return say


def _language(facts: Facts, lang: str) -> str | None:
    known = {"zh": ("Chinese", "中文"), "en": ("English", "英文")}.get(str(facts.get("lang")))
    return None if known is None else known[lang == "zh"]


def _listed(slot: str, column: str, en: str, zh: str, namer: Namer = _plain_name) -> Fact:
    return Fact(slot, column, en, zh, _several(column, namer), _first(column, namer))


FACTS: tuple[Fact, ...] = (
    Fact(
        "frequency",
        "frequency",
        "Orders",
        "订单数",
        _count("frequency"),
        _count("frequency", "order", "orders", "{} 笔订单"),
    ),
    Fact("monetary", "monetary", "Spent", "消费总额", _money("monetary"), _money("monetary")),
    Fact(
        "average_order", "average_order", "Average order", "平均每单", _money("average_order"), _money("average_order")
    ),
    Fact("return_rate", "return_rate", "Return rate", "退货率", _share("return_rate"), _share("return_rate")),
    Fact("recency_days", "recency_days", "Recency", "最近一次", _days_ago, _days),
    Fact("last_seen", "last_seen", "Last seen", "最后出现", _date("last_seen"), _date("last_seen")),
    Fact("first_seen", "first_seen", "First seen", "首次出现", _date("first_seen"), _date("first_seen")),
    Fact("events", "events", "Events", "记录数", _count("events"), _count("events", "event", "events", "{} 条记录")),
    Fact("texts", "texts", "Texts", "文字数", _count("texts"), _count("texts", "text", "texts", "{} 段文字")),
    Fact(
        "events_30d",
        "events_30d",
        "Events in 30 days",
        "近 30 天记录",
        _count("events_30d"),
        _count("events_30d", "event in the last 30 days", "events in the last 30 days", "最近 30 天 {} 条记录"),
    ),
    Fact(
        "events_90d",
        "events_90d",
        "Events in 90 days",
        "近 90 天记录",
        _count("events_90d"),
        _count("events_90d", "event in the last 90 days", "events in the last 90 days", "最近 90 天 {} 条记录"),
    ),
    Fact("trend_30d", "trend_30d", "30-day trend", "30 天趋势", _trend("trend_30d"), _trend("trend_30d")),
    Fact("trend_90d", "trend_90d", "90-day trend", "90 天趋势", _trend("trend_90d"), _trend("trend_90d")),
    Fact("rating_mean", "rating_mean", "Mean rating", "平均评分", _rating_value, _rating),
    Fact(
        "ratings",
        "ratings",
        "Ratings",
        "评分次数",
        _count("ratings"),
        _count("ratings", "rating", "ratings", "{} 次评分"),
    ),
    _listed("top_category", "top_categories", "Top categories", "主要品类"),
    _listed("top_item", "top_items", "Top items", "主要商品"),
    _listed("top_hour", "top_hours", "Usual hours", "常见时段", _hour),
    _listed("top_weekday", "top_weekdays", "Usual days", "常见星期", _weekday),
    _listed("top_device", "top_devices", "Devices", "设备"),
    _listed("top_place", "top_places", "Places", "地点"),
    _listed("top_channel", "top_channels", "Channels", "渠道"),
    Fact("ties", "ties", "Ties", "关系", _count("ties"), _count("ties", "tie", "ties", "{} 个关系")),
    Fact("lang", "lang", "Language", "语言", _language, _language),
    Fact("as_of", "as_of", "As of", "统计截至", _date("as_of"), _date("as_of")),
)
"""Every fact that is said to people, in the order in which they are shown."""

BY_SLOT: Mapping[str, Fact] = {fact.slot: fact for fact in FACTS}


def fact_phrases(facts: Facts, lang: str) -> dict[str, str]:
    """The phrases that fill narrative slots, without a sentence around them; unknown facts are left out.

    Args:
        facts: A row of the `facts` table.
        lang: `zh` or `en`.

    Returns:
        For example `{"frequency": "12 orders", "monetary": "US$1,204.50", "recency_days": "3 days"}`.
    """
    said = {fact.slot: fact.phrase(facts, lang) for fact in FACTS}
    return {slot: phrase for slot, phrase in said.items() if phrase is not None}


def fact_lines(facts: Facts, lang: str) -> list[FactLine]:
    """Every fact with label and value for showing, "unknown" where the data does not say."""
    lines = []
    for fact in FACTS:
        value = fact.value(facts, lang)
        shown = value if value is not None else UNKNOWN["zh" if lang == "zh" else "en"]
        lines.append(FactLine(fact.slot, fact.column, fact.label(lang), shown, value is not None))
    return lines
