"""A year replayed month by month: minds that change, conflicts, own words, and what is used of them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

import plausible
from limner import Workspace, serving
from limner.agents.extractor.schema import WORDINGS
from limner.agents.portraitist.prompt import told_traits
from limner.cli import main
from limner.errors import UsageError
from limner.evidence.over_time import read_conflicts, read_history
from limner.evidence.records import Span
from limner.histories.store import Store
from limner.retrieval.documents import read_documents
from limner.serving import LEDGER_FILE
from limner.serving.client import Client
from limner.serving.ledger import Ledger
from limner.serving.request import ChatRequest
from limner.serving.scripted import ScriptedEngine

pytestmark = pytest.mark.slow

YEAR: list[tuple[str, float, str]] = [
    ("ann", 1, "Kettle keeps the water hot for hours!"),
    ("ann", 2, "Kettle is the best thing in my kitchen."),
    ("ann", 3, "Kettle is the best thing in my kitchen."),
    ("ann", 8, "Kettle broke on a monday!"),
    ("ann", 9, "Kettle was a waste of money."),
    ("ann", 11, "Kettle is awful and the lid is noisy."),
    ("ann", 5, "Lamp gives a warm light."),
    ("ann", 5.6, "Lamp is too slow to warm up."),
    ("客户", 1, "龙井 很香，喜欢！"),
    ("客户", 7, "龙井 味道太差。"),
    ("客户", 10, "龙井 又差又贵。"),
    ("gone", 1, "I want blue boots."),
]
"""User, month (5.6: 18 days later in May) and text. The scripted model takes the first word for what it is about."""


def answer(request: ChatRequest) -> str:
    """As the model of rules answers, but what a clause is about is its first word."""
    text = request.messages[-1].content
    first = re.search(r"[\u4e00-\u9fff]{1,6}|[A-Za-z]{3,20}", text)
    if request.prompt.name != "feeling" or first is None:
        return plausible.answer(request)
    wording = WORDINGS[request.prompt.lang]
    wish = "want" if plausible.WISH.search(text) else "like"
    return f"{wording.feelings['dislike' if plausible.BAD.search(text) else wish]}{wording.colon}{first.group()}"


@contextmanager
def scripted(path: Path, spec: str, *, run: str | None = None, **_limits: Any) -> Iterator[Client]:
    """Stands where `limner.serving.connect` stands, with a model made of rules."""
    with Ledger(Path(path) / LEDGER_FILE) as ledger:
        yield Client(ScriptedEngine(answer), ledger, run=run or "")


@pytest.fixture(scope="module", autouse=True)
def rules() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving, "connect", scripted)
        yield


def moment(month: float) -> datetime:
    """Day 9 of a month, or for its tenths up to 20 days later."""
    return datetime(2025, int(month), 9 + round(month % 1 * 30))


def rows(months: range) -> pd.DataFrame:
    """The year's texts of some months."""
    return pd.DataFrame(
        {"user_id": user, "ts": moment(month), "kind": "review", "text": text}
        for user, month, text in YEAR
        if int(month) in months
    )


def when(workspace: Workspace, spans: Iterable[Span]) -> list[str]:
    """The dates of the events that spans are of, such as `01-09`."""
    dates = {row["event_id"]: row["ts"] for row in workspace.store.rows("SELECT event_id, ts FROM events")}
    return [dates[span.event_id].strftime("%m-%d") for span in spans]


def replay(path: Path, parts: list[range]) -> Workspace:
    workspace = Workspace(path, model="openai:rules")
    for months in parts:
        if len(frame := rows(months)):
            workspace.ingest(frame, kind="events")
            workspace.extract(plan="small")
    return workspace


@pytest.fixture(scope="module")
def monthly(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The year ingested, read and portrayed month by month."""
    return replay(tmp_path_factory.mktemp("year") / "monthly", [range(month, month + 1) for month in range(1, 13)])


def traits(workspace: Workspace, user: str) -> dict[tuple[str, str], Any]:
    return {(trait.canonical, trait.status): trait for trait in workspace.persona(user).traits}


def test_a_changed_mind_is_superseded_with_both_sides_evidence(monthly: Workspace) -> None:
    found = traits(monthly, "ann")
    now, old = found["kettle", "current"], found["kettle", "superseded"]
    assert (now.polarity, old.polarity) == ("negative", "positive")
    assert (old.superseded_by, old.closed) == (now.trait_id, datetime(2025, 8, 9))
    assert when(monthly, old.evidence) == ["03-09", "01-09"] == when(monthly, now.against)
    assert when(monthly, now.evidence) == ["11-09", "09-09", "08-09"] == when(monthly, old.against)
    events = {row["event_id"]: row for row in monthly.frame("events").to_dict("records")}
    for span in (*now.evidence, *now.against):
        assert events[span.event_id][span.field][span.start : span.end] == span.quote
    assert found["lamp", "conflict"].polarity == "mixed"
    chinese = traits(monthly, "客户")
    assert chinese["龙井", "superseded"].superseded_by == chinese["龙井", "current"].trait_id
    assert traits(monthly, "gone")["want", "expired"].closed == datetime(2025, 4, 9)


def test_the_year_at_once_and_the_year_by_months_are_one(monthly: Workspace, tmp_path: Path) -> None:
    at_once = replay(tmp_path / "w", [range(1, 13)])
    halves = replay(tmp_path / "h", [range(7, 13), range(1, 7)])
    for other in (at_once, halves):
        assert [p.to_json() for p in other.personas()] == [p.to_json() for p in monthly.personas()]
        for user in ("ann", "客户", "gone"):
            told, also = (read_history(w.store, user).to_json() for w in (monthly, other))
            assert told == also


def test_the_history_says_when_and_by_which_words(monthly: Workspace) -> None:
    told = {topic.name: topic for topic in read_history(monthly.store, "ann").traits}
    changes = [(c.kind, when(monthly, c.evidence)) for c in told["kettle"].changes]
    assert changes == [
        ("appeared", ["01-09"]),
        ("confirmed", ["03-09"]),
        ("conflict", ["08-09"]),
        ("superseded", ["09-09"]),
        ("confirmed", ["11-09"]),
    ]
    assert [c.kind for c in told["lamp"].changes] == ["appeared", "conflict"]
    gone = {topic.name: topic for topic in read_history(monthly.store, "gone").traits}
    assert [c.kind for c in gone["want"].changes] == ["appeared", "weakened", "expired"]
    with pytest.raises(UsageError, match="nobody"):
        read_history(monthly.store, "nobody")


def test_what_no_longer_holds_steers_nothing(monthly: Workspace) -> None:
    assert all(t.holds for t in monthly.persona("ann").present)
    closed = {t.trait_id for p in monthly.personas() for t in p.traits if not t.holds}
    assert closed
    assert not closed & {mark for p in monthly.personas() for s in p.narrative for mark in s.supports}
    assert not closed & {t.trait_id for p in monthly.personas() for t in told_traits(p.traits)}
    shown = {row["trait_id"] for row in monthly.store.rows("SELECT trait_id FROM present_traits")}
    documents = [document.id for document in read_documents(monthly.store, ("trait",))]
    assert closed.isdisjoint(shown)
    assert documents
    assert not [id for id in documents if any(trait in id for trait in closed)]


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    said = capfd.readouterr()
    assert not ended.value.code, said.err
    return said.out


def test_the_commands_show_both_sides(monthly: Workspace, capfd: pytest.CaptureFixture[str]) -> None:
    at = ("--workspace", str(monthly.path))
    text = run(capfd, "persona", "history", "ann", *at)
    assert "2025-09-09  superseded" in text
    assert "“Kettle was a waste of money" in text
    assert "改变看法" in run(capfd, "persona", "history", "客户", *at)
    told = json.loads(run(capfd, "persona", "history", "ann", "--json", *at))
    assert {change["change"] for topic in told["traits"] for change in topic["changes"]} >= {"appeared", "superseded"}
    found = json.loads(run(capfd, "persona", "conflicts", "--json", *at))["conflicts"]
    (lamp,) = [conflict for conflict in found if conflict["trait"]["canonical"] == "lamp"]
    sides = [[(said["at"], said["quote"]) for said in lamp[side]] for side in ("for", "against")]
    assert sides == [
        [("2025-05-09T00:00:00", "Lamp gives a warm light.")],
        [("2025-05-27T00:00:00", "Lamp is too slow to warm up.")],
    ]
    shown = run(capfd, "persona", "conflicts", *at)
    assert shown.index("Lamp gives a warm light") < shown.index("Against") < shown.index("Lamp is too slow")
    page = run(capfd, "persona", "show", "ann", *at)
    assert page.index("conflict") < page.index("No longer so") < page.index("superseded · since 2025-08-09")
    markdown = run(capfd, "persona", "show", "ann", "--format", "md", *at)
    assert markdown.index("conflict") < markdown.index("### No longer so") < markdown.index("superseded")


def test_a_profile_outranks_the_texts(tmp_path: Path) -> None:
    workspace = replay(tmp_path / "w", [range(1, 13)])
    workspace.ingest(pd.DataFrame([{"user_id": "ann", "declared_likes": "kettles"}]), kind="users")
    workspace.portray(["ann"], narratives=False)
    (kettle,) = [t for t in workspace.persona("ann").traits if t.canonical == "kettle"]
    assert (kettle.status, kettle.polarity, kettle.declared_in) == ("declared", "positive", "declared_likes")
    assert when(workspace, kettle.against) == ["11-09", "09-09", "08-09"]
    told = next(t for t in read_history(workspace.store, "ann").traits if t.name == "kettle")
    assert [c.kind for c in told.changes][:2] == ["declared", "confirmed"]
    assert "superseded" not in {c.kind for c in told.changes}
    assert {c.trait.canonical for c in read_conflicts(workspace.store)} >= {"kettle", "lamp"}


def test_a_workspace_written_before_traits_had_time_is_read(monthly: Workspace, tmp_path: Path) -> None:
    """Its files lack the newer columns."""
    path = tmp_path / "old"
    shutil.copytree(monthly.path, path)
    new = {"canonical", "strength", "status", "superseded_by", "closed", "against", "declared_in"}
    for file in (path / "tables" / "traits").rglob("*.parquet"):
        table = pq.read_table(file)
        pq.write_table(table.drop_columns([name for name in table.column_names if name in new]), file)
    store = Store.open(path)
    assert {row["status"] for row in store.rows("SELECT status FROM traits")} == {"current"}
    persona = Workspace(path).persona("ann")
    assert all(t.canonical == t.label and t.strength is None and t.closed is None for t in persona.traits)
    assert {t.against for t in persona.traits} == {()}
    assert persona.present == persona.traits
    assert read_conflicts(store) == []
