"""Numbers as people write them, in both languages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.agents.quantities import chinese_number, fold, quantities

CASES = [
    ("not bought for 90 days", [(90, "day", 90)]),
    ("three months", [(3, "day", 90)]),
    ("三个月没下单", [(3, "day", 90)]),
    ("半年没买", [(0.5, "day", 182.5)]),
    ("两成以上", [(20, "percent", 0.2)]),
    ("百分之三十", [(30, "percent", 0.3)]),
    ("20% off", [(20, "percent", 0.2)]),
    ("1,200 users", [(1200, "", 1200)]),
    ("一百二十三元", [(123, "money", 123)]),
    ("５０元", [(50, "money", 50)]),
    ("￥99", [(99, "money", 99)]),
    ("$12.99", [(12.99, "money", 12.99)]),
    ("twenty-five orders", [(25, "", 25)]),
    ("two hundred and five", [(205, "", 205)]),
    ("评分低于三点五", [(3.5, "", 3.5)]),
    ("3万人", [(30000, "", 30000)]),
    ("u-17 and X200", []),
    ("成本", []),
    ("no numbers here", []),
]


@pytest.mark.parametrize(("text", "wanted"), CASES)
def test_numbers_with_units(text: str, wanted: list[tuple[float, str, float]]) -> None:
    assert [(q.value, q.unit, q.scaled) for q in quantities(text)] == [
        (pytest.approx(v), u, pytest.approx(s)) for v, u, s in wanted
    ]


def test_place_and_spelling() -> None:
    [number] = quantities("有 三个月 了")
    assert "有 三个月 了"[number.start : number.end].strip() == number.text == "三个月"
    assert number.spelled
    assert not quantities("90 days")[0].spelled


def spell(number: int) -> str:
    """A number below 10,000 in Chinese numerals."""
    text, pending = "", False
    for unit, value in (("千", 1000), ("百", 100), ("十", 10), ("", 1)):
        digit, number = divmod(number, value)
        if digit:
            text += ("零" if pending and text else "") + "零一二三四五六七八九"[digit] + unit
            pending = False
        else:
            pending = True
    return text or "零"


@given(st.integers(0, 9999))
def test_chinese_numerals_round_trip(number: int) -> None:
    assert chinese_number(spell(number)) == number


@given(st.integers(0, 10**9))
def test_digits_are_read_with_and_without_separators_and_full_width(number: int) -> None:
    wide = str(number).translate({ord(str(d)): chr(0xFF10 + d) for d in range(10)})
    for text in (str(number), f"{number:,}", wide):
        assert [q.value for q in quantities(f"about {text} of them")] == [number]


@given(st.text(max_size=80))
def test_any_text_is_read_without_an_error_and_folding_keeps_places(text: str) -> None:
    assert len(fold(text)) == len(text)
    for number in quantities(text):
        assert 0 <= number.start < number.end <= len(text)
