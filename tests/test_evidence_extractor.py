"""How the extractor uses the evidence check: worked examples, kinds of signals, tags and items that share no word."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from tomllib import loads

import pytest

from limner.agents.extractor import proof
from limner.agents.extractor.proof import CLAIMED, check_examples, judged
from limner.agents.extractor.relation import RELATED, UNRELATED, Item, Pair, related_in, with_relations
from limner.agents.extractor.schema import FEELINGS
from limner.errors import LimnerError
from limner.evidence import REASONS
from limner.evidence.records import Polarity, Signal, SignalKind, Span
from limner.prompts.library import Example


def test_every_worked_example_proves_its_own_answer() -> None:
    check_examples.__wrapped__()


def test_a_worked_example_that_proves_nothing_stops_the_extractor(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong:
        def examples(self) -> tuple[Example, ...]:
            return (Example("The strap did not break.", "dislike: strap broke"),)

    monkeypatch.setattr(proof, "load", lambda name, lang: Wrong())
    with pytest.raises(LimnerError, match=r"did not break.*defect of the prompt"):
        check_examples.__wrapped__()


@pytest.mark.parametrize(
    ("text", "kind", "label", "polarity", "reason"),
    [
        ("not a drop inside", "preference", "", "positive", "negated"),
        ("I don't like the strap", "objection", "strap", "negative", "said"),
        ("I don't like the strap", "preference", "strap", "positive", "negated"),
        ("I wish it had a strap", "intent", "strap", "positive", "said"),
        ("I wish it had a strap", "preference", "strap", "positive", "wished"),
        ("Do you have it in green?", "intent", "green", "positive", "said"),
        ("I need one that does not leak", "need", "one that does not leak", "positive", "said"),
        ("I don't need a bigger one", "need", "bigger one", "positive", "negated"),
        ("my son wants a kite", "need", "kite", "positive", "others_feeling"),
        ("要是有红色就好了", "intent", "红色", "positive", "said"),
        ("不需要充电器", "need", "充电器", "positive", "negated"),
        ("表带不喜欢", "preference", "表带", "positive", "opposite_feeling"),
        ("表带不喜欢", "objection", "表带", "negative", "said"),
    ],
)
def test_each_kind_claims_something_else(
    text: str, kind: SignalKind, label: str, polarity: Polarity, reason: str
) -> None:
    assert judged(text, 0, len(text), kind, label, polarity).reason == reason
    assert {feeling.kind for feeling in FEELINGS.values()} <= set(CLAIMED)


def tag(label: str, title: str, reason: str = UNRELATED) -> Signal:
    span = Span("e1", "title", 0, len(title), title)
    return Signal(
        label, "u", "interest", label, "positive", 0.9, None, "en", span, "rejected", reason, "interests.v1.en", "m"
    )


def test_only_unrelated_tags_are_asked_about_together_and_once() -> None:
    calls: list[list[Pair]] = []

    def related(pairs: list[Pair]) -> list[bool]:
        calls.append(list(pairs))
        return [pair.tag == "coffee" for pair in pairs]

    signals = [tag("coffee", "Kettle"), tag("knitting", "Kettle"), tag("pump", "Kettle", "negated"),
               replace(tag("coffee", "Kettle"), signal_id="again")]  # fmt: skip
    found = with_relations(signals, {"e1": "Kitchen"}, related)  # type: ignore[arg-type]
    assert calls == [[Pair("coffee", Item("Kettle", "Kitchen")), Pair("knitting", Item("Kettle", "Kitchen"))]]
    assert [(s.status, s.reason) for s in found] == [
        ("accepted", ""), ("rejected", UNRELATED), ("rejected", "negated"), ("accepted", "")
    ]  # fmt: skip
    assert with_relations([signals[2]], {}, related) == [signals[2]]  # type: ignore[arg-type]
    assert len(calls) == 1


def test_meaning_relates_a_tag_to_an_item_and_not_to_another(tmp_path: Path) -> None:
    pairs = [
        Pair("making espresso", Item("Gooseneck kettle for pour-over", "Coffee")),
        Pair("钓鱼", Item("Gooseneck kettle for pour-over", "Coffee")),
        Pair("户外", Item("双人帐篷", "露营")),
        Pair("母婴", Item("双人帐篷", "露营")),
    ]
    assert related_in(tmp_path)(pairs) == [True, False, True, False]
    assert 0 < RELATED < 1


def test_the_manual_lists_every_reason_with_its_verdict_and_words() -> None:
    page = (Path(__file__).parents[1] / "docs" / "evidence.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("| `")
    ]
    assert {row[0].strip("`"): (row[1], row[2]) for row in rows} == {
        code: (reason.status, reason.words) for code, reason in REASONS.items()
    }


def test_the_manual_s_example_says_what_it_says() -> None:
    page = (Path(__file__).parents[1] / "docs" / "evidence.md").read_text(encoding="utf-8")
    lines = page.partition("```python")[2].partition("```")[0].strip().splitlines()
    names: dict[str, object] = {}
    asked = 0
    for line in lines:
        code, _, said = line.partition("  # ")
        if said:
            assert repr(eval(code, names)) == said
            asked += 1
        else:
            exec(code, names)
    assert asked == 3


def test_every_reason_has_words_on_the_page_in_both_languages() -> None:
    words = loads((files("limner.reports") / "words.toml").read_text(encoding="utf-8"))
    wanted = {code for code, reason in REASONS.items() if reason.status != "supported"} | {UNRELATED}
    assert wanted <= set(words["en"]["reason"])
    assert wanted <= set(words["zh"]["reason"])
