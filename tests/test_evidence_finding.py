"""Finding quotes: what folding may take away, exact offsets, and time that does not depend on what is in the text."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from limner.evidence import check
from limner.evidence.finding import LONG, MOST_OCCURRENCES, FoldedText
from limner.evidence.folding import fold, plain

LETTERS = st.text('aAsSßİi\u0307Iıﬁf Ａａ好坏ΣσςǅK\u212a “"-—\n　１1²面麵', max_size=8)


def found(text: str, quote: str) -> list[str]:
    return [text[p.start : p.end] for p in FoldedText(text).places(quote)]


@pytest.mark.parametrize(
    ("text", "quote", "slices"),
    [
        ("ＡＢＣ１２３", "abc123", ["ＡＢＣ１２３"]),
        ("He said “fine” – twice", 'he said "fine" - twice', ["He said “fine” – twice"]),
        ("a \t\n b", "a b", ["a \t\n b"]),
        ("很 好　用", "很好用", ["很 好　用"]),
        ("好用,推荐", "好用，推荐", ["好用,推荐"]),
        ("cafe\u0301 au lait", "CAFÉ AU LAIT", ["cafe\u0301 au lait"]),
        ("soft\u00adhyphen zero\u200bwidth", "softhyphen zerowidth", ["soft\u00adhyphen zero\u200bwidth"]),
        ("Straße STRASSE", "strasse", ["Straße", "STRASSE"]),
        ("麵條很好吃", "面条很好吃", ["麵條很好吃"]),
        ("面条", "麵條", ["面条"]),
        ("ABAB abab", "ab", ["ab", "ab"]),
        ("a great buy", "“a great buy”", ["a great buy"]),
        ("10² m", "102 m", []),
        ("½ price", "1/2 price", []),
        ("don't", "dont", []),
        ("不好", "好不", []),
        ("good", "goo d", []),
        ("Maß", "mas", []),
        ("x", "\u200b", []),
    ],
)
def test_folding_takes_away_what_changes_no_meaning_and_nothing_else(text: str, quote: str, slices: list[str]) -> None:
    assert found(text, quote) == slices


@given(LETTERS, LETTERS)
@example("Maß", "ASS")
@example("sßs", "ss")
@example("好 　坏", "好坏")
def test_every_place_folds_to_what_was_sought_and_an_exact_one_comes_first(text: str, quote: str) -> None:
    places = FoldedText(text).places(quote)
    if quote.strip() and quote in text:
        assert places
        assert places[0].exact
        assert places[0].start == text.index(quote)
    for place in places:
        assert 0 <= place.start < place.end <= len(text)
        there, sought = (fold(s)[0].strip("\"' ") for s in (text[place.start : place.end], quote))
        assert there == sought


@given(st.text(max_size=40))
def test_folding_knows_where_each_character_comes_from(text: str) -> None:
    folded, starts, ends = fold(text)
    assert len(folded) == len(starts) == len(ends)
    assert starts == sorted(starts)
    assert all(0 <= a < b <= len(text) for a, b in zip(starts, ends, strict=True))
    assert len(plain(text)) == len(text)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000))
def test_the_index_of_a_long_text_finds_what_a_plain_search_finds(seed: int) -> None:
    chance = random.Random(seed)
    text = "".join(chance.choices("ab好坏 ", k=LONG + 500))
    for _ in range(10):
        at, size = chance.randrange(len(text) - 30), chance.randrange(1, 24)
        quote = text[at : at + size] + chance.choice(["", "a", "好"])
        places = FoldedText(text).places(quote)
        if quote.strip() and quote in text:
            assert places[0].start == text.index(quote)
        elif fold(quote)[0].strip() not in fold(text)[0]:
            assert places == []


def test_only_so_many_occurrences_are_looked_at() -> None:
    assert len(FoldedText("ab " * 1000).places("ab")) == MOST_OCCURRENCES


def seconds(text: str, pairs: list[tuple[str, str]]) -> float:
    started = time.process_time()
    for quote, claim in pairs:
        check(text, quote, claim, polarity="positive")
    return time.process_time() - started


def test_ten_thousand_quotes_against_a_megabyte_take_seconds() -> None:
    chance = random.Random(5)
    words = "the strap is not good but sound great 很好 不错 battery lasts 3 days I wish my wife loves".split()
    text = ""
    while len(text) < 1_000_000:
        text += " ".join(chance.choices(words, k=chance.randrange(5, 14))) + chance.choice([". ", "! ", "。"])
    pairs = []
    for number in range(10_000):
        at = text.index(" ", chance.randrange(len(text) - 100)) + 1
        quote = text[at : at + chance.randrange(8, 60)]
        pairs.append((quote.upper() if number % 3 == 0 else quote + "#" if number % 3 == 1 else quote, "good strap"))
    assert seconds(text, pairs) < 40


HOSTILE = {
    "one letter": ("a" * 1_000_000, "a" * 500 + "b"),
    "one letter found": ("a" * 1_000_000, "a" * 500),
    "nearly there": (("a" * 99 + "b") * 10_000, "a" * 98 + "bb"),
    "negators": ("not never " * 100_000, "never not never"),
    "negators in Chinese": ("不没" * 300_000, "不没不没不没不没"),
    "conditions": ("if it were, " * 80_000, "if it were, if it were"),
    "clauses": ("," * 1_000_000, ",,,"),
    "quote marks": ("“”" * 400_000, '""""'),
    "numbers": ("1,234,567." * 90_000, "1,234,567.1,234"),
    "one long number": ("9" * 600_000, "9" * 3000),
    "Chinese digits": ("一二三千百万" * 100_000, "一二三千百万一二三千百万"),
    "marks on marks": ("a" + "\u0301" * 200_000, "a\u0301"),
    "spaces": (" " * 900_000 + "x", "   x"),
    "others": ("my wife said " * 70_000, "my wife said my wife said"),
    "ligatures": ("ﷺ" * 60_000, "ﷺﷺﷺ"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_input_makes_it_crawl(name: str) -> None:
    text, quote = HOSTILE[name]
    longer = quote * (3900 // len(quote) or 1)
    pairs = [(quote, "good strap"), (quote, quote[:300]), (longer, longer[:400]), (text[:3900], "never strap")]
    assert seconds(text, pairs) < 15
