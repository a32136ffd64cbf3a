from __future__ import annotations

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.histories.language import count_words, detect, detect_sql, estimate_tokens

TEXTS = {
    "Great sound, would buy again": "en",
    "音质很好，会回购": "zh",
    "iPhone 手机很好用": "zh",
    "I love 火锅 so much": "en",
    "ＧＲＥＡＴ": "en",
    "とても良いです": "",
    "좋아요": "",
    "12345 !!! 👍": "",
    "": "",
}


@pytest.mark.parametrize(("text", "language"), TEXTS.items())
def test_detect(text, language):
    assert detect(text) == language


def test_null_is_no_language():
    assert detect(None) == ""
    assert duckdb.connect().execute(f"SELECT {detect_sql('NULL::VARCHAR')}").fetchone() == ("",)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet="ab zé中文好のｱ한!1，", max_size=40), min_size=1, max_size=20))
def test_sql_agrees_with_python(texts):
    connection = duckdb.connect()
    rows = connection.execute(
        f"SELECT t, {detect_sql('t')} FROM (SELECT unnest($texts::VARCHAR[]) AS t)", {"texts": texts}
    ).fetchall()
    assert [language for _, language in rows] == [detect(text) for text, _ in rows]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("音质很好", 4),
        ("It's a well-made 3.5mm jack", 5),
        ("买了iPhone 15，不错", 6),
        ("５星", 2),
        ("。。。!!!", 0),
        (None, 0),
    ],
)
def test_count_words(text, words):
    assert count_words(text) == words


def test_tokens_grow_with_text():
    assert estimate_tokens("") == 0
    assert estimate_tokens("很好") >= 2
    assert estimate_tokens("good value for the money") >= 5
