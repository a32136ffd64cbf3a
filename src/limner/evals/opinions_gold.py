"""Gold opinions of the evaluation data: sentences with the aspects and opinions that people marked in them."""

from __future__ import annotations

import hashlib
from typing import Literal

from pydantic import Field

from limner.evals.altered.material import Gold, read_golds
from limner.evals.task import AbsentData, EvalCase, Setting

Lang = Literal["en", "zh"]
LANGUAGES: tuple[Lang, ...] = ("zh", "en")

TRAIN_SHARE = 0.7
"""Of the Chinese sentences, which come without a split; drawn by a hash of the text."""


class GoldOpinion(EvalCase):
    """An opinion that people marked: where its words stand, about what, in which words, how.

    Attributes:
        start, end: Characters from the first to the last word of aspect and opinion.
        aspect: Empty if none is named.
        opinion: Empty if no words say it.
    """

    start: int = Field(ge=0)
    end: int
    aspect: str
    opinion: str
    positive: bool


class AspectCase(EvalCase):
    """A sentence with all opinions marked in it."""

    text: str
    lang: Lang
    train: bool
    opinions: tuple[GoldOpinion, ...]


def read_gold(setting: Setting, lang: Lang) -> list[AspectCase]:
    """The sentences of a language with their positive and negative opinions, ordered by their text.

    Raises:
        AbsentData: The set is not in the data folder.
    """
    if setting.data is None:
        raise AbsentData("no evaluation data folder (--data-folder)")
    train = _english_train(setting) if lang == "en" else None
    of_text: dict[str, list[Gold]] = {}
    for gold in read_golds(setting.file, lang):
        of_text.setdefault(gold.text, []).append(gold)
    return [
        AspectCase(
            text=text,
            lang=lang,
            train=_chinese_train(text) if train is None else text in train,
            opinions=tuple(_opinion(gold) for gold in sorted(golds, key=lambda gold: (gold.start, gold.end))),
        )
        for text, golds in sorted(of_text.items())
    ]


def _opinion(gold: Gold) -> GoldOpinion:
    return GoldOpinion(
        start=gold.start,
        end=gold.end,
        aspect=gold.aspect,
        opinion=gold.opinion,
        positive=gold.polarity == "positive",
    )


def _chinese_train(text: str) -> bool:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()[0] < TRAIN_SHARE * 256


def _english_train(setting: Setting) -> set[str]:
    """The sentences, as people write them, that are not of the test part."""
    from limner.evals.altered.material import detokenise

    rows = setting.rows(
        "SELECT text FROM {0} WHERE orig_split <> 'test'", "en_aspect_opinion/laptops_sentences.parquet"
    )
    return {detokenise(text.split(" "))[0] for (text,) in rows}
