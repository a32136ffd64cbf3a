"""How well a hit's score tells what bears on a question from what does not.

    LIMNER_TEST_DATA=FOLDER python benchmarks/relevance.py

Puts 128 questions (half with, half without a bearing review; each in Chinese and English) to English and Chinese
reviews, and banking and other questions to banking ones. Compares raw cosines with ways of taking the level out, and
prints the figures that docs/decisions/0003-relevance.md shows.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from limner.histories.language import detect
from limner.retrieval.embedder import Embedder
from limner.retrieval.relevance import THRESHOLD
from limner.retrieval.space import Space, background

Scores = Callable[[list[str], list[str]], np.ndarray]


@dataclass(frozen=True)
class Trial:
    """Questions put to texts: those that some text bears on, and those that none does."""

    name: str
    texts: list[str]
    bearing: list[str]
    unrelated: list[str]


def sentences(texts: pd.Series, shortest: int, longest: int) -> list[str]:
    """The first sentence of a fitting length of each text."""
    found = []
    for text in texts:
        parts = re.split(r"(?<=[.!?。！？])\s*", text)
        found += [part for part in parts if shortest <= len(part) <= longest][:1]
    return found


def trials(data: Path) -> list[Trial]:
    """The questions and texts of all trials."""
    questions = tomllib.loads((Path(__file__).parent / "relevance_questions.toml").read_text(encoding="utf-8"))
    music = pd.read_parquet(data / "amazon_musical_instruments/events.parquet").sample(800, random_state=2)
    shop = pd.read_parquet(data / "zh_reviews_labelled/reviews.parquet")
    shop = shop.groupby("category").sample(120, random_state=2)
    texts = {"music": sentences(music.text, 20, 160), "shopping": sentences(shop.text, 8, 60)}
    found = [
        Trial(
            f"{name} reviews, asked in {lang}",
            texts[name],
            *([pair[i] for pair in questions[name][side]] for side in ("bearing", "unrelated")),
        )
        for name in texts
        for i, lang in enumerate(("en", "zh"))
    ]
    banking = pd.read_parquet(data / "intents_en/banking77.parquet").sample(1200, random_state=0).text.tolist()
    clinc = pd.read_parquet(data / "intents_en/clinc150.parquet").sample(2500, random_state=0)
    others = clinc[~clinc.domain.isin(["banking", "credit_cards"])].text.tolist()[:300]
    return [*found, Trial("banking questions", banking[400:], banking[:150], others)]


def ways(embedder: Embedder) -> dict[str, Scores]:
    """The ways of scoring a question against a text."""
    space = Space(embedder)
    common = {lang: embedder.embed_passages(texts) for lang, texts in background()["statements"].items()}

    def raw(questions: list[str], texts: list[str]) -> np.ndarray:
        return embedder.embed_queries(questions) @ embedder.embed_passages(texts).T

    def against_background(questions: list[str], texts: list[str], divide: bool) -> np.ndarray:
        asked = embedder.embed_queries(questions)
        chinese = np.array([detect(text) == "zh" for text in texts])
        scores = asked @ embedder.embed_passages(texts).T
        base = {lang: asked @ rows.T for lang, rows in common.items()}
        middle = np.where(chinese, base["zh"].mean(1)[:, None], base["en"].mean(1)[:, None])
        width = np.where(chinese, base["zh"].std(1)[:, None], base["en"].std(1)[:, None])
        return (scores - middle) / width if divide else scores - middle

    return {
        "raw cosine": raw,
        "margin over unrelated texts": lambda q, t: against_background(q, t, divide=False),
        "z-score against unrelated texts": lambda q, t: against_background(q, t, divide=True),
        "levelled cosine (used)": lambda q, t: space.questions(q) @ space.passages(t).T,
    }


def translations(data: list[Trial], score: Scores, to: str) -> float:
    """How often a question's translation is the nearest of all questions of both languages but itself."""
    pairs = []
    for english, chinese in zip(data[0:4:2], data[1:4:2], strict=True):
        pairs += list(zip(english.bearing + english.unrelated, chinese.bearing + chinese.unrelated, strict=True))
    texts = [pair[0] for pair in pairs] + [pair[1] for pair in pairs]
    own = int(to == "en")
    scores = score([pair[own] for pair in pairs], texts)
    places = np.arange(len(pairs))
    scores[places, places + own * len(pairs)] = -9
    return float(np.mean(scores.argmax(1) == places + (1 - own) * len(pairs)))


def main() -> None:
    """Prints one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("LIMNER_TEST_DATA"))
    parser.add_argument("--cache", type=Path, help="Folder for embeddings, to run again quickly.")
    given = parser.parse_args()
    if not given.data:
        print("relevance: not measured, LIMNER_TEST_DATA does not name the evaluation data folder")
        return
    embedder = Embedder.open(given.cache or tempfile.mkdtemp())
    data = trials(given.data)
    for name, score in ways(embedder).items():
        print(f"\n{name}")
        everywhere: dict[str, list[np.ndarray]] = {"bearing": [], "unrelated": []}
        for trial in data:
            near = {side: score(getattr(trial, side), trial.texts).max(1) for side in everywhere}
            print(f"  {trial.name:32} AUC {auc(**near):.3f}")
            if trial is not data[-1]:
                for side, values in near.items():
                    everywhere[side].append(values)
        joint = {side: np.concatenate(values) for side, values in everywhere.items()}
        line = np.quantile(joint["unrelated"], 0.95)
        print(f"  reviews, one threshold           AUC {auc(**joint):.3f}")
        print(f"  answered at 5 % wrongly answered {np.mean(joint['bearing'] > line):.2f}, threshold {line:.3f}")
        print(f"  translation is nearest           en to zh {translations(data, score, 'zh'):.2f}", end="")
        print(f", zh to en {translations(data, score, 'en'):.2f}")
        if "used" in name:
            for trial in data:
                shares = [np.mean(score(getattr(trial, side), trial.texts).max(1) >= THRESHOLD) for side in everywhere]
                print(f"  {trial.name:32} at {THRESHOLD}: answered {shares[0]:.2f}, wrongly {shares[1]:.2f}")


def auc(bearing: np.ndarray, unrelated: np.ndarray) -> float:
    """Area under the ROC curve: how often a bearing question scores above an unrelated one."""
    truth = np.r_[np.ones(len(bearing)), np.zeros(len(unrelated))]
    return float(roc_auc_score(truth, np.r_[bearing, unrelated]))


if __name__ == "__main__":
    main()
