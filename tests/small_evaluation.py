"""A small evaluation data folder, in the layout of the real one, with sentences of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd


def write_folder(folder: Path) -> Path:
    """Writes every file that a task reads; the folder is returned."""
    for name, rows in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_parquet(path)
    return folder


def _zh() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    reviews, quads = [], []
    for number in range(40):
        aspect, opinion, pole = (("包装", "很好", "正面"), ("味道", "很差", "负面"))[number % 2]
        text = f"{aspect}{opinion}，第{number}次买"
        reviews.append({"id": number, "text": text})
        quads.append(
            {
                "id": number,
                "aspect_term": aspect,
                "a_start": 0,
                "a_end": 2,
                "opinion_term": opinion,
                "o_start": 2,
                "o_end": 4,
                "aspect_category": "包装",
                "polarity": pole,
            }
        )
    return reviews, quads


def _en() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    sentences, quads = [], []
    for number in range(30):
        aspect, opinion, pole = (("screen", "great", "positive"), ("keyboard", "bad", "negative"))[number % 2]
        name = f"s-{number}"
        sentences.append(
            {
                "id": name,
                "orig_split": "train" if number < 20 else "test",
                "text": f"the {aspect} is {opinion} on unit {number} .",
            }
        )
        quads.append(
            {
                "id": name,
                "aspect_term": aspect,
                "aspect_category": "X#GENERAL",
                "polarity": pole,
                "opinion_term": opinion,
                "a_tok": "1,2",
                "o_tok": "3,4",
            }
        )
    return sentences, quads


def _taken() -> list[dict[str, Any]]:
    things = ("guitar strings", "coffee beans", "running shoes", "cat food", "desk lamp", "garden hose")
    rows = []
    for user in range(4):
        for number in range(5):
            item = (user * 2 + number) % 12
            rows.append(
                {
                    "user_id": f"u{user}",
                    "ts": pd.Timestamp("2024-01-01") + pd.Timedelta(days=10 * number + user),
                    "type": "review",
                    "item_id": f"i{item + 20 * (number == 4)}",
                    "title": f"{things[item % 6]} number {item}",
                    "price": 9.5,
                    "category": "Things",
                    "rating": 5.0,
                    "text_title": "Good",
                    "text": f"I like the {things[item % 6]} a lot.",
                    "is_heldout": number == 4,
                    "lang": "en",
                }
            )
    return rows


_ZH, _EN = _zh(), _en()

FILES: dict[str, list[dict[str, Any]]] = {
    "zh_reviews_labelled/reviews.parquet": [
        {"text": f"第{n}次买，{'很好用' if n % 2 else '很差'}", "sentiment": "pos" if n % 2 else "neg"}
        for n in range(12)
    ],
    "amazon_musical_instruments/events.parquet": [
        {"text_title": "", "text": f"{'good' if n % 2 else 'bad'} strings {n}", "rating": 5.0 if n % 2 else 1.0}
        for n in range(12)
    ],
    "zh_aspect_opinion/cosmetics_reviews.parquet": _ZH[0],
    "zh_aspect_opinion/cosmetics_quads.parquet": _ZH[1],
    "en_aspect_opinion/laptops_sentences.parquet": _EN[0],
    "en_aspect_opinion/laptops_quads.parquet": _EN[1],
    "intents_en/banking77.parquet": [
        {"text": "where is my card", "intent": "card_arrival"},
        {"text": "I want my money back", "intent": "request_refund"},
        {"text": "how do I change the pin", "intent": "change_pin"},
    ],
    "intents_en/clinc150.parquet": [
        {"text": "play some jazz", "intent": "play_music", "domain": "home", "orig_split": "val"},
        {"text": "how is the weather today", "intent": "weather", "domain": "home", "orig_split": "test"},
        {"text": "will it rain", "intent": "weather", "domain": "home", "orig_split": "train"},
        {"text": "what is love", "intent": "oos", "domain": "oos", "orig_split": "oos_val"},
    ],
    "amazon2023_multicat/events.parquet": _taken(),
}
