"""The altered-claims suite: hand-written cases are whole, made ones are the same every time and labelled soundly."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from pydantic import ValidationError

from limner.evals.altered import Case, fingerprint, hand_written, make_suite
from limner.evals.altered.case import exclusions
from limner.evals.altered.figures import ordinal, spell
from limner.evals.altered.make import LANGUAGES, RULES, made
from limner.evals.altered.material import Gold, Material, Review, detokenise
from limner.evals.altered.wording import squash, wording

GOOD = {"text": "It is great.", "quote": "great", "claim": "great", "lang": "en", "truth": "true", "kind": "plain"}


@pytest.mark.parametrize("lang", LANGUAGES)
def test_there_are_enough_hand_written_cases_of_both_truths(lang: str) -> None:
    cases = [case for case in hand_written() if case.lang == lang]
    truths = Counter(case.truth for case in cases)
    assert len(cases) >= 50
    assert min(truths.values()) >= 25
    assert len({case.kind for case in cases if case.truth == "altered"}) >= 10


def test_every_hand_written_case_gives_its_reason_and_quotes_its_text() -> None:
    for case in hand_written():
        assert case.why, case
        if case.kind != "quote_altered":
            assert squash(case.quote) in squash(case.text), case


def test_no_case_is_written_twice() -> None:
    ids = Counter(case.case_id for case in hand_written())
    assert ids.most_common(1)[0][1] == 1


@pytest.mark.parametrize(
    "change", [{"note": "x"}, {"truth": "maybe"}, {"lang": "fr"}, {"quote": ""}, {"polarity": "mixed"}]
)
def test_what_is_no_case_is_refused(change: dict[str, str]) -> None:
    assert Case.model_validate(GOOD).truth == "true"
    with pytest.raises(ValidationError):
        Case.model_validate({**GOOD, **change})


def test_without_data_only_the_hand_written_cases_are_there(tmp_path: Path) -> None:
    assert make_suite(None) == make_suite(tmp_path) == list(hand_written())


GOLDS = tuple(
    Gold(f"{text} {n}.", aspect, text.index(aspect), opinion, text.index(opinion), category, "positive")
    for n, (text, aspect, opinion, category) in enumerate(
        [
            ("the screen is great", "screen", "great", "DISPLAY#GENERAL"),
            ("the battery life is excellent", "battery life", "excellent", "BATTERY#GENERAL"),
            ("a nice keyboard for the money", "keyboard", "nice", "KEYBOARD#GENERAL"),
            ("it has good speakers", "speakers", "good", "AUDIO#GENERAL"),
        ]
        * 6
    )
)
REVIEWS = tuple(
    Review(f"{text} Order {n}.", positive)
    for n, (text, positive) in enumerate(
        [
            ("I would not recommend this to anyone.", False),
            ("It lasted 3 weeks of daily use.", None),
            ("My wife loves it.", None),
            ("Works great.", True),
            ("I wish it had a longer cord.", None),
        ]
        * 6
    )
)
CHATS = tuple(f"I will return it on March {day}th, to shop {day}." for day in range(4, 20))
MATERIAL = Material("en", GOLDS, REVIEWS, CHATS)


def test_cases_are_made_with_a_seed() -> None:
    first, again, other = made(MATERIAL, 1, 6), made(MATERIAL, 1, 6), made(MATERIAL, 2, 6)
    assert first == again
    assert fingerprint(first) == fingerprint(list(reversed(first))) != fingerprint(other)
    kinds = Counter((case.truth, case.kind) for case in first)
    assert {"cut_negator", "hearsay", "number_changed", "date_changed", "polarity_flipped"} <= {k for _, k in kinds}
    assert max(kinds.values()) <= 6


def test_what_is_altered_differs_from_what_is_said() -> None:
    cases = made(MATERIAL, 1, 6)
    for case in cases:
        if case.kind in ("quote_altered", "other_text"):
            assert squash(case.quote) not in squash(case.text)
        else:
            assert squash(case.quote) in squash(case.text)
        if case.kind in ("number_changed", "unit_changed", "date_changed"):
            assert squash(case.claim) not in squash(case.text)
        if case.kind == "cut_negator":
            assert not re.search(wording("en").negator, case.quote)
            assert re.search(wording("en").negator, case.text)


def test_changed_labels_change_the_fingerprint() -> None:
    cases = made(MATERIAL, 1, 6)
    turned = [case.model_copy(update={"truth": "true"}) for case in cases]
    assert fingerprint(turned) != fingerprint(cases)


def test_tokens_become_text_with_places() -> None:
    tokens = "it isn ' t bad , but ( so ) loud .".split()
    text, places = detokenise(tokens)
    assert text == "it isn't bad, but (so) loud."
    for token, place in zip(tokens, places, strict=True):
        assert text[place : place + len(token)] == token


def test_numbers_in_words() -> None:
    assert [spell(n, "en") for n in (0, 12, 20, 21)] == ["zero", "twelve", "twenty", None]
    assert [spell(n, "zh") for n in (2, 9, 10, 12, 20, 35, 200, 300, 301)] == [
        *("两", "九", "十", "十二", "二十", "三十五", "两百", "三百"),
        None,
    ]
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21)] == ["st", "nd", "rd", "th", "th", "th", "th", "st"]


@pytest.mark.data
def test_the_suite_from_real_texts(data_folder: Path) -> None:
    cases = make_suite(data_folder)
    assert make_suite(data_folder) == cases
    assert len({case.case_id for case in cases}) == len(cases)
    assert not {case.case_id for case in cases} & exclusions()
    kinds = {kind for rule in RULES for kind in rule.kinds}
    assert {case.kind for case in cases if case.made == "rule"} <= kinds
    for lang in LANGUAGES:
        of_lang = [case for case in cases if case.lang == lang]
        truths = Counter(case.truth for case in of_lang)
        by_rule = Counter(case.truth for case in of_lang if case.made == "rule")
        assert truths["altered"] >= 200
        assert truths["true"] >= 200
        assert min(by_rule.values()) >= 150
        for case in Random(3).sample(of_lang, 60):
            found = squash(case.quote) in squash(case.text)
            assert found is (case.kind not in ("quote_altered", "other_text")), case
