"""The profile: each figure is held against the same figure counted by hand or by pandas."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from limner.errors import UsageError
from limner.histories import Mapping, ingest
from limner.histories.profile import ColumnProfile, Profile, profile
from limner.histories.store import Store
from limner.reports.profile_page import profile_html

pytestmark = pytest.mark.usefixtures("without_facts")

HOSTILE = "<script>alert(1)</script>"
ROWS = [
    "user_id,ts,kind,item_id,title,price,quantity,amount,rating,session,text,shop",
    "007,2024-01-01,order,i1,Kettle,2,3,6,,s1,,north",
    "007,2024-01-01,order,i1,Kettle,2,3,6,,s1,,north",
    "7,2024-01-02,order,i1,Kettle,2,3,99,,s1,,north",
    "u3,2024-01-03,return,i1,Kettel,2,-1,2,,s2,,north",
    "u4,2024-01-04,review,i2,,,,,5,,good stuff that lasts,north",
    "u5,2024-01-04,review,i2,,,,,4,,good stuff that lasts,north",
    "u5,2124-01-04,review,i3,,,,,9,,<script>alert(1)</script>,north",
    ",2024-01-05,order,i1,Kettle,2,1,2,,,,north",
    ",soon,order,i1,Kettle,dear,1,2,,,,north",
    "u6,2024-01-06,order,i1,Kettle,2,much,2,,,,north",
]
MAPPING = Mapping(
    columns={name: (name,) for name in "user_id ts kind item_id title price quantity amount rating text".split()}
    | {"session_id": ("session",)}
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "a.csv").write_text("\n".join(ROWS), encoding="utf-8")
    store = Store.open(tmp_path / "workspace", create=True)
    ingest(store, tmp_path / "a.csv", mapping=MAPPING)
    return store


def columns(found: Profile, table: str = "events") -> dict[str, ColumnProfile]:
    return {c.name: c for t in found.tables if t.name == table for c in t.columns}


def test_counts_before_and_after(store: Store) -> None:
    found = profile(store)
    assert (found.read, found.duplicates, found.quarantined, found.kept_repeats) == (10, 0, 3, 1)
    assert found.reasons == {"no user; unreadable time": 1, "no user": 1, "quantity is not a number": 1}
    table = found.tables[0]
    assert (table.name, table.rows_before, table.rows_after) == ("events", 10, 7)
    by_name = columns(found)
    assert (by_name["user_id"].missing_before, by_name["user_id"].missing_after) == (2, 0)
    assert {name: c.unreadable for name, c in by_name.items() if c.unreadable} == {"ts": 1, "price": 1, "quantity": 1}
    assert (by_name["text"].missing_after, by_name["text"].different, by_name["text"].repeated) == (4, 2, 1)
    assert by_name["attrs.shop"].constant == "north"
    assert by_name["price"].constant == "2.0"
    assert by_name["kind"].constant is None
    assert by_name["device"].missing_after == 7


def test_contradictions(store: Store) -> None:
    found = {name: c.contradictory for name, c in columns(profile(store)).items() if c.contradictory}
    assert found == {
        "user_id": 3,  # 007, 007 and 7
        "ts": 1,  # a hundred years on
        "title": 1,  # Kettel
        "quantity": 1,  # a return with a positive amount
        "amount": 1,  # 99 for 2 times 3
        "session_id": 3,  # s1 of two users
    }


def test_outlying_values_are_those_beyond_the_outer_fences(tmp_path: Path) -> None:
    prices = [*range(10, 50), 1000, -500]
    frame = pd.DataFrame(
        {"user_id": [f"u{i}" for i in range(42)], "ts": "2024-01-05", "price": prices, "kind": "order"}
    )
    frame.loc[3, "ts"] = "1999-01-01"
    frame["ts"] = [f"2024-01-{i % 28 + 1:02d}" if t != "1999-01-01" else t for i, t in enumerate(frame["ts"])]
    store = Store.open(tmp_path / "workspace", create=True)
    ingest(store, frame=frame, kind="events")
    price, ts = (columns(profile(store))[name] for name in ("price", "ts"))
    low, high = frame["price"].quantile([0.25, 0.75])
    assert (price.low, price.high) == pytest.approx((low - 3 * (high - low), high + 3 * (high - low)))
    assert (price.outlying, ts.outlying) == (2, 1)
    assert price.contradictory == 1  # below zero


def test_loading_again_and_undoing(store: Store, tmp_path: Path) -> None:
    ingest(store, tmp_path / "a.csv", mapping=MAPPING)
    again = profile(store)
    assert (again.quarantined, again.tables[0].rows_before) == (3, 10)


def test_a_workspace_with_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds nothing to profile"):
        profile(Store.open(tmp_path / "workspace", create=True))


def test_the_page_holds_hostile_values_as_text(store: Store) -> None:
    (store.path.parent / "b.csv").write_text(f'user_id,text,"a<b>{HOSTILE}"\nu1,x,{HOSTILE}\n', encoding="utf-8")
    mapping = Mapping(columns={"user_id": ("user_id",), "text": ("text",)}, undated="keep")
    ingest(store, store.path.parent / "b.csv", mapping=mapping)
    page = profile_html(profile(store), f"Profile of {HOSTILE}")
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 3
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert "http" not in page.replace("http-equiv", "")


def test_on_the_command_line(store: Store, tmp_path: Path) -> None:
    environment = {**os.environ, "LIMNER_WORKSPACE": str(store.path), "NO_COLOR": "1", "COLUMNS": "100"}

    def limner(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "limner", *words]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, encoding="utf-8", check=False
        )

    done = limner("profile", "--html", "out/page.html")
    assert done.returncode == 0, done.stderr
    for said in ("events: 10 → 7 rows", "2 → 0", "attrs.shop: always north", "In quarantine: 1 no user", "page.html"):
        assert said in done.stdout + done.stderr
    assert (tmp_path / "out" / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert json.loads(limner("profile", "--json").stdout)["tables"][0]["rows_before"] == 10
    MAPPING.save(tmp_path / "map.toml")
    assert "events: 10 → 7 rows" in limner("ingest", "a.csv", "--map", "map.toml", "--profile").stdout


@pytest.mark.data
def test_a_real_profile_is_what_pandas_counts(data_folder: Path, tmp_path: Path) -> None:
    source = pd.read_parquet(data_folder / "douban_user_histories_zh" / "events.parquet")
    mapping = Mapping.load(Path(__file__).parents[1] / "docs" / "maps" / "douban_events.toml")
    store = Store.open(tmp_path / "workspace", create=True)
    summary = ingest(store, data_folder / "douban_user_histories_zh" / "events.parquet", mapping=mapping)
    found = columns(profile(store))
    assert summary.stored == len(source)
    for field in ("user_id", "ts", "item_id", "title", "rating", "text"):
        if len(names := mapping.columns.get(field, ())) == 1:
            column = source[names[0]].replace("", None)
            assert (field, found[field].missing_after) == (field, int(column.isna().sum()))
    assert found["user_id"].different == source[mapping.columns["user_id"][0]].nunique()
