"""The sentences of findings in both languages: templates that code fills with counted numbers and stored labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limner.agents.analyst.schema import FACT_COLUMNS, FactName, Language, Operator, Threshold

QUOTE_LENGTH = {"en": 70, "zh": 36}
"""Characters of a quote that a finding shows; the whole is behind its event id."""

SHOWN_USERS = 8
"""User ids that a finding names; the others are counted and cited."""


@dataclass(frozen=True, slots=True)
class Stance:
    """How users stand to what a trait is about.

    Attributes:
        name: The stance, which decides which traits are counted together.
        one, many: The English verb for one user and for several.
        zh: The Chinese pattern around the label.
        order: Which is told first when nothing was asked for in particular.
    """

    name: str
    one: str
    many: str
    zh: str
    order: int


LIKE = Stance("like", "likes", "like", "喜欢{}", 0)
DISLIKE = Stance("dislike", "dislikes", "dislike", "对{}不满意", 1)
INTEND = Stance("intend", "intends:", "intend:", "有意向：{}", 2)
NEED = Stance("need", "needs", "need", "需要{}", 3)
MIXED = Stance("mixed", "has mixed feelings about", "have mixed feelings about", "对{}褒贬不一", 4)
MENTION = Stance("mention", "mentions", "mention", "提到{}", 5)

_BY_POLARITY = {"positive": LIKE, "negative": DISLIKE, "mixed": MIXED, "neutral": MENTION}


def stance(kind: str, polarity: str) -> Stance:
    """The stance that a trait's kind and polarity amount to."""
    if kind == "objection" and polarity != "positive":
        return DISLIKE
    if polarity in ("positive", "neutral") and kind in ("intent", "need"):
        return INTEND if kind == "intent" else NEED
    return _BY_POLARITY.get(polarity, MENTION)


def number(value: float) -> str:
    """A number as findings show it: at most two decimals, no thousands separators."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if value != int(value) else str(int(value))


def users_text(count: int, language: Language) -> str:
    """`7 users`, `1 user`, `7 名用户`."""
    if language == "zh":
        return f"{count} 名用户"
    return "1 user" if count == 1 else f"{count} users"


def ids_text(users: Sequence[str], language: Language) -> str:
    """The first ids, and how many more there are."""
    shown = ("、" if language == "zh" else ", ").join(users[:SHOWN_USERS])
    more = len(users) - SHOWN_USERS
    if more <= 0:
        return shown
    return f"{shown} 等" if language == "zh" else f"{shown} and others"


def quoted(text: str, language: Language) -> str:
    """A label or quote in quotation marks, on one line, shortened to `QUOTE_LENGTH`."""
    flat = " ".join(text.split())
    limit = QUOTE_LENGTH[language]
    flat = flat if len(flat) <= limit else flat[: limit - 1].rstrip() + "…"
    inner = flat.translate({ord("“"): "'", ord("”"): "'", ord('"'): "'"})
    return f"“{inner}”" if language == "zh" else f'"{inner}"'


def stance_text(of: Stance, users: Sequence[str], labels: Sequence[str], language: Language) -> str:
    """`7 users like "quiet keyboards", "silent keys": u-1, u-2` without the closing stop."""
    separator = "、" if language == "zh" else ", "
    things = separator.join(quoted(label, language) for label in labels)
    if language == "zh":
        return f"{users_text(len(users), language)}{of.zh.format(things)}（{ids_text(users, language)}）"
    verb = of.one if len(users) == 1 else of.many
    return f"{users_text(len(users), language)} {verb} {things} ({ids_text(users, language)})"


def said_text(user: str, quote: str, language: Language) -> str:
    """`u-1: "so quiet at night"`."""
    return f"{user}：{quoted(quote, language)}" if language == "zh" else f"{user}: {quoted(quote, language)}"


def sentence(parts: Sequence[str], language: Language) -> str:
    """Parts of a finding joined into one sentence with its stop."""
    joined = ("；" if language == "zh" else "; ").join(part for part in parts if part)
    return joined + ("。" if language == "zh" else ".")


_OPERATORS: dict[Operator, tuple[str, str]] = {
    ">=": ("at least", "不少于"),
    ">": ("more than", "大于"),
    "<=": ("at most", "不超过"),
    "<": ("less than", "小于"),
    "==": ("exactly", "等于"),
}


def fact_value(fact: FactName, value: float, language: Language) -> str:
    """A fact's value with its unit: `212 days`, `20%`."""
    unit = FACT_COLUMNS[fact].unit
    if unit == "percent":
        return f"{number(round(value * 100, 1))}%"
    if unit == "day":
        shown = number(round(value))
        return f"{shown} 天" if language == "zh" else f"{shown} days"
    return number(round(value, 2))


def condition_text(threshold: Threshold, language: Language) -> str:
    """`days since last seen at least 90 days`."""
    column = FACT_COLUMNS[threshold.fact]
    english, chinese = _OPERATORS[threshold.op]
    value = fact_value(threshold.fact, threshold.value, language)
    return f"{column.zh}{chinese} {value}" if language == "zh" else f"{column.en} {english} {value}"


def fact_name(fact: FactName, language: Language) -> str:
    """A fact's name in words."""
    column = FACT_COLUMNS[fact]
    return column.zh if language == "zh" else column.en
