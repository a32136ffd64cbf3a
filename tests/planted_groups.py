"""Users of three planted groups, and a model that names them."""

from __future__ import annotations

import json

import numpy as np

import planted
from limner.histories.store import Store
from limner.serving.client import Client
from limner.serving.ledger import Ledger
from limner.serving.scripted import ScriptedEngine

GROUPS = {
    "coffee": (
        [("en", "pour-over coffee"), ("zh", "手冲咖啡"), ("en", "light roast beans"), ("zh", "咖啡豆")],
        "Coffee",
        ("order", 8),
    ),
    "camping": (
        [("en", "weekend camping"), ("zh", "露营帐篷"), ("en", "hiking boots"), ("zh", "徒步登山")],
        "Outdoor",
        ("view", 30),
    ),
    "baby": (
        [("en", "baby strollers"), ("zh", "婴儿奶粉"), ("en", "toddler toys"), ("zh", "儿童绘本")],
        "Kids",
        ("search", 20),
    ),
}


def counted(**values: int):
    return [{"value": value, "n": n} for value, n in values.items()]


def three_groups(path, per_group: int = 12) -> tuple[Store, dict[str, str]]:
    """Users of three planted groups, half Chinese and half English in each, and one of whom nothing is known."""
    rng = np.random.default_rng(3)
    traits, facts, truth = [], [], {}
    for name, (labels, category, (kind, n)) in GROUPS.items():
        for i in range(per_group):
            user, lang = f"{name}-{i:02}", "zh" if i % 2 else "en"
            truth[user] = name
            own = [label for of, label in labels if of == lang]
            traits += [planted.trait(user, label) for label in own[: 1 + i // 2 % 2]]
            if i % 4 == 0:
                traits.append(planted.trait(user, "慢物流" if lang == "zh" else "slow delivery", polarity="negative"))
            facts.append(
                planted.fact(
                    user,
                    events=10,
                    frequency=int(rng.integers(1, 9)),
                    recency_days=float(rng.uniform(1, 90)),
                    monetary=float(rng.uniform(20, 400)) * (7 if lang == "zh" else 1),
                    currency="CNY" if lang == "zh" else "USD",
                    kinds=counted(**{kind: n, "review": 4}),
                    top_categories=counted(**{category: 5}),
                    lang=lang,
                )
            )
    facts.append(planted.fact("nobody", events=0, texts=0, lang=None))
    return planted.write(path, traits=traits, facts=facts), truth


def answer(name="Coffee people"):
    return json.dumps({"name": name}, ensure_ascii=False)


def by_topic(request) -> str:
    """A model that names what it is shown, in the language it is asked in."""
    shown = request.messages[-1].content
    for sign, english, chinese in (
        ("ffee", "Home baristas", "咖啡爱好者"),
        ("咖啡", "Home baristas", "咖啡爱好者"),
        ("amp", "Weekend campers", "露营族"),
        ("Outdoor", "Weekend campers", "露营族"),
        ("", "Young parents", "年轻父母"),
    ):
        if sign in shown:
            if request.prompt.lang == "zh":
                return answer(chinese)
            return answer(english)
    raise AssertionError


def client(tmp_path, script) -> Client:
    return Client(ScriptedEngine(script), Ledger(tmp_path / "ledger.sqlite"))
