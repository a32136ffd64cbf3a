"""How one line of a history reads, in English and in Chinese.

    [3] 2024-05-01 review "Stand" (Music) 4/5: Sturdy. Holds my amp without wobbling.
    [3] 2024-05-01 评论 “支架”（音乐）4/5：很稳。放音箱也不晃。

What customers wrote is one line here whatever it was in the source, so that no text can pretend to be another line.
Stored text is never changed by any of this.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from limner.histories.language import estimate_tokens

TITLE_TOKENS = 24
"""How much of an item's title is shown: shops put whole descriptions into titles."""

NAMED_ITEMS = 3
"""How many items a collapsed line names before it says how many more there are."""

NAMED_CATEGORIES = 3
"""How many categories are shown."""

SHORTEST_CUT = 0.4
"""A cut goes back to a sentence end only if that keeps this share of what fits; otherwise to a word's end."""


@dataclass(frozen=True, slots=True)
class Style:
    """The signs and words of one language.

    Attributes:
        kinds: Word for each event kind.
        roles: Word for who speaks.
        undated: In place of a date.
        title: Pattern around a title.
        join: Between titles.
        more: After the titles, how many are not named.
        group: Pattern around the categories; `comma` stands between them.
        times: Pattern for a count of repeats.
        colon: Before the customer's words.
        rated: A rating whose scale is not known.
    """

    kinds: dict[str, str]
    roles: dict[str, str]
    undated: str
    title: str
    join: str
    more: str
    group: str
    comma: str
    times: str
    colon: str
    stop: str
    rated: str


_ZH_KINDS = {
    "view": "浏览",
    "click": "点击",
    "search": "搜索",
    "cart": "加入购物车",
    "favourite": "收藏",
    "order": "购买",
    "return": "退货",
    "review": "评论",
    "rating": "评分",
    "chat": "对话",
    "support": "客服",
    "post": "发帖",
    "share": "分享",
    "coupon": "用券",
    "campaign": "收到活动",
    "other": "其他",
}

STYLES = {
    "en": Style(
        kinds={},
        roles={"": "customer", "user": "customer"},
        undated="undated",
        title=' "{}"',
        join=",",
        more=" and {} more",
        group=" ({})",
        comma=", ",
        times=" x{}",
        colon=": ",
        stop=". ",
        rated=" rated {}",
    ),
    "zh": Style(
        kinds=_ZH_KINDS,
        roles={"": "顾客", "user": "顾客", "customer": "顾客", "agent": "客服", "system": "系统", "assistant": "客服"},
        undated="无日期",
        title=" “{}”",
        join="、",
        more="等{}项",
        group="（{}）",
        comma="、",
        times=" ×{}",
        colon="：",
        stop="。",
        rated=" {}分",
    ),
}
"""By language; a language without a style reads as English."""

SPOKEN = ("chat", "support")
"""Kinds in which it matters who speaks."""

_SENTENCE_END = re.compile(r"[。！？!?…；;]+[”’」』\"')）]*|\.[\"')]*(?=\s)")


@dataclass(frozen=True, slots=True)
class Deed:
    """What a line says: one event, or several that are the same.

    Attributes:
        kind: Event kind.
        role: Who speaks.
        ts: When, the last time.
        times: How often.
        titles: Item titles, latest first.
        category: Category of the latest, `A|B` for several.
        rating: The rating given, None if none.
        scale: The best rating possible, None if not known.
        text_title: Heading of what was written, or empty.
        text: What was written, or empty.
    """

    kind: str
    role: str
    ts: datetime | None
    times: int
    titles: Sequence[str]
    category: str
    rating: float | None
    scale: int | None
    text_title: str
    text: str


def one_line(text: str) -> str:
    """A text with every run of white space as one space and without control characters."""
    return "".join(c for c in " ".join(text.split()) if unicodedata.category(c) != "Cc")


def cut(text: str, tokens: int) -> str:
    """A text shortened to about `tokens` model tokens: at a sentence end, else a word end, with an ellipsis."""
    if estimate_tokens(text) <= tokens:
        return text
    fits = bisect_right(range(len(text)), tokens - 1, key=lambda n: estimate_tokens(text[:n])) - 1
    head = text[: max(fits, 1)]
    ends = [m.end() for m in _SENTENCE_END.finditer(head)]
    if ends and ends[-1] >= fits * SHORTEST_CUT:
        return head[: ends[-1]].rstrip() + "…"
    space = head.rfind(" ")
    return (head[:space] if space >= fits * SHORTEST_CUT else head).rstrip() + "…"


def phrase(deed: Deed, lang: str, text_tokens: int) -> str:
    """A line without its number.

    Args:
        deed: What happened.
        lang: Language of the frame; the customer's words stay as they are.
        text_tokens: About how many tokens of the customer's words are shown.
    """
    style = STYLES.get(lang, STYLES["en"])
    date = deed.ts.strftime("%Y-%m-%d") if deed.ts else style.undated
    line = f"{date} {style.kinds.get(deed.kind, deed.kind)}"
    if deed.kind in SPOKEN:
        role = deed.role.strip().lower()
        line += style.group.format(style.roles.get(role, one_line(role)))
    if deed.times > 1:
        line += style.times.format(deed.times)
    about = _titles(deed.titles, style) + _categories(deed.category, style) + _rating(deed, style)
    line += about.replace("） ", "）")
    said = cut(_words(deed, style), text_tokens)
    if not said:
        return line
    return line + style.colon + (style.title.format(said).strip() if deed.kind == "search" else said)


def _titles(titles: Sequence[str], style: Style) -> str:
    shown = [style.title.format(cut(one_line(title), TITLE_TOKENS)) for title in titles[:NAMED_ITEMS]]
    text = style.join.join(shown).replace("、 ", "、")
    return text + (style.more.format(len(titles) - NAMED_ITEMS) if len(titles) > NAMED_ITEMS else "")


def _categories(category: str, style: Style) -> str:
    names = [name for part in category.split("|") if (name := one_line(part))]
    return style.group.format(cut(style.comma.join(names[:NAMED_CATEGORIES]), TITLE_TOKENS)) if names else ""


def _rating(deed: Deed, style: Style) -> str:
    if deed.rating is None:
        return ""
    if deed.scale is None:
        return style.rated.format(f"{deed.rating:g}")
    return f" {deed.rating:g}/{deed.scale}"


def _words(deed: Deed, style: Style) -> str:
    heading, text = one_line(deed.text_title), one_line(deed.text)
    if not heading or text.startswith(heading):
        return text
    if not text:
        return heading
    return heading + (" " if heading[-1] in ".!?…" else "" if heading[-1] in "。！？" else style.stop) + text
