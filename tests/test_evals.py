"""limner eval sentiment: labels of every form, a balanced seeded draw, figures that scikit-learn agrees with."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from limner.agents.extractor.schema import WORDINGS
from limner.cli import main
from limner.errors import DataError, UsageError
from limner.evals import SentimentScore, evaluate_sentiment
from limner.evals.labelled import LabelledText, balanced, read_labelled
from limner.histories.language import detect
from limner.serving import endpoint
from limner.serving.client import Client
from limner.serving.ledger import Ledger
from limner.serving.profiles import read_profiles
from limner.serving.request import ChatAnswer, ChatFailure, ChatRequest, Outcome
from limner.serving.scripted import ScriptedEngine
from serving_stub import completion, serve


def table(folder: Path, labels: list[Any], name: str = "data.csv", texts: list[Any] | None = None) -> Path:
    frame = pd.DataFrame({"text": texts or [f"text number {n}" for n in range(len(labels))], "label": labels})
    path = folder / name
    match path.suffix:
        case ".csv":
            frame.to_csv(path, index=False)
        case ".tsv":
            frame.to_csv(path, index=False, sep="\t")
        case ".parquet":
            frame.to_parquet(path)
        case ".jsonl":
            frame.to_json(path, orient="records", lines=True, force_ascii=False)
        case _:
            frame.to_json(path, orient="records", force_ascii=False)
    return path


LABELS = {
    "words": (["pos", "NEG", " Positive ", "negative", "neutral", ""], [True, False, True, False]),
    "chinese": (["正面", "负面", "好评", "差评", "不满意", "满意", "中评"], [True, False, True, False, False, True]),
    "zero and one": ([0, 1, 1, 0], [False, True, True, False]),
    "minus one": ([-1, 1, 0], [False, True, False]),
    "floats": ([0.0, 1.0], [False, True]),
    "truth": ([True, False], [True, False]),
    "stars": ([1, 2, 3, 4, 5], [False, False, True, True]),
    "stars with a point": ([1.0, 5.0, 3.0], [False, True]),
    "stars of one and five": ([1, 5], [False, True]),
}


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_labels_of_every_form(name: str, ending: str, tmp_path: Path) -> None:
    labels, expected = LABELS[name]
    found = read_labelled(table(tmp_path, labels, f"data.{ending}"), ["text"], "label")
    assert [one.positive for one in found] == expected


@pytest.mark.parametrize("name", ["data.csv", "data.tsv", "data.json", "data.jsonl", "data.parquet", "数据.csv"])
def test_texts_of_every_file_are_what_they_were(name: str, tmp_path: Path) -> None:
    texts = ["很好用，推荐！", 'He said "no", twice,\nand left', "  edge  ", "it's 100% – ok; 'x'\tq"]
    path = table(tmp_path, ["pos", "neg", "pos", "neg"], name, texts)
    found = read_labelled(path, ["text"], "label")
    assert [one.text for one in found] == [text.strip() for text in texts]


def test_several_columns_are_one_text_and_rows_without_are_left_out(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {'ti"tle': ["Great", None, "", "Bad"], "te'xt": ["Works", "Fine", None, " "], "label": ["pos"] * 3 + ["neg"]}
    )
    frame.to_parquet(tmp_path / "d.parquet")
    found = read_labelled(tmp_path / "d.parquet", ['ti"tle', "te'xt"], "label")
    assert [one.text for one in found] == ["Great. Works", "Fine", "Bad"]


ROWS = st.lists(
    st.builds(LabelledText, st.sampled_from(["很好", "bad", *(f"t{n}" for n in range(30))]), st.booleans()), max_size=80
)


@given(ROWS, st.integers(2, 50), st.integers(0, 5), st.randoms())
def test_the_draw_is_balanced_seeded_and_blind_to_order(
    rows: list[LabelledText], limit: int, seed: int, random: Any
) -> None:
    drawn = balanced(rows, limit, seed)
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert balanced(shuffled, limit, seed) == drawn
    assert balanced(rows + rows, limit, seed) == drawn
    assert len(drawn) == len(set(drawn)) <= limit
    assert set(drawn) <= set(rows)
    positive = sum(one.positive for one in drawn)
    assert positive * 2 == len(drawn)
    smaller = min(len({r for r in rows if r.positive}), len({r for r in rows if not r.positive}))
    assert positive == min(limit // 2, smaller)


def test_another_seed_draws_other_texts() -> None:
    rows = [LabelledText(f"text {n}", n % 2 == 0) for n in range(200)]
    draws = [frozenset(balanced(rows, 20, seed)) for seed in range(5)]
    assert len(set(draws)) == 5
    assert balanced(rows, 20, 0) == balanced(rows, 20, 0)
    assert set(balanced(rows, 10, 0)) < set(balanced(rows, 20, 0))


def scored(
    folder: Path, path: Path, answer: Callable[[ChatRequest], str | Outcome], model: str = "m", **options: Any
) -> SentimentScore:
    with Client(ScriptedEngine(answer, model), Ledger(folder / "ledger.sqlite")) as client:
        return evaluate_sentiment(client, path, ["text"], "label", **options)


def word(text: str, positive: bool) -> str:
    wording = WORDINGS[detect(text) or "en"]
    return wording.positive if positive else wording.negative


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from([True, False, None])), min_size=2, max_size=40))
def test_figures_agree_with_scikit_learn(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("eval")
    rows = [*rows, (True, True), (False, False)]
    texts = [f"第{n}条很长的评论" if n % 2 else f"review number {n}" for n in range(len(rows))]
    said = {text: answer for text, (_, answer) in zip(texts, rows, strict=True)}
    path = table(folder, [int(truth) for truth, _ in rows], texts=texts)

    def answer(request: ChatRequest) -> str | Outcome:
        text = next(t for t in sorted(texts, key=len, reverse=True) if t in request.messages[-1].content)
        positive = said[text]
        return ChatFailure("malformed: hm") if positive is None else word(text, positive)

    drawn = balanced(read_labelled(path, ["text"], "label"), 1000, 0)
    pairs = [(one.positive, said[one.text]) for one in drawn if said[one.text] is not None]
    if not pairs:
        with pytest.raises(DataError):
            scored(folder, path, answer, limit=1000)
        return
    score = scored(folder, path, answer, limit=1000)
    truth, answers = zip(*pairs, strict=True)
    assert (score.n, score.unscored) == (len(pairs), len(drawn) - len(pairs))
    assert math.isclose(score.accuracy, accuracy_score(truth, answers))
    macro = f1_score(truth, answers, labels=[True, False], average="macro", zero_division=0)
    assert math.isclose(score.macro_f1, macro)
    assert [(one.positive, said[one.text]) for one in score.mistakes] == [pair for pair in pairs if pair[0] != pair[1]]


def test_probabilities_are_held_against_the_measured_threshold(tmp_path: Path) -> None:
    path = table(tmp_path, [1, 0], texts=["很好用的东西", "一般般的东西"])
    near = {"很好用": 0.31, "一般般": 0.10}

    def answer(request: ChatRequest) -> ChatAnswer:
        probability = next(p for t, p in near.items() if t in request.messages[-1].content)
        return ChatAnswer("负面", 9, 1, 0.0, logprob=math.log(1 - probability))

    assert scored(tmp_path, path, answer, model=read_profiles().profiles[0].model).accuracy == 1.0
    other = tmp_path / "other"
    other.mkdir()
    assert scored(other, path, answer).accuracy == 0.5  # Of another model the word counts.


def test_malformed_answers_are_unscored_and_never_wrong(tmp_path: Path) -> None:
    path = table(tmp_path, [1, 0, 1, 0], texts=["good one", "bad one", "good two", "bad two"])

    def answer(request: ChatRequest) -> str:
        said = request.messages[-1].content
        return "well..." if "two" in said else word("x", "good" in said)

    score = scored(tmp_path, path, answer)
    assert (score.n, score.unscored, score.accuracy, score.macro_f1) == (2, 2, 1.0, 1.0)
    (tmp_path / "another").mkdir()
    with pytest.raises(DataError, match="None of the 4 texts"):
        scored(tmp_path / "another", path, lambda r: "well...")


@pytest.mark.parametrize(
    ("name", "content", "error", "says"),
    [
        ("none.csv", None, UsageError, "There is no file"),
        ("empty.csv", b"", (UsageError, DataError), "empty.csv"),
        ("binary.parquet", b"\x00\xff\xfe", DataError, "Cannot read"),
        ("broken.json", b"{", DataError, "Cannot read"),
        ("other.csv", b"a,b\n1,2\n", UsageError, "has no column 'text'. It has: a, b"),
        ("nolabel.csv", b"text,label\nhello,maybe\nhi,\n", DataError, "positive or negative"),
        ("onesided.csv", b"text,label\nhello,pos\nhi there,pos\n", DataError, "at least one positive and one negative"),
    ],
)
def test_what_cannot_be_scored_is_said(name: str, content: bytes | None, error: Any, says: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error) as caught:
        scored(tmp_path, path, lambda r: "positive")
    assert says in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        scored(tmp_path, tmp_path, lambda r: "positive")


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.setattr(endpoint, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.delenv("LIMNER_NO_MODEL", raising=False)

    def evaluate(*options: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["eval", "sentiment", *options])
        said = capfd.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return evaluate


def test_the_command_prints_the_figures(run: Any, tmp_path: Path) -> None:
    texts = [f"good thing {n}" if n % 2 else f"bad thing {n}" for n in range(20)]
    path = table(tmp_path, [1 if n % 2 else 0 for n in range(19)] + [0], texts=texts)
    options = ("--data", str(path), "--text", "text", "--label", "label", "--limit", "12")

    def judge(number: int, body: dict[str, Any]) -> Any:
        good = "good" in body["messages"][-1]["content"]
        return completion(json.dumps({"label": "positive" if good else "negative"}))

    with serve(judge) as stub:
        code, out, err = run(*options, "--model", f"{stub.url}#m", "--json")
        asked = len(stub.bodies)
        assert (code, err) == (0, "")
        _, plain, _ = run(*options, "--model", f"{stub.url}#m")
    told = json.loads(out)
    assert {"n", "accuracy", "macro_f1", "seconds"} <= set(told)
    assert (told["n"], told["accuracy"], told["macro_f1"]) == (12, 1.0, 1.0)
    assert told["seconds"] >= 0
    assert asked == 12
    assert plain.startswith("12 texts, accuracy 1.000, macro F1 1.000")


def test_the_command_shows_mistakes_aside(run: Any, tmp_path: Path) -> None:
    path = table(tmp_path, [1, 0], texts=["good [bold]thing[/bold]", "bad thing"])
    with serve(lambda n, b: completion("negative")) as stub:
        options = ("--data", str(path), "--text", "text", "--label", "label", "--mistakes", "--json")
        _, out, err = run(*options, "--model", f"{stub.url}#m")
    assert json.loads(out)["accuracy"] == 0.5
    assert err == "said negative: good [bold]thing[/bold]\n"


def test_the_command_says_what_is_wrong(run: Any, tmp_path: Path) -> None:
    code, out, err = run("--data", str(tmp_path / "no.csv"), "--text", "t", "--label", "l")
    assert (code, out) == (2, "")
    assert err == f"Error: There is no file {tmp_path / 'no.csv'}.\n"
    path = table(tmp_path, [1, 0], texts=["good", "bad"])
    with serve(lambda n, b: completion("x")) as stub:
        dead = f"{stub.url}#m"
    code, out, err = run("--data", str(path), "--text", "text", "--label", "label", "--model", dead)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "Nothing answers" in err
