"""What a text takes from where: numbers, links and words compared with the product sheet and with customers' words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from limner.agents.analyst.cues import content_words
from limner.agents.quantities import Quantity, fold, quantities

_MEASURES = "元块折天日周月年时小秒次人名位克斤公千米厘毫升倍档件种款个色片杯支瓶台套张只度层寸"
"""Chinese numerals count as a number only before one of these (十分 and 千万 are words)."""

_CURRENCIES = (
    ("USD", re.compile(r"\$|dollar|usd|美元|美金", re.IGNORECASE)),
    ("CNY", re.compile(r"¥|元|块|yuan|rmb|cny", re.IGNORECASE)),
    ("EUR", re.compile(r"€|euro|eur|欧元", re.IGNORECASE)),
    ("GBP", re.compile(r"£|pound|gbp|英镑", re.IGNORECASE)),
)


def foreign_numbers(text: str, sheet: str) -> list[str]:
    """Numbers in a text that the sheet does not have, or has of something else (20 g is not 20 %)."""
    folded, given = fold(text), fold(sheet)
    known, said = quantities(given), quantities(folded)
    wrong = [q.text for q in said if _counts(q, folded) and not any(_same(q, k, folded, given) for k in known)]
    shown = {run.lstrip("0") for run in re.findall(r"\d+", given)}
    inside_names = [
        match[0]
        for match in re.finditer(r"\d+", folded)
        if not any(q.start <= match.start() < q.end for q in said) and match[0].lstrip("0") not in shown
    ]
    return list(dict.fromkeys([*wrong, *inside_names]))


def _counts(found: Quantity, text: str) -> bool:
    """Whether a quantity states a number: `one` and Chinese words that begin with a numeral (十分) do not."""
    if not found.spelled or found.unit:
        return True
    if found.value == 1 or found.text.lower() in ("half", "once", "twice", "半"):
        return False
    after = text[found.end : found.end + 2]
    return found.text[0].isascii() or after[:1] in set(_MEASURES) or after in ("分钟", "分之")


def _same(said: Quantity, given: Quantity, text: str, sheet: str) -> bool:
    if abs(said.value - given.value) > 1e-9:
        return False
    if said.unit == given.unit == "money":
        return _currency(said.text) == _currency(given.text)
    if said.unit == given.unit == "day":
        return abs(said.scaled - given.scaled) < 1e-9
    if said.unit or (given.unit in ("money", "percent")):
        return said.unit == given.unit
    unit = re.search(r"[A-Za-z]+|[\u3400-\u9fff]", given.text) if given.unit and not given.spelled else None
    return _same_thing(text[said.end :], unit[0] if unit else sheet[given.end :])


def _currency(text: str) -> str:
    return next((name for name, pattern in _CURRENCIES if pattern.search(text)), "")


_THING = re.compile(r"\s*[-\u2013]?\s*([A-Za-z]+|[\u3400-\u9fff])")
_WORDS = re.compile(r"[A-Za-z]+|[\u3400-\u9fff]")


def _same_thing(after_said: str, after_given: str) -> bool:
    """Whether what is counted is the same: the sheet's next word begins one of the text's next three."""
    thing = _THING.match(after_given)
    if thing is None or _THING.match(after_said) is None:
        return True
    wanted = thing[1].lower()
    for word in _WORDS.findall(after_said)[:3]:
        length = min(len(word), len(wanted), 3)
        if word.lower()[:length] == wanted[:length]:
            return True
    return False


_LINK = re.compile(
    r"https?://[^\s，。；）)】]+|www\.[^\s，。；）)】]+|[\w.+-]+@[\w-]+\.\w+|\b[a-z0-9-]+\.(?:com|cn|net|org|shop|io)\b\S*",
    re.I | re.ASCII,
)


def foreign_links(text: str, url: str | None) -> list[str]:
    """Links and addresses in a text that are not the sheet's."""
    return [m[0] for m in _LINK.finditer(text) if m[0].rstrip(".,!?。！") not in {url, (url or "").split("//")[-1]}]


def word_units(text: str) -> set[str]:
    """What a text is about, comparable across endings: beginnings of English words, pairs of Chinese characters."""
    units: set[str] = set()
    for word in content_words(fold(text)):
        if word[0].isascii():
            units.add(word.lower()[:5])
        else:
            units |= {word[at : at + 2] for at in range(len(word) - 1)} or {word}
    return units


RUN = {"en": 5, "zh": 8}
"""Words (Chinese: characters) in a row that, shared with a customer's text, are that customer's own words."""


def repeated_words(text: str, quotes: Iterable[str], allowed: Sequence[str]) -> str | None:
    """A run of words that a text shares with a customer's quote and with nothing allowed; None if there is none."""
    own = _runs(text)
    if not own:
        return None
    harmless = {run for known in allowed for run in _runs(known)}
    suspicious = own - harmless
    for quote in quotes:
        shared = suspicious & _runs(quote)
        if shared:
            return min(shared)
    return None


_TOKEN = re.compile(r"[a-z0-9]+(?:['’][a-z]+)?|[\u3400-\u9fff]")


def _runs(text: str) -> set[str]:
    tokens = _TOKEN.findall(fold(text).lower())
    runs: set[str] = set()
    for at in range(len(tokens)):
        size = RUN["en"] if tokens[at][0].isascii() else RUN["zh"]
        part = tokens[at : at + size]
        if len(part) == size:
            runs.add((" " if part[0][0].isascii() else "").join(part))
    return runs


def named_users(text: str, users: Iterable[str]) -> list[str]:
    """Ids of users that stand in a text as whole words; ids without a digit or sign are too like words to tell."""
    tokens = set(re.findall(r"[\w@.-]+", text))
    return [user for user in users if len(user) > 2 and re.search(r"[\d@_]", user) and user in tokens]
