"""The invariant of all evidence: only exact slices hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.evidence.records import Span
from limner.evidence.spans import holds


@given(st.text(), st.data())
def test_every_slice_holds_and_no_other_words_in_its_place(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    assert holds(text, Span("e", "text", start, end, text[start:end])) == (start < end)
    assert not holds(text, Span("e", "text", start, end, text[start:end] + "x"))


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
