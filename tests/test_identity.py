"""One person under several ids: found, merged, read as one, and given back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from limner.cli import main
from limner.errors import DataError, UsageError, WorkspaceError
from limner.evidence.persona import read_persona, read_personas
from limner.histories.facts import aggregate
from limner.histories.identity import MOST, merge, people, split
from limner.histories.keys import FORMS, KEY_FILE, KEY_VARIABLE, secret_of, tidied
from limner.histories.lines import build_histories
from limner.histories.links import Link, links_of_file, links_of_key, links_of_ties
from limner.histories.load import ingest
from limner.histories.persons import stored_of_few
from limner.histories.refresh import refresh_facts
from limner.histories.status import status
from limner.histories.store import Store
from limner.histories.touched import touched_users
from limner.histories.undo import redo, undo
from limner.histories.unions import Unions
from reading_workspace import START, event, export, load, make

pytestmark = pytest.mark.slow

PROFILES = (
    "user_id,email,手机,city\n"
    "a,Ann@Shop.COM,+86 138 1234 0000,Ulm\n"
    "b,ann@shop.com ,139-0000-1111,Bonn\n"
    "c,x.y@z.cn,（０）１３８１２３４００００,\n"
    "d,xy@z.cn,11111111111,\n"
)
FACTS = "SELECT user_id, events FROM facts ORDER BY user_id"


def workspace(path: Path) -> Store:
    """Four users, one of them without events; a and b share an address, a and c a number."""
    store = make(path / "w")
    rows = (event("a", "One."), event("b", "Two."), event("b", "Three."), event("c", "四。"))
    columns, *told = (line.split(",") for line in PROFILES.splitlines())
    with store.commit("ingest") as commit:
        commit.add("events", [{"event_id": f"e{n}", "ts": START, **row} for n, row in enumerate(rows)])
        attrs = [dict(zip(columns[1:], row[1:], strict=True)) for row in told]
        users = [json.dumps({k: v for k, v in one.items() if v}, ensure_ascii=False) for one in attrs]
        commit.add("users", [{"user_id": row[0], "attrs": said} for row, said in zip(told, users, strict=True)])
    aggregate(store, run="test")
    return store


def facts(store: Store) -> dict[str, int]:
    return {row["user_id"]: row["events"] for row in store.rows(FACTS)}


def pairs(*ids: str) -> list[Link]:
    return [Link(ids, "same_as", "test", declared=True)]


@pytest.mark.parametrize(
    ("form", "written", "meant"),
    [
        ("email", " Ann.Lee@Shop.COM", "ann.lee@shop.com"),
        ("email", "mailto:ann@shop.com", "ann@shop.com"),
        ("email", "Ann <ann@shop.com>;", "ann@shop.com"),
        ("email", "ａｎｎ＠ｓｈｏｐ．ｃｏｍ", "ann@shop.com"),
        ("email", "ann@shop。com", "ann@shop.com"),
        ("email", "a.n.n+x@gmail.com", "a.n.n+x@gmail.com"),
        ("email", "noreply@shop.com", None),
        ("email", "ann@example.com", None),
        ("email", "ann at shop", None),
        ("phone", "13812340000", "+8613812340000"),
        ("phone", "+86 138-1234-0000", "+8613812340000"),
        ("phone", "0086 138 1234 0000", "+8613812340000"),
        ("phone", "（＋８６）１３８ １２３４ ００００", "+8613812340000"),
        ("phone", "+1 (415) 555-2671", "+14155552671"),
        ("phone", "010-8712 4398", "01087124398"),
        ("phone", "8765 4321", None),
        ("phone", "13800138000", None),
        ("phone", "00000000000", None),
        ("phone", "ask me", None),
        ("exact", " AbC１２ ", "AbC12"),
        ("exact", "N/A", None),
    ],
)
def test_two_ways_to_write_a_key_are_one_and_what_is_no_key_is_none(form: str, written: str, meant: str | None) -> None:
    assert tidied(written, FORMS[form]) == meant


def test_a_group_of_pairs_is_everything_that_hangs_together() -> None:
    unions = Unions([(1, 2), (3, 4), (2, 3), (8, 9), (9, 8)])
    assert sorted(map(sorted, unions.groups())) == [[1, 2, 3, 4], [8, 9]]
    chain = Unions((n, n + 1) for n in range(50_000))
    assert len(chain.groups()) == 1
    assert chain.find(0) == chain.find(50_000)


def test_ids_with_one_address_become_one_person_and_undo_gives_them_back(tmp_path: Path) -> None:
    store = workspace(tmp_path)
    assert facts(store) == {"a": 1, "b": 2, "c": 1, "d": 0}
    found = links_of_key(store, "email")
    assert [link.ids for link in found] == [("a", "b")]
    done = merge(store, found)
    assert (done.people, done.ids, done.links) == (1, 1, {"email": 1})
    assert facts(store) == {"b": 3, "c": 1, "d": 0}  # b has more events.
    assert merge(store, found).run == ""
    history = next(iter(build_histories(store, ["b"])))
    assert [line.text.rpartition(": ")[2] for line in history.lines] == ["One.", "Two.", "Three."]
    assert stored_of_few(store, store.manifest(), ["c", "d"]) is not None  # Others are read as quickly as before.
    assert stored_of_few(store, store.manifest(), ["c", "b"]) is None
    assert status(store).users == 3
    assert status(store).merged == 1
    undo(store)
    assert facts(store) == {"a": 1, "b": 2, "c": 1, "d": 0}
    redo(store)
    assert facts(store) == {"b": 3, "c": 1, "d": 0}


def test_chains_through_two_sorts_of_keys_are_one_person_with_one_profile(tmp_path: Path) -> None:
    store = workspace(tmp_path)
    merge(store, [*links_of_key(store, "email"), *links_of_key(store, "手机")])
    assert facts(store) == {"b": 4, "d": 0}
    assert [(person.user_id, person.members) for person in people(store)] == [("b", ("a", "c"))]
    profile = json.loads(store.rows("SELECT attrs FROM users WHERE user_id = 'b'")[0]["attrs"])
    assert (profile["email"].strip(), profile["city"]) == ("ann@shop.com", "Bonn")  # b's own words before the others'.
    persona = read_persona(store, "a")
    assert (persona.user_id, persona.merged) == ("b", ("a", "c"))
    assert persona.to_json()["ids"] == ["b", "a", "c"]
    assert {row["user_id"] for row in export(store.path, "users", tmp_path / "u.jsonl")} == {"b", "d"}
    assert {row["user_id"] for row in export(store.path, "events", tmp_path / "e.jsonl")} == {"b"}
    assert len(export(store.path, "identities", tmp_path / "i.jsonl")) == 2


def test_what_was_loaded_before_a_merge_is_known_after_it_and_what_comes_later_is_merged(tmp_path: Path) -> None:
    store = load(tmp_path / "w", event("a", "One."), event("b", "Two."), event("b", "Three."))
    (tmp_path / "users.csv").write_text(PROFILES, encoding="utf-8")
    ingest(store, tmp_path / "users.csv", kind="users")
    merge(store, links_of_key(store, "email"))
    assert ingest(store, tmp_path / "users.csv", kind="users").stored == 0
    (tmp_path / "more.csv").write_text("user_id,ts,item_id\na,2025-03-01,i9\n", encoding="utf-8")
    assert ingest(store, tmp_path / "more.csv", kind="events").stored == 1
    assert facts(store)["b"] == 4


def test_ties_of_the_kind_same_as_merge_and_other_ties_do_not(tmp_path: Path) -> None:
    store = load(tmp_path / "w", *(event(user, "x") for user in "abcdef"))
    (tmp_path / "ties.csv").write_text("user_id,other_id,kind\na,b,SAME_AS\nb,c,同一人\nd,e,friend\n", encoding="utf-8")
    assert [link.ids for link in links_of_file(tmp_path / "ties.csv")] == [("a", "b"), ("b", "c")]
    ingest(store, tmp_path / "ties.csv", kind="ties")
    assert merge(store, links_of_ties(store)).ids == 2
    assert facts(store) == {"a": 3, "d": 1, "e": 1, "f": 1}
    (tmp_path / "pairs.csv").write_text("user_id,other_id\nd,e\nf,nobody\n", encoding="utf-8")
    done = merge(store, links_of_file(tmp_path / "pairs.csv"))
    assert (done.people, done.unknown) == (2, 1)
    assert facts(store) == {"a": 3, "d": 2, "f": 1}
    (tmp_path / "friends.csv").write_text("user_id,other_id,kind\na,d,friend\n", encoding="utf-8")
    with pytest.raises(DataError, match="no pair whose kind"):
        links_of_file(tmp_path / "friends.csv")


def test_a_key_that_many_share_is_a_shop_and_merges_nobody(tmp_path: Path) -> None:
    store = load(tmp_path / "w", *(event(f"u{n:02}", "x") for n in range(60)))
    rows = "".join(f"u{n:02},{'13900001111' if n < 50 else f'1380000{n:04}'}\n" for n in range(60))
    (tmp_path / "u.csv").write_text("user_id,phone\n" + rows, encoding="utf-8")
    ingest(store, tmp_path / "u.csv", kind="users")
    done = merge(store, links_of_key(store, "phone"))
    assert (done.run, done.people) == ("", 0)
    assert [(group.reason, group.ids, len(group.examples)) for group in done.too_large] == [("phone", 50, 5)]
    chain = [Link((f"u{n:02}", f"u{n + 1:02}"), "email", "k") for n in range(MOST)]
    done = merge(store, chain)
    assert (done.people, [group.reason for group in done.too_large]) == (0, ["together"])
    assert merge(store, chain, most=MOST + 1).ids == MOST
    with pytest.raises(UsageError, match="at least two"):
        merge(store, chain, most=1)


def test_a_split_id_is_itself_again_and_keys_do_not_merge_it_anew(tmp_path: Path) -> None:
    store = workspace(tmp_path)
    keys = [*links_of_key(store, "email"), *links_of_key(store, "手机")]
    merge(store, keys)
    _, apart = split(store, ["c"])
    assert apart == ("c",)
    assert facts(store) == {"b": 3, "c": 1, "d": 0}
    done = merge(store, keys)
    assert (done.run, done.held_apart) == ("", 1)
    assert merge(store, pairs("b", "c")).people == 1  # Somebody says so.
    assert facts(store) == {"b": 4, "d": 0}
    assert set(split(store, ["b"])[1]) == {"a", "b", "c"}
    assert facts(store) == {"a": 1, "b": 2, "c": 1, "d": 0}
    with pytest.raises(UsageError, match="merged with no other"):
        split(store, ["d"])


def trait(user: str, label: str) -> dict[str, Any]:
    return {"trait_id": f"t-{label}", "user_id": user, "kind": "interest", "label": label, "confidence": 0.9,
            "mentions": 1, "evidence": []}  # fmt: skip


def portrayed(store: Store, user: str, label: str) -> None:
    with store.commit("extract") as commit:
        commit.add("extractions", [{"user_id": user, "history_key": "k"}])
        commit.add("personas", [{"user_id": user, "traits_key": "k"}])
        commit.add("traits", [trait(user, label)])


def test_merged_people_are_read_anew_and_a_split_hides_what_was_read_of_both(tmp_path: Path) -> None:
    store = workspace(tmp_path)
    for user in "abcd":
        portrayed(store, user, f"of {user}")
    assert touched_users(store).changed == ()
    merge(store, pairs("a", "b"))
    assert touched_users(store).changed == ("b",)
    assert {t.label for t in read_persona(store, "b").traits} == {"of b"}
    portrayed(store, "b", "of both")
    split(store, ["a"])
    told = {persona.user_id: [t.label for t in persona.traits] for persona in read_personas(store)}
    assert told == {"a": [], "b": [], "c": ["of c"], "d": ["of d"]}
    touched = touched_users(store)
    assert {*touched.changed, *touched.new} == {"a", "b"}


def test_a_run_that_died_between_merging_and_counting_is_caught_up(tmp_path: Path) -> None:
    store = workspace(tmp_path)
    with store.commit("identity-merge") as commit:
        commit.add("identities", [{"member_id": m, "user_id": "b", "reason": "same_as", "key": ""} for m in "ab"])
    assert refresh_facts(store, "later") == 1
    assert facts(store) == {"b": 3, "c": 1, "d": 0}


def test_the_secret_is_the_owners_alone_and_the_values_are_kept_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make(tmp_path / "w")
    (tmp_path / "u.csv").write_text(PROFILES + ",Nobody@Shop.com,13912345679,\n", encoding="utf-8")
    mapping = {"kind": "users", "columns": {"user_id": "user_id"}, "hashed": {"email": "email", "手机": "phone"}}
    summary = ingest(store, tmp_path / "u.csv", mapping=mapping)
    assert summary.quarantine_file is not None
    key = store.path / KEY_FILE
    assert key.stat().st_mode & 0o077 == 0
    told = " ".join(row["attrs"] for row in store.rows("SELECT attrs FROM users"))
    assert "hashed:email:" in told
    told += summary.quarantine_file.read_text(encoding="utf-8")
    assert not any(said in told.lower() for said in ("@", "shop.com", "13812340000", "1391", "138 1234"))
    assert [link.ids for link in links_of_key(store, "email")] == [("a", "b")]
    assert [link.ids for link in links_of_key(store, "手机")] == [("a", "c")]
    before = secret_of(store.path)
    monkeypatch.setenv(KEY_VARIABLE, "short")
    with pytest.raises(UsageError, match="too short"):
        secret_of(store.path)
    monkeypatch.setenv(KEY_VARIABLE, "a secret of one's own")
    assert secret_of(store.path) != before
    monkeypatch.delenv(KEY_VARIABLE)
    key.write_text("\n")
    with pytest.raises(WorkspaceError, match="holds no key"):
        secret_of(store.path)


def test_hashed_and_plain_columns_find_each_other(tmp_path: Path) -> None:
    store = make(tmp_path / "w")
    (tmp_path / "a.jsonl").write_text('{"user_id": "a", "email": "ANN@shop.com"}\n', encoding="utf-8")
    (tmp_path / "b.jsonl").write_text(
        '{"user_id": "b", "email": "ann@shop.com", "more": {"x": "y"}}\n', encoding="utf-8"
    )
    columns = {"kind": "users", "columns": {"user_id": "user_id"}}
    ingest(store, tmp_path / "a.jsonl", mapping={**columns, "hashed": {"email": "email"}})
    ingest(store, tmp_path / "b.jsonl", mapping=columns)
    assert [link.ids for link in links_of_key(store, "email")] == [("a", "b")]
    with pytest.raises(UsageError, match="part of another one"):
        ingest(store, tmp_path / "b.jsonl", mapping={**columns, "hashed": {"more.x": "exact"}})
    with pytest.raises(UsageError, match="sort of key"):
        ingest(store, tmp_path / "b.jsonl", mapping={**columns, "hashed": {"email": "mail"}})


def test_a_column_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    store = workspace(tmp_path)
    with pytest.raises(UsageError, match="city, email, 手机"):
        links_of_key(store, "mail")
    with pytest.raises(UsageError, match="no sort of key"):
        links_of_key(store, "email", "mail")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


def test_the_command_merges_lists_and_splits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = str(workspace(tmp_path).path)
    assert run("identity", "merge", "--key", "email", "-w", place) == 0
    out = capsys.readouterr().out
    assert "1 by email" in out
    assert "1 ids merged into 1 people" in out
    assert run("identity", "list", "-w", place) == 0
    assert capsys.readouterr().out == "b: a (email)\n"
    assert run("persona", "show", "a", "-w", place) == 0
    assert "Also known as: a" in capsys.readouterr().out
    assert run("identity", "split", "a", "-w", place, "--json") == 0
    assert json.loads(capsys.readouterr().out)["ids"] == ["a", "b"]
    assert run("identity", "list", "-w", place, "--json") == 0
    assert json.loads(capsys.readouterr().out) == []
