from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.errors import UsageError
from limner.histories import Mapping
from limner.histories.mapping import FIELDS
from limner.histories.schema import EVENT_KINDS

names = st.text(st.sampled_from(string.printable + "用户\"'\\\x7f\u3000é"), min_size=1, max_size=12)
columns = st.one_of(names.map(lambda n: (n,)), st.lists(names, min_size=2, max_size=3).map(tuple))


@settings(max_examples=80, deadline=None)
@given(
    st.dictionaries(st.sampled_from(FIELDS["events"].every), columns),
    st.dictionaries(names, st.sampled_from(list(EVENT_KINDS))),
    st.sampled_from(["UTC", "Asia/Shanghai"]),
    st.sampled_from(["keep", "quarantine"]),
    st.lists(names, max_size=3).map(tuple),
)
def test_saved_mapping_is_read_back_equal(tmp_path_factory, columns, kinds, timezone, undated, drop):
    mapping = Mapping(columns=columns, kinds=kinds, timezone=timezone, undated=undated, drop=drop)
    path = tmp_path_factory.mktemp("maps") / "map.toml"
    mapping.save(path)
    assert Mapping.load(path) == mapping


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("knd = 'events'", "unknown key 'knd' (did you mean 'kind'?)"),
        ("kind = 'event'", "must be one of: 'events'"),
        ("[columns]\nuser = 'u'", "events have no field 'user'"),
        ("kind = 'users'\n[columns]\nprice = 'p'", "users have no field 'price'"),
        ("[columns]\nuser_id = 3", "columns.user_id must be a column's name or a list"),
        ("columns = 'u'", "[columns] must be a table"),
        ("[kinds]\nbuy = 'sale'", "there is no event kind 'sale'"),
        ("[constants]\nkind = 'ordr'", "there is no event kind 'ordr' (did you mean 'order'?)"),
        ("timezone = 'Mars/Olympus'", "there is no time zone 'Mars/Olympus'"),
        ("timezone = '../etc/passwd'", "there is no time zone"),
        ("undated = 'maybe'", "undated = 'maybe' must be one of"),
        ("dates = 'YMD'", "dates = 'YMD' must be one of"),
        ("negative = 'refund'", "there is no event kind 'refund'"),
        ("kind = [", "is not a TOML file"),
    ],
)
def test_wrong_mapping_says_what_is_wrong(tmp_path, text, said):
    path = tmp_path / "map.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as error:
        Mapping.load(path)
    assert said in str(error.value)
    assert str(path) in str(error.value)


def test_missing_mapping_file_says_how_to_make_one(tmp_path):
    with pytest.raises(UsageError, match="--save-map"):
        Mapping.load(tmp_path / "none.toml")


def test_a_byte_order_mark_is_no_error(tmp_path):
    path = tmp_path / "map.toml"
    path.write_bytes(b'\xef\xbb\xbfkind = "users"\n')
    assert Mapping.load(path).kind == "users"
