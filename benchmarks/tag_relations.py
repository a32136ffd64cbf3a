"""How near tags are to items that show them, and to items that do not: where `RELATED` of the extractor lies.

    LIMNER_TEST_DATA=FOLDER python benchmarks/tag_relations.py

An item is its title and category, as in a history's line. The tags were made up by us, in both languages, for
categories of the sample and of two shops; a pair that shares a word is left out, because it needs no vectors.
"""

from __future__ import annotations

import csv
import os
import random
from importlib.resources import files
from pathlib import Path

import numpy as np

from limner.agents.extractor.relation import RELATED, Item, embedded
from limner.evidence.overlap import shares_words
from limner.retrieval.embedder import Embedder
from limner.retrieval.space import Space

SAMPLE = {
    "咖啡 Coffee": ("home brewing", "espresso", "barista skills", "手冲", "精品豆"),
    "露营 Camping": ("outdoors", "backpacking", "hiking", "户外", "徒步"),
    "母婴 Kids": ("parenting", "baby products", "childcare", "育儿", "婴儿用品"),
    "桌面 Desk": ("home office", "working from home", "居家办公", "办公"),
}
SHOP = {
    "Office Products": ("stationery", "文具"),
    "Electronics": ("gadgets", "数码"),
    "All Beauty": ("cosmetics", "skincare", "美妆"),
    "Toys and Games": ("children's play", "玩具"),
    "Video Games": ("gaming", "电子游戏"),
    "Arts Crafts and Sewing": ("handicraft", "DIY", "手工"),
    "CDs and Vinyl": ("music", "records", "音乐"),
    "Kindle Store": ("reading", "novels", "看书"),
    "Pet Supplies": ("dogs and cats", "养宠物"),
    "Health and Household": ("wellness", "养生"),
    "Tools and Home Improvement": ("renovation", "家装"),
    "Patio Lawn and Garden": ("gardening", "园艺"),
    "Grocery and Gourmet Food": ("cooking", "snacks", "美食"),
    "Sports and Outdoors": ("fitness", "运动"),
    "Movies and TV": ("films", "cinema", "电影"),
    "Cell Phones and Accessories": ("smartphones", "手机"),
    "Musical Instruments": ("playing guitar", "making music", "乐器"),
    "Automotive": ("cars", "driving", "汽车"),
}
FILMS = {
    "爱情": ("romance", "love stories", "言情"),
    "犯罪": ("crime films", "detective stories", "刑侦"),
    "科幻": ("science fiction",),
    "恐怖": ("horror", "scary films"),
    "纪录片": ("documentaries",),
    "动画": ("cartoons", "anime", "卡通"),
    "武侠": ("martial arts", "功夫"),
}


def sample() -> list[Item]:
    text = files("limner.sample").joinpath("items.csv").read_text(encoding="utf-8")
    return [Item(row["title"], row["category"]) for row in csv.DictReader(text.splitlines())]


def stored(folder: Path, name: str) -> list[Item]:
    import pandas

    frame = pandas.read_parquet(folder / name / "events.parquet")[["title", "category"]].dropna().drop_duplicates()
    items = [Item(t, c.replace("_", " ")) for t, c in frame.itertuples(index=False)]
    return random.Random(1).sample(items, min(300, len(items)))


def measure(name: str, items: list[Item], tags: dict[str, tuple[str, ...]]) -> None:
    words = [tag for group in tags.values() for tag in group]
    owner = [category for category, group in tags.items() for _ in group]
    scores = embedded(Space(Embedder()), words, items)
    near, far = [], []
    for row, item in enumerate(items):
        if not any(category in item.category for category in tags):
            continue
        for column, tag in enumerate(words):
            if not shares_words(tag, f"{item.title} {item.category}"):
                (near if owner[column] in item.category else far).append(float(scores[column, row]))
    together, apart = np.array(near), np.array(far)
    print(f"{name}: {len(together)} pairs that belong together, {len(apart)} that do not")
    for limit in (0.1, 0.15, 0.18, 0.2, 0.22, 0.25, RELATED):
        print(f"  {limit:.2f}  kept {np.mean(together >= limit):.2f}  wrongly kept {np.mean(apart >= limit):.3f}")


def main() -> None:
    measure("sample", sample(), SAMPLE)
    folder = os.environ.get("LIMNER_TEST_DATA")
    if folder:
        measure("shop", stored(Path(folder), "amazon2023_multicat"), SHOP)
        measure("films", stored(Path(folder), "douban_user_histories_zh"), FILMS)


if __name__ == "__main__":
    main()
