"""What the ledger tells: sums by prompt, model, day and run, single calls, and throwing answers away."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from limner.cli import app
from limner.errors import UsageError
from limner.histories.store import Store
from limner.serving.accounts import CallFilter, list_calls, prune, summarise
from limner.serving.ledger import Ledger
from limner.serving.request import ChatAnswer, ChatFailure, ChatRequest, Message, PromptId

OLD, NEW = PromptId("sentiment", 99, "zh"), PromptId("sentiment", 2, "en")

Invoke = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workspace whose ledger has five calls: two of a prompt version that is not used, two days, two runs."""
    Store.open(tmp_path, create=True)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:

        def record(key: str, run: str, model: str, prompt: PromptId, cost: float | None = None) -> None:
            request = ChatRequest((Message("user", key),), prompt)
            answer = ChatAnswer("x", 100, 10, 1.0, reused_tokens=40)
            ledger.record(key, run, model, request, answer, cost=cost, currency="USD" if cost is not None else "")

        record("a", "extract-1", "m", OLD, 0.5)
        record("b", "extract-1", "m", OLD, 0.25)
        record("c", "extract-2", "m", NEW, 1.0)
        record("d", "extract-2", "other", NEW)
        ledger.record("e", "extract-2", "m", ChatRequest((Message("user", "e"),), NEW), ChatFailure("the server died"))
    with sqlite3.connect(tmp_path / "ledger.sqlite") as connection:
        for table in ("calls", "answers"):
            connection.execute(f"UPDATE {table} SET at = '2026-01-01T10:00:00.000Z' WHERE key IN ('a', 'b')")
    connection.close()
    return tmp_path


@pytest.fixture
def invoke(folder: Path) -> Invoke:
    def ledger(command: str, *options: str) -> str:
        done = CliRunner().invoke(app, ["ledger", command, "-w", str(folder), *options])
        assert done.exit_code == 0, (done.output, done.exception)
        return done.stdout

    return ledger


def told(invoke: Invoke, *options: str) -> Any:
    return json.loads(invoke(*options, "--json"))


def test_sums_by_prompt_model_day_and_run(invoke: Invoke) -> None:
    lines = told(invoke, "summary")["lines"]
    assert [(line["prompt"], line["model"], line["calls"], line["costs"], line["unpriced"]) for line in lines] == [
        ("sentiment.v2.en", "m", 2, {"USD": 1.0}, 1),
        ("sentiment.v99.zh", "m", 2, {"USD": 0.75}, 0),
        ("sentiment.v2.en", "other", 1, {}, 1),
    ]
    assert lines[1]["reused_tokens"] == 80
    assert [(line["model"], line["calls"]) for line in told(invoke, "summary", "--by", "model")["lines"]] == [
        ("m", 4),
        ("other", 1),
    ]
    days = told(invoke, "summary", "--by", "day")["lines"]
    assert (days[0]["day"], days[0]["calls"], days[0]["costs"]) == ("2026-01-01", 2, {"USD": 0.75})
    runs = told(invoke, "summary", "--by", "run")["lines"]
    assert [(line["run"], line["calls"]) for line in runs] == [("extract-1", 2), ("extract-2", 2), ("extract-2", 1)]
    assert "prompt" not in runs[0]


def test_sums_of_one_run_are_for_people_too(invoke: Invoke) -> None:
    shown = invoke("summary", "--run", "extract-2")
    assert "4 answers kept, 3 calls made" in shown
    assert "1.0000 USD + unknown" in shown
    assert "In all 1.0000 USD." in shown
    assert "sentiment.v99" not in shown
    assert told(invoke, "summary", "--run", "extract-1", "--by", "run")["calls"] == 2
    assert told(invoke, "summary", "--since", "2026-01-02")["calls"] == 3


def test_an_unknown_way_to_add_up_is_an_error(folder: Path) -> None:
    with Ledger(folder / "ledger.sqlite") as ledger, pytest.raises(UsageError, match="prompt, model, day, run"):
        summarise(ledger, by="moon; DROP TABLE calls")


@pytest.mark.parametrize(
    ("among", "keys"),
    [
        (CallFilter(), "edcba"),
        (CallFilter(run="extract-1"), "ba"),
        (CallFilter(run="extract"), "edcba"),
        (CallFilter(prompt="sentiment"), "edcba"),
        (CallFilter(prompt="sentiment.v2"), "edc"),
        (CallFilter(prompt="sentiment.v99.zh"), "ba"),
        (CallFilter(model="oth"), "d"),
        (CallFilter(outcome="failed"), "e"),
        (CallFilter(since="2026-01-01", run="extract-1", prompt="sentiment"), "ba"),
        (CallFilter(run="' OR 1=1 --"), ""),
    ],
)
def test_single_calls_the_newest_first(folder: Path, among: CallFilter, keys: str) -> None:
    with Ledger(folder / "ledger.sqlite") as ledger:
        assert "".join(call["key"] for call in list_calls(ledger, among)) == keys
        assert len(list_calls(ledger, among, limit=1)) == min(1, len(keys))


def test_calls_are_shown(invoke: Invoke) -> None:
    assert "the server died" in invoke("calls", "--outcome", "failed")
    found = told(invoke, "calls", "--limit", "2")
    assert [call["key"] for call in found] == ["e", "d"]
    assert found[0]["error"] == "the server died"


def test_nothing_is_thrown_away_without_yes(invoke: Invoke, folder: Path) -> None:
    assert "2 answers would be deleted. Add --yes" in invoke("prune", "--older-than", "30")
    assert told(invoke, "summary")["answers"] == 4
    assert "2 answers deleted." in invoke("prune", "--older-than", "30", "--yes")
    left = told(invoke, "summary")
    assert (left["answers"], left["calls"]) == (2, 5)
    with Ledger(folder / "ledger.sqlite") as ledger:
        assert set(ledger.find("abcde")) == {"c", "d"}


def test_prompts_that_are_no_longer_used_are_thrown_away_with_their_records(invoke: Invoke) -> None:
    done = told(invoke, "prune", "--old-prompts", "--with-calls", "--yes")
    assert done == {"answers": 2, "calls": 2, "done": True}
    assert {line["prompt"] for line in told(invoke, "summary")["lines"]} == {"sentiment.v2.en"}
    assert told(invoke, "prune", "--old-prompts", "--yes") == {"answers": 0, "calls": 0, "done": True}


def test_age_and_prompt_hold_together(folder: Path) -> None:
    with Ledger(folder / "ledger.sqlite") as ledger:
        assert prune(ledger, days=30, prompts=["sentiment.v2"]).answers == 0
        assert prune(ledger, days=0, prompts=["sentiment.v2"]).answers == 2
        assert prune(ledger, days=30, prompts=["sentiment"]).answers == 2
        with pytest.raises(UsageError, match="Say what to throw away"):
            prune(ledger, sure=True)


def test_a_workspace_that_asked_nothing_has_nothing_to_tell(tmp_path: Path) -> None:
    Store.open(tmp_path, create=True)
    for command, options in (("calls", ()), ("prune", ("--older-than", "1")), ("summary", ("--by", "day"))):
        done = CliRunner().invoke(app, ["ledger", command, "-w", str(tmp_path), "--json", *options])
        assert done.exit_code == 0
    assert not (tmp_path / "ledger.sqlite").exists()
