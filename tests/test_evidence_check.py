"""The evidence check on sentences of our own, in both languages: one line a case, see tests/evidence_cases."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.evals.altered import make_suite
from limner.evidence import REASONS, Verdict, check
from limner.evidence.judgement import LONGEST_QUOTE, check_place
from limner.evidence.records import Polarity
from limner.evidence.stance import HYPOTHETICAL, WISHED

POLARITIES: dict[str, Polarity | None] = {"+": "positive", "-": "negative", "": None}


class Line(NamedTuple):
    """One case: what the customer wrote, what is quoted and claimed, and the reason code that it must end with."""

    text: str
    quote: str
    claim: str
    polarity: Polarity | None
    reason: str


def lines(lang: str) -> list[Line]:
    source = Path(__file__).with_name("evidence_cases") / f"{lang}.txt"
    found = []
    for row in source.read_text(encoding="utf-8").splitlines():
        if row.strip() and not row.startswith("#"):
            text, quote, claim, polarity, reason = (cell.strip() for cell in row.split("|"))
            found.append(Line(text.replace("\\n", "\n"), quote, claim, POLARITIES[polarity], reason))
    return found


CASES = [*lines("en"), *lines("zh")]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.text[:24]}-{case.claim}-{case.reason}")
def test_each_case_ends_as_a_fair_reader_would_say(case: Line) -> None:
    verdict = check(case.text, case.quote, case.claim, polarity=case.polarity)
    assert verdict.reason == case.reason
    assert (verdict.status, verdict.words) == (REASONS[case.reason].status, REASONS[case.reason].words)


def test_there_are_hundreds_of_cases_of_nearly_every_reason() -> None:
    assert len(CASES) > 250
    assert len({c.text for c in CASES}) > 180
    assert set(REASONS) - {case.reason for case in CASES} == {"entailed", "quote_too_long"}


def test_the_place_is_exact_in_the_original() -> None:
    text = "前面。Ｇｒｅａｔ　 sound —  really"
    verdict = check(text, "great sound - really", "sound", polarity="positive")
    assert verdict == Verdict("supported", 3, len(text), "said", REASONS["said"].words)
    assert check("abc", "x", "abc") == Verdict(
        "unsupported", None, None, "quote_not_in_text", REASONS["quote_not_in_text"].words
    )


def test_a_repeated_quote_goes_to_the_occurrence_that_fits() -> None:
    text = "They say it is quiet. It is not quiet at night. In the day it is quiet."
    verdict = check(text, "it is quiet", "quiet", polarity="positive")
    assert (verdict.reason, verdict.start) == ("said", text.rindex("it is quiet"))
    assert check(text[:30], "it is quiet", "quiet").reason == "hearsay"
    assert check("好吃？不好吃。真好吃。", "好吃", "好吃", polarity="positive").start == 8


def test_a_known_place_is_judged_there_and_nowhere_else() -> None:
    text = "The lid is not tight. The lid is tight."
    assert check(text, "tight", "tight lid").supported
    assert check_place(text, 15, 20, "tight lid").reason == "negated"
    assert check_place(text, 33, 38, "tight lid").reason == "said"
    assert check_place(text, 3, 3, "tight").reason == "empty_quote"
    assert check_place(text, 0, 5, " ").reason == "empty_claim"


@pytest.mark.parametrize(
    ("text", "polarity", "reason"),
    [
        ("Highly recommended!", "positive", "said"),
        ("Not recommended.", "positive", "opposite_feeling"),
        ("not a drop inside", "positive", "negated"),
        ("My wife loves it.", "positive", "others_feeling"),
        ("Does it break easily?", "negative", "asked"),
        ("I wish it were bigger.", "negative", "said"),
        ("It came in a box.", "positive", "said"),
        ("强烈推荐！", "positive", "said"),
        ("一滴都没有", "positive", "negated"),
        ("听说很好用", "positive", "hearsay"),
        ("后悔买了", "positive", "opposite_feeling"),
        ("比上一款差多了", "negative", "said"),
    ],
)
def test_a_quote_without_a_named_object_is_judged_as_a_whole(text: str, polarity: Polarity, reason: str) -> None:
    assert check(text, text, None, polarity=polarity).reason == reason


def test_what_is_wanted_may_be_wished_for_and_supposed() -> None:
    text = "If it had a lid I would buy it."
    assert check(text, "a lid", "lid").reason == "hypothetical"
    assert check(text, "a lid", "lid", allowed={HYPOTHETICAL, WISHED}).reason == "said"


def test_an_entailment_is_asked_only_where_no_word_is_shared_and_excuses_no_denial() -> None:
    asked: list[tuple[str, str]] = []

    def entails(quote: str, claim: str) -> bool:
        asked.append((quote, claim))
        return "roast" in quote

    assert check("A light roast.", "A light roast", "coffee", entails=entails).reason == "entailed"
    assert check("A light lunch.", "A light lunch", "coffee", entails=entails).reason == "shares_no_words"
    assert check("Fine coffee.", "Fine coffee", "coffee", entails=entails).reason == "said"
    assert check(
        "I never liked this roast.", "liked this roast", "coffee", polarity="positive", entails=entails
    ).status == ("contradicted")
    assert [claim for _, claim in asked] == ["coffee"] * 3


def test_traditional_characters_are_simplified_only_if_asked() -> None:
    assert check("音質很棒", "音质很棒", "音质").supported
    assert check("音質很棒", "音质很棒", "音质", simplify=False).reason == "quote_not_in_text"


def test_a_quote_longer_than_any_proof_is_refused() -> None:
    text = "good " * (LONGEST_QUOTE // 4)
    assert check(text, text, "good").reason == "quote_too_long"
    assert check(text, text[:-1][:LONGEST_QUOTE], "good").supported


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60), st.text(max_size=20), st.text(max_size=20), st.sampled_from(list(POLARITIES.values())))
def test_any_input_gets_a_verdict_of_the_table_and_the_same_again(
    text: str, quote: str, claim: str, polarity: Polarity | None
) -> None:
    for given_quote in (quote, text[3:20]):
        verdict = check(text, given_quote, claim, polarity=polarity)
        assert REASONS[verdict.reason].status == verdict.status
        assert (verdict.start is None) == (verdict.end is None)
        if verdict.start is not None and verdict.end is not None:
            assert 0 <= verdict.start < verdict.end <= len(text)
        assert check(text, given_quote, claim, polarity=polarity) == verdict


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([c for c in CASES if c.reason not in ("quote_not_in_text", "empty_quote")]), st.data())
def test_other_sentences_around_change_no_verdict(case: Line, data: st.DataObject) -> None:
    before = data.draw(st.sampled_from(["I ordered two. ", "昨天下单。", "No manual in the box.\n", "谁都不信。", ""]))
    after = data.draw(st.sampled_from([" Not what I ordered first.", "快递不是顺丰。", "", "\nIs it worth it?"]))
    text = before + case.text + after
    assert check(text, case.quote, case.claim, polarity=case.polarity).reason == case.reason


@pytest.mark.data
def test_few_altered_claims_pass_and_most_true_ones_stay(data_folder: Path) -> None:
    for seed in (20, 3):
        suite = make_suite(data_folder, seed=seed)
        for lang in ("en", "zh"):
            kept = {"true": [0, 0], "altered": [0, 0]}
            for case in (case for case in suite if case.lang == lang):
                passed = check(case.text, case.quote, case.claim, polarity=case.polarity).supported
                kept[case.truth][0] += passed
                kept[case.truth][1] += 1
            assert kept["altered"][1] > 200
            assert kept["altered"][0] <= 0.01 * kept["altered"][1]
            assert kept["true"][0] >= 0.97 * kept["true"][1]
