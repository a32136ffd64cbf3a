"""The real texts that cases are made from: labelled opinions and reviews in the evaluation data folder.

The texts stay in that folder: only the rules are part of limner.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limner.errors import UsageError
from limner.evals.altered.case import Lang, Pole

FILES = {
    "zh_gold": ("zh_aspect_opinion/cosmetics_quads.parquet", "zh_aspect_opinion/cosmetics_reviews.parquet"),
    "en_gold": ("en_aspect_opinion/laptops_quads.parquet", "en_aspect_opinion/laptops_sentences.parquet"),
    "zh_reviews": ("zh_reviews_labelled/reviews.parquet", "douban_user_histories_zh/events.parquet"),
    "en_reviews": ("amazon_musical_instruments/events.parquet", "amazon2023_multicat/events.parquet"),
    "en_chats": ("dialogs_satisfaction_en/sgd.parquet",),
}
"""The files read, relative to the data folder."""

POLES: dict[str, Pole] = {"正面": "positive", "负面": "negative", "positive": "positive", "negative": "negative"}
LONGEST_TEXT = 600
CLITICS = frozenset({"t", "s", "m", "re", "ve", "ll", "d"})


@dataclass(frozen=True, slots=True)
class Gold:
    """An opinion that people marked in a text: what about (empty if nothing is named), in which words, how.

    Offsets are characters of `text`; `a_start` is -1 where no aspect is named.
    """

    text: str
    aspect: str
    a_start: int
    opinion: str
    o_start: int
    category: str
    polarity: Pole

    @property
    def start(self) -> int:
        """Where the words of aspect and opinion begin."""
        return self.o_start if self.a_start < 0 else min(self.a_start, self.o_start)

    @property
    def end(self) -> int:
        """Where they end."""
        return max(self.a_start + len(self.aspect), self.o_start + len(self.opinion))

    @property
    def quote(self) -> str:
        """The slice of the text from the first to the last of them."""
        return self.text[self.start : self.end]


@dataclass(frozen=True, slots=True)
class Review:
    """A text and whether its writer was pleased (None if nobody said)."""

    text: str
    positive: bool | None


@dataclass(frozen=True, slots=True)
class Material:
    """All real texts of one language."""

    lang: Lang
    golds: tuple[Gold, ...]
    reviews: tuple[Review, ...]
    chats: tuple[str, ...] = ()


def missing(folder: Path) -> list[str]:
    """The files of `FILES` that are not in the folder."""
    return [name for names in FILES.values() for name in names if not (folder / name).is_file()]


def read_material(folder: Path, lang: Lang) -> Material:
    """Reads the texts of one language, ordered by what they say, so that the order of rows does not matter.

    Raises:
        UsageError: A file is missing.
    """
    gone = missing(folder)
    if gone:
        raise UsageError(f"{folder} has no {gone[0]}. Give the evaluation data with --data-folder.")
    golds = _gold_zh(folder) if lang == "zh" else _gold_en(folder)
    reviews = _reviews_zh(folder) if lang == "zh" else _reviews_en(folder)
    chats = [] if lang == "zh" else _query(folder, "en_chats", "SELECT DISTINCT text FROM {0} WHERE role = 'USER'")
    return Material(
        lang,
        tuple(sorted(set(golds), key=lambda gold: (gold.text, gold.o_start, gold.a_start))),
        tuple(sorted({review.text: review for review in reviews}.values(), key=lambda review: review.text)),
        tuple(sorted(row[0] for row in chats)),
    )


def read_golds(file: Callable[[str], Path], lang: Lang) -> list[Gold]:
    """The marked opinions of a language, in no order.

    Args:
        file: Gives the place of a file of `FILES`, or raises.
        lang: The language.
    """
    first = file(FILES[f"{lang}_gold"][0])
    file(FILES[f"{lang}_gold"][1])
    folder = first.parents[1]
    return list(set(_gold_zh(folder) if lang == "zh" else _gold_en(folder)))


def _query(folder: Path, files: str, sql: str) -> list[tuple[Any, ...]]:
    import duckdb

    from limner.histories.store import quote_path

    with duckdb.connect() as db:
        return db.execute(sql.format(*(quote_path(folder / name) for name in FILES[files]))).fetchall()


def _gold_zh(folder: Path) -> list[Gold]:
    rows = _query(
        folder,
        "zh_gold",
        "SELECT r.text, aspect_term, a_start, opinion_term, o_start, aspect_category, polarity"
        " FROM {0} JOIN {1} AS r USING (id) WHERE opinion_term IS NOT NULL",
    )
    return [
        Gold(text, aspect or "", -1 if aspect is None else int(a_start), opinion, int(o_start), category, POLES[pole])
        for text, aspect, a_start, opinion, o_start, category, pole in rows
        if pole in POLES and len(text) <= LONGEST_TEXT
    ]


def _gold_en(folder: Path) -> list[Gold]:
    rows = _query(
        folder,
        "en_gold",
        "SELECT s.text, a_tok, o_tok, aspect_category, polarity FROM {0} JOIN {1} AS s USING (id)"
        " WHERE opinion_term IS NOT NULL",
    )
    return [
        gold for text, a, o, category, pole in rows if pole in POLES and (gold := _gold(text, a, o, category, pole))
    ]


def _gold(text: str, aspect_tokens: str, opinion_tokens: str, category: str, pole: str) -> Gold | None:
    tokens = text.split(" ")
    joined, places = detokenise(tokens)
    spans = []
    for said in (aspect_tokens, opinion_tokens):
        first, after = (int(number) for number in said.split(","))
        spans.append((-1, -1) if first < 0 else (places[first], places[after - 1] + len(tokens[after - 1])))
    (a_start, a_end), (o_start, o_end) = spans
    if o_start < 0 or joined[o_start : o_start + 3] in ("n't", "'t "):
        return None
    aspect = "" if a_start < 0 else joined[a_start:a_end]
    return Gold(joined, aspect, a_start, joined[o_start:o_end], o_start, category, POLES[pole])


def detokenise(tokens: Sequence[str]) -> tuple[str, list[int]]:
    """Text as people write it from tokens set apart by spaces, and where each token begins in it.

    Full stops and commas lose the space before them, and `don ' t` becomes `don't`.
    """
    text, places = "", []
    glue = True
    for at, word in enumerate(tokens):
        clitic = at >= 2 and tokens[at - 1] == "'" and word in CLITICS
        before_clitic = word == "'" and at + 1 < len(tokens) and tokens[at + 1] in CLITICS
        closes = re.fullmatch(r"[.,!?;:)%]+", word) is not None
        if not (glue or clitic or before_clitic or closes):
            text += " "
        places.append(len(text))
        text += word
        glue = word in ("(", "$", "#")
    return text, places


def _reviews_zh(folder: Path) -> list[Review]:
    rows = _query(
        folder,
        "zh_reviews",
        "SELECT text, sentiment = 'pos' FROM {0} UNION ALL"
        " SELECT text, CASE WHEN rating >= 4 THEN true WHEN rating <= 2 THEN false END FROM {1}",
    )
    return [Review(text, positive) for text, positive in rows if text and len(text) <= LONGEST_TEXT]


def _reviews_en(folder: Path) -> list[Review]:
    stars = "CASE WHEN rating >= 4 THEN true WHEN rating <= 2 THEN false END"
    sql = f"SELECT text, {stars} FROM {{0}} UNION ALL SELECT text, {stars} FROM {{1}}"
    rows = _query(folder, "en_reviews", sql)
    return [
        Review(text, positive)
        for text, positive in rows
        if text and len(text) <= LONGEST_TEXT and not re.search("<|&#", text)
    ]
