"""The bundled sample: its files, its planted truth, and that the one can be found in the other."""

from __future__ import annotations

import csv
import json
import re
import tomllib
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from pydantic import ValidationError

from limner.agents.copywriter.schema import ProductSheet
from limner.histories.schema import EVENT_KINDS
from limner.histories.store import Store
from limner.sample import load_sample, read_truth, sample_folder
from limner.sample.make import FILES, make
from limner.sample.plan import read_plan
from limner.sample.truth import Truth

DOCUMENTED = {
    "events_en.csv": 347,
    "events_zh.jsonl": 288,
    "chats.jsonl": 43,
    "items.csv": 46,
    "users.csv": 23,
    "ties.csv": 8,
}


def read_csv(name: str) -> list[dict[str, str]]:
    with (sample_folder() / name).open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def read_jsonl(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (sample_folder() / name).read_text(encoding="utf-8").splitlines()]


def rows_of(name: str) -> list[dict[str, Any]]:
    return read_csv(name) if name.endswith(".csv") else read_jsonl(name)


@pytest.fixture(scope="module")
def truth() -> Truth:
    return read_truth()


@pytest.fixture(scope="module")
def events() -> list[dict[str, Any]]:
    """All events of the three files under limner's names, read through the committed maps, without limner's ingest."""
    chinese = tomllib.loads((sample_folder() / "maps/events_zh.toml").read_text(encoding="utf-8"))
    zone = ZoneInfo(chinese["timezone"])
    columns = {name: [c] if isinstance(c, str) else c for name, c in chinese["columns"].items()}
    plain = [*read_csv("events_en.csv"), *read_jsonl("chats.jsonl")]
    found = [{**row, "kind": row["type"], "ts": datetime.fromisoformat(row["ts"])} for row in plain]
    for row in read_jsonl("events_zh.jsonl"):
        named = {name: "\n".join(str(row[c]) for c in wanted if c in row) for name, wanted in columns.items()}
        local = datetime.fromisoformat(named["ts"]).replace(tzinfo=zone)
        found.append({**named, "kind": chinese["kinds"][named["kind"]], "ts": local})
    return found


def test_files_have_the_documented_rows() -> None:
    assert {name: len(rows_of(name)) for name in DOCUMENTED} == DOCUMENTED
    card = (sample_folder() / "README.md").read_text(encoding="utf-8")
    for name, count in DOCUMENTED.items():
        assert re.search(rf"\| `{re.escape(name)}` \| {count} \|", card), name


def test_the_card_counts_what_is_there(events: list[dict[str, Any]]) -> None:
    count = Counter(e["role"] if e["kind"] == "chat" else e["kind"] for e in events)
    card = " ".join((sample_folder() / "README.md").read_text(encoding="utf-8").split())
    for name, words in {
        "view": "views",
        "search": "searches",
        "order": "order lines",
        "cart": "carts",
        "return": "returns",
        "rating": "ratings",
        "review": "reviews",
        "customer": "messages of customers",
        "agent": "of agents",
    }.items():
        assert f" {count[name]} {words}" in card, (name, count[name])
    distinct = {e["text"] for e in events if e["kind"] == "review" or e.get("role") == "customer"}
    assert f"The customers wrote {len(distinct)} distinct reviews and messages" in card


def test_making_again_gives_the_same_bytes(tmp_path: Path) -> None:
    written = make(tmp_path)
    assert [path.name for path in written] == [file.name for file in FILES]
    for path in written:
        assert path.read_bytes() == (sample_folder() / path.name).read_bytes(), f"{path.name}: run limner.sample.make"


def test_events_are_of_known_kinds_and_cover_one_year(events: list[dict[str, Any]]) -> None:
    assert {event["kind"] for event in events} <= set(EVENT_KINDS)
    times = [event["ts"].astimezone(UTC) for event in events]
    assert datetime(2025, 7, 1, tzinfo=UTC) <= min(times) < datetime(2025, 7, 8, tzinfo=UTC)
    assert datetime(2026, 6, 15, tzinfo=UTC) < max(times) < datetime(2026, 7, 1, tzinfo=UTC)
    assert 350 <= sum(event["kind"] in ("view", "search", "order") for event in events) <= 600


def test_events_agree_with_the_catalogue(events: list[dict[str, Any]]) -> None:
    items = {row["item_id"]: row for row in read_csv("items.csv")}
    assert len(items) == DOCUMENTED["items.csv"]
    for event in events:
        if event.get("item_id"):
            item = items[event["item_id"]]
            assert (event["title"], event["category"]) == (item["title"], item["category"])
        if event["kind"] == "order":
            assert 0 < float(event["price"]) <= float(items[event["item_id"]]["price"])
            assert float(event["amount"]) == pytest.approx(float(event["price"]) * float(event["quantity"]))


def test_people_review_and_return_only_what_they_bought(events: list[dict[str, Any]], truth: Truth) -> None:
    bots = {user.user_id for user in truth.users if "spam" in user.oddities}
    bought: dict[tuple[str, str], datetime] = {}
    for event in sorted(events, key=lambda e: e["ts"]):
        what = (event["user_id"], event.get("item_id", ""))
        if event["kind"] == "order":
            bought.setdefault(what, event["ts"])
        if event["kind"] in ("review", "rating", "return") and event["user_id"] not in bots:
            assert what in bought, f"{what} {event['kind']} before any order"


def test_nobody_acts_before_signing_up(events: list[dict[str, Any]]) -> None:
    joined = {row["user_id"]: row["signup_date"] for row in read_csv("users.csv") if row["signup_date"]}
    for event in events:
        assert event["ts"].date().isoformat() >= joined.get(event["user_id"], "")


def test_every_user_has_truth(events: list[dict[str, Any]], truth: Truth) -> None:
    assert len(truth.users) == 24
    assert {user.user_id for user in truth.users} == {event["user_id"] for event in events}
    assert Counter(user.language for user in truth.users) == {"en": 12, "zh": 12}
    for user in truth.users:
        assert user.user_id.startswith(f"u-{user.language}-")
        if not user.oddities:
            assert len(user.traits) >= 2, user.user_id
    ties = read_csv("ties.csv")
    assert {tie[end] for tie in ties for end in ("user_id", "other_id")} <= {user.user_id for user in truth.users}
    assert {user.user_id for user in truth.users} - {row["user_id"] for row in read_csv("users.csv")} == {"u-en-12"}


def test_truth_texts_are_the_texts_of_the_files(events: list[dict[str, Any]], truth: Truth) -> None:
    own = [e for e in events if e.get("text") and e.get("role", "") != "agent"]
    from_files = sorted((e["user_id"], e["kind"], e["ts"].astimezone(UTC), e["text"]) for e in own)
    assert from_files == sorted((t.user_id, t.kind, t.ts, t.text) for t in truth.texts)
    assert len({text.ref for text in truth.texts}) == len(truth.texts)
    for text in truth.texts:
        assert text.text == text.text.strip()
        assert (text.polarity is None) == (text.kind == "search"), text.ref


def test_every_proof_is_an_exact_slice_of_the_users_own_text(truth: Truth) -> None:
    proofs = [(user.user_id, proof) for user in truth.users for trait in user.traits for proof in trait.proofs]
    proofs += [(change.user_id, proof) for change in truth.changed_minds for proof in (change.before, change.after)]
    proofs += [(said.user_id, said.proof) for said in truth.false_declarations]
    proofs += [(truth.text(proof.ref).user_id, proof) for proof in truth.personal]
    assert len(proofs) > 120
    for user_id, proof in proofs:
        text = truth.text(proof.ref)
        assert text.user_id == user_id
        assert proof.quote
        assert proof.quote in text.text, proof
    assert all(trait.proofs for user in truth.users for trait in user.traits)


def test_trait_names_are_distinct_and_in_both_languages(truth: Truth) -> None:
    for user in truth.users:
        labels = [(trait.kind, trait.label.en) for trait in user.traits]
        assert len(set(labels)) == len(labels)
        for trait in user.traits:
            assert re.search("[一-鿿]", trait.label.zh)
            assert trait.label.en.isascii()
            assert len(set(trait.label.names)) == len(trait.label.names), trait.label


def test_labels_are_balanced(truth: Truth) -> None:
    distinct = {text.text: (text.user_id[2:4], text.polarity) for text in truth.texts if text.kind != "search"}
    assert 75 <= len(distinct) <= 90
    for language in ("en", "zh"):
        count = Counter(polarity for lang, polarity in distinct.values() if lang == language)
        total = sum(count.values())
        assert 35 <= total <= 50
        assert 0.25 <= count["positive"] / total <= 0.5
        assert 0.25 <= count["negative"] / total <= 0.5
        assert count["mixed"] >= 4
        assert count["neutral"] >= 4


def test_texts_are_short_and_varied(truth: Truth) -> None:
    texts = {text.text for text in truth.texts if text.kind != "search"}
    assert max(len(text.split()) for text in texts if text.isascii()) <= 45
    assert max(len(text) for text in texts if not text.isascii()) <= 160
    openings = Counter(text[:12] for text in texts)
    assert openings.most_common(1)[0][1] == 1
    together = "\n".join(sorted(texts))
    for mark in ("４", "😭", "👍", "lol", "quality真的OK", "my foot"):
        assert mark in together, mark
    assert any("\n" in text for text in texts)


def test_segments_are_planted_in_behaviour(events: list[dict[str, Any]], truth: Truth) -> None:
    """Lift of a segment's category: its share of the members' orders and views over its share of everyone else's."""
    segment_of = {user.user_id: user.segment for user in truth.users}
    assert Counter(segment_of.values())[None] == 3
    for segment in truth.segments:
        languages = Counter(u.language for u in truth.users if u.segment == segment.segment_id)
        assert sum(languages.values()) == 7
        assert abs(languages["en"] - languages["zh"]) == 1

        def share(inside: bool, category: str = segment.category, name: str = segment.segment_id) -> float:
            chosen = [
                event["category"] == category
                for event in events
                if event["kind"] in ("order", "view") and (segment_of[event["user_id"]] == name) == inside
            ]
            return sum(chosen) / len(chosen)

        assert share(inside=True) > 0.8
        assert share(inside=True) / share(inside=False) > 3


def test_traps_are_planted(events: list[dict[str, Any]], truth: Truth) -> None:
    odd = {oddity: user.user_id for user in truth.users for oddity in user.oddities}
    count = Counter((event["user_id"], event["kind"]) for event in events)
    lonely = [event for event in events if event["user_id"] == odd["one_view"]]
    assert [event["kind"] for event in lonely] == ["view"]
    assert count[odd["mostly_returns"], "return"] / count[odd["mostly_returns"], "order"] > 0.5
    repeated = Counter(text.text for text in truth.texts if text.user_id == odd["repeated_reviews"])
    assert repeated.most_common(1)[0][1] == 3
    views = sorted(e["ts"] for e in events if e["user_id"] == odd["spam"] and e["kind"] == "view")
    assert all((later - earlier).total_seconds() == 3 for earlier, later in pairwise(views))
    for change in truth.changed_minds:
        assert truth.text(change.before.ref).ts < truth.text(change.after.ref).ts
    assert {change.user_id[2:4] for change in truth.changed_minds} == {"en", "zh"}
    profiles = {row["user_id"]: row for row in read_csv("users.csv")}
    assert {said.user_id[2:4] for said in truth.false_declarations} == {"en", "zh"}
    for said in truth.false_declarations:
        assert profiles[said.user_id][said.field] == said.declared
    (injection,) = truth.injections
    for word in injection.must_not_appear:
        assert word in truth.text(injection.ref).text


def test_nothing_looks_like_a_real_person() -> None:
    """Addresses are at example.com, telephone numbers in the range kept for fiction, and both only where planted."""
    planted = {proof.quote for proof in read_truth().personal}
    for path in sorted(sample_folder().rglob("*")):
        if path.suffix not in {".csv", ".jsonl", ".yaml"}:
            continue
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"[\w.+-]+@[\w.-]+\w", text)) <= planted, path
        assert set(re.findall(r"(?:https?://)?(?:\w+\.)+(?:com|cn|net|org|io)\b", text)) <= {
            "example.com",
            "tent@example.com",
            "deals.example.com",
            "https://shop.example.com",
        }
        for number in re.findall(r"(?<![\w-])\+?\d[\d ()-]{7,}\d(?![\w-])", text):
            is_date = re.match(r"20\d\d-\d\d-\d\d( \d\d)?$", number)
            assert is_date or re.fullmatch(r"\d{3}-555-01\d\d", number), f"{number!r} in {path}"
        assert not re.search(r"(?<!\d)1[3-9]\d{9}(?!\d)", text)


def test_truth_refuses_unknown_keys() -> None:
    raw = yaml.safe_load((sample_folder() / "truth.yaml").read_text(encoding="utf-8"))
    raw["users"][0]["mood"] = "fine"
    with pytest.raises(ValidationError, match="mood"):
        Truth.model_validate(raw)
    with pytest.raises(ValidationError, match="frozen"):
        read_truth().users[0].language = "zh"  # type: ignore[misc]


def test_plan_and_truth_name_the_same_users(truth: Truth) -> None:
    assert [user.id for user in read_plan().users] == [user.user_id for user in truth.users]


@pytest.mark.parametrize(("name", "language"), [("product.yaml", "en"), ("product_zh.yaml", "zh")])
def test_product_sheets(name: str, language: str) -> None:
    raw = yaml.safe_load((sample_folder() / name).read_text(encoding="utf-8"))
    sheet = ProductSheet.model_validate(raw)
    assert sheet.language == language
    assert len(sheet.facts) >= 5
    assert sheet.price
    assert sheet.url
    assert sheet.audience
    said = " ".join(fact.text for fact in sheet.facts)
    assert sheet.must_not_say
    assert not [words for words in sheet.must_not_say if words in said]


@pytest.mark.slow
def test_loading_stores_every_row_and_again_none(tmp_path: Path, truth: Truth) -> None:
    store = Store.open(tmp_path / "workspace", create=True)
    first = load_sample(store)
    assert (
        sum(summary.stored for summary in first) == sum(summary.rows for summary in first) == sum(DOCUMENTED.values())
    )
    again = load_sample(store)
    assert sum(summary.stored for summary in again) == 0
    assert len(store.rows("SELECT user_id FROM facts")) == 24
    kinds = {row["kind"]: row["n"] for row in store.rows("SELECT kind, count(*) AS n FROM events GROUP BY kind")}
    assert (kinds["order"], kinds["return"], kinds["chat"]) == (118, 9, 43)
    money = store.rows("SELECT DISTINCT left(user_id, 4) AS who, currency FROM events WHERE amount > 0 ORDER BY who")
    assert money == [{"who": "u-en", "currency": "USD"}, {"who": "u-zh", "currency": "CNY"}]
    stored = store.rows(
        "SELECT user_id, kind, ts, text FROM events WHERE text IS NOT NULL AND role IS DISTINCT FROM 'agent'"
    )
    assert sorted((row["user_id"], row["kind"], row["ts"], row["text"]) for row in stored) == sorted(
        (text.user_id, text.kind, text.ts.replace(tzinfo=None), text.text) for text in truth.texts
    )
