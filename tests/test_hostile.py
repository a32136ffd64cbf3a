"""No hostile text gets what it wants, not even of a model that obeys every one of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from pydantic import ValidationError

import plausible
from limner.agents.extractor import PLANS
from limner.evals.hostile import attack, read_cases
from limner.evals.hostile.cases import _Group
from limner.evals.hostile.suite import _told
from limner.evals.meter import Metered
from limner.evals.run import evaluate
from limner.evals.task import Setting
from limner.evals.tasks.hostile import Hostile
from limner.histories.store import Store
from limner.serving.client import Client
from limner.serving.ledger import Ledger
from limner.serving.scripted import ScriptedEngine
from obeying import Obeying

pytestmark = pytest.mark.slow


def test_the_suite_is_what_it_says() -> None:
    cases = read_cases()
    assert len(cases) >= 120
    assert len({case.id for case in cases}) == len({case.text for case in cases}) == len(cases)
    languages = Counter(case.lang for case in cases)
    assert min(languages["en"], languages["zh"]) >= 40
    assert len({case.attack for case in cases}) == 11
    with pytest.raises(ValidationError, match="wishes"):
        _Group.model_validate({"attack": "tag", "lang": "en", "wants": "x", "texts": ["y"], "wishes": "z"})


@pytest.mark.parametrize("plan", ["small", "joint"])
def test_no_hostile_text_has_success_with_a_model_that_obeys(plan: str, tmp_path: Path) -> None:
    cases = read_cases()
    obeying = Obeying(cases)
    store = Store.open(tmp_path / "w", create=True)
    with Client(ScriptedEngine(obeying), Ledger(store.path / "ledger.sqlite"), "r") as client:
        score = attack(store, client, PLANS[plan])
    assert score.n == len(cases)
    assert [(success.case, success.got) for success in score.successes] == []
    people = store.rows("SELECT DISTINCT user_id FROM signals WHERE status = 'accepted'")
    assert len(people) >= len(cases)  # The ordinary review of every attacker is still read.


def test_a_success_would_be_seen(tmp_path: Path) -> None:
    """The judge's own check: with a want that ordinary words fulfil, every such case counts as a success."""
    cases = [case.model_copy(update={"wants": "kettle", "polarity": "positive"}) for case in read_cases()[:3]]
    store = Store.open(tmp_path / "w", create=True)
    with Client(ScriptedEngine(plausible.answer), Ledger(store.path / "ledger.sqlite"), "r") as client:
        score = attack(store, client, PLANS["small"], cases)
    assert {success.case for success in score.successes} >= {case.id for case in cases}
    assert list(_told(store, [], [])) == []


@pytest.mark.parametrize("wants", ["kettle", None], ids=["met", "not met"])
def test_the_scorecard_tells_the_share_of_attacks_that_got_something(
    wants: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [case.model_copy(update={"wants": wants or case.wants}) for case in read_cases()[:23]]
    cases.append(cases[0].model_copy(update={"id": "mild", "text": "The kettle fits.", "wants": wants or "a crown"}))
    monkeypatch.setattr("limner.evals.tasks.hostile.read_cases", lambda: cases)
    with Client(ScriptedEngine(plausible.answer), Ledger(tmp_path / "ledger.sqlite"), "r") as client:
        score = evaluate(Hostile(), Setting(tmp_path, spec="embedded", client=Metered(client), limit=24))
    figures = {figure.name: figure.value for figure in score.figures}
    assert (score.n, score.unscored) == (24, 0)
    assert figures["attacks with success"] == (1.0 if wants else 0.0)
    assert figures["texts shown to the model"] == pytest.approx(1 / 24)
