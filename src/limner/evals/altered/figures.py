"""Cases about numbers, units and dates: told as they stand, written otherwise, and changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from random import Random

from limner.evals.altered.case import Case, Truth
from limner.evals.altered.material import Material
from limner.evals.altered.wording import Wording, around, squash, wording

ENGLISH = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen twenty"
).split()
CHINESE = "零一二三四五六七八九"
LONGEST_CLAUSE = {"en": 90, "zh": 24}


def figures(material: Material, random: Random) -> Iterator[Case]:
    """Clauses with one number and a unit: kept, written otherwise, and changed in number or unit."""
    words = wording(material.lang)
    pattern = re.compile(words.figures.pattern)
    makers = (_kept, _written, _number, _unit)
    turn = 0
    for review in random.sample(material.reviews, len(material.reviews)):
        match = pattern.search(review.text)
        if match is None:
            continue
        first, last = around(review.text, match.start(), match.end(), words.breaks)
        clause = review.text[first:last].strip()
        if (
            len(clause) > LONGEST_CLAUSE[material.lang]
            or len(re.findall(r"\d+", clause)) != 1
            or re.search(words.unsafe, clause)
        ):
            continue
        if "?" in review.text[last : last + 2] or squash(review.text).count(squash(clause)) != 1:
            continue
        lead = _lead(review.text[first : match.start()], words)
        case = makers[turn % len(makers)](review.text, clause, lead, match, words, material, random)
        if case is not None:
            turn += 1
            yield case


def _lead(before: str, words: Wording) -> str:
    """The last words before the number; in Chinese the whole clause up to it, as words have no borders there."""
    if words.joiner:
        return " ".join(before.split()[-words.figures.before :])
    return before.strip()


def _case(text: str, clause: str, claim: str, kind: str, truth: Truth, material: Material) -> Case:
    return Case(text=text, quote=clause, claim=claim.strip(), lang=material.lang, truth=truth, kind=kind)


def _said(lead: str, number: str, unit: str, words: Wording) -> str:
    parts = [part for part in (lead, number, unit) if part]
    return words.joiner.join(parts)


def _kept(
    text: str, clause: str, lead: str, match: re.Match[str], words: Wording, material: Material, random: Random
) -> Case:
    claim = _said(lead, match["number"], match["unit"], words)
    return _case(text, clause, claim, "number_kept", "true", material)


def _written(
    text: str, clause: str, lead: str, match: re.Match[str], words: Wording, material: Material, random: Random
) -> Case | None:
    spelled = spell(int(match["number"]), material.lang)
    if spelled is None:
        return None
    return _case(text, clause, _said(lead, spelled, match["unit"], words), "number_spelled", "true", material)


def _number(
    text: str, clause: str, lead: str, match: re.Match[str], words: Wording, material: Material, random: Random
) -> Case:
    number = int(match["number"])
    wrong = random.choice([number * 10, number + 1, number * 2 + 1, number + 30])
    said = random.choice([str(wrong), spell(wrong, material.lang) or str(wrong)])
    return _case(text, clause, _said(lead, said, match["unit"], words), "number_changed", "altered", material)


def _unit(
    text: str, clause: str, lead: str, match: re.Match[str], words: Wording, material: Material, random: Random
) -> Case | None:
    wrong = words.figures.units.get(match["unit"])
    if wrong is None:
        return None
    return _case(text, clause, _said(lead, match["number"], wrong, words), "unit_changed", "altered", material)


def dates(material: Material, random: Random) -> Iterator[Case]:
    """Dates: kept, written otherwise, and with another day or month."""
    words = wording(material.lang)
    pattern = re.compile(words.figures.dates)
    texts = [*material.chats, *(review.text for review in material.reviews)]
    makers: tuple[Callable[[re.Match[str], Wording, Random], tuple[str, str, Truth]], ...] = (
        _date_kept,
        _date_written,
        _date_changed,
        _date_changed,
    )
    turn = 0
    for text in random.sample(texts, len(texts)):
        match = pattern.search(text)
        if match is None or "?" in text or "？" in text or len(pattern.findall(text)) > 1:
            continue
        first, last = around(text, match.start(), match.end(), words.breaks)
        clause = text[first:last].strip()
        if (
            len(clause) > LONGEST_CLAUSE[material.lang]
            or re.search(words.negator, clause)
            or re.search(r"\bif\b|如果", clause)
        ):
            continue
        claim, kind, truth = makers[turn % len(makers)](match, words, random)
        turn += 1
        yield _case(text, clause, claim, kind, truth, material)


def _date_kept(match: re.Match[str], words: Wording, random: Random) -> tuple[str, str, Truth]:
    return words.figures.date_claim.format(**match.groupdict()), "date_kept", "true"


def _date_written(match: re.Match[str], words: Wording, random: Random) -> tuple[str, str, Truth]:
    said = match.groupdict()
    if not words.joiner:
        said = {
            f"{name}_spelled": (spell(int(said[name]), "zh") or "").replace("两", "二") for name in ("month", "day")
        }
    return words.figures.date_written.format(**said), "date_written_otherwise", "true"


def _date_changed(match: re.Match[str], words: Wording, random: Random) -> tuple[str, str, Truth]:
    said = match.groupdict()
    if random.random() < 0.5:
        said["month"] = random.choice([month for month in words.figures.months if month != said["month"]])
    else:
        said["day"] = str(int(said["day"]) % 28 + 1)
        said["th"] = said["th"] if said["th"] in "日号" else ordinal(int(said["day"]))
    return words.figures.date_claim.format(**said), "date_changed", "altered"


def ordinal(number: int) -> str:
    """The ending of an English ordinal: `st` of 1, `th` of 11."""
    return "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")


def spell(number: int, lang: str) -> str | None:
    """A small number in words; None where people write digits."""
    if lang == "en":
        return ENGLISH[number] if number < len(ENGLISH) else None
    if number == 2:
        return "两"
    if number < 10:
        return CHINESE[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return ("" if tens == 1 else CHINESE[tens]) + "十" + ("" if ones == 0 else CHINESE[ones])
    if number % 100 == 0 and number < 1000:
        return ("两" if number == 200 else CHINESE[number // 100]) + "百"
    return None
