"""Parts of texts: exact slices in order, cut where a reader pauses and nowhere else, in linear time."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from limner.agents.extractor.parts import FEWEST, LONGEST_PART, MOST_PARTS, Part, split_parts
from limner.histories.language import count_words

SIGNS = [*"，。！？；…“”（）：～、,.!?;:'\")\n\u3000\u200b\u0301 👍", "——", " - ", "...", "  ", "\r\n", "👨‍👩‍👧‍👦", "❤️"]
WORDS = ["很好用", "物流", "太慢了", "good", "works", "the strap broke", "é", "a" * 300]
TOKENS = ["1,299.00", "3.5", "１，２９９", "https://a.example/x?y=1;z=2", "www.b.example/?q"]
PIECES = st.sampled_from([*SIGNS, *WORDS, *TOKENS])
TEXTS = st.one_of(st.text(), st.lists(PIECES, max_size=60).map("".join))


def words(text: str) -> list[str]:
    return [part.text for part in split_parts(text)]


@given(TEXTS)
@example("")
@example("a b " * 200)
def test_parts_are_exact_slices_in_order_and_few(text: str) -> None:
    parts = split_parts(text)
    assert len(parts) <= MOST_PARTS
    end = 0
    for part in parts:
        assert text[part.start : part.end] == part.text
        assert part.start >= end
        assert part.text == part.text.strip()
        assert len(part.text) <= LONGEST_PART
        assert count_words(part.text) >= min(FEWEST.values())
        end = part.end


@given(TEXTS)
def test_no_sentence_worth_a_question_is_lost(text: str) -> None:
    parts = split_parts(text)
    if len(parts) == MOST_PARTS:
        return
    edges = [0, *(edge for part in parts for edge in (part.start, part.end)), len(text)]
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        for sentence in split_parts(text[first:last].strip()):
            # What is left between parts is only what was too short beside its own cut, such as "a b" in "a b".
            assert count_words(sentence.text) < 2 * max(FEWEST.values()) + 1


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Great sound. The strap broke after two days!", ["Great sound.", "The strap broke after two days!"]),
        ("音质不错。表带两天就断了！客服不理人", ["音质不错。", "表带两天就断了！", "客服不理人"]),
        ("It is light, so I take it everywhere", ["It is light, so I take it everywhere"]),
        (
            "The case is light and small, so I take it on every trip",
            ["The case is light and small,", "so I take it on every trip"],
        ),
        ("很轻，出门都带着它，同事也说好看", ["很轻，出门都带着它，", "同事也说好看"]),
        ("iPhone 15 的屏幕 very nice，就是 battery 不行。", ["iPhone 15 的屏幕 very nice，", "就是 battery 不行。"]),
        ("他说：“太差了！”我也觉得不好", ["他说：“太差了！”", "我也觉得不好"]),
        ('She said "never again." And I agree', ['She said "never again."', "And I agree"]),
        ("Wait... what is this?! No idea", ["what is this?!", "No idea"]),
        ("first line here\r\nsecond line here", ["first line here", "second line here"]),
        ("Ok. No. Fine product.", ["Fine product."]),
    ],
)
def test_where_readers_pause(text: str, parts: list[str]) -> None:
    assert words(text) == parts


@pytest.mark.parametrize(
    "text", ["", "   ", "👍👍👍", "。。。！！！", "......", "好", "ok", "\n\n\u3000", "5", "❤️ 👍🏽"]
)
def test_what_says_nothing_is_no_part(text: str) -> None:
    assert split_parts(text) == []


def test_emoji_do_not_move_offsets() -> None:
    text = "👍🏽很好用👨‍👩‍👧‍👦！物流也快❤️。"
    first, second = split_parts(text)
    assert first == Part(0, text.index("！") + 1, text[: text.index("！") + 1])
    assert second.text == "物流也快❤️。"
    assert text[second.start : second.end] == second.text


NUMBERS = st.one_of(
    st.floats(0.01, 9_999_999, allow_nan=False).map(lambda x: f"{x:,.2f}"),
    st.integers(1000, 10**9).map(lambda x: f"{x:,}"),
    st.floats(0, 99, allow_nan=False).map(lambda x: f"{x:.1f}"),
    st.sampled_from(["１，２９９", "12:30", "2024.5.3", "1.299,00", "v2.0.1", "50%"]),
)
LINKS = st.builds(
    "{}{}.example/{}{}".format,
    st.sampled_from(["https://", "http://", "www.", "HTTPS://"]),
    st.text("abcxyz-", min_size=1, max_size=8),
    st.text("abc019?;!&=#,.:~%/_-", max_size=30),
    st.sampled_from("az09/"),
)
FRAMES = st.sampled_from(
    [
        "I paid {} for it, and I would not do it again.",
        "花了{}买的，感觉不值这个价，不会再买。",
        "See {} for more! It is all there.",
        "{}",
        "详情看 {} 就行了，写得很清楚。好",
        "so {}, well, {}, and {}. Then {}",
    ]
)


@given(FRAMES, st.one_of(NUMBERS, LINKS))
@example("See {} for more! It is all there.", "https://a.example/?a=1;b=2!c.d")
def test_numbers_and_addresses_are_never_cut(frame: str, token: str) -> None:
    text = frame.replace("{}", token)
    parts = split_parts(text)
    at = text.find(token)
    while at >= 0:
        inside = [p for p in parts if p.start < at + len(token) and at < p.end]
        assert len(inside) <= 1
        assert all(p.start <= at and at + len(token) <= p.end for p in inside)
        at = text.find(token, at + 1)


def test_an_address_ends_where_its_sentence_does() -> None:
    assert words("Look at https://a.example/x?y=1. It is good!") == ["Look at https://a.example/x?y=1.", "It is good!"]
    assert words("看 https://a.example/x?y=1。很好用") == ["看 https://a.example/x?y=1。", "很好用"]


NASTY = "a|好|a |，|。|,|.|?| - |-|～|https://a?|好，|ab, |👍| |'|.x|\n".split("|")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("pattern", NASTY)
def test_long_texts_take_linear_time(pattern: str) -> None:
    text = (pattern * 400_000)[:400_000] + "x"
    started = time.perf_counter()
    parts = split_parts(text)
    assert time.perf_counter() - started < 8
    assert all(text[p.start : p.end] == p.text and len(p.text) <= LONGEST_PART for p in parts)


def test_of_a_long_text_the_opening_and_the_verdict_are_read() -> None:
    sentences = [f"Sentence number {n}." for n in range(40)]
    read = words(" ".join(sentences))
    opening = MOST_PARTS * 2 // 3
    assert read == sentences[:opening] + sentences[opening - MOST_PARTS :]
    assert read[-1] == sentences[-1]
