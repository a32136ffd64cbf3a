"""The Python API: one workspace from a pandas frame to copy, each method doing what its command does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import plausible
from limner import Workspace
from limner.agents.extractor import Progress
from limner.errors import UsageError, WorkspaceError
from limner.evidence.persona import Persona
from limner.sample import sample_folder
from limner.serving import endpoint
from reading_workspace import not_slices
from serving_stub import Stub, serve

LIKES = {
    "coffee": ("Burr grinder", "Coffee", "The grinder is quiet and even. I love fresh coffee in the morning!"),
    "跑步": ("越野跑鞋", "运动", "鞋子很轻，每天跑步都穿。鞋带有点长！"),
}


def frame() -> pd.DataFrame:
    """Ten customers, half of them Chinese: orders of one kind of thing, and a review each."""
    rows = []
    for n in range(10):
        title, category, review = LIKES["coffee" if n < 5 else "跑步"]
        user = f"en-{n}" if n < 5 else f"客户{n}"
        day = pd.Timestamp("2025-01-01") + pd.Timedelta(days=n)
        common = {"user_id": user, "item_id": f"i{n // 5}", "title": title, "category": category}
        rows.append({**common, "ts": day, "kind": "order", "amount": 20.0 + n, "quantity": 1})
        text = review + (f" Bought it for flat number {chr(65 + n)}." if n < 5 else f"同学{chr(65 + n)}也买了。")
        rows.append({**common, "ts": day + pd.Timedelta(hours=3), "kind": "review", "text": text, "rating": 4.0})
    return pd.DataFrame(rows)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.delenv("LIMNER_NO_MODEL", raising=False)


@pytest.fixture(scope="module")
def model() -> Iterator[Stub]:
    with serve(plausible.reply) as stub:
        yield stub


@pytest.fixture(scope="module")
def workspace(model: Stub, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace that was loaded and read once, for the tests that only look at it."""
    made = Workspace(tmp_path_factory.mktemp("api") / "w", model=f"{model.url}#m", concurrency=4)
    made.ingest(frame())
    made.extract()
    return made


def test_making_one_touches_nothing(tmp_path: Path) -> None:
    path = tmp_path / "w"
    workspace = Workspace(path, model="no such model")
    assert not path.exists()
    assert (workspace.path, workspace.model) == (path, "no such model")
    for use in (workspace.status, workspace.personas, workspace.extract, lambda: workspace.frame("events")):
        with pytest.raises(WorkspaceError, match="limner ingest"):
            use()
    assert not path.exists()


def test_frames_go_in_and_come_out(workspace: Workspace) -> None:
    events = workspace.frame("events")
    assert isinstance(events, pd.DataFrame)
    given = frame()
    joined = given.merge(events, on=["user_id", "ts", "kind"], suffixes=("", "_stored"))
    assert len(events) == len(given) == len(joined)
    reviews = joined[joined["kind"] == "review"]
    assert list(reviews["text_stored"]) == list(reviews["text"])
    assert list(joined["title_stored"]) == list(joined["title"])
    assert not {"run", "seq"} & set(events.columns)
    assert set(workspace.frame("users").columns) >= {"user_id"}
    with pytest.raises(UsageError, match=r"'nothing'.*events"):
        workspace.frame("nothing")


def test_a_frame_twice_adds_nothing_and_files_go_in_too(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path / "w"))
    first = workspace.ingest(frame())
    assert (first.rows, first.stored, first.users) == (20, 20, 10)
    assert workspace.ingest(frame()).stored == 0
    one, two = tmp_path / "one.csv", tmp_path / "two.parquet"
    frame().iloc[:4].to_csv(one, index=False)
    extra = frame().iloc[:1].assign(user_id="new")
    extra.to_parquet(two)
    assert workspace.ingest(one, str(two)).stored == 1
    for wrong in ((one, frame()), (frame(), frame())):
        with pytest.raises(UsageError, match="one data frame"):
            workspace.ingest(*wrong)
    renamed = frame().rename(columns={"user_id": "who", "ts": "when", "kind": "did"})
    columns = {"user_id": "who", "ts": "when", "kind": "did", "text": "text"}
    mapped = Workspace(tmp_path / "m")
    assert mapped.ingest(renamed, kind="events", mapping={"columns": columns}).users == 10
    assert set(mapped.frame("events")["kind"]) == {"order", "review"}


def test_extract_reads_everyone_with_evidence(workspace: Workspace) -> None:
    signals = workspace.frame("signals")
    accepted = signals[signals["status"] == "accepted"]
    assert set(accepted["user_id"]) == set(frame()["user_id"])
    assert not_slices(signals.to_dict("records"), workspace.frame("events").to_dict("records")) == []


def test_extract_again_asks_nothing_and_counts_the_same(workspace: Workspace, model: Stub) -> None:
    asked = len(model.bodies)
    told: list[Progress] = []
    written: list[Persona] = []
    summary = workspace.extract(progress=told.append, told=written.append)
    signals = workspace.frame("signals")
    assert len(model.bodies) == asked
    assert (summary.users, summary.calls, summary.accepted) == (10, 0, int((signals["status"] == "accepted").sum()))
    assert told[-1].done == 10
    assert written == []


def test_extract_takes_users_limits_and_plans(model: Stub, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w", model=f"{model.url}#m")
    workspace.ingest(frame())
    written: list[Persona] = []
    assert workspace.extract(["客户7", "en-0"], told=written.append).users == 2
    assert {persona.user_id for persona in written} == {"客户7", "en-0"}
    assert workspace.extract(limit=3, plan="small").users == 3
    prompts = set(workspace.frame("signals")["prompt"])
    assert {"reading.v2.zh", "sentiment.v2.en", "feeling.v1.en"} <= prompts
    with pytest.raises(UsageError, match="nobody"):
        workspace.extract(["nobody"])


def test_personas_hold_facts_traits_and_a_narrative(workspace: Workspace) -> None:
    persona = workspace.persona("en-3")
    assert (persona.user_id, persona.language, persona.model) == ("en-3", "en", workspace.persona("en-3").model)
    assert persona.facts["monetary"] == 23.0
    assert persona.traits
    assert persona.narrative
    known = {t.trait_id for t in persona.traits}
    for sentence in persona.narrative:
        assert all(mark in known or mark.startswith("fact:") for mark in sentence.supports)
    as_json = json.loads(json.dumps(persona.to_json(), default=str))
    assert list(as_json) == ["user_id", "language", "facts", "traits", "narrative"]
    assert list(as_json["traits"][0]) == [
        "id", "kind", "label", "polarity", "status", "canonical", "strength", "confidence", "mentions", "first_seen",
        "last_confirmed", "closed", "superseded_by", "declared_in", "evidence", "against",
    ]  # fmt: skip
    assert list(as_json["traits"][0]["evidence"][0]) == ["event_id", "field", "start", "end", "quote"]
    assert [p.user_id for p in workspace.personas()] == sorted(set(frame()["user_id"]))
    assert workspace.persona("客户5").language == "zh"
    with pytest.raises(UsageError, match="nobody"):
        workspace.persona("nobody")


def test_portray_writes_plain_narratives_without_a_model(model: Stub, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w", model=f"{model.url}#m")
    workspace.ingest(frame())
    workspace.extract(limit=2)
    asked = len(model.bodies)
    summary = workspace.portray(narratives=False)
    assert (summary.users, summary.by_model, len(model.bodies)) == (10, 0, asked)
    assert all(persona.model == "" for persona in workspace.personas())
    assert workspace.portray().by_model == 2
    assert workspace.persona("en-0").model != ""


@pytest.mark.slow
def test_segments_an_answer_and_copy(workspace: Workspace) -> None:
    discovery = workspace.discover(k=2)
    segments = workspace.segments()
    assert [s.name for s in segments] == [s.name for s in discovery.segments]
    assert sum(s.users for s in segments) == 10
    answer = workspace.ask("Who likes coffee?")
    assert answer.language == "en"
    assert answer.abstained or answer.citations
    absurd = workspace.ask("谁在月球上种过土豆？")
    assert (absurd.language, absurd.abstained, absurd.citations) == ("zh", True, ())
    copy = workspace.copy(segments[0].name, sample_folder() / "product.yaml", channel="sms", variants=2)
    assert (copy.segment, copy.channel, len(copy.variants)) == (segments[0].name, "sms", 2)
    assert all(check.ok for variant in copy.variants for check in variant.checks)
    with pytest.raises(UsageError):
        workspace.copy("no such segment", sample_folder() / "product.yaml")


def test_export_and_status(workspace: Workspace, tmp_path: Path) -> None:
    for table in ("events", "signals", "traits", "personas", "users"):
        rows = workspace.export(table, tmp_path / f"{table}.parquet")
        assert len(pd.read_parquet(tmp_path / f"{table}.parquet")) == rows > 0
    assert workspace.export("signals", str(tmp_path / "s.csv"), "csv") == len(workspace.frame("signals"))
    status = workspace.status()
    assert (status.users, status.tables["events"], status.tables["personas"]) == (10, 20, 10)
    assert str(workspace.path) in status.path
