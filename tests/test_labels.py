"""What words alone say of two labels, whatever an embedding says: neighbours from real reviews in both languages."""

from __future__ import annotations

import pytest

from limner.agents.portraitist.labels import THRESHOLDS
from limner.evidence.labels import Likeness, likeness

CASES: list[tuple[str, str, Likeness]] = [
    ("guitar strings", "strings for my guitar", "same"),
    ("food for dogs", "dog food", "same"),
    ("好看的", "好看", "same"),
    ("fast delivery", "slow shipping", "different"),
    ("上半场", "下半场", "different"),
    ("前半段", "后半段", "different"),
    ("哥哥", "妹妹", "different"),
    ("等了一年", "等了两年", "different"),
    ("最后两集", "两部续集", "narrower"),
    ("12-string guitar", "6-string guitar", "different"),
    ("12弦吉他", "6弦吉他", "different"),
    ("Kettle X2", "Kettle X3", "different"),
    ("容易清洗", "不好清洗", "different"),
    ("尺码偏小", "尺码偏大", "different"),
    ("hotel breakfast", "breakfast", "narrower"),
    ("话筒架", "话筒", "narrower"),
    ("fast charging", "charging speed", "narrower"),
    ("发货慢", "slow delivery", "open"),
    ("包邮", "free shipping", "open"),
    ("快递", "parcel service", "open"),
    ("小提琴", "violin", "open"),
]


@pytest.mark.parametrize(("one", "other", "said"), CASES)
def test_words_decide_before_vectors(one: str, other: str, said: Likeness) -> None:
    assert likeness(one, other) == said == likeness(other, one)


def test_a_pair_is_proposed_before_it_is_sure() -> None:
    for threshold in THRESHOLDS.values():
        assert 0 < threshold.proposed < threshold.sure < 1
