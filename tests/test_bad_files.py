"""Two hundred bad files: each ends in a clear error or in the quarantine, and no whole row is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import bad_files
from limner.errors import LimnerError
from limner.histories import Mapping, ingest
from limner.histories.store import Store

pytestmark = [pytest.mark.usefixtures("without_facts"), pytest.mark.slow]

FIELDS = ("user_id", "ts", "kind", "item_id", "rating", "text")
MAPPING = Mapping(columns={field: (field,) for field in FIELDS}, undated="keep")


def test_there_are_two_hundred() -> None:
    assert len(bad_files.CASES) == 200


@pytest.mark.parametrize(("family", "number"), bad_files.CASES)
def test_a_bad_file_is_refused_or_set_aside(family: str, number: int, tmp_path: Path) -> None:
    bad = bad_files.make(family, number, tmp_path)
    store = Store.open(tmp_path / "workspace", create=True)
    try:
        summary = ingest(store, bad.place, mapping=MAPPING if number % 4 else None, kind="events")
    except LimnerError as error:
        said = str(error)
        assert bad.refused or (number % 4 == 0 and "looks like user_id" in said), said
        assert len(said.splitlines()) == 1
        assert len(said) < 1_000
        assert said.isprintable(), said
        assert store.manifest().seq == 0
        assert list((tmp_path / "workspace").glob("quarantine/*")) == []
    else:
        assert summary.rows == summary.stored + summary.duplicates + summary.repeats_dropped + summary.quarantined
        with store.read(tables=["events"]) as connection:
            found = connection.execute("SELECT user_id, bool_and(json_valid(attrs)) FROM events GROUP BY user_id")
            stored = dict(found.fetchall())
        assert bad.whole <= set(stored)
        assert all(stored.values())
        kept = summary.quarantine_file.read_text(encoding="utf-8") if summary.quarantine_file else ""
        assert [json.loads(line)["reason"] != "" for line in kept.splitlines()] == [True] * summary.quarantined
        assert not any(word in user for word in bad.hidden for user in stored)
    assert list((tmp_path / "workspace" / "tmp").glob("*")) == []
