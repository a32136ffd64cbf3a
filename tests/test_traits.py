"""Merging signals into traits: whatever their order, one trait for one thing, as sure as its evidence allows."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta
from math import isinf
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from limner.agents.portraitist.labels import THRESHOLDS
from limner.evidence.changes import history
from limner.evidence.decay import AGEING
from limner.evidence.declared import Declared, declared_of
from limner.evidence.labels import canonical
from limner.evidence.names import MOST_PROPOSED
from limner.evidence.records import Signal, Span, Trait
from limner.evidence.sides import same_words
from limner.evidence.traits import MOST_EVIDENCE, family_of, merge, order, trait_id

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
def test_giving_signals_twice_changes_nothing(signals: list[Signal]) -> None:
    assert merge([*signals, *signals[::2]]) == merge(signals)


@given(SIGNALS, st.one_of(st.none(), st.integers(0, 3000)))
def test_every_accepted_signal_is_in_the_traits_of_its_topic(signals: list[Signal], day: int | None) -> None:
    at = None if day is None else START + timedelta(days=day)
    traits = merge(signals, at=at)
    accepted = [s for s in signals if s.status == "accepted"]
    found: dict[tuple[str, str], list[Trait]] = {}
    for trait in traits:
        found.setdefault((family_of(trait.kind), canonical(trait.label)), []).append(trait)
    assert found.keys() == {(family_of(s.kind), canonical(s.label)) for s in accepted}
    assert len({t.trait_id for t in traits}) == len(traits)
    for topic, of_topic in found.items():
        mine = [s for s in accepted if (family_of(s.kind), canonical(s.label)) == topic]
        told = {same_words(span.quote) for t in of_topic for span in (*t.evidence, *t.against)}
        assert told == {same_words(s.evidence.quote) for s in mine}
        for trait in of_topic:
            assert trait.label in {s.label for s in mine}
            assert 0 <= trait.confidence < 1
            assert (trait.strength or 0) >= 0
            assert (trait.closed is None) == (trait.status in ("current", "conflict", "declared"))
        assert [t.status for t in of_topic[1:]] == ["superseded"] * (len(of_topic) - 1)
        if len(of_topic) > 1:
            assert of_topic[1].superseded_by == of_topic[0].trait_id
    assert traits == sorted(traits, key=order)


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


def test_ids_are_of_the_user_the_family_and_the_side() -> None:
    ids = {trait_id(user, kind, "strap") for user in ("u", "v") for kind in ("interest", "need")}
    assert len(ids) == 4
    assert trait_id("u", "interest", "strap") == trait_id("u", "interest", "The straps")
    assert trait_id("u", "objection", "strap") == trait_id("u", "preference", "strap")
    assert trait_id("u", "preference", "strap", "against") != trait_id("u", "preference", "strap")


def said(day: int | None, polarity: str = "positive", **values: object) -> Signal:
    """A signal with words of its own."""
    return signal(day=day, polarity=polarity, **{"quote": f"the strap, {polarity}, {day}", **values})


def test_confidence_grows_with_repetition_and_falls_with_contradiction() -> None:
    good = [said(n) for n in range(4)]
    bad = [said(n, "negative") for n in range(10, 12)]
    (once,), (often,) = merge(good[:1]), merge(good)
    assert once.confidence == 0.5
    assert often.confidence == 0.8
    (torn,) = merge([*good, bad[0]])
    assert (torn.polarity, torn.confidence, torn.status) == ("positive", round(4 / 6, 4), "current")
    assert [span.quote for span in torn.against] == [bad[0].evidence.quote]
    (half,) = merge([said(0, confidence=0.6)])
    assert half.confidence == round(0.6 / 1.6, 4)


def test_without_two_thirds_on_one_side_close_in_time_it_is_a_conflict() -> None:
    good = [said(n) for n in range(3)]
    bad = [said(10 + n, "negative") for n in range(2)]
    (torn,) = merge([*good, *bad])
    assert (torn.polarity, torn.status, torn.mentions) == ("mixed", "conflict", 5)
    assert set(torn.against) == {s.evidence for s in bad}
    assert set(torn.evidence) == {s.evidence for s in (*good, *bad)}
    assert torn.holds
    (won,) = merge([*good, said(3), said(4), *bad])
    assert (won.polarity, won.status) == ("positive", "current")
    (unsure,) = merge([*good, *(replace(s, confidence=0.3) for s in bad)])
    assert unsure.polarity == "positive"


def test_mixed_words_alone_are_no_conflict() -> None:
    (trait,) = merge([said(0, "mixed")])
    assert (trait.polarity, trait.status) == ("mixed", "current")


def test_repeated_texts_count_once_however_often() -> None:
    once = [said(0), said(2, "negative")]
    copies = [said(day, quote=once[0].evidence.quote.upper() + "!", event=f"c{day}") for day in range(1, 9)]
    (trait,) = merge([*once, *copies])
    assert (trait.mentions, trait.status) == (2, "conflict")
    (kept,) = merge([said(0), said(5, quote=once[0].evidence.quote)])
    assert (kept.mentions, kept.confidence, kept.last_confirmed) == (1, 0.5, START + timedelta(days=5))
    assert [span.event_id for span in kept.evidence] == ["e5"]


def test_evidence_is_newest_first_and_counted_whole() -> None:
    signals = [said(n) for n in range(MOST_EVIDENCE + 5)] + [said(None, event="undated")]
    (trait,) = merge(signals)
    newest = [f"e{n}" for n in range(MOST_EVIDENCE + 4, 4, -1)]
    assert [span.event_id for span in trait.evidence] == newest
    assert trait.mentions == MOST_EVIDENCE + 6
    assert (trait.first_seen, trait.last_confirmed) == (START, START + timedelta(days=MOST_EVIDENCE + 4))


def test_the_label_most_used_is_the_traits() -> None:
    signals = [signal("Straps", day=3), signal("strap", day=1), signal("strap", day=2)]
    (trait,) = merge(signals)
    assert (trait.label, trait.canonical) == ("strap", "strap")


def test_what_was_rejected_makes_no_trait() -> None:
    assert merge([signal(status="rejected", reason="quote_not_in_text")]) == []
    assert merge([]) == []


def test_liking_and_disliking_one_thing_are_one_trait_and_interest_is_another() -> None:
    (torn,) = merge([said(0), said(1, "negative", kind="objection")])
    assert (torn.kind, torn.polarity, torn.status) == ("preference", "mixed", "conflict")
    assert {t.kind for t in merge([said(0), said(0, kind="interest")])} == {"preference", "interest"}


def test_a_later_opposite_opinion_supersedes_and_keeps_the_old_evidence() -> None:
    good, bad = [said(0), said(20)], [said(200, "negative", kind="objection"), said(230, "negative", kind="objection")]
    now, old = merge([*good, *bad])
    assert (now.kind, now.polarity, now.status, now.closed) == ("objection", "negative", "current", None)
    assert (old.kind, old.polarity, old.status) == ("preference", "positive", "superseded")
    assert (old.superseded_by, old.closed) == (now.trait_id, START + timedelta(days=200))
    assert old.evidence == now.against == tuple(s.evidence for s in reversed(good))
    assert now.evidence == old.against == tuple(s.evidence for s in reversed(bad))
    assert (old.first_seen, old.last_confirmed) == (START, START + timedelta(days=20))
    assert (now.holds, old.holds) == (True, False)
    (same,) = merge(good)
    assert same.trait_id == old.trait_id


def test_how_whole_texts_sound_is_no_mind_to_change() -> None:
    """Praise for one order and a complaint of another, under one category: mixed, or outweighed, never superseded."""
    (torn,) = merge([said(0, kind="sentiment"), said(200, "negative", kind="sentiment")])
    assert (torn.polarity, torn.status, len(torn.against)) == ("mixed", "conflict", 1)
    late = [said(900 + n, "negative", kind="sentiment") for n in range(3)]
    (won,) = merge([said(0, kind="sentiment"), *late])
    assert (won.polarity, won.status, len(won.against)) == ("negative", "current", 1)


def test_one_late_word_against_many_does_not_supersede() -> None:
    many = [said(n) for n in range(0, 100, 10)]
    (trait,) = merge([*many, said(200, "negative")])
    assert (trait.polarity, trait.status, len(trait.against)) == ("positive", "current", 1)


def test_one_late_word_against_one_is_a_change_of_mind_once_it_has_settled() -> None:
    """The newer word is what is known of the user now; the older one is kept as superseded."""
    now, old = merge([said(0), said(30, "negative")])
    assert (now.polarity, now.status, old.polarity, old.status) == ("negative", "current", "positive", "superseded")
    assert old.evidence == now.against == (said(0).evidence,)
    (torn,) = merge([said(0), said(29, "negative")])
    assert torn.status == "conflict"
    (unsure,) = merge([said(0), said(30, "negative", confidence=0.5)])
    assert unsure.status == "conflict"


@pytest.mark.parametrize(("earlier", "half_lives"), [(2, 2.0), (3, 2.585), (4, 3.0)])
def test_one_late_word_supersedes_several_only_if_it_outweighs_them_two_to_one(earlier: int, half_lives: float) -> None:
    many = [said(0, event=f"m{n}", quote=f"the strap is good, {n}") for n in range(earlier)]
    enough = round(half_lives * AGEING["preference"].half_life)
    before = merge([*many, said(enough - 5, "negative")])
    assert [t.status for t in before] == ["conflict"]
    assert len(before[0].against) == 1
    now, old = merge([*many, said(enough + 5, "negative")])
    assert (now.polarity, old.status, len(old.evidence)) == ("negative", "superseded", earlier)
    later = merge([*many, said(enough - 5, "negative")], at=START + timedelta(days=enough + 200))
    assert [t.status for t in later] == ["conflict"], "time alone must not turn a conflict into a change of mind"
    two = merge([*many[:2], said(100, "negative"), said(110, "negative")])
    assert [t.status for t in two] == ["current", "superseded"]


def test_a_mind_changed_twice_ends_where_it_began() -> None:
    there, back = [said(0), said(100, "negative")], [said(400), said(401)]
    now, old = merge([*there, *back])
    assert (now.polarity, now.status, old.polarity, old.status) == ("positive", "current", "negative", "superseded")


@pytest.mark.parametrize(("kind", "half_life"), [(kind, ageing.half_life) for kind, ageing in AGEING.items()])
def test_traits_fade_by_half_and_expire_at_the_floor(kind: str, half_life: float) -> None:
    polarity = "negative" if kind == "objection" else "positive"
    one = [said(0, polarity, kind=kind)]

    def after(days: float) -> Trait:
        (trait,) = merge(one, at=START + timedelta(days=days))
        return trait

    assert after(0).strength == 1.0
    assert after(half_life).strength == 0.5
    assert after(3 * half_life - 1).status == "current"
    gone = after(3 * half_life + 1)
    assert (gone.status, gone.closed, gone.holds) == ("expired", START + timedelta(days=3 * half_life), False)
    assert gone.evidence == (one[0].evidence,)


def test_the_page_has_the_table_of_the_code() -> None:
    page = (Path(__file__).parent.parent / "docs" / "traits.md").read_text(encoding="utf-8")
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.count("|") == 5
    ]
    told = {kind: (days, settles) for kinds, days, settles, _ in lines for kind in kinds.split(", ") if kind in AGEING}
    assert told == {
        kind: (str(ageing.half_life), "never" if isinf(ageing.settles) else str(ageing.settles))
        for kind, ageing in AGEING.items()
    }
    limits = {name: (limit.sure, limit.proposed) for name, limit in THRESHOLDS.items()}
    rows = re.findall(r"^\| ([^|]+) \| (0\.\d+) \| (0\.\d+) \|$", page, re.MULTILINE)
    assert [(float(sure), float(proposed)) for _, sure, proposed in rows] == [limits[n] for n in ("en", "zh", "across")]
    assert f"the {MOST_PROPOSED} most similar" in page


def test_a_date_after_the_end_of_the_data_is_no_news() -> None:
    """An event dated 2099 must not outweigh all else, nor make all else expire."""
    slip = said(30_000, "negative")
    (trait,) = merge([said(0), said(1), said(2), slip], at=START + timedelta(days=2))
    assert (trait.polarity, trait.status) == ("positive", "current")
    assert slip.evidence in trait.against


def declared(label: str, polarity: str = "positive", kind: str = "preference") -> Declared:
    return Declared("u", kind, label, polarity, "likes")  # type: ignore[arg-type]


def test_what_a_user_declared_outranks_what_was_inferred() -> None:
    texts = [said(100 + n, "negative", kind="objection") for n in range(5)]
    (trait,) = merge(texts, declared=[declared("Straps")])
    assert (trait.polarity, trait.status, trait.declared_in) == ("positive", "declared", "likes")
    assert (trait.evidence, len(trait.against)) == ((), 5)
    (alone,) = merge([], declared=[declared("tea", "negative")])
    assert (alone.label, alone.polarity, alone.status, alone.evidence) == ("tea", "negative", "declared", ())
    (far,) = merge([], declared=[declared("tea")], at=START + timedelta(days=9999))
    assert far.status == "declared"


def test_what_a_profile_declares() -> None:
    profile = {
        "declared_likes": "tea, no coffee",
        "Hobbies": ["hiking", "摄影"],
        "忌口": "香菜",
        "city": "tea",
        "likes": 5,
    }
    found = {(d.kind, d.label, d.polarity) for d in declared_of("u", json.dumps(profile))}
    assert found == {
        ("preference", "tea", "positive"),
        ("preference", "coffee", "negative"),
        ("interest", "hiking", "positive"),
        ("interest", "摄影", "positive"),
        ("objection", "香菜", "negative"),
    }
    for broken in (None, "", "[1]", "{", '"x"'):
        assert declared_of("u", broken) == []


HISTORIES = st.lists(
    st.builds(
        said,
        st.one_of(st.none(), st.integers(0, 1500)),
        st.sampled_from(["positive", "negative", "mixed", "neutral"]),
        kind=st.sampled_from(["preference", "objection", "intent"]),
        confidence=st.sampled_from([0.4, 0.7, 1.0]),
    ),
    max_size=10,
)


@given(HISTORIES, st.integers(0, 2000), st.randoms())
def test_a_history_ends_in_the_traits_there_are_and_loses_no_words(
    signals: list[Signal], day: int, random: object
) -> None:
    at = START + timedelta(days=day)
    told = history(signals, at=at)
    assert sorted((t for topic in told for t in topic.traits), key=order) == merge(signals, at=at)
    for topic in told:
        times = [change.at for change in topic.changes if change.at is not None]
        assert times == sorted(times)
        assert all(time <= at for time in times)
        quotes = {same_words(span.quote) for change in topic.changes for span in change.evidence}
        family = [s for s in signals if s.status == "accepted" and family_of(s.kind) == topic.family]
        assert quotes == {same_words(s.evidence.quote) for s in family}
        assert topic.changes[-1].polarity == topic.traits[0].polarity
        assert (topic.changes[-1].status == "expired") == (topic.traits[0].status == "expired")
    shuffled = list(signals)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert history(shuffled, at=at) == told


def test_time_alone_never_tips_a_balance() -> None:
    """Exactly two thirds against, the rest undated or of two minds: the same verdict on every day after."""
    signals = [
        said(None, "negative", kind="objection", confidence=1.0),
        said(None, "positive", kind="preference", confidence=0.4),
        said(232, "mixed", kind="preference", confidence=0.4),
    ]
    verdicts = {merge(signals, at=START + timedelta(days=day))[0].polarity for day in range(232, 1500)}
    assert verdicts == {"negative"}


def test_a_history_says_what_happened_when() -> None:
    signals = [
        said(0), said(30), said(60, quote="the strap, positive, 30"), said(200, "negative"), said(230, "negative")
    ]  # fmt: skip
    (told,) = history(signals, at=START + timedelta(days=3000))
    days = [((c.at or START) - START).days for c in told.changes]
    assert [c.kind for c in told.changes] == [
        "appeared", "confirmed", "repeated", "conflict", "superseded", "weakened", "expired"
    ]  # fmt: skip
    assert days[:5] == [0, 30, 60, 200, 230]
    assert told.changes[4].evidence == (signals[4].evidence,)
    assert [(t.polarity, t.status) for t in told.traits] == [("negative", "expired"), ("positive", "superseded")]
