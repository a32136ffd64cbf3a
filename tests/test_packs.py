"""Several texts in one question: what is packed, what is never asked twice, and what happens when a pack goes wrong."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import plausible
from limner.agents.extractor import PLANS, ExtractSummary, extract
from limner.agents.extractor.packs import MOST_TEXTS
from limner.agents.extractor.plan import choose_plan
from limner.agents.extractor.quote import quote
from limner.errors import ModelError
from limner.histories.language import estimate_tokens
from limner.histories.store import Store
from limner.serving.accounts import prune
from limner.serving.client import Client
from limner.serving.ledger import Ledger
from limner.serving.profiles import model_of
from limner.serving.request import ChatRequest
from limner.serving.scripted import ScriptedEngine
from reading_workspace import event, load, not_slices, signals

JOINT = PLANS["joint"]
Answer = Callable[[ChatRequest], str]

ENGLISH = [f"The {thing} is great, I like the {thing}." for thing in ("kettle", "lamp", "tent", "stove", "knife")]
CHINESE = [f"这个{thing}很好用，喜欢{thing}。" for thing in ("水壶", "台灯", "帐篷")]


def client_of(store: Store, answer: Answer = plausible.answer) -> Client:
    return Client(ScriptedEngine(answer), Ledger(store.path / "ledger.sqlite"), "r")


def read(store: Store, answer: Answer = plausible.answer) -> tuple[ExtractSummary, list[ChatRequest]]:
    engine = ScriptedEngine(answer)
    with Client(engine, Ledger(store.path / "ledger.sqlite"), "r") as client:
        return extract(store, client, JOINT), engine.seen


def texts_of(request: ChatRequest) -> list[str]:
    return re.findall(r"<text>(.*?)</text>", request.messages[-1].content, re.DOTALL)


def readings(seen: list[ChatRequest]) -> list[list[str]]:
    return [texts_of(request) for request in seen if request.prompt.name == "reading"]


def told(store: Store) -> list[dict[str, Any]]:
    return signals(store)


def test_a_users_texts_are_read_together_by_language(tmp_path: Path) -> None:
    store = load(tmp_path, *(event("u", text) for text in [*ENGLISH, *CHINESE]))
    summary, seen = read(store)
    assert readings(seen) == [ENGLISH, CHINESE]
    assert summary.calls == 3  # Two packs and the history.
    assert {s["quote"] for s in told(store) if s["kind"] == "sentiment"} == {*ENGLISH, *CHINESE}
    liked = {(s["event_id"], s["label"]) for s in told(store) if s["kind"] == "preference"}
    assert len({event_id for event_id, _ in liked}) == len(ENGLISH) + len(CHINESE)
    assert not_slices(told(store), store.rows("SELECT * FROM events")) == []


def test_a_quote_from_a_neighbour_proves_nothing(tmp_path: Path) -> None:
    store = load(tmp_path, *(event("u", text) for text in ENGLISH[:2]))

    def mixed_up(request: ChatRequest) -> str:
        if request.prompt.name != "reading":
            return plausible.answer(request)
        said = {"feeling": "like", "about": "lamp", "quote": "I like the lamp"}
        return json.dumps({n: {"sentiment": "positive", "said": [said]} for n in ("1", "2")})

    read(store, mixed_up)
    found = {(s["event_id"], s["status"], s["reason"]) for s in told(store) if s["label"] == "lamp"}
    assert found == {("e000", "rejected", "quote_not_in_text"), ("e001", "accepted", "")}


def test_packs_are_bounded(tmp_path: Path) -> None:
    many = [f"Number {n} is good value." for n in range(MOST_TEXTS + 3)]
    long = ["word " * (JOINT.pack_tokens * 2 // 3 - 1) + f"{n}." for n in range(2)]
    store = load(tmp_path, *(event("u", text) for text in [*many, *long]))
    _, seen = read(store)
    assert [len(texts) for texts in readings(seen)] == [MOST_TEXTS, 3, 1, 1]


def test_a_model_with_little_context_gets_small_packs(tmp_path: Path) -> None:
    spec = "http://127.0.0.1:9/v1#m"
    entry = f'[[profile]]\nmodel = "{model_of(spec)}"\nspec = "{spec}"\nplan = "joint"\ncontext = {{}}\n'
    sizes = {}
    for context in (400, 32_768):
        (tmp_path / "profiles.toml").write_text(entry.format(context), encoding="utf-8")
        plan = choose_plan(spec, workspace=tmp_path)
        store = load(tmp_path / str(context), *(event("u", f"{text} {n}.") for n in range(2) for text in ENGLISH))
        engine = ScriptedEngine(plausible.answer)
        with Client(engine, Ledger(store.path / "ledger.sqlite"), "r") as client:
            extract(store, client, plan)
        sizes[context] = [sum(map(estimate_tokens, texts)) for texts in readings(engine.seen)]
    assert len(sizes[32_768]) == 1
    assert len(sizes[400]) > 1
    assert max(sizes[400]) <= 100


def test_a_text_of_several_users_is_asked_once_in_one_run_and_in_the_next(tmp_path: Path) -> None:
    store = load(tmp_path, *(event(user, text) for user in ("a", "b") for text in ENGLISH[:3]))
    summary, seen = read(store)
    assert readings(seen) == [ENGLISH[:3]]
    assert {s["user_id"] for s in told(store) if s["kind"] == "preference"} == {"a", "b"}
    assert summary.cached_calls >= 3
    load(tmp_path, *(event("c", text) for text in [ENGLISH[3], ENGLISH[0], ENGLISH[4]]))
    _, seen = read(store)
    assert readings(seen) == [[ENGLISH[3], ENGLISH[4]]]
    assert len([s for s in told(store) if s["user_id"] == "c" and s["kind"] == "sentiment"]) == 3


def test_only_a_new_text_is_asked_and_an_old_one_keeps_its_answer(tmp_path: Path) -> None:
    store = load(tmp_path, *(event("u", text) for text in ENGLISH[:3]))
    read(store)
    before = {s["signal_id"]: s["confidence"] for s in told(store) if s["kind"] != "interest"}
    load(tmp_path, event("u", ENGLISH[3]))
    _, seen = read(store)
    assert readings(seen) == [[ENGLISH[3]]]
    after = {s["signal_id"]: s["confidence"] for s in told(store)}
    assert before.items() <= after.items()


def test_a_pack_that_cannot_be_used_is_asked_text_by_text(tmp_path: Path) -> None:
    store = load(tmp_path, *(event("u", text) for text in ENGLISH), event("v", CHINESE[0]))

    def answer(request: ChatRequest) -> str:
        packed = len(texts_of(request)) > 1 and request.prompt.name == "reading"
        return '{"1":' if packed else plausible.answer(request)

    summary, seen = read(store, answer)
    assert sorted(map(len, readings(seen))) == [1] * (len(ENGLISH) + 1) + [len(ENGLISH)]
    assert "repair" not in Counter(request.prompt.name for request in seen)
    assert summary.failed == {}
    assert len([s for s in told(store) if s["kind"] == "preference"]) == len(ENGLISH) + 1


def test_one_text_without_a_usable_answer_fails_its_user_after_one_repair(tmp_path: Path) -> None:
    store = load(tmp_path, *(event("u", text) for text in ENGLISH), event("v", ENGLISH[0]), event("w", CHINESE[0]))
    bad = "tent"

    def answer(request: ChatRequest) -> str:
        return "no" if any(bad in m.content for m in request.messages) else plausible.answer(request)

    summary, seen = read(store, answer)
    assert set(summary.failed) == {"u"}
    names = Counter(request.prompt.name for request in seen)
    assert names["repair"] == 2  # Of the text, and of the history that shows it.
    assert {s["user_id"] for s in told(store)} == {"v", "w"}
    summary, seen = read(store)
    assert summary.failed == {}
    assert readings(seen) == [[ENGLISH[2]]]


@pytest.mark.parametrize("calls", range(7))
def test_a_run_that_dies_goes_on_with_the_same_questions(calls: int, tmp_path: Path) -> None:
    events = [event(user, text) for user in ("a", "b", "c") for text in [*ENGLISH, f"{user} likes this. {user} good."]]
    clean = load(tmp_path / "clean", *events)
    whole, _ = read(clean)
    store = load(tmp_path / "dies", *events)
    left = calls

    def dies(request: ChatRequest) -> str:
        nonlocal left
        left -= 1
        if left < 0:
            raise ModelError("the engine died")
        return plausible.answer(request)

    made = 0
    if calls < whole.calls:
        with pytest.raises(ModelError):
            read(store, dies)
        with Ledger(store.path / "ledger.sqlite") as ledger:
            made = ledger.usage("r").calls
    summary, _ = read(store)
    assert made + summary.calls == whole.calls
    assert told(store) == told(clean)


def test_a_quote_knows_the_packs(tmp_path: Path) -> None:
    store = load(tmp_path, *(event(user, text) for user in ("a", "b") for text in [*ENGLISH, f"{user} is good."]))
    with client_of(store) as client:
        quoted = quote(store, client, JOINT, users=["a", "b"]).total.calls
    summary, _ = read(store)
    narratives = 2
    assert summary.calls <= quoted <= summary.calls + narratives


def test_pruning_a_prompt_drops_the_answers_to_its_texts(tmp_path: Path) -> None:
    store = load(tmp_path, *(event("u", text) for text in ENGLISH))
    read(store)
    with Ledger(store.path / "ledger.sqlite") as ledger:
        assert ledger.rows("SELECT count(*) FROM answers")[0][0] == len(ENGLISH) + 2
        pruned = prune(ledger, prompts=["reading"], sure=True)
        assert pruned.answers == len(ENGLISH) + 1
        assert ledger.rows("SELECT count(*) FROM answers")[0][0] == 1
        assert ledger.rows("SELECT count(*) FROM parts")[0][0] == 0
