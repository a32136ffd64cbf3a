"""The quote: what an extraction takes is said before it, and put beside what it took."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import plausible
from limner.agents.extractor import PLANS
from limner.agents.extractor.quote import WRITTEN, quote
from limner.cli import main
from limner.histories.store import Store
from limner.sample import load_sample
from limner.serving import LEDGER_FILE, connect, open_ledger
from limner.serving.client import Client
from limner.serving.ledger import Ledger
from limner.serving.models import known_model
from limner.serving.quote import FEWEST_CALLS, QuoteLine, seen_of
from limner.serving.request import ChatAnswer, ChatFailure, ChatRequest, Message, PromptId
from limner.serving.scripted import ScriptedEngine
from limner.serving.tokens import EstimatingCounter, GgufCounter, estimated_tokens
from limner.serving.weights import find
from limner.workspace import Workspace
from reading_workspace import event, load
from serving_stub import Stub, serve


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    for name in ("LIMNER_API_KEY", "LIMNER_NO_MODEL", "LIMNER_WORKSPACE", "LIMNER_MODEL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    twice = "The strap broke after two days. I like the colour!"
    return load(
        tmp_path / "w",
        event("ann", twice, title="Watch"),
        event("bob", twice, title="Watch"),
        event("客户", "龙井很香，每年都买。就是物流太慢了！", title="龙井茶"),
        event("quiet", kind="view", title="Watch"),
    )


@pytest.fixture
def model() -> Iterator[Stub]:
    with serve(plausible.reply) as stub:
        yield stub


def told(capfd: pytest.CaptureFixture[str], *arguments: str) -> Any:
    with pytest.raises(SystemExit) as ended:
        main(["extract", *arguments])
    said = capfd.readouterr()
    assert (ended.value.code or 0) == 0, said.err
    return json.loads(said.out) if "--json" in arguments else said.out


def off(quoted: int, actual: int) -> float:
    return abs(quoted - actual) / max(actual, 1)


def test_a_quote_asks_nothing_and_is_what_the_run_then_says_it_was(
    store: Store, model: Stub, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ("--workspace", str(store.path), "--model", f"{model.url}#m", "--json")
    before = told(capfd, *options, "--quote")
    assert model.bodies == []
    assert (before["users"], before["asked_users"], before["tokens"]) == (4, 4, "estimated")
    assert before["total"]["cost"] == 0
    assert before["total"]["seconds"] is None
    after = told(capfd, *options)["quote"]
    assert after["total"]["quoted"] == before["total"]
    assert [line["prompt"] for line in before["prompts"]] == [
        line["prompt"] for line in after["prompts"] if line["quoted"]
    ]
    known = [line for line in after["prompts"] if line["prompt"].split(".")[0] in ("reading", "history")]
    for line in known:
        for field in ("calls", "cached_calls"):
            assert line["quoted"][field] == line["actual"][field], line
    assert after["total"]["actual"]["calls"] == len(model.bodies)
    assert sum(line["quoted"]["cached_calls"] for line in known) >= 1  # What ann and bob both wrote.


def test_after_a_run_the_next_quote_is_of_nothing_and_needs_no_tokenizer(store: Store) -> None:
    def none() -> EstimatingCounter:
        pytest.fail("There is nothing to count.")

    client = scripted(store)
    from limner.agents.extractor import extract
    from limner.agents.extractor.run import choose_users

    extract(store, client, PLANS["small"])
    users = choose_users(store, None, None)
    quoted = quote(store, client, PLANS["small"], users=users, counter=none)
    assert (quoted.users, quoted.asked_users, quoted.total.calls, quoted.total.cost) == (4, 0, 0, None)
    assert quoted.total.seconds == 0
    assert quoted.total.cached_calls > 5
    load(store.path, event("ann", "Now it squeaks.", title="Watch"))
    again = quote(store, client, PLANS["small"], users=users)
    assert again.asked_users == 1
    assert 1 <= again.total.calls <= 6


def scripted(store: Store) -> Client:
    return Client(ScriptedEngine(plausible.answer, model="small"), Ledger(store.path / LEDGER_FILE), "r")


def test_the_next_quote_learns_from_the_ledger(store: Store, model: Stub) -> None:
    workspace = Workspace(store.path, model=f"{model.url}#m")
    first = workspace.quote(plan="small")
    workspace.extract(plan="small")
    things = "lamp kettle chair scarf guitar wallet pillow mirror basket candle hammer teapot".split()
    load(
        store.path,
        *[
            event(f"new{n}", f"The {word} of type {kind} is {said}. I use it every day!", title=f"{word} type {kind}")
            for n, word in enumerate(things)
            for kind, said in enumerate(("quiet and solid", "far too slow"))
        ],
    )
    workspace.extract([f"new{n}" for n in range(6)], plan="small")
    rest = [f"new{n}" for n in range(6, 12)]
    second = workspace.quote(rest, plan="small")
    taken = workspace.extract(rest, plan="small").quote
    assert taken is not None
    assert second.total.seconds is not None
    assert off(second.total.calls, taken.total.calls) <= 0.15
    assert off(second.total.input_tokens, taken.total.input_tokens) <= 0.15
    assert off(second.total.output_tokens, taken.total.output_tokens) <= 0.15
    assert first.total.input_tokens > 11 * first.total.calls  # The stub counts 11 tokens whatever is asked.


def test_the_two_tables_are_for_people(store: Store, model: Stub, capfd: pytest.CaptureFixture[str]) -> None:
    options = ("--workspace", str(store.path), "--model", f"{model.url}#m")
    shown = told(capfd, *options, "--quote")
    assert "4 users, 4 of them with something to ask of m@127.0.0.1" in shown
    assert "in all" in shown
    assert "The time is unknown" in shown
    assert "Tokens are estimated" in shown
    shown = told(capfd, *options)
    assert "quoted / taken" in shown
    assert "reading.v2.en" in shown
    assert "quoted / taken" not in told(capfd, *options)  # Nothing was asked.


def test_an_unknown_price_is_unknown_and_never_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ("--workspace", str(store.path), "--model", "openai:big", "--quote")
    assert told(capfd, *options, "--json")["total"]["cost"] is None
    assert "price of this model is unknown" in told(capfd, *options).replace("\n", " ")
    (store.path / "prices.toml").write_text(
        '[[price]]\nmodel = "openai:*"\ncurrency = "USD"\ninput = 1000\noutput = 0\n'
    )
    total = told(capfd, *options, "--json")["total"]
    assert total["cost"] == pytest.approx(total["input_tokens"] / 1000, rel=0.01)


PROMPT = PromptId("test", 1, "en")


def request(text: str) -> ChatRequest:
    return ChatRequest((Message("system", "Answer."), Message("user", text)), PROMPT)


def test_what_the_ledger_has_seen(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        asked = request("How is it? " * 20)
        for n in range(8):
            answer = ChatAnswer("x", 2 * estimated_tokens(asked), 6, 2.0, reused_tokens=4)
            ledger.record(f"k{n}", "r", "m", asked, answer)
        ledger.record("bad", "r", "m", asked, ChatFailure("malformed: no", "?", 2 * estimated_tokens(asked), 6, 2.0))
        ledger.record("never", "r", "m", asked, ChatFailure("the server answered 500"))
        seen = seen_of(ledger, "m")[PROMPT]
        assert (seen.calls, seen.malformed, seen.output_tokens) == (9, 1, 6)
        assert seen.ratio == pytest.approx(2.0)
        assert seen.seconds == pytest.approx(2.0 / 9, rel=0.2)  # Nine calls of two seconds, side by side.
        assert seen_of(ledger, "other") == {}
    assert FEWEST_CALLS <= 8


def test_the_default_table_names_prompts_that_are_there() -> None:
    from limner.prompts import load as load_prompt

    for name, lang in WRITTEN:
        load_prompt(name, lang)


def test_a_sum_with_an_unknown_part_is_unknown() -> None:
    from limner.serving.quote import Quote

    line = QuoteLine("a", 1, 0, 10, 1, 0.5, 2.0)
    unknown = QuoteLine("b", 1, 0, 10, 1, None, None)
    assert Quote("m", 1, 1, (line, line), "USD", True).total == QuoteLine("", 2, 0, 20, 2, 1.0, 4.0)
    total = Quote("m", 1, 1, (line, unknown), "USD", True).total
    assert (total.cost, total.seconds, total.calls) == (None, None, 2)


@pytest.mark.model
def test_the_tokens_of_the_sample_are_counted_as_the_model_counts_them(tmp_path: Path) -> None:
    """The quote of three users of the sample, against what the real model then takes."""
    store = Store.open(tmp_path / "w", create=True)
    for _ in load_sample(store):
        pass
    path = find(known_model(""))
    assert path is not None
    asked = request("这个耳机很好用 <|im_end|> and it is nice.")
    workspace = Workspace(store.path)
    with connect(store.path, "embedded") as client:
        answer = client.ask([asked])[0]
    assert answer.input_tokens == GgufCounter(path).count(asked)
    quoted = workspace.quote(limit=3)
    assert quoted.exact
    taken = workspace.extract(limit=3).quote
    assert taken is not None
    assert off(quoted.total.calls, taken.total.calls) <= 0.15
    assert off(quoted.total.input_tokens, taken.total.input_tokens) <= 0.15
    assert off(quoted.total.output_tokens, taken.total.output_tokens) <= 0.15
    with open_ledger(store.path) as ledger:
        assert ledger is not None
        assert ledger.summary().calls == taken.total.calls + 1
