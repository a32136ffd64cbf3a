"""`limner demo` from beginning to end: on a model made of rules, and on the real one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import plausible
from limner.demo import QUESTION
from limner.histories.store import Store
from limner.sample import read_truth
from limner.sample.truth import Truth
from reading_workspace import export, not_slices
from serving_stub import Stub, serve

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Shown:
    """One run of the demo: where it ran, and what it printed."""

    folder: Path
    out: str
    err: str

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    @property
    def page(self) -> str:
        return (self.folder / "personas.html").read_text(encoding="utf-8")


def demo(folder: Path, *options: str) -> Shown:
    environment = {k: v for k, v in os.environ.items() if k not in ("LIMNER_NO_MODEL", "LIMNER_MODEL")}
    command = [sys.executable, "-m", "limner", "demo", "--dir", str(folder), *options]
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", check=False,
        env={**environment, "COLUMNS": "120", "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Shown(folder, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def truth() -> Truth:
    return read_truth()


@pytest.fixture(scope="module")
def model() -> Iterator[Stub]:
    with serve(plausible.reply) as stub:
        yield stub


@pytest.fixture(scope="module")
def shown(model: Stub, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return demo(tmp_path_factory.mktemp("demo") / "out", "--model", f"{model.url}#m")


def test_everything_is_shown_in_order(shown: Shown, truth: Truth) -> None:
    places = [shown.out.index(user) for user in sorted(user.user_id for user in truth.users)]
    assert places == sorted(places)
    for later in (QUESTION, "personas.html", "Now your own data:"):
        assert shown.out.index(later) > places[-1]
    assert re.findall(r"^  (limner .*)$", shown.out, re.MULTILINE) == [
        "limner ingest YOUR_FILES...",
        "limner extract",
        'limner ask "What do my customers complain about?"',
    ]
    assert "Traceback" not in shown.err
    assert "failed" not in shown.err


def test_every_table_is_filled(shown: Shown, truth: Truth) -> None:
    store = Store.open(shown.workspace)
    users = {user.user_id for user in truth.users}
    assert {row["user_id"] for row in store.rows("SELECT user_id FROM personas")} == users
    assert {row["user_id"] for row in store.rows("SELECT user_id FROM extractions")} == users
    assert len(store.rows("SELECT * FROM segments")) >= 2
    silent = next(user.user_id for user in truth.users if "one_view" in user.oddities)
    assert store.rows(f"SELECT * FROM signals WHERE user_id = '{silent}' AND field <> 'title'") == []


def check_evidence(shown: Shown, tmp_path: Path) -> list[dict[str, Any]]:
    """Reads the exports without limner; the accepted signals."""
    signals = export(shown.workspace, "signals", tmp_path / "signals.jsonl")
    events = export(shown.workspace, "events", tmp_path / "events.jsonl")
    assert not_slices(signals, events) == []
    spans = [s for t in export(shown.workspace, "traits", tmp_path / "traits.jsonl") for s in t["evidence"]]
    said = {row["event_id"]: row for row in events}
    assert spans
    assert all(said[s["event_id"]][s["field"]][s["start"] : s["end"]] == s["quote"] for s in spans)
    return [s for s in signals if s["status"] == "accepted"]


def check_injections(shown: Shown, truth: Truth) -> None:
    """Nothing that an injected instruction asks for became a trait, a narrative or a segment."""
    assert truth.injections
    store = Store.open(shown.workspace)
    made = store.rows("SELECT label AS said FROM traits UNION ALL SELECT name || ' ' || description FROM segments")
    made += store.rows("SELECT s.text AS said FROM personas, unnest(narrative) AS n(s)")
    for injection in truth.injections:
        for word in injection.must_not_appear:
            assert [row["said"] for row in made if word.casefold() in str(row["said"]).casefold()] == []


def check_page(shown: Shown, truth: Truth) -> None:
    """One file that loads nothing and holds every user and the words behind the claims."""
    page = shown.page
    assert not re.search(
        r"""(?:src|href|action)\s*=\s*["']?(?:https?:)?//|@import|url\(\s*["']?http|fetch\(|<link""", page
    )
    assert all(user.user_id in page for user in truth.users)
    assert [p.name for p in shown.folder.iterdir() if p.is_file()] == ["personas.html"]


def test_every_accepted_quote_is_an_exact_slice(shown: Shown, truth: Truth, tmp_path: Path) -> None:
    accepted = check_evidence(shown, tmp_path)
    with_texts = {text.user_id for text in truth.texts if text.kind == "review"}
    assert {s["user_id"] for s in accepted if s["kind"] == "sentiment"} == with_texts
    assert {s["lang"] for s in accepted} == {"en", "zh"}


def test_the_injection_changed_nothing(shown: Shown, truth: Truth) -> None:
    check_injections(shown, truth)


def test_the_page_holds_itself(shown: Shown, truth: Truth) -> None:
    check_page(shown, truth)
    quotes = Store.open(shown.workspace).rows("SELECT DISTINCT s.quote FROM traits, unnest(evidence) AS e(s)")
    plain = [row["quote"] for row in quotes if re.fullmatch(r"[\w ,.，。]{8,}", row["quote"])]
    assert len(plain) > 20
    assert [quote for quote in plain if quote not in shown.page] == []


def test_a_second_time_asks_nothing_and_shows_the_same(shown: Shown, model: Stub) -> None:
    asked = len(model.bodies)
    again = demo(shown.folder, "--model", f"{model.url}#m")
    assert len(model.bodies) == asked
    untimed = re.compile(r"Done in .*|/[^ ]*personas\.html")
    assert untimed.sub("", again.out) == untimed.sub("", shown.out)


@pytest.mark.model
def test_the_whole_demo_on_the_embedded_model(truth: Truth, tmp_path: Path) -> None:
    shown = demo(tmp_path / "demo")
    accepted = check_evidence(shown, tmp_path)
    check_injections(shown, truth)
    check_page(shown, truth)
    assert "users failed" not in shown.err
    assert all(user.user_id in shown.out for user in truth.users)
    read = {s["user_id"] for s in accepted if s["field"] != "title"}
    assert {text.user_id for text in truth.texts if text.kind == "review"} <= read
    minutes, seconds = map(int, re.findall(r"Done in (\d+) min (\d+) s", shown.out)[0])
    print(f"the demo took {minutes} min {seconds} s")
