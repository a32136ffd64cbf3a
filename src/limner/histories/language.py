"""Which language a text is in, how many words it has, and about how many tokens a model sees in it.

Customers write Chinese, English and both in one line, so words are counted as readers of each would: every Chinese
character is one, every run of Latin letters or digits is one. Small on purpose: no model, no dictionary, one rule in
Python (`detect`) and in SQL (`detect_sql`), so that a load of millions of rows never leaves the database.
"""

from __future__ import annotations

import math
import re
from typing import Literal

Language = Literal["zh", "en", ""]

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_KANA_HANGUL = "\u3041-\u30ff\uac00-\ud7a3"
_LATIN = "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\uff21-\uff3a\uff41-\uff5a"

HAN_WEIGHT = 4
"""How many Latin letters one Chinese character weighs: an English word has about five letters, a Chinese one about one
and a half characters, and names of brands and models are Latin in Chinese texts more often than the other way round."""

SAMPLE = 2000
"""The characters of a text that are looked at: enough to know its language, and a bound on the work."""

_han = re.compile(f"[{_HAN}]")
_kana_hangul = re.compile(f"[{_KANA_HANGUL}]")
_latin = re.compile(f"[{_LATIN}]")
_word = re.compile(f"[{_HAN}{_KANA_HANGUL}]|[{_LATIN}0-9\uff10-\uff19]+(?:['\u2019.\\-][{_LATIN}0-9\uff10-\uff19]+)*")


def detect(text: str | None) -> Language:
    """The language of a text: `zh`, `en`, or empty where there are no letters or they are of neither.

    A mixed text goes to the language that carries it: a Chinese character weighs `HAN_WEIGHT` Latin letters. Other
    languages in Latin letters count as `en`; Japanese and Korean, known by their own letters, as neither.
    """
    sample = (text or "")[:SAMPLE]
    han, latin = len(_han.findall(sample)), len(_latin.findall(sample))
    if len(_kana_hangul.findall(sample)) * 3 > han + latin:
        return ""
    if han == latin == 0:
        return ""
    return "zh" if han * HAN_WEIGHT >= latin else "en"


def detect_sql(expression: str) -> str:
    """DuckDB SQL that gives what `detect` gives, for a text expression (null counts as empty)."""
    sample = f"left(coalesce({expression}, ''), {SAMPLE})"

    def count(letters: str) -> str:
        return f"(length({sample}) - length(regexp_replace({sample}, '[{letters}]', '', 'g')))"

    han, latin, others = count(_HAN), count(_LATIN), count(_KANA_HANGUL)
    # As many bytes as characters: plain ASCII, which one search tells.
    return (
        f"(CASE WHEN strlen({sample}) = length({sample})"
        f" THEN CASE WHEN regexp_matches({sample}, '[A-Za-z]') THEN 'en' ELSE '' END"
        f" WHEN {others} * 3 > {han} + {latin} OR ({han} = 0 AND {latin} = 0) THEN ''"
        f" WHEN {han} * {HAN_WEIGHT} >= {latin} THEN 'zh' ELSE 'en' END)"
    )


def count_words(text: str | None) -> int:
    """The number of words: each Chinese, Japanese or Korean character, each run of Latin letters and digits."""
    return len(_word.findall(text or ""))


def estimate_tokens(text: str | None) -> int:
    """About how many tokens a model sees in a text, rather too many than too few (no tokenizer is loaded)."""
    value = text or ""
    wide = sum(1 for character in value if ord(character) >= 0x2E80)
    return math.ceil(wide * TOKENS_PER_WIDE + (len(value) - wide) * TOKENS_PER_NARROW)


TOKENS_PER_WIDE = 0.8
"""Tokens per Chinese character or wide punctuation mark."""

TOKENS_PER_NARROW = 0.3
"""Tokens per other character, spaces included."""
