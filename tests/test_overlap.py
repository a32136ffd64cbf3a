"""Whether a label's words stand in a quote."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from limner.evidence.overlap import shares_words

WORDS = st.lists(
    st.one_of(
        st.text("abcdefgh", min_size=1, max_size=9),
        st.text("好坏音质表带断了客服", min_size=1, max_size=5),
        st.sampled_from(["straße", "naïve", "4k", "ﬁt"]),
    ),
    min_size=1,
    max_size=5,
).map(" ".join)
NOTHING = st.text(" .,!？。…👍-/'", max_size=8)


def wide(text: str) -> str:
    """The text in full width."""
    return "".join("\u3000" if c == " " else chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


@given(WORDS, NOTHING)
def test_a_label_shares_its_own_words(label: str, around: str) -> None:
    assert shares_words(label, around + " " + label + " " + around)


@given(WORDS, WORDS)
def test_width_and_case_do_not_matter(label: str, quote: str) -> None:
    expected = shares_words(label, quote)
    assert shares_words(wide(label), quote) == expected
    assert shares_words(label.upper(), wide(quote).title()) == expected


@given(WORDS, WORDS, st.booleans())
def test_a_longer_quote_shares_no_less(label: str, more: str, half: bool) -> None:
    words = label.split()
    quote = " ".join(words[: (len(words) + 1) // 2] if half else words[:1])
    if shares_words(label, quote):
        assert shares_words(label, f"{quote} {more}")
        assert shares_words(label, f"{more} {quote}")


@given(NOTHING, st.text())
@example("", "")
@example("...", "...")
@example("👍", "👍")
def test_a_label_without_words_shares_nothing(label: str, quote: str) -> None:
    assert not shares_words(label, quote)


@given(st.text(), st.text())
def test_any_text_gets_an_answer(label: str, quote: str) -> None:
    assert shares_words(label, quote) in (True, False)


@pytest.mark.parametrize(
    ("label", "quote"),
    [
        ("noisy fan", "the noise at night"),
        ("Straße", "in der STRASSE"),
        ("İstanbul", "a trip to istanbul"),
        ("istanbul", "İSTANBUL!"),
        ("Ｗｉｆｉ", "the wifi drops"),
        ("表带", "表带两天就断了"),
        ("很轻", "很轻，出门都带着"),
        ("带孩子露营", "想找个带孩子露营用的"),
        ("iPhone 屏幕", "iphone 的屏幕很亮"),
        ("轻", "它很轻"),
        ("strap", "The strap's broken"),
        ("café", "the CAFÉ"),
        ("cafe\u0301", "caf\u00e9"),
        ("two words", "only two here"),
    ],
)
def test_shared(label: str, quote: str) -> None:
    assert shares_words(label, quote)


@pytest.mark.parametrize(
    ("label", "quote"),
    [
        ("cat", "category"),
        ("usb", "usable"),
        ("battery life", "the screen is bright"),
        ("one two three", "only one here"),
        ("手机", "机手"),
        ("音质", "质量很好"),
        ("露营装备", "露水很重"),
        ("strap", "表带断了"),
        ("15", "150"),
    ],
)
def test_not_shared(label: str, quote: str) -> None:
    assert not shares_words(label, quote)
