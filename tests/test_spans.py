"""Finding quotes: only exact slices, and the same ones that trying every slice finds."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from limner.evidence.records import Span
from limner.evidence.spans import find_span, find_span_any_case, fold_case, holds

LETTERS = st.text("aAsSßİi\u0307Iıﬁf Ａａ好坏ΣσςǅK\u212a", max_size=8)


@given(st.text(), st.text(), st.integers(0, 20), st.integers(0, 20))
def test_a_span_is_a_slice_between_the_offsets(text: str, quote: str, start: int, end: int) -> None:
    span = find_span("e", "text", text, quote, start=start, end=end)
    if span is None:
        assert quote == "" or quote not in text[start:end]
    else:
        assert text[span.start : span.end] == span.quote == quote
        assert start <= span.start
        assert span.end <= end
        assert holds(text, span)


@given(st.text(), st.data())
def test_every_slice_is_found_and_holds(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    span = find_span("e", "text", text, text[start:end])
    assert (span is None) == (start == end)
    if span is not None:
        assert span.start == text.index(text[start:end])
        assert (span.event_id, span.field) == ("e", "text")


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("would not recommend", "would recommend"),
        ("It lasted 200 hours", "It lasted 500 hours"),
        ("Great sound", "great sound"),
        ("Ｇreat", "Great"),
        ("很好用，推荐", "很好用,推荐"),
        ("a  b", "a b"),
        ("cafe\u0301", "caf\u00e9"),
        ("good", " good"),
        ("good", ""),
        ("", "good"),
    ],
)
def test_what_is_altered_is_not_found(text: str, quote: str) -> None:
    assert find_span("e", "text", text, quote) is None


@pytest.mark.parametrize(
    ("text", "start", "end", "quote"),
    [
        (None, 0, 1, "a"),
        ("abc", -1, -1, "x"),
        ("abc", -3, 2, "ab"),
        ("abc", 1, 1, ""),
        ("abc", 2, 1, ""),
        ("abc", 0, 4, "abc"),
        ("abc", 0, 2, "bc"),
    ],
)
def test_what_does_not_hold(text: str | None, start: int, end: int, quote: str) -> None:
    assert not holds(text, Span("e", "text", start, end, quote))


@given(st.text())
@example("Straße İstanbul ＡＢ")
def test_folding_knows_where_each_character_comes_from(text: str) -> None:
    folded, origin = fold_case(text)
    assert folded == text.casefold()
    assert len(origin) == len(folded)
    for offset, character in enumerate(text):
        assert "".join(f for f, o in zip(folded, origin, strict=True) if o == offset) == character.casefold()


@given(LETTERS, LETTERS)
@example("Maß", "ASS")
@example("Maß", "s")
@example("xİ", "i")
@example("sßs", "ss")
def test_any_case_finds_what_trying_every_slice_finds(text: str, quote: str) -> None:
    spans = [(a, b) for a in range(len(text)) for b in range(a + 1, len(text) + 1)]
    same = [(a, b) for a, b in spans if quote and text[a:b].casefold() == quote.casefold()]
    exact = [(a, b) for a, b in same if text[a:b] == quote]
    found = find_span_any_case("e", "text", text, quote, start=0, end=len(text))
    assert (None if found is None else (found.start, found.end)) == next(iter(exact or same), None)
    assert found is None or holds(text, found)


def test_any_case_keeps_to_its_window() -> None:
    text = "STRASSE Straße straße"
    assert find_span_any_case("e", "text", text, "strasse", start=1, end=14) == Span("e", "text", 8, 14, "Straße")
    assert find_span_any_case("e", "text", text, "strasse", start=1, end=13) is None
    assert find_span_any_case("e", "text", "ＯＫ", "ｏｋ", start=0, end=2) == Span("e", "text", 0, 2, "ＯＫ")
