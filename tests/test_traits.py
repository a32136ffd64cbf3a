"""Merging signals into traits: whatever their order, one trait for one thing, as sure as its evidence allows."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from limner.evidence.records import Signal, Span
from limner.evidence.traits import MOST_EVIDENCE, canonical, merge, trait_id

START = datetime(2025, 1, 1)


def signal(label: str = "strap", **values: object) -> Signal:
    day = values.pop("day", 0)
    event = values.pop("event", f"e{day}")
    quote = str(values.pop("quote", f"the {label}"))
    base = Signal(
        signal_id="",
        user_id="u",
        kind="preference",
        label=label,
        polarity="positive",
        confidence=1.0,
        ts=None if day is None else START + timedelta(days=int(str(day))),
        lang="en",
        evidence=Span(str(event), "text", 0, len(quote), quote),
        status="accepted",
        reason="",
        prompt="feeling.v1.en",
        model="m",
    )
    made = replace(base, **values)  # type: ignore[arg-type]
    return replace(made, signal_id=f"{made.kind}/{label}/{made.polarity}/{made.evidence}/{made.confidence}")


SIGNALS = st.lists(
    st.builds(
        signal,
        label=st.sampled_from(["strap", "Strap", "the strap", "straps", "battery life", "屏幕", "屏幕。"]),
        kind=st.sampled_from(["preference", "objection", "interest"]),
        polarity=st.sampled_from(["positive", "negative", "mixed", "neutral"]),
        confidence=st.floats(0, 1).map(lambda x: round(x, 4)),
        day=st.one_of(st.none(), st.integers(0, 4)),
        event=st.sampled_from(["a", "b", "c"]),
        quote=st.sampled_from(["the strap", "这屏幕"]),
        status=st.sampled_from(["accepted", "accepted", "rejected"]),
    ),
    max_size=12,
    unique_by=lambda s: (s.signal_id, s.ts),
)


@given(SIGNALS, st.randoms())
def test_the_order_of_signals_does_not_matter(signals: list[Signal], random: object) -> None:
    shuffled = list(signals)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert merge(shuffled) == merge(signals)


@given(SIGNALS)
def test_every_accepted_signal_is_in_exactly_one_trait(signals: list[Signal]) -> None:
    traits = merge(signals)
    accepted = [s for s in signals if s.status == "accepted"]
    assert len({(t.kind, canonical(t.label)) for t in traits}) == len(traits) == len({t.trait_id for t in traits})
    assert {(t.kind, canonical(t.label)) for t in traits} == {(s.kind, canonical(s.label)) for s in accepted}
    for trait in traits:
        mine = [s for s in accepted if (s.kind, canonical(s.label)) == (trait.kind, canonical(trait.label))]
        times = [s.ts for s in mine if s.ts]
        assert set(trait.evidence) == {s.evidence for s in mine}
        assert trait.mentions == len(trait.evidence)
        assert trait.label in {s.label for s in mine}
        assert (trait.first_seen, trait.last_confirmed) == (min(times, default=None), max(times, default=None))
        assert 0 <= trait.confidence < 1
        assert trait.trait_id == trait_id("u", trait.kind, mine[0].label)
    assert [t.confidence for t in traits] == sorted((t.confidence for t in traits), reverse=True)


@given(st.text("abcs straps屏幕", min_size=1))
@example("the straps")
def test_width_case_and_edges_do_not_make_another_label(label: str) -> None:
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in label)
    for other in (label.upper(), wide, f"  {label}\t", f"“{label}”".strip("“”") + "。", label.replace(" ", "\u3000")):
        assert canonical(other) == canonical(label)


@pytest.mark.parametrize(
    "same",
    [
        ["strap", "The strap", "STRAPS", "straps.", "ｓｔｒａｐ", "my straps", '"strap"'],
        ["battery life", "Battery_life", "the battery  life"],
        ["屏幕", "屏幕。", "「屏幕」".strip("「」"), " 屏幕！"],
        ["Straße", "STRASSE"],
    ],
)
def test_same_things(same: list[str]) -> None:
    assert len({canonical(label) for label in same}) == 1


@pytest.mark.parametrize("pair", [("glass", "glas"), ("bus", "bu"), ("theme", "me"), ("lens", "len"), ("屏幕", "屏")])
def test_different_things(pair: tuple[str, str]) -> None:
    assert canonical(pair[0]) != canonical(pair[1])


def test_ids_are_of_the_user_and_the_kind() -> None:
    ids = {trait_id(user, kind, "strap") for user in ("u", "v") for kind in ("interest", "need")}
    assert len(ids) == 4
    assert trait_id("u", "interest", "strap") == trait_id("u", "interest", "The straps")


def test_confidence_grows_with_repetition_and_falls_with_contradiction() -> None:
    good = [signal(day=n) for n in range(4)]
    bad = [signal(day=n, polarity="negative") for n in range(10, 12)]
    (once,), (often,) = merge(good[:1]), merge(good)
    assert once.confidence == 0.5
    assert often.confidence == 0.8
    (torn,) = merge([*good, bad[0]])
    assert (torn.polarity, torn.confidence) == ("positive", round(4 / 6, 4))
    (half,) = merge([signal(confidence=0.6)])
    assert half.confidence == round(0.6 / 1.6, 4)


def test_without_two_thirds_on_one_side_it_is_mixed() -> None:
    good = [signal(day=n) for n in range(3)]
    bad = [signal(day=10 + n, polarity="negative") for n in range(2)]
    (torn,) = merge([*good, *bad])
    assert (torn.polarity, torn.confidence, torn.mentions) == ("mixed", round(3 / 6, 4), 5)
    (won,) = merge([*good, signal(day=3), *bad])
    assert won.polarity == "positive"
    (unsure,) = merge([*good, *(replace(s, confidence=0.3) for s in bad)])
    assert unsure.polarity == "positive"


def test_the_same_words_count_once() -> None:
    twice = [signal("strap"), signal("Straps", confidence=0.8, quote="the strap")]
    assert twice[0].evidence == twice[1].evidence
    (trait,) = merge(twice)
    assert (trait.mentions, trait.confidence) == (1, 0.5)
    (trait,) = merge([signal("strap", event="a"), signal("strap", event="b")])
    assert (trait.mentions, trait.confidence) == (2, round(2 / 3, 4))


def test_evidence_is_newest_first_and_counted_whole() -> None:
    signals = [signal(day=n) for n in range(MOST_EVIDENCE + 5)] + [signal(day=None, event="undated")]
    (trait,) = merge(signals)
    newest = [f"e{n}" for n in range(MOST_EVIDENCE + 4, 4, -1)]
    assert [span.event_id for span in trait.evidence] == newest
    assert trait.mentions == MOST_EVIDENCE + 6
    assert (trait.first_seen, trait.last_confirmed) == (START, START + timedelta(days=MOST_EVIDENCE + 4))


def test_the_label_most_used_is_the_traits() -> None:
    signals = [signal("Straps", day=3), signal("strap", day=1), signal("strap", day=2)]
    (trait,) = merge(signals)
    assert trait.label == "strap"


def test_what_was_rejected_makes_no_trait() -> None:
    assert merge([signal(status="rejected", reason="quote_not_in_text")]) == []
    assert merge([]) == []


def test_kinds_are_kept_apart() -> None:
    traits = merge([signal(kind="preference"), signal(kind="objection", polarity="negative")])
    assert {(t.kind, t.polarity) for t in traits} == {("preference", "positive"), ("objection", "negative")}
