"""Numbers as people write them, in Chinese and English: `1,200`, `１２`, `three`, `三个月`, `两成`, `20%`.

The analyst uses it to see whether a threshold was really asked for, the copywriter to see whether a number was really
given. Both compare values, never spellings.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

Unit = Literal["", "day", "percent", "money"]


@dataclass(frozen=True, slots=True)
class Quantity:
    """One number in a text.

    Attributes:
        value: The number as written (`3` in "3 months", `20` in "20%").
        unit: What follows or precedes it: a length of time, a share, an amount of money, or nothing known.
        scaled: The number in limner's own units: days for times, a share of 1 for percentages, else `value`.
        start, end: Where it stands in the text, in characters, unit included.
        text: How it is written, unit included.
        spelled: True if it is written in words or Chinese numerals.
    """

    value: float
    unit: Unit
    scaled: float
    start: int
    end: int
    text: str
    spelled: bool


_ENGLISH_SMALL = {
    word: value
    for value, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
        ]
    )
}
_ENGLISH_TENS = {
    word: 10 * value
    for value, word in enumerate(
        ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], start=2
    )
}
_ENGLISH_SCALES = {"dozen": 12, "hundred": 100, "thousand": 1000, "million": 1_000_000}
_ENGLISH_WORDS = {**_ENGLISH_SMALL, **_ENGLISH_TENS, **_ENGLISH_SCALES, "half": 0.5, "once": 1, "twice": 2}

_CHINESE_DIGITS = {c: v for v, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2, "俩": 2}
_CHINESE_SCALES = {"十": 10, "百": 100, "千": 1000}
_CHINESE_GROUPS = {"万": 10_000, "亿": 100_000_000}

_DAYS = {
    "day": 1,
    "days": 1,
    "week": 7,
    "weeks": 7,
    "fortnight": 14,
    "month": 30,
    "months": 30,
    "quarter": 90,
    "quarters": 90,
    "year": 365,
    "years": 365,
    "天": 1,
    "日": 1,
    "周": 7,
    "星期": 7,
    "礼拜": 7,
    "个月": 30,
    "月": 30,
    "季度": 90,
    "年": 365,
}
"""Days of each unit of time: a month is 30 and a year 365, as the 30- and 90-day facts count them."""

_DIGITS = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+"
_WORDS = "|".join(sorted(_ENGLISH_WORDS, key=len, reverse=True))
_ENGLISH = rf"\b(?:{_WORDS})(?:[\s-]+(?:and\s+)?(?:{_WORDS}))*\b"
_CHINESE = r"[零〇一二三四五六七八九十百千万亿两半俩]+(?:点[零〇一二三四五六七八九]+)?"
_UNIT = (
    r"(?P<percent>\s*(?:%|percent\b|per cent\b|个百分点))"
    r"|(?P<money>\s*(?:元|块钱|块|美元|美金|欧元|英镑|dollars?\b|euros?\b|pounds?\b|yuan\b|usd\b|cny\b|rmb\b|eur\b|gbp\b|€))"
    r"|(?P<time>[\s-]*(?:个?(?:多)?\s*(?:" + "|".join(sorted(_DAYS, key=len, reverse=True)) + r")(?![a-z])))"
    r"|(?P<tenths>成(?!本|功|为|人|长|熟|分|员|绩|套|立|交))"
)
_NUMBER = re.compile(
    rf"(?P<currency>[$€£¥])?\s?(?P<fraction>百分之)?(?:(?P<digits>{_DIGITS})(?P<scale>\s?[万亿千百kKmM](?![a-zA-Z]))?|"
    rf"(?P<english>{_ENGLISH})|(?P<chinese>{_CHINESE}))(?:{_UNIT})?",
    re.IGNORECASE,
)
_SCALE = {"万": 1e4, "亿": 1e8, "千": 1e3, "百": 1e2, "k": 1e3, "m": 1e6}


def fold(text: str) -> str:
    """The text with full-width digits, letters and signs made narrow, character for character (the length is kept)."""
    return "".join(_narrow(c) for c in text)


def _narrow(character: str) -> str:
    if not "\uff01" <= character <= "\uffe6":
        return character
    narrow = unicodedata.normalize("NFKC", character)
    return narrow if len(narrow) == 1 else character


def quantities(text: str) -> list[Quantity]:
    """Every number in a text, in order.

    Numbers inside a word or an identifier (`u-17`, `X200`, `H2O`) are left out: they are names.
    """
    folded = fold(text)
    found = []
    for match in _NUMBER.finditer(folded):
        if match["digits"] and _is_part_of_a_name(folded, match.start("digits"), match.end("digits")):
            continue
        value = _value(match)
        if value is not None:
            found.append(_quantity(match, value, text))
    return found


def _is_part_of_a_name(text: str, start: int, end: int) -> bool:
    before = text[max(0, start - 2) : start]
    after = text[end : end + 1]
    if before and (_is_letter(before[-1]) or (before[-1] in "-_" and len(before) > 1 and before[0].isalnum())):
        return True
    return after == "_" or (_is_letter(after) and not _UNIT_WORD.match(text, end))


_UNIT_WORD = re.compile(r"[km]\b|days?|weeks?|months?|years?|%", re.IGNORECASE)


def _is_letter(character: str) -> bool:
    return character.isascii() and character.isalpha()


def _value(match: re.Match[str]) -> float | None:
    if match["digits"]:
        number = float(match["digits"].replace(",", ""))
        return number * _SCALE[match["scale"].strip().lower()] if match["scale"] else number
    if match["english"]:
        return _english(match["english"])
    return chinese_number(match["chinese"])


def _english(words: str) -> float | None:
    total = 0.0
    current = 0.0
    for word in re.split(r"[\s-]+", words.lower()):
        if word == "and":
            continue
        if word in _ENGLISH_SCALES:
            current = max(current, 1) * _ENGLISH_SCALES[word]
            if _ENGLISH_SCALES[word] >= 1000:
                total, current = total + current, 0
        else:
            current += _ENGLISH_WORDS[word]
    return total + current


def chinese_number(text: str) -> float | None:
    """The value of Chinese numerals (`一百二十` is 120, `三点五` is 3.5); None if they are not a number."""
    whole, _, decimals = text.partition("点")
    if whole == "半":
        return 0.5
    whole = whole.rstrip("半")
    if not whole:
        return None
    if all(c in _CHINESE_DIGITS for c in whole):
        value = float("".join(str(_CHINESE_DIGITS[c]) for c in whole))
    else:
        value = _grouped(whole)
    if decimals:
        value += float("0." + "".join(str(_CHINESE_DIGITS[c]) for c in decimals))
    return value


def _grouped(text: str) -> float:
    total, section, digit = 0.0, 0.0, 0.0
    seen = False
    for character in text:
        if character in _CHINESE_DIGITS:
            digit, seen = float(_CHINESE_DIGITS[character]), True
        elif character in _CHINESE_SCALES:
            section += (digit if seen else 1) * _CHINESE_SCALES[character]
            digit, seen = 0.0, False
        elif character in _CHINESE_GROUPS:
            total = (total + section + digit or 1) * _CHINESE_GROUPS[character]
            section, digit, seen = 0.0, 0.0, False
    return total + section + digit


def _quantity(match: re.Match[str], value: float, text: str) -> Quantity:
    unit: Unit = ""
    scaled = value
    if match["percent"] or match["fraction"]:
        unit, scaled = "percent", value / 100
    elif match["tenths"]:
        unit, value, scaled = "percent", value * 10, value / 10
    elif match["time"]:
        unit, scaled = "day", value * _DAYS[_time_unit(match["time"])]
    elif match["money"] or match["currency"]:
        unit = "money"
    start, end = match.span()
    return Quantity(value, unit, scaled, start, end, text[start:end].strip(), match["digits"] is None)


def _time_unit(text: str) -> str:
    bare = text.strip(" -\t").lower()
    if bare in _DAYS:
        return bare
    bare = bare.removeprefix("个").lstrip("多").strip()
    return bare if bare in _DAYS else "天"
