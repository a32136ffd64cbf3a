"""Near-duplicate texts: found as exact comparison of all pairs finds them, in both languages."""

from __future__ import annotations

import itertools
import random
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from limner.histories.minhash import SIGNS, near_clusters, shingles, signatures
from limner.histories.neartexts import describe
from limner.histories.profile import profile
from limner.reports.profile_page import people_and_texts, profile_html
from reading_workspace import event, load

ENGLISH = "the lamp arrived broken and the shop did not answer for two weeks so i sent it back at my own cost"
CHINESE = "台灯收到就是坏的联系商家两个星期没有人回复最后只好自己出运费退回去真的非常失望"


def shingles_of(text: str) -> set[int]:
    return set(shingles([text])[0].tolist())


def jaccard(one: str, other: str) -> float:
    a, b = shingles_of(one), shingles_of(other)
    return len(a & b) / len(a | b)


def test_shingles_are_two_words_or_three_characters_and_never_cross_texts() -> None:
    assert len(shingles_of("one two three")) == 2
    assert len(shingles_of("一二三四五")) == 3
    assert shingles_of("one two") & shingles_of("two one") == set()
    assert shingles_of("one two three") & shingles_of("one two four") == shingles_of("one two")
    hashes, text = shingles(["one two", "", "three", "四五六七", "one two"])
    assert text.tolist() == [0, 3, 3, 4]
    assert hashes[0] == hashes[-1]
    assert shingles([])[0].size == 0
    assert shingles_of("台灯 very good 台灯") != shingles_of("台灯 very bad 台灯")


def test_the_share_of_equal_signs_estimates_the_similarity() -> None:
    draw = random.Random(3)
    words = [f"w{n}" for n in range(400)]
    errors = []
    for share in (0.2, 0.5, 0.8, 0.9):
        one = draw.sample(words, 200)
        other = [word if draw.random() < share else f"x{n}" for n, word in enumerate(one)]
        texts = [" ".join(one), " ".join(other)]
        signs, places = signatures(texts)
        assert places.tolist() == [0, 1]
        errors.append(abs((signs[0] == signs[1]).mean() - jaccard(*texts)))
    assert max(errors) < 4 * 0.5 / SIGNS**0.5


@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
def test_a_changed_word_is_near_and_another_text_is_not(text: str) -> None:
    other = ENGLISH.replace("two weeks", "three weeks") if text == ENGLISH else CHINESE.replace("两个星期", "三个星期")
    strange = (
        "the kettle boils fast and its lid is quiet i use it every day"
        if text == ENGLISH
        else "水壶烧水很快盖子也安静每天都用非常满意"
    )
    assert jaccard(text, other) >= 0.7
    assert near_clusters([text, strange, other]) == [[0, 2]]


def test_clusters_are_those_of_comparing_every_pair() -> None:
    draw = random.Random(5)
    letters = [chr(0x4E00 + n) for n in range(300)]
    texts: list[str] = []
    for _ in range(120):
        base = draw.choices(letters, k=draw.randint(40, 90))
        for _ in range(draw.randint(2, 5)):
            copy = list(base)
            for _ in range(draw.randint(0, 5)):
                copy[draw.randrange(len(copy))] = draw.choice(letters)
            texts.append("".join(copy))
    found = {frozenset(pair) for group in near_clusters(texts) for pair in itertools.combinations(group, 2)}
    sets = [shingles_of(text) for text in texts]
    exact = {
        frozenset((one, other))
        for one, other in itertools.combinations(range(len(texts)), 2)
        if len(sets[one] & sets[other]) >= 0.7 * len(sets[one] | sets[other])
    }
    assert len(exact) > 100
    assert len(exact - found) <= 0.02 * len(exact)
    linked = {n for pair in exact for n in pair}
    assert {n for pair in found for n in pair} <= linked  # A chain may join two that are less alike, never a stranger.


def test_a_profile_tells_the_share_and_the_largest_groups(tmp_path: Path) -> None:
    rows = [event(f"u{n}", CHINESE.replace("非常", word)) for n, word in enumerate(("非常", "非常", "特别", "十分"))]
    rows += [event("u9", ENGLISH), event("u9", "Good."), event("u8", f"<b>{ENGLISH.upper()}!</b>", role="agent")]
    store = load(tmp_path / "w", *rows)
    near = profile(store).near
    assert near is not None
    assert (near.events, near.texts, near.same, near.near, near.sampled) == (5, 4, 1, 3, False)
    group = near.groups[0]
    assert (group.texts, group.events, group.users, group.text) == (3, 4, 4, CHINESE)
    lines = people_and_texts(profile(store))
    assert "3 (75.0%) are nearly the same as another" in lines[0]
    assert CHINESE[:30] in profile_html(profile(store), "t")
    assert profile(store, texts=False).near is None


def test_texts_without_a_shingle_and_empty_workspaces_are_no_fault(tmp_path: Path) -> None:
    assert near_clusters([]) == []
    assert near_clusters(["x" * 80, "y" * 80]) == []
    store = load(tmp_path / "w", event("u", "x" * 90), event("u", None))
    with store.read() as db:
        assert describe(db).near == 0


@pytest.mark.slow
def test_many_texts_take_little_time_each() -> None:
    draw = random.Random(1)
    words = ["".join(draw.choices("abcdefghij", k=6)) for _ in range(5000)]
    texts = [" ".join(draw.choices(words, k=25)) for _ in range(20_000)]
    texts += [text.replace(text.split()[3], "other") for text in texts[:1000]]
    began = datetime.now()
    groups = near_clusters(texts)
    assert datetime.now() - began < timedelta(seconds=20)
    assert len(groups) >= 950
    assert all(len(group) == 2 for group in groups)
