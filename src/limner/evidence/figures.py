"""Numbers with their units, and dates, in a text: read so that 0.5 kg equals 500 g and 两百 equals 200."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

from limner.evidence.wordlists import stem

_HAN_DIGITS = "零〇一二两三四五六七八九十百千万亿半"
_ENGLISH = (
    "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|"
    "eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|dozen|half"
)
_spelled = rf"(?:{_ENGLISH})(?:[ -](?:and )?(?:{_ENGLISH}))*"
_number = re.compile(
    r"(?P<digits>\d{1,18}(?:[,.]\d{1,9}){0,6})(?P<times>[千万亿kK](?![a-zA-Z])|百万|千万)?"
    rf"|\b(?P<spelled>{_spelled})\b"
    rf"|(?P<han>[{_HAN_DIGITS}](?:[{_HAN_DIGITS}点]{{0,15}}[{_HAN_DIGITS}])?)"
    r"|\b(?P<article>an?)\b"
)
_behind = re.compile(r"[ -]?([a-z$€£¥°%]+\.?|[\u4e00-\u9fff]{1,3})")
_before = re.compile(r"(\$|¥|￥|€|£|rmb|usd|us\$|百分之)\s?$")
_MONTHS = "january february march april may june july august september october november december".split()
_month = "|".join([*_MONTHS, *(m[:3] for m in _MONTHS), "sept"])
_date = re.compile(
    rf"\b(?P<m1>{_month})\.? (?P<d1>[0-3]?\d)(?:st|nd|rd|th)?\b(?:,? (?P<y1>(?:19|20)\d\d)\b)?"
    rf"|\b(?P<d2>[0-3]?\d)(?:st|nd|rd|th)?(?: of)? (?P<m2>{_month})\b\.?(?:,? (?P<y2>(?:19|20)\d\d)\b)?"
    r"|\b(?P<y3>(?:19|20)\d\d)[-/.](?P<m3>[01]?\d)[-/.](?P<d3>[0-3]?\d)\b"
    rf"|(?:(?P<y4>(?:19|20)\d\d)年)?(?P<m4>1[0-2]|0?[1-9]|十[一二]?|[一二三四五六七八九])月"
    rf"(?:(?P<d4>[0-3]?\d|[一二三四五六七八九十]{{1,3}})[日号]|(?=份|初|底|中))"
)
_LISTED = re.compile(r"(\d{1,2}),(\d{1,2})")
"""`4,5天` is four or five days; 1,5 is one and a half."""

_COUNTED = frozenset(["pieces", "people", "times", "star"])
"""Dimensions of which one is no figure: `a person`, 一个."""

_TIMES = {"千": 1e3, "万": 1e4, "亿": 1e8, "百万": 1e6, "千万": 1e7, "k": 1e3, "K": 1e3}


@dataclass(frozen=True, slots=True)
class Unit:
    """What a number counts: a dimension, and how much one unit is of its base."""

    dimension: str
    factor: float


@dataclass(frozen=True, slots=True)
class Figure:
    """A number or a date in a text.

    Attributes:
        start, end: Where it stands, its unit included.
        value: The number; of a date 0.
        unit: Its unit; None if it has none that is known.
        date: Year, month, day of a date, 0 for what is not said; empty for a number.
        sure: False for `a person` and 一个, which are a number only if the other side is one.
    """

    start: int
    end: int
    value: float
    unit: Unit | None = None
    date: tuple[int, ...] = ()
    sure: bool = True


@cache
def _units() -> dict[str, Unit]:
    """Every known unit word, by its folded form (English: its stem)."""
    import tomllib

    source = files("limner.evidence").joinpath("words/units.toml").read_text(encoding="utf-8")
    units = {}
    for dimension, sizes in tomllib.loads(source).items():
        for words, factor in sizes.items():
            for word in words.split():
                units[word if not word.isascii() else stem(word)] = Unit(dimension, float(factor))
    return units


def figures(text: str) -> list[Figure]:
    """The numbers and dates of a folded text (lower case, half width), in order."""
    dates = list(_dates(text))
    taken = {at for d in dates for at in range(d.start, d.end)}
    numbers = [f for f in _numbers(text) if f.start not in taken]
    return sorted([*dates, *numbers], key=lambda f: f.start)


def _dates(text: str) -> Iterator[Figure]:
    for match in _date.finditer(text):
        parts = {name[0]: value for name, value in match.groupdict().items() if value}
        named = parts["m"]
        month = (
            _MONTHS.index(next(m for m in _MONTHS if m.startswith(named[:3]))) + 1
            if named[0].isalpha() and (named.isascii())
            else int(_chinese(named) if not named.isdigit() else named)
        )
        day = parts.get("d", "0")
        day_number = int(day) if day.isdigit() else int(_chinese(day))
        if 1 <= month <= 12 and day_number <= 31:
            year = int(parts.get("y", 0))
            yield Figure(match.start(), match.end(), 0.0, None, (year, month, day_number))


def _numbers(text: str) -> Iterator[Figure]:
    for match in _number.finditer(text):
        listed = _LISTED.fullmatch(match["digits"] or "")
        if listed and int(listed[2]) == int(listed[1]) + 1:
            behind = _behind.match(text, match.end())
            unit, size = _unit_of(behind[1]) if behind else (None, 0)
            middle, end = match.start() + len(listed[1]), behind.start(1) + size if behind and unit else match.end()
            yield Figure(match.start(), middle, float(listed[1]), unit)
            yield Figure(middle + 1, end, float(listed[2]), unit)
            continue
        value = _value(match)
        if value is None:
            continue
        start, end, unit = match.start(), match.end(), None
        if match["digits"] and start and text[start - 1].isalpha() and text[start - 1].isascii():
            continue
        before = _before.search(text, max(0, start - 5), start)
        if before:
            start, unit = before.start(), _units().get(before[1])
        behind = _behind.match(text, end)
        if unit is None and behind:
            unit, size = _unit_of(behind[1])
            end = behind.start(1) + size if unit else end
        plain_one = match["article"] or match["han"] in ("一", "半") or match["spelled"] in ("one", "half")
        if plain_one and unit is None:
            continue
        if unit is None and match["han"] and not _stands_alone(text, match):
            continue
        if match["han"] and text[end : end + 1] == "半" and unit is not None:
            value, end = value + 0.5, end + 1
        single = match["article"] or match["han"] == "一" or match["spelled"] == "one"
        sure = not single or (unit is not None and unit.dimension not in _COUNTED)
        yield Figure(start, end, value, unit, (), sure)


def _stands_alone(text: str, match: re.Match[str]) -> bool:
    """Whether Chinese digits without a unit are a number: several digits of value, not part of a word (千万, 百分)."""
    digits = match["han"]
    return digits[0] not in "百千万亿" and any(digit in "十百千万亿" for digit in digits[1:])


def _unit_of(word: str) -> tuple[Unit | None, int]:
    """The unit that a word or the beginning of a Chinese run names, and its length."""
    units = _units()
    if word.isascii() or not "\u4e00" <= word[0] <= "\u9fff":
        bare = word.rstrip(".")
        return units.get(stem(bare)) or units.get(bare), len(bare)
    for size in range(len(word), 0, -1):
        if word[:size] in units:
            return units[word[:size]], size
    return None, 0


def _value(match: re.Match[str]) -> float | None:
    if match["article"]:
        return 1.0
    if match["spelled"]:
        return _english(match["spelled"])
    if match["han"]:
        return _chinese(match["han"])
    return _digits(match["digits"]) * _TIMES.get(match["times"] or "", 1.0)


def _digits(written: str) -> float:
    """1,500 is fifteen hundred; 1,5 is one and a half; of several points the last parts decimals."""
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", written):
        return float(written.replace(",", ""))
    if re.fullmatch(r"\d+,\d+", written):
        return float(written.replace(",", "."))
    head, _, tail = written.replace(",", "").partition(".")
    return float(f"{head}.{tail.replace('.', '')}" if tail else head)


@lru_cache(maxsize=4096)
def _english(words: str) -> float | None:
    from text_to_num import text2num

    if words == "half":
        return 0.5
    dozens = 12.0 if words.endswith("dozen") else 1.0
    plain = words.removesuffix("dozen").strip(" -")
    if dozens > 1 and plain in ("", "half"):
        return 6.0 if plain else 12.0
    try:
        return float(text2num(plain, "en")) * dozens
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def _chinese(words: str) -> float:
    from cn2an import cn2an

    if words == "半":
        return 0.5
    try:
        return float(cn2an(words.replace("〇", "零").removesuffix("半"), "smart"))
    except ValueError:
        return -1.0


def same(claimed: Figure, said: Figure) -> bool:
    """Whether two figures say the same: the same date as far as both go, or the same amount of the same thing."""
    if claimed.date or said.date:
        return bool(claimed.date and said.date) and all(
            not a or a == b for a, b in zip(claimed.date, said.date, strict=True)
        )
    if claimed.unit is None or said.unit is None:
        return _close(claimed.value, said.value)
    if claimed.unit.dimension != said.unit.dimension:
        return False
    return _close(claimed.value * claimed.unit.factor, said.value * said.unit.factor)


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-6 * max(abs(one), abs(other))
