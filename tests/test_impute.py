"""Missing numbers filled in: by each way, only where a value is missing, never in facts, marked in exports."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from limner.cli import main
from limner.errors import UsageError
from limner.evidence.persona import read_persona
from limner.histories.export import export_table
from limner.histories.facts import aggregate
from limner.histories.impute import Choice, impute, read_choices
from limner.histories.store import Store
from limner.histories.undo import undo
from reading_workspace import START, make


def write(path: Path, events: list[dict[str, Any]], users: list[dict[str, Any]] | None = None) -> Store:
    store = make(path / "w")
    with store.commit("ingest") as commit:
        commit.add("events", [{"event_id": f"e{n:04}", "kind": "order", **row} for n, row in enumerate(events)])
        if users:
            commit.add("users", users)
    aggregate(store, run="test")
    return store


def orders(prices: list[float | None], item: str = "i", **more: Any) -> list[dict[str, Any]]:
    return [
        {"user_id": "u", "item_id": item, "price": price, "ts": START + timedelta(days=day), **more}
        for day, price in enumerate(prices)
    ]


def filled(store: Store) -> dict[str, float]:
    return {row["key"]: row["value"] for row in store.rows("SELECT key, value FROM imputed ORDER BY key")}


def test_the_median_is_that_of_like_rows_and_else_of_all(tmp_path: Path) -> None:
    rows = orders([1, 2, 9, None]) + orders([100, None], "few") + orders([None], "none")
    rows += [{"user_id": "u", "kind": "view", "item_id": "i", "price": None}]
    store = write(tmp_path, rows)
    told = impute(store, [Choice("events", "price", "median")])[0]
    assert filled(store) == {"e0003": 2, "e0005": 5.5, "e0006": 5.5}  # The view has no price to miss.
    assert (told.known, told.missing, told.filled) == (4, 3, 3)


def test_a_point_in_time_lies_on_the_line_between_its_neighbours(tmp_path: Path) -> None:
    rows = orders([None, 10, None, None, 40, None]) + orders([None], "other") + orders([7] * 4, "more")
    store = write(tmp_path, rows)
    impute(store, [Choice("events", "price", "time")])
    assert filled(store) == pytest.approx({"e0000": 10, "e0002": 20, "e0003": 30, "e0005": 40})


def test_a_forest_tells_a_value_from_the_other_columns(tmp_path: Path) -> None:
    draw = random.Random(4)
    users = []
    for n in range(400):
        job, years = draw.choice(("pupil", "nurse", "judge")), draw.randint(0, 9)
        age = {"pupil": 12, "nurse": 35, "judge": 60}[job] + years
        told = {"job": job, "years": years, **({"age": age} if n % 4 else {}), "truth": ""}
        users.append({"user_id": f"u{n:03}", "attrs": json.dumps(told)})
    store = write(tmp_path, [], users)
    told = impute(store, [Choice("users", "age", "forest")])[0]
    assert (told.known, told.missing, told.filled) == (300, 100, 100)
    assert told.error is not None
    assert told.plain_error is not None
    assert told.error < 0.25 * told.plain_error
    jobs = {row["user_id"]: json.loads(row["attrs"])["job"] for row in store.rows("SELECT * FROM users")}
    guesses = filled(store)
    assert all((12 <= guesses[u] <= 24) == (jobs[u] == "pupil") for u in guesses)


def test_nothing_known_changes_and_exports_mark_what_is_a_guess(tmp_path: Path) -> None:
    store = write(tmp_path, orders([10, None, 30, 40]))
    before = store.rows("SELECT * EXCLUDE (run, seq) FROM facts"), store.rows("SELECT * EXCLUDE (run, seq) FROM events")
    persona = read_persona(store, "u").to_json()
    impute(store, [Choice("events", "price", "time")])
    after = store.rows("SELECT * EXCLUDE (run, seq) FROM facts"), store.rows("SELECT * EXCLUDE (run, seq) FROM events")
    assert after == before
    assert read_persona(store, "u").to_json() == persona

    def exported(**more: Any) -> list[dict[str, Any]]:
        export_table(store, "events", tmp_path / "e.jsonl", "jsonl", **more)
        return [json.loads(line) for line in (tmp_path / "e.jsonl").read_text(encoding="utf-8").splitlines()]

    assert [row["price"] for row in exported()] == [10, None, 30, 40]
    assert "price_imputed" not in exported()[0]
    marked = [(row["price"], row["price_imputed"]) for row in exported(imputed=True)]
    assert marked == [(10, False), (20, True), (30, False), (40, False)]
    impute(store, [Choice("events", "price", "median")])
    assert filled(store) == {"e0001": 30}
    undo(store)
    assert filled(store) == {"e0001": 20}
    undo(store)
    assert filled(store) == {}
    with pytest.raises(UsageError, match="goes with"):
        export_table(store, "ties", tmp_path / "t.csv", "csv", imputed=True)


def test_a_profile_column_is_exported_as_a_column_of_its_own(tmp_path: Path) -> None:
    users = [{"user_id": f"u{n}", "attrs": json.dumps({"age": n} if n else {})} for n in range(4)]
    store = write(tmp_path, [], users)
    impute(store, read_choices(["users.age=median"]))
    export_table(store, "users", tmp_path / "u.jsonl", "jsonl", imputed=True)
    rows = [json.loads(line) for line in (tmp_path / "u.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(row["age"], row["age_imputed"]) for row in rows] == [(2, True), (1, False), (2, False), (3, False)]


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("price", "is no choice"),
        ("events.price", "is no choice"),
        ("events.price=mean", "no way 'mean'"),
        ("events.text=median", "is no number"),
        ("ties.weight=median", "Nothing is filled in"),
        ("items.price=time", "no times"),
        ("events.rating=median", "to tell others from"),
        ("users.'; DROP TABLE x; --=median", "to tell others from"),
    ],
)
def test_what_cannot_be_filled_in_is_told(tmp_path: Path, choice: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        impute(write(tmp_path, orders([1, None])), read_choices([choice]))


def test_the_command_says_how_far_off_the_guesses_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = write(tmp_path, orders([float(n) if n % 5 else None for n in range(200)]))
    with pytest.raises(SystemExit) as ended:
        main(["impute", "events.price=time", "--workspace", str(store.path)])
    assert not ended.value.code
    out = capsys.readouterr().out
    assert "40 of 40 missing values filled in by time; off by 0" in out
