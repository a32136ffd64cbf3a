"""Which labels go under one name: by code, by a person's word, by a taxonomy; the command over real workspaces."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from tests.reading_workspace import make

from limner.agents.portraitist.labels import ROWS, THRESHOLDS, near_pairs, refresh_names, review
from limner.agents.portraitist.run import portray
from limner.cli import main
from limner.errors import MissingExtra, UsageError
from limner.evidence.aliases import FILE, Alias, Decision, decide, read_aliases, write_aliases
from limner.evidence.labels import canonical, likeness
from limner.evidence.names import MOST_PROPOSED, Label, Pair, group, names_of
from limner.evidence.persona import read_personas
from limner.evidence.records import Span
from limner.evidence.taxonomy import Taxonomy, keep_taxonomy, read_taxonomy, stored_taxonomy
from limner.histories.language import detect
from limner.histories.store import Store
from limner.retrieval.vectors import Vectors

ENTRIES = '[[entry]]\nname = "coffee"\nalso = ["espresso", "咖啡"]\n[[entry]]\nname = "tea"\nalso = ["茶"]\n'


def labels(*texts: str) -> list[Label]:
    """Labels, the first one seen first."""
    return [Label(text, datetime(2025, 1, day)) for day, text in enumerate(texts, 1)]


def pair(one: str, other: str, similarity: float = 0.9, sure: bool = True) -> Pair:
    return Pair(one, other, similarity, sure)


def under(rows: Sequence[Alias]) -> dict[str, str]:
    """The labels that are in force under another's name."""
    return {row.label: row.name for row in rows if row.applied}


def taxonomy_at(path: Path, text: str = ENTRIES) -> Path:
    file = path / "given.toml"
    file.write_text(text, encoding="utf-8")
    return file


# A person's word


def test_the_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = (
        Alias('咖啡 "豆"\\', "coffee\n\x7f", "proposed", 0.712, True),
        Alias("茶", "tea", "accepted", None, True),
        Alias("green tea", "tea", "refused", -0.1, False),
    )
    write_aliases(tmp_path, rows)
    assert read_aliases(tmp_path) == rows
    before = (tmp_path / FILE).stat().st_mtime_ns
    write_aliases(tmp_path, rows)
    assert (tmp_path / FILE).stat().st_mtime_ns == before
    assert [file.name for file in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[alias]", "not an alias table"),
        ("\xff", "not an alias table"),
        ("alias = 5", "list of"),
        ("alias = [1]", "list of"),
        ('[alias]\nlabel = "a"', "list of"),
        ("[[alias]]\n[other]", "list of"),
        ('[[alias]]\nlabel = "a"\nname = "b"', "unknown key 'name'"),
        ('[[alias]]\nlabel = "a"\nstatus = "accepted"', "lacks"),
        ('[[alias]]\nlabel = "a"\ncanonical = "b"\nstatus = "yes"', "'yes'"),
        ('[[alias]]\nlabel = "a"\ncanonical = "The A"\nstatus = "accepted"', "under itself"),
        (
            '[[alias]]\nlabel="a"\ncanonical="b"\nstatus="accepted"\n[[alias]]\nlabel="A"\ncanonical="c"\nstatus="accepted"',
            "accepted under 'b' and under 'c'",
        ),
        (
            '[[alias]]\nlabel="a"\ncanonical="b"\nstatus="accepted"\n[[alias]]\nlabel="b"\ncanonical="a"\nstatus="refused"',
            "are refused",
        ),
    ],
)
def test_a_table_edited_into_something_else_gives_one_clear_error(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(text.encode("latin-1" if text == "\xff" else "utf-8"))
    with pytest.raises(UsageError) as told:
        read_aliases(tmp_path)
    assert says in str(told.value)
    assert FILE in str(told.value)


def test_the_last_word_on_a_pair_counts_in_either_order() -> None:
    table = decide((), "咖啡", "coffee", accept=True)
    table = decide(table, "Coffee", "咖啡", accept=False)
    assert [(row.label, row.name, row.status) for row in table] == [("Coffee", "咖啡", "refused")]
    table = decide(table, "咖啡", "coffee", accept=True)
    table = decide(table, "咖啡", "drinks", accept=True)
    assert under(table) == {"咖啡": "drinks"}


@pytest.mark.parametrize(("label", "name"), [("", "tea"), ("tea", " . "), ("straps", "The Strap"), ("ＴＥＡ", "tea")])
def test_a_decision_needs_two_labels(label: str, name: str) -> None:
    with pytest.raises(UsageError, match="two different labels"):
        decide((), label, name, accept=True)


def test_a_refusal_against_a_chain_of_accepted_aliases_is_an_error_whichever_comes_last() -> None:
    chain = decide(decide((), "latte", "coffee", accept=True), "拿铁", "latte", accept=True)
    with pytest.raises(
        UsageError, match=r"'拿铁' and 'coffee' are refused, but accepted aliases make them one\. Refuse"
    ):
        decide(chain, "拿铁", "coffee", accept=False)
    refused = decide(decide((), "拿铁", "coffee", accept=False), "latte", "coffee", accept=True)
    with pytest.raises(UsageError, match="make them one"):
        decide(refused, "拿铁", "latte", accept=True)
    assert under(decide(chain, "拿铁", "latte", accept=False)) == {"latte": "coffee"}


# Groups


def test_groups_do_not_depend_on_the_order_of_what_comes_in() -> None:
    pairs = [pair("a", "b", 0.9), pair("b", "c", 0.9), pair("a", "c", 0.7, sure=False), pair("c", "d", 0.8)]
    tables = {
        group(list(some), list(near))
        for some in permutations(labels("a", "b", "c", "d"))
        for near in permutations(pairs)
    }
    assert len(tables) == 1
    assert under(tables.pop()) == {"b": "a", "c": "a"}


def test_a_chain_of_near_labels_does_not_become_one() -> None:
    rows = group(labels("a", "b", "c"), [pair("a", "b", 0.95), pair("b", "c", 0.9)])
    assert [(row.label, row.name, row.status, row.applied) for row in rows] == [
        ("b", "a", "proposed", True),
        ("c", "b", "proposed", False),
    ]
    assert names_of(rows).key("C") == "c"


def test_a_refusal_keeps_whole_groups_apart_and_is_not_asked_again() -> None:
    near = [pair("a", "b"), pair("a", "c"), pair("b", "c", 0.85)]
    assert under(group(labels("a", "b", "c"), near)) == {"b": "a", "c": "a"}
    rows = group(labels("a", "b", "c"), near, [Decision("c", "a", False)])
    assert under(rows) == {"b": "a"}
    assert [(row.label, row.name) for row in rows if row.status == "proposed" and not row.applied] == []


def test_an_accepted_name_leads_its_group_and_what_is_near_one_of_it_is_asked() -> None:
    rows = group(labels("a", "b", "c"), [pair("a", "b")], [Decision("a", "drinks", True)])
    names = names_of(rows)
    assert [names.key(label) for label in ("a", "Drinks", "b", "c")] == ["drink", "drink", "b", "c"]
    assert [(row.label, row.name, row.applied) for row in rows if row.status == "proposed"] == [("b", "a", False)]


def test_accepted_names_in_a_circle_are_one_name() -> None:
    circle = [Decision(*words, True) for words in (("a", "b"), ("b", "c"), ("c", "a"))]
    assert {names_of(group(labels("a", "b", "c"), (), circle)).key(label) for label in "abc"} == {"a"}


def test_proposals_are_the_most_similar_and_a_bounded_number() -> None:
    texts = [f"label {chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(60)]
    near = [
        pair(one, other, round(0.5 + (i * 60 + j) / 10_000, 4), sure=False)
        for i, one in enumerate(texts)
        for j, other in enumerate(texts[:i])
    ]
    rows = group([Label(text) for text in texts], near)
    assert len(near) > len(rows) == MOST_PROPOSED
    left_out = sorted((p.similarity for p in near), reverse=True)[MOST_PROPOSED:]
    assert min(row.similarity or 0 for row in rows) > left_out[0]


def test_two_groups_are_proposed_once() -> None:
    near = [pair("a", "b"), pair("c", "d"), pair("a", "c", 0.7, False), pair("b", "d", 0.75, False)]
    rows = group(labels("a", "b", "c", "d"), near)
    assert [(row.label, row.name) for row in rows if not row.applied] == [("d", "b")]


# Near pairs


def slowly(texts: Sequence[str], vectors: Vectors) -> set[tuple[str, str, bool]]:
    """The near pairs by their definition, one at a time."""
    zh = [detect(text) == "zh" for text in texts]
    cosines = vectors @ vectors.T
    found = set()

    def nearest(i: int) -> int:
        return max((k for k in range(len(texts)) if zh[k] != zh[i]), key=lambda k: cosines[i, k])

    for i in range(len(texts)):
        for j in range(i + 1, len(texts)):
            limit = THRESHOLDS["across" if zh[i] != zh[j] else "zh" if zh[i] else "en"]
            words = likeness(texts[i], texts[j])
            if words == "same":
                found.add((texts[i], texts[j], True))
            elif words != "different" and cosines[i, j] >= limit.proposed:
                sure = words == "open" and cosines[i, j] >= limit.sure
                found.add(
                    (texts[i], texts[j], bool(sure and (zh[i] == zh[j] or (nearest(i) == j and nearest(j) == i))))
                )
    return found


def test_near_pairs_are_those_of_the_definition_over_several_blocks() -> None:
    rng = np.random.default_rng(3)
    syllables = "bada kimo lure sato 灯 杯 伞 琴".split()
    texts = sorted({" ".join(rng.choice(syllables, 3, replace=False)) for _ in range(2 * ROWS)})
    texts = [text.replace(" ", "") if detect(text) == "zh" else text for text in texts]
    texts = (texts + [f"thing {chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(ROWS)])[: ROWS + 90]
    centres = rng.normal(size=(120, 16))
    raw = centres[rng.integers(0, 120, len(texts))] + rng.normal(scale=0.5, size=(len(texts), 16))
    vectors = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    assert len(texts) > ROWS
    got = {(p.one, p.other, p.sure) for p in near_pairs(texts, lambda _: vectors)}
    assert got == slowly(texts, vectors)
    assert {sure for _, _, sure in got} == {True, False}


def test_without_an_embedder_words_still_count() -> None:
    def none(texts: Sequence[str]) -> Vectors:
        raise MissingExtra("embedding", "embed")

    assert [(p.one, p.other, p.sure) for p in near_pairs(["guitar strings", "strings for guitar", "tea"], none)] == [
        ("guitar strings", "strings for guitar", True)
    ]


# Taxonomies


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[entry]", "not TOML"),
        ("", "no [[entry]]"),
        ('title = "x"\n' + ENTRIES, "unknown key 'title'"),
        ("entry = 3", "no [[entry]]"),
        ("entry = [3]", "entry 1 has no name"),
        ("[[entry]]\nalso = []", "entry 1 has no name"),
        ('[[entry]]\nname = "a"\nsynonyms = []', "unknown key 'synonyms'"),
        ('[[entry]]\nname = "a"\nalso = "b"', "list of labels"),
        (ENTRIES + '[[entry]]\nname = "drinks"\nalso = ["茶。"]', "'茶。' stands in 'tea' and in 'drinks'"),
    ],
)
def test_a_bad_taxonomy_gives_one_clear_error_and_changes_nothing(text: str, says: str, tmp_path: Path) -> None:
    keep_taxonomy(tmp_path, taxonomy_at(tmp_path))
    kept = stored_taxonomy(tmp_path)
    with pytest.raises(UsageError) as told:
        keep_taxonomy(tmp_path, taxonomy_at(tmp_path, text))
    assert says in str(told.value)
    assert "given.toml" in str(told.value)
    assert stored_taxonomy(tmp_path) == kept is not None


def test_a_taxonomy_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Check the path"):
        read_taxonomy(tmp_path / "none.toml")
    with pytest.raises(UsageError, match="Cannot read"):
        read_taxonomy(tmp_path)


@pytest.fixture
def drinks(tmp_path: Path) -> Taxonomy:
    return read_taxonomy(taxonomy_at(tmp_path))


def test_a_taxonomy_closes_the_vocabulary(drinks: Taxonomy) -> None:
    some = labels("Espresso", "咖啡", "茶", "strap", "flat white")
    rows = group(some, [pair("flat white", "espresso"), pair("espresso", "茶")], (), drinks)
    names = names_of(rows, drinks)
    shared = {label.text: names.shared(label.text) for label in some}
    assert shared == {"Espresso": "coffee", "咖啡": "coffee", "茶": "tea", "strap": "other", "flat white": "coffee"}
    assert under(rows) == {"flat white": "coffee"}
    assert len(rows) == 1


def test_a_label_near_an_entry_is_proposed_for_the_entry(drinks: Taxonomy) -> None:
    rows = group(labels("latte art", "咖啡"), [pair("latte art", "咖啡", 0.5, sure=False)], (), drinks)
    assert [(row.label, row.name, row.applied) for row in rows] == [("latte art", "coffee", False)]


def test_a_persons_word_outranks_the_taxonomy(drinks: Taxonomy) -> None:
    said = [Decision("espresso", "tea", True), Decision("咖啡", "coffee", False)]
    names = names_of(group(labels("espresso", "咖啡", "coffee"), (), said, drinks), drinks)
    assert [names.shared(label) for label in ("espresso", "咖啡", "coffee", "茶")] == ["tea", "other", "coffee", "tea"]


# Workspaces

DAY = datetime(2025, 3, 1)


def wrote(path: Path, *said: tuple[str, str]) -> Store:
    """A workspace where users (each with their labels) wrote of something, one accepted signal each."""
    store = make(path)
    rows = [
        {
            "signal_id": f"s{number}", "user_id": user, "kind": "interest", "label": label, "polarity": "positive",
            "confidence": 1.0, "ts": DAY.replace(day=1 + number), "lang": detect(label), "event_id": f"e{number}",
            "field": "text", "start": 0, "end": len(label), "quote": f"{label} {number}", "status": "accepted",
            "reason": "", "prompt": "p", "model": "m",
        }
        for number, (user, label) in enumerate(said)
    ]  # fmt: skip
    users = sorted({user for user, _ in said})
    with store.commit("extract") as commit:
        commit.add("facts", [{"user_id": user, "as_of": DAY.replace(day=28), "lang": "en"} for user in users])
        commit.add("extractions", [{"user_id": user, "history_key": "k", "model": "m"} for user in users])
        commit.add("signals", rows)
    return store


def apart(texts: Sequence[str]) -> Vectors:
    """An embedding in which nothing is like anything else."""
    return np.eye(len(texts), dtype=np.float32)


def alike(texts: Sequence[str]) -> Vectors:
    """An embedding in which everything is like everything else."""
    return np.ones((len(texts), 1), dtype=np.float32)


def test_a_persons_word_is_kept_across_refreshes(tmp_path: Path) -> None:
    store = wrote(tmp_path / "w", ("ann", "coffee"), ("ann", "咖啡"), ("ann", "strap"))
    assert under(review(store, embed=alike).aliases) == {"咖啡": "coffee", "strap": "coffee"}
    told = review(store, refuse=("strap", "coffee"), embed=alike)
    assert told.changed
    assert under(told.aliases) == {"咖啡": "coffee"}
    assert not review(store, embed=alike).changed
    review(store, accept=("咖啡", "coffee"), embed=apart)
    for embed in (apart, alike, apart):
        refresh_names(store, embed)
        rows = {(row.label, row.name): row.status for row in read_aliases(store.path)}
        assert rows[("咖啡", "coffee")] == "accepted"
        assert rows[("strap", "coffee")] == "refused"
    assert "proposed" not in rows.values()


def test_what_is_edited_in_the_file_counts(tmp_path: Path) -> None:
    store = wrote(tmp_path / "w", ("ann", "coffee"), ("ann", "咖啡"))
    review(store, embed=alike)
    file = store.path / FILE
    file.write_text(file.read_text(encoding="utf-8").replace('"proposed"', '"refused"'), encoding="utf-8")
    assert names_of(read_aliases(store.path)).key("咖啡") == "咖啡"
    assert [(row.status, row.applied) for row in review(store, embed=alike).aliases] == [("refused", False)]


def test_labels_that_map_to_nothing_become_other_and_are_listed(tmp_path: Path) -> None:
    store = wrote(tmp_path / "w", ("ann", "espresso"), ("bob", "strap"), ("cy", "strap"), ("ann", "lamp"))
    told = review(store, taxonomy=taxonomy_at(tmp_path), embed=apart)
    assert told.other == ("strap", "lamp")
    assert told.changed
    portray(store, None)
    shared = {(t.label, t.canonical) for persona in read_personas(store) for t in persona.traits}
    assert shared == {("espresso", "coffee"), ("strap", "other"), ("lamp", "other")}


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str, int]:
    with pytest.raises(SystemExit) as ended:
        main(["persona", "aliases", *arguments])
    said = capfd.readouterr()
    assert "Traceback" not in said.err
    return said.out, said.err, int(ended.value.code or 0)


def test_coffee_in_two_languages_is_one_trait_and_its_neighbours_are_not(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """With the real embedder: what the thresholds do is what a person gets."""
    store = wrote(
        tmp_path / "w", *[("ann", label) for label in ("coffee", "咖啡", "tea", "茶", "guitar strap", "吉他背带")]
    )
    at = ("--workspace", str(store.path))
    out, err, code = run(capfd, "--json", *at)
    told = json.loads(out)
    assert (code, told["other"]) == (0, [])
    assert set(told["aliases"][0]) == {"label", "canonical", "status", "similarity", "applied"}
    applied = {(row["label"], row["canonical"]) for row in told["aliases"] if row["applied"]}
    assert applied == {("咖啡", "coffee"), ("茶", "tea")}
    asked = {(row["label"], row["canonical"]) for row in told["aliases"] if not row["applied"]}
    assert ("吉他背带", "guitar strap") in asked
    assert all(row["status"] == "proposed" for row in told["aliases"])
    assert "limner extract" in err
    portray(store, None)
    (persona,) = read_personas(store)
    assert sorted((t.canonical, t.mentions) for t in persona.traits) == [
        ("coffee", 2),
        ("guitar strap", 1),
        ("tea", 2),
        ("吉他背带", 1),
    ]
    assert {span.event_id for t in persona.traits if t.canonical == "coffee" for span in t.evidence} == {"e0", "e1"}
    assert all(isinstance(span, Span) for t in persona.traits for span in t.evidence)

    out, err, code = run(capfd, "--refuse", "茶", "tea", *at)
    assert (code, "refused" in out) == (0, True)
    portray(store, None)
    (persona,) = read_personas(store)
    assert {"tea", "茶"} <= {t.canonical for t in persona.traits}
    out, err, code = run(capfd, "--accept", "吉他背带", "guitar strap", *at)
    assert (code, "accepted" in out) == (0, True)
    portray(store, None)
    (persona,) = read_personas(store)
    assert [t.mentions for t in persona.traits if t.canonical == "guitar strap"] == [2]
    out, err, code = run(capfd, *at)
    assert (code, err) == (0, "")


def test_the_command_says_what_is_wrong(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    store = wrote(tmp_path / "w", ("ann", "coffee"))
    at = ("--workspace", str(store.path))
    for arguments, says in (
        (("--accept", "coffee", "Coffee"), "two different labels"),
        (("--taxonomy", str(taxonomy_at(tmp_path, "[[entry]]"))), "has no name"),
        (("--taxonomy", str(tmp_path / "none.toml")), "Cannot read"),
    ):
        out, err, code = run(capfd, *arguments, *at)
        assert (out, code != 0, says in err.replace("\n", " ")) == ("", True, True), err
    out, err, code = run(capfd, "--taxonomy", str(taxonomy_at(tmp_path)), *at, "--json")
    assert (json.loads(out), code) == ({"aliases": [], "other": []}, 0)


def test_the_common_form_of_a_name_decides() -> None:
    rows = (Alias("Ｃafé", "coffee", "accepted", None, True),)
    assert names_of(rows).key("café。") == "coffee" == canonical("The Coffee")
    assert names_of([replace(rows[0], status="refused", applied=False)]).key("café") == "café"
