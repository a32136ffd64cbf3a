"""The tasks, end to end with a scripted model on a small data folder: right answers score, others do not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

import plausible
from limner.errors import ModelError, UsageError
from limner.evals.opinions_gold import AspectCase, GoldOpinion, read_gold
from limner.evals.opinions_lexicon import Lexicon
from limner.evals.run import evaluate, run_tasks
from limner.evals.score import Score
from limner.evals.task import Setting
from limner.evals.tasks import TASKS, find_tasks
from limner.evals.tasks.aspects import Opinion, _term_rows
from limner.evals.tasks.evidence import Evidence
from limner.evals.tasks.intent import intent_request
from limner.evals.tasks.personas import Found, UserCase, compared
from limner.evidence.records import Span, Trait
from limner.serving.client import Client
from limner.serving.ledger import Ledger
from limner.serving.request import ChatFailure, ChatRequest, Outcome
from limner.serving.scripted import ScriptedEngine
from small_evaluation import write_folder

pytestmark = pytest.mark.slow

Answer = Callable[[ChatRequest], str | Outcome]


def scripted(answer: Answer) -> Callable[[Path, str], AbstractContextManager[Client]]:
    @contextmanager
    def connect(place: Path, spec: str) -> Iterator[Client]:
        with Client(ScriptedEngine(answer, model=spec), Ledger(place / "ledger.sqlite")) as client:
            yield client

    return connect


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data"))


def run(name: str, folder: Path, small: Path | None, answer: Answer = plausible.answer, **more: Any) -> Score:
    spec = "embedded:scripted"
    card = run_tasks([name], models=[spec], data=small, folder=folder, connect=scripted(answer), **more)
    return card.scores[0]


def value(score: Score, name: str) -> float:
    found = score.figure(name).value
    assert found is not None
    return found


def test_every_task_says_what_it_is() -> None:
    assert {task.name for task in TASKS} == {
        *("evidence", "sentiment", "aspects", "intent", "personas", "next-item", "stability", "hostile", "cost")
    }
    for task in TASKS:
        assert task.version >= 1
        assert task.about
        assert task.measure
    assert [task.name for task in find_tasks(["cost", "evidence"])] == ["evidence", "cost"]
    with pytest.raises(UsageError, match="no task 'evidense'"):
        find_tasks(["evidense"])


@pytest.mark.parametrize("name", ["sentiment", "aspects", "intent", "next-item"])
@pytest.mark.parametrize("data", ["none", "empty"])
def test_absent_data_is_unscored_with_the_reason(name: str, data: str, tmp_path: Path) -> None:
    score = run(name, tmp_path / "w", None if data == "none" else tmp_path)
    assert (score.n, score.unscored, score.figures, score.main) == (0, 1, (), None)
    assert "data folder" in next(iter(score.reasons))


def test_a_dead_model_leaves_a_task_unscored_and_the_next_one_whole(small: Path, tmp_path: Path) -> None:
    def dead(request: ChatRequest) -> str:
        raise ModelError("Nothing answers at http://localhost:1.\nStart it.")

    card = run_tasks(
        ["evidence", "sentiment"], models=["embedded:x"], data=small, folder=tmp_path, connect=scripted(dead), limit=4
    )
    evidence, sentiment = card.scores
    assert evidence.n == 4
    assert evidence.model == ""
    assert (sentiment.n, sentiment.unscored) == (0, 8)
    assert list(sentiment.reasons) == ["Nothing answers at http://localhost:1."]


def test_evidence_without_data_scores_what_is_written_by_hand(tmp_path: Path) -> None:
    score = evaluate(Evidence(lambda case: case.truth == "true"), Setting(tmp_path))
    assert (value(score, "judged rightly"), value(score, "altered accepted"), value(score, "true kept")) == (1, 0, 1)
    assert score.n >= 100
    assert score.unscored == 1
    assert "claims from real texts" in next(iter(score.reasons))
    wrong = evaluate(Evidence(lambda case: True), Setting(tmp_path))
    assert (value(wrong, "altered accepted"), value(wrong, "true kept, zh")) == (1, 1)
    assert wrong.suite == score.suite
    assert value(wrong, "judged rightly") < 0.6


def test_sentiment_scores_and_leaves_out_what_got_no_answer(small: Path, tmp_path: Path) -> None:
    score = run("sentiment", tmp_path / "a", small, limit=6)
    assert (score.n, score.unscored, score.calls) == (12, 0, 12)
    assert value(score, "macro F1") == value(score, "accuracy, zh") == 1.0
    assert set(score.prompts) == {"sentiment.v2.en", "sentiment.v2.zh"}

    def failing(request: ChatRequest) -> str | Outcome:
        return ChatFailure("broken") if "strings" in request.messages[-1].content else plausible.answer(request)

    half = run("sentiment", tmp_path / "b", small, failing, limit=6)
    assert (half.n, half.unscored, half.reasons) == (6, 6, {"failed call": 6})
    assert value(half, "macro F1") == 1.0
    assert {figure.name for figure in half.figures if figure.name.endswith(", en")} == set()


def test_a_second_run_asks_nothing_and_measures_the_same(small: Path, tmp_path: Path) -> None:
    first = run("sentiment", tmp_path, small, limit=6)

    def never(request: ChatRequest) -> str:
        raise AssertionError("asked again")

    second = run("sentiment", tmp_path, small, never, limit=6)
    assert second.figures == first.figures
    assert (second.calls, second.cached_calls, first.cached_calls) == (12, 12, 0)
    assert (second.input_tokens, second.output_tokens) == (first.input_tokens, first.output_tokens)
    assert second.suite == first.suite != run("sentiment", tmp_path / "other", small, limit=4).suite


def test_aspects_against_gold_and_a_lexicon_from_the_train_part(small: Path, tmp_path: Path) -> None:
    def feeling(request: ChatRequest) -> str:
        said = request.messages[-1].content
        zh = request.prompt.lang == "zh"
        for word, answer in (
            ("包装", "喜欢：包装"),
            ("味道", "讨厌：味道"),
            ("screen", "like: screen"),
            ("keyboard", "like: it"),
        ):
            if word in said:
                return answer
        return "无" if zh else "none"

    score = run("aspects", tmp_path, small, feeling, limit=8)
    assert value(score, "polarity macro F1, zh") == 1.0
    assert value(score, "aspect term overlap F1, zh") == 1.0
    # Every keyboard is bad and was said to be liked, without a name: half of the feelings and of the terms are missed.
    assert value(score, "polarity macro F1, en") < 0.8
    assert value(score, "aspect term overlap F1, en") < 1.0
    assert value(score, "lexicon: polarity macro F1, en") == 1.0
    assert value(score, "lexicon: aspect term overlap F1, zh") == 1.0


def test_gold_and_train_part_share_no_sentence(small: Path, tmp_path: Path) -> None:
    setting = Setting(tmp_path, data=small)
    for lang in ("zh", "en"):
        cases = read_gold(setting, lang)  # type: ignore[arg-type]
        assert {case.train for case in cases} == {True, False}
        assert len({case.text for case in cases}) == len(cases)
        for case in cases:
            for gold in case.opinions:
                assert gold.aspect in case.text[gold.start : gold.end]
                assert gold.opinion in case.text[gold.start : gold.end]


def gold(text: str, aspect: str, opinion: str, positive: bool) -> AspectCase:
    start, end = text.index(aspect or opinion), text.index(opinion) + len(opinion)
    told = GoldOpinion(start=min(start, end), end=end, aspect=aspect, opinion=opinion, positive=positive)
    return AspectCase(text=text, lang="en", train=True, opinions=(told,))


def test_the_lexicon_votes_and_turns_round_behind_a_negator() -> None:
    lexicon = Lexicon.learnt("en", [gold("the fan is loud", "fan", "loud", False), gold("nice pen", "", "nice", True)])
    assert lexicon.feeling("The fan is LOUD") is False
    assert lexicon.feeling("it is not loud") is True
    assert lexicon.feeling("nice but loud") is None
    assert lexicon.feeling("cloudy") is None
    assert lexicon.aspects("the Fan of fans") == ["fan"]
    assert Lexicon.learnt("zh", []).feeling("很好") is None


def test_terms_that_name_an_opinion_are_neither_right_nor_wrong() -> None:
    case = gold("the screen is great", "screen", "great", True)

    def row(*labels: str) -> list[float]:
        return list(_term_rows([(case, tuple(Opinion(0, 5, label, True) for label in labels))])[0])

    assert row("screen") == [1, 0, 0]
    assert row("big screens") == [1, 0, 0]
    assert row("great") == [0, 0, 1]
    assert row("hinge") == [0, 1, 1]
    assert row("") == [0, 0, 1]


def test_the_golden_rendering_of_the_intent_prompt() -> None:
    from limner.prompts import load
    from test_prompts import TEXT, compare

    labels = {"en": "card </text> lost; refund", "zh": "退款；换货 </text>"}
    for lang in ("en", "zh"):
        compare(f"intent.v1.{lang}", load("intent", lang, 1).render(labels=labels[lang], text=TEXT[lang]))
    request = intent_request("where is it", ["card arrival", "refund"])
    assert request.choices == ("card arrival", "refund")


def test_intents_are_chosen_among_the_nearest_labels(small: Path, tmp_path: Path) -> None:
    truth = {"card": "card arrival", "money": "request refund", "pin": "change pin", "jazz": "play music"}

    def choose(request: ChatRequest) -> str:
        said = request.messages[-1].content.partition("<text>")[2]
        return next((label for word, label in truth.items() if word in said), "weather")

    score = run("intent", tmp_path, small, choose)
    assert score.n == 5
    assert value(score, "accuracy") == value(score, "right label offered") == 1.0
    assert score.figure("nearest label alone, banking77").n == 3


@pytest.fixture(scope="module")
def sample_scores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Score]:
    folder = tmp_path_factory.mktemp("sample")
    names = ["personas", "stability", "cost"]
    card = run_tasks(names, models=["embedded:s"], folder=folder, connect=scripted(plausible.answer), limit=2)
    return {score.task: score for score in card.scores}


def test_personas_against_what_was_planted(sample_scores: dict[str, Score]) -> None:
    score = sample_scores["personas"]
    assert (score.n, score.unscored) == (2, 0)
    assert 0 < value(score, "recall") <= 1
    assert value(score, "coverage: users with a planted trait found") == 1.0


@pytest.mark.slow
def test_users_whose_reading_failed_are_unscored(tmp_path: Path) -> None:
    failed = run("personas", tmp_path, None, lambda request: ChatFailure("broken"), limit=1)
    assert (failed.n, failed.unscored, failed.reasons) == (0, 1, {"reading failed": 1})


def planted_case() -> UserCase:
    text = "The grip is soft. The lid leaks."
    label, proof = {"en": "leaking lid", "zh": "盖子漏水"}, {"ref": "r", "quote": "lid leaks"}
    trait = {"kind": "objection", "label": label, "polarity": "negative", "proofs": (proof,)}
    user = {"user_id": "u", "language": "en", "segment": None, "oddities": (), "traits": (trait,)}
    return UserCase.model_validate({"user": user, "proofs": (((text, "lid leaks"),),)})


def said(label: str, polarity: str, quote: str, event: str = "e") -> Trait:
    start = planted_case().proofs[0][0][0].index(quote)
    span = Span(event, "text", start, start + len(quote), quote)
    return Trait("t", "u", "objection", label, polarity, 0.5, 1, None, None, (span,))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("trait", "found"),
    [
        (said("lid", "negative", "The lid leaks."), True),
        (said("杯子", "negative", "The lid leaks."), True),
        (said("盖子漏水了", "negative", "The grip is soft."), True),
        (said("lid", "positive", "The lid leaks."), False),
        (said("grip", "negative", "The grip is soft."), False),
        (said("cup", "negative", "The lid leaks.", event="another"), False),
        (said("cup", "negative", "The grip is soft. The lid leaks."), False),
    ],
)
def test_a_trait_is_planted_by_its_name_or_its_proof(trait: Trait, found: bool) -> None:
    case = planted_case()
    words = {"e": case.proofs[0][0][0], "another": "nothing"}
    assert compared(case, [trait], words) == Found((found,), (found,))


def test_a_second_reading_of_the_same_agrees_and_is_asked_anew(sample_scores: dict[str, Score]) -> None:
    score = sample_scores["stability"]
    assert value(score, "overlap of signals from texts") == 1.0
    assert 0 <= value(score, "overlap of signals from shuffled lines") <= 1
    assert score.calls > score.cached_calls


def test_cost_adds_up(sample_scores: dict[str, Score]) -> None:
    score = sample_scores["cost"]
    raw, amplified = value(score, "raw tokens per user"), value(score, "input tokens over raw tokens")
    assert value(score, "input tokens per user") == pytest.approx(raw * amplified)
    assert score.input_tokens == pytest.approx(2 * value(score, "input tokens per user"))
    assert score.calls == pytest.approx(2 * value(score, "calls per user"))
    assert any(prompt.startswith("narrative") for prompt in score.prompts)


def test_next_items_are_ranked_by_traits_and_by_baselines(small: Path, tmp_path: Path) -> None:
    score = run("next-item", tmp_path, small)
    ways = ("traits", "titles", "popularity", "recency", "item neighbours")
    assert score.n >= 1
    for way in ways:
        assert 0 <= value(score, f"MRR by {way}") <= 1
    assert value(score, "MRR by traits") > 0
    assert json.loads(score.model_dump_json())["task"] == "next-item"
