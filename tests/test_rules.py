"""Declared rules: refused rows are in quarantine with the rule's name, other values are repaired."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from limner.errors import UsageError
from limner.histories.load import ingest
from limner.histories.mapping import Mapping
from limner.histories.store import Store
from limner.histories.summary import IngestSummary
from reading_workspace import make

pytestmark = pytest.mark.usefixtures("without_facts")

ROWS = """user_id,ts,item_id,rating,price,currency
u1,2024-01-01,SKU-1,5,10,EUR
u2,2024-01-02,SKU-2,9,12,eur
u3,2024-01-03,9,4,-3,USD
u4,2019-01-04,SKU-4,0.5,,
u5,2024-01-05,,3,9000,CNY
"""
COLUMNS = {name: name for name in ("user_id", "ts", "item_id", "rating", "price", "currency")}


def load(path: Path, rules: dict[str, Any]) -> tuple[Store, IngestSummary]:
    (path / "o.csv").write_text(ROWS, encoding="utf-8")
    store = make(path / "w")
    return store, ingest(store, path / "o.csv", mapping={"columns": COLUMNS, "rules": rules})


def values(store: Store, column: str) -> dict[str, Any]:
    return {row["user_id"]: row[column] for row in store.rows(f"SELECT user_id, {column} FROM events ORDER BY user_id")}


@pytest.mark.parametrize(
    ("rules", "refused"),
    [
        ({"rating": {"range": [1, 5]}}, {"u2": "rule rating range: 9.0", "u4": "rule rating range: 0.5"}),
        ({"price": {"range": [0, ""]}}, {"u3": "rule price range: -3.0"}),
        ({"currency": {"allowed": ["EUR", "CNY"]}}, {"u3": "rule currency allowed: USD"}),
        ({"item_id": {"matches": "SKU-\\d+"}}, {"u3": "rule item_id matches: 9"}),
        ({"item_id": {"required": True}}, {"u5": "rule item_id required: nothing"}),
        ({"ts": {"range": ["2020-01-01", ""]}}, {"u4": "rule ts range: 2019-01-04 00:00:00"}),
    ],
)
def test_a_refused_row_is_in_quarantine_with_the_rules_name(
    tmp_path: Path, rules: dict[str, Any], refused: dict[str, str]
) -> None:
    store, summary = load(tmp_path, rules)
    assert (summary.rows, summary.stored, summary.quarantined) == (5, 5 - len(refused), len(refused))
    assert summary.quarantine_file is not None
    lines = [json.loads(line) for line in summary.quarantine_file.read_text(encoding="utf-8").splitlines()]
    assert {line["raw"]["user_id"]: line["reason"] for line in lines} == refused
    assert set(values(store, "rating")) == {"u1", "u2", "u3", "u4", "u5"} - set(refused)


def test_values_that_are_repaired_are_missing_or_at_the_end_of_the_range(tmp_path: Path) -> None:
    store, summary = load(
        tmp_path,
        {
            "rating": {"range": [1, 5], "otherwise": "nearest"},
            "price": {"range": [0, 1000], "otherwise": "empty"},
            "item_id": {"matches": "SKU-\\d{1,9}", "otherwise": "empty"},
        },
    )
    assert summary.quarantined == 0
    assert values(store, "rating") == {"u1": 5, "u2": 5, "u3": 4, "u4": 1, "u5": 3}
    assert values(store, "price") == {"u1": 10, "u2": 12, "u3": None, "u4": None, "u5": None}
    assert values(store, "item_id") == {"u1": "SKU-1", "u2": "SKU-2", "u3": None, "u4": "SKU-4", "u5": None}


def test_a_required_value_is_refused_also_where_others_are_repaired(tmp_path: Path) -> None:
    rule = {"matches": "SKU-\\d+", "required": True, "otherwise": "empty"}
    store, summary = load(tmp_path, {"item_id": rule})
    assert summary.reasons == {"rule item_id required": 2}
    assert set(values(store, "item_id")) == {"u1", "u2", "u4"}


def test_rules_are_saved_with_the_mapping_and_read_back(tmp_path: Path) -> None:
    rules = {
        "rating": {"range": [1, ""], "otherwise": "nearest"},
        "ts": {"range": ["2020-01-01", "2026-01-01"]},
        "currency": {"allowed": ["EUR", "人民币"], "required": True},
        "item_id": {"matches": "[A-Z\"'\\\\]+\\d"},
    }
    mapping = Mapping.from_dict({"columns": COLUMNS, "rules": rules})
    mapping.save(tmp_path / "m.toml")
    assert Mapping.load(tmp_path / "m.toml") == mapping


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"rating": {"range": [5, 1]}}, "ends before it begins"),
        ({"rating": {"range": 5}}, "two ends"),
        ({"rating": {"range": ["a", 5]}}, "no number"),
        ({"rating": {"rnage": [1, 5]}}, "unknown key 'rnage'"),
        ({"rating": {}}, "says nothing"),
        ({"rating": {"range": [1, 5], "otherwise": "drop"}}, "must be one of"),
        ({"item_id": {"range": [1, 5]}}, "no number and no time"),
        ({"item_id": {"matches": "("}}, "regular expression"),
        ({"item_id": {"matches": "a(?=b)"}}, "regular expression"),
        ({"item_id": {"allowed": "a"}}, "must be a list"),
        ({"item_id": {"matches": "a", "otherwise": "nearest"}}, "range alone"),
        ({"ts": {"range": ["spring", ""]}}, "no time"),
        ({"ratting": {"range": [1, 5]}}, "did you mean 'rating'"),
        ({"rating": 5}, "a table for each field"),
    ],
)
def test_a_rule_without_a_meaning_is_told(rules: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Mapping.from_dict({"columns": COLUMNS, "rules": rules})


def test_a_hostile_value_in_a_rule_stays_a_value(tmp_path: Path) -> None:
    store, summary = load(tmp_path, {"currency": {"allowed": ["EUR', 'USD') --", "EUR"]}})
    assert summary.reasons == {"rule currency allowed": 2}
    assert len(values(store, "rating")) == 3
