"""Measuring models: the plan that reads better is chosen, what the model bears is found, and a profile is written."""

from __future__ import annotations

import csv
import json
import math
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import plausible
from limner.agents.extractor.plan import choose_plan
from limner.agents.extractor.schema import WORDINGS
from limner.cli import main
from limner.errors import BudgetError, DataError, UsageError
from limner.evals.tuning import Labelled, Tuned, quote_tuning, tune
from limner.evals.tuning.rate import Rates, calls_at, marked, planned_rate_calls, rates
from limner.evals.tuning.suite import sample_suite
from limner.evals.tuning.threshold import FEWEST, Answered, best, fitted
from limner.serving import LEDGER_FILE
from limner.serving.budget import Budget
from limner.serving.client import Client
from limner.serving.ledger import Ledger
from limner.serving.profiles import read_profiles
from limner.serving.request import ChatAnswer, ChatRequest, Message, Outcome, PromptId
from limner.serving.scripted import ScriptedEngine

SPEC = "http://127.0.0.1:9/v1#m"
MODEL = "m@127.0.0.1:9"

MARKED = re.compile(r"(?:^|<text>|<history>)[0-9a-f]{6}-\d+ ")

GOOD = ("works very well, I am happy with the {}", "{}用着很顺手，非常满意")
WRONG = ("the {} broke after two days, a waste", "{}两天就坏了，太失望")


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LIMNER_MODELS_DIR", raising=False)


@pytest.fixture
def labelled(tmp_path: Path) -> Labelled:
    """24 labelled texts, half of them Chinese."""
    file = tmp_path / "mine.csv"
    things = ("kettle", "tent", "lamp", "desk", "chair", "grinder")
    with file.open("w", encoding="utf-8", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["words", "stars"])
        for number, thing in enumerate(things):
            for lang in (0, 1):
                rows.writerow([GOOD[lang].format(f"{thing} {number}"), 5])
                rows.writerow([WRONG[lang].format(f"{thing} {number}"), 1])
    return Labelled(file, ("words",), "stars")


class Model:
    """Answers one plan as a good model does, and says of every text of the other plan that its writer is pleased."""

    def __init__(self, good: str) -> None:
        self.good = good
        self.calls = 0
        self.asked = 0  # Calls that are a plan's own, not made to see how fast the model is.

    def __call__(self, request: ChatRequest) -> str | Outcome:
        self.calls += 1
        self.asked += not MARKED.search(request.messages[-1].content)
        name, lang = request.prompt.name, request.prompt.lang
        if name == "sentiment" and self.good != "small":
            return WORDINGS[lang].positive
        if name == "reading" and self.good != "joint":
            texts = re.findall("<text>", request.messages[-1].content)
            return json.dumps({str(n): {"sentiment": "positive", "said": []} for n, _ in enumerate(texts, 1)})
        return plausible.answer(request)

    @contextmanager
    def connect(
        self,
        place: Path,
        spec: str,
        *,
        run: str | None = None,
        concurrency: int | None = None,
        budget: Budget | None = None,
    ) -> Iterator[Client]:
        with Client(ScriptedEngine(self, MODEL), Ledger(place / LEDGER_FILE), run or "", budget=budget) as client:
            yield client


def tuned(model: Model, labelled: Labelled | None, **options: object) -> Tuned:
    return tune(SPEC, labelled=labelled, connected=model.connect, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("good", ["small", "joint"])
def test_the_plan_that_the_model_is_good_at_is_chosen(good: str, labelled: Labelled) -> None:
    found = tuned(Model(good), labelled)
    scores = {one.plan.name: one.score.value for one in found.reached}
    assert scores[good] == 1.0
    assert scores["joint" if good == "small" else "small"] == pytest.approx(1 / 3)  # All positive: one class of two.
    (profile,) = read_profiles().profiles[:1]
    assert (profile.model, profile.plan, profile.spec) == (MODEL, good, SPEC)
    assert choose_plan(SPEC).name == good
    assert {one.plan: one.score for one in profile.scores}[good] == 1.0
    assert all(one.low <= one.score <= one.high for one in profile.scores)
    assert profile.suite
    assert profile.measured
    assert "mine.csv" in profile.by
    assert profile.positive_from == {}  # The engine tells no probabilities.


def test_of_two_plans_with_one_score_the_one_with_fewer_tokens_is_chosen(labelled: Labelled) -> None:
    found = tuned(Model("both"), labelled)  # Good at neither.
    small, joint = found.reached
    assert small.score.value == joint.score.value
    assert joint.tokens < small.tokens  # Texts share an instruction.
    assert found.profile.plan == "joint"


def test_a_second_measurement_asks_no_text_again_and_keeps_the_file_as_it_was(labelled: Labelled) -> None:
    first = Model("small")
    one = tuned(first, labelled)
    was = one.profile.file.read_text(encoding="utf-8")
    again = Model("small")
    two = tuned(again, labelled)
    once = sum(calls_at(int(level)) for level in two.profile.rates)
    assert (first.asked > 0, again.asked) == (True, 0)
    assert 1 + once <= again.calls <= 1 + 2 * once  # A level that seems no faster is tried twice.
    assert two.before is not None
    assert two.before.read_text(encoding="utf-8") == was
    assert (two.profile.plan, two.profile.suite) == (one.profile.plan, one.profile.suite)
    assert len([p for p in read_profiles().profiles if p.model == MODEL]) == 1
    two.profile.file.unlink()
    assert choose_plan(SPEC).name == "joint"


def test_the_bundled_sample_tells_sentiment_and_traits_in_both_languages(tmp_path: Path) -> None:
    found = tuned(Model("both"), None, limit=2)
    assert found.users == 2
    assert all(one.traits is not None for one in found.reached)
    quoted = quote_tuning(SPEC, limit=2, connected=Model("small").connect)
    assert quoted.total.cached_calls > 0  # What was asked is known by now.
    suite = sample_suite(tmp_path / "suite", 6)
    assert [user[:4] for user in suite.users] == ["u-zh"] * 3 + ["u-en"] * 3
    assert {text.user_id for text in suite.texts} <= set(suite.users)


def test_a_limit_stops_it_before_anything_is_written_and_it_goes_on_later(labelled: Labelled) -> None:
    model = Model("small")
    with pytest.raises(BudgetError):
        tuned(model, labelled, budget=Budget(tokens=1000))
    assert not read_profiles().files[0].exists()
    spent = model.asked
    whole = Model("small")
    tuned(model, labelled)
    assert model.asked > spent > 0
    (read_profiles().files[0]).unlink()
    fresh = labelled.file.parent / "fresh"
    fresh.mkdir()
    tuned(whole, labelled, workspace=fresh)
    assert model.asked == whole.asked
    assert (fresh / "profiles.toml").is_file()


def test_a_quote_asks_nothing_and_is_near_what_it_takes(labelled: Labelled) -> None:
    model = Model("small")
    quoted = quote_tuning(SPEC, labelled=labelled, connected=model.connect)
    assert model.calls == 0
    found = tuned(model, labelled)
    read = sum(one.calls for one in found.reached)
    assert read <= quoted.total.calls <= read + planned_rate_calls()


def test_a_model_that_says_nothing_usable_gets_no_profile(labelled: Labelled) -> None:
    class Mute(Model):
        def __call__(self, request: ChatRequest) -> str | Outcome:
            return "..."

    with pytest.raises(DataError, match="nothing was written"):
        tuned(Mute("none"), labelled)
    assert not read_profiles().files[0].exists()


def answers(positive: Iterable[float], negative: Iterable[float]) -> list[Answered]:
    found = [Answered(True, p) for p in positive] + [Answered(False, p) for p in negative]
    return sorted(found, key=lambda one: math.sin(hash((one.positive, round(one.probability, 9)))))


def test_a_threshold_is_found_where_a_model_leans() -> None:
    leaning = answers((0.25 + n / 100 for n in range(20)), (0.02 + n / 200 for n in range(20)))
    found = fitted(leaning, None)
    assert found is not None
    assert 0.12 <= found <= 0.25
    assert fitted(leaning, found) == found  # Nothing is better than it.


def test_no_threshold_is_taken_from_few_texts_or_noise() -> None:
    few = answers([0.3] * (FEWEST - 1), [0.1] * 40)
    assert fitted(few, None) is None
    assert fitted(few, 0.7) == 0.7
    straight = answers((0.6 + n / 60 for n in range(20)), (0.02 + n / 60 for n in range(20)))
    assert fitted(straight, None) is None  # The bare word is right.


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=60))
def test_the_best_threshold_gets_at_least_as_many_right_as_any_other(pairs: list[tuple[bool, float]]) -> None:
    import numpy as np

    given_, truth = np.array([p for _, p in pairs]), np.array([t for t, _ in pairs])
    right = int(((given_ >= best(given_, truth)) == truth).sum())
    assert all(right >= int(((given_ >= limit) == truth).sum()) for limit in (0.05, 0.2, 0.5, 0.8, 0.95))


class Slots:
    """An engine that has room for some calls at once, each of which takes a second of a clock of its own."""

    now = 0.0

    def __init__(self, room: int, at_once: int) -> None:
        self.model = MODEL
        self.at_once = min(room, at_once)

    def run(self, requests: Iterable[ChatRequest]) -> Iterator[tuple[int, Outcome]]:
        waiting = enumerate(requests)
        while True:
            live = [job for _, job in zip(range(self.at_once), waiting, strict=False)]
            if not live:
                return
            Slots.now += 1.0
            for index, _ in live:
                yield index, ChatAnswer("good", 1, 1, 0.0)

    def wind_down(self, seconds: float) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize("room", [1, 4])
def test_calls_at_once_grow_until_the_rate_does_not(room: int, tmp_path: Path) -> None:
    @contextmanager
    def at(level: int) -> Iterator[Client]:
        with Client(Slots(room, level), Ledger(tmp_path / "ledger"), "r") as client:
            yield client

    found = rates(at, [request("<text>one</text>"), request("<history>two</history>")], "mark", clock=lambda: Slots.now)
    assert found.best == room
    assert max(found.of) == 2 * room  # One more was tried, and no further.


def test_rates_of_nothing_choose_nothing() -> None:
    assert Rates({}).best is None
    assert Rates({1: 0.0}).best is None
    assert Rates({1: 2.0, 2: 2.1, 4: 3.0}).best == 4


def test_marked_questions_are_new_ones_and_stay_inside_the_customers_words() -> None:
    asked = [request("Say. <text>fine</text>"), request("Plain")]
    found = marked(asked, "zz", 4)
    assert len({one.key("m") for one in found} | {one.key("m") for one in asked}) == 6
    assert found[0].messages[-1].content == "Say. <text>zz-0 fine</text>"
    assert found[1].messages[-1].content == "zz-1 Plain"


def request(content: str) -> ChatRequest:
    return ChatRequest((Message("system", "s"), Message("user", content)), PromptId("feeling", 1, "en"))


def run(*command: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(command))
    return int(ended.value.code or 0)


def test_the_command_measures_a_real_server(
    labelled: Labelled, capfd: pytest.CaptureFixture[str], serve_plausible: Callable[[], str]
) -> None:
    spec = serve_plausible()
    options = ["--labelled", str(labelled.file), "--text", "words", "--label", "stars", "--limit", "8"]
    assert run("models", "tune", spec, *options, "--quote") == 0
    assert "in all" in capfd.readouterr().out
    assert run("models", "tune", spec, *options, "--json") == 0
    told = json.loads(capfd.readouterr().out)
    assert told["profile"]["plan"] in ("small", "joint")
    assert [one["plan"] for one in told["plans"]] == ["small", "joint"]
    assert told["texts"] == 8
    assert told["calls"] > 8
    assert Path(told["profile"]["file"]).is_file()
    assert run("models", "profiles", spec) == 0
    assert f"plan {told['profile']['plan']}" in capfd.readouterr().out


@pytest.fixture
def serve_plausible() -> Iterator[Callable[[], str]]:
    from serving_stub import serve

    with serve(plausible.reply) as server:
        yield lambda: f"{server.url}#m"


def test_a_column_without_a_file_is_one_clear_error(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("models", "tune", SPEC, "--text", "words") == 2
    assert "--labelled" in capfd.readouterr().err
    with pytest.raises(UsageError):
        tune("nonsense")
    assert threading.active_count() < 50
