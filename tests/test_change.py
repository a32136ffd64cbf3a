"""The trigger of a new portrait: what counts as a change, how seldom chance does, and what needs no test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limner.agents.change import DRAWS, FEW_DAYS, MOST_WAITING, Change, find_changes, judge, mix, sides_of
from limner.histories.store import Store
from limner.retrieval.embedder import embed_passages
from reading_workspace import START, event, load

Row = dict[str, Any]


def rows(days: Iterable[int], cell: str = "order\x1ftea", *, since: bool = False, **more: Any) -> list[Row]:
    shared: Row = {"cell": cell, "since": since, "rating": None, "said": None, "spent": None, **more}
    return [{"day": day, **shared} for day in days]


def judged(*parts: list[Row], end: int = 0, user: str = "u", **options: Any) -> Change:
    everything = sorted((row for part in parts for row in part), key=lambda row: row["day"])
    return judge(user, sides_of(everything, end or everything[-1]["day"]), **options)


REGULAR = range(0, 400, 10)
LATER = range(400, 500, 10)


def test_more_of_the_same_is_no_change() -> None:
    assert judged(rows(REGULAR), rows(LATER, since=True)).reason == ""


def test_other_categories_are_a_change() -> None:
    change = judged(rows(REGULAR), rows(LATER, "order\x1fcameras", since=True))
    assert (change.reason, change.p <= 0.01) == ("mix", True)


def test_one_odd_day_is_none() -> None:
    assert judged(rows(REGULAR), rows([400], "order\x1fcameras", since=True)).reason == ""


def test_many_events_of_one_day_are_one() -> None:
    spree = rows([400] * 50, "order\x1fcameras", since=True)
    assert judged(rows(REGULAR), spree).reason == ""


def test_coming_much_more_often_is_a_change_and_a_pause_alike() -> None:
    assert judged(rows(REGULAR), rows(range(391, 411), since=True)).reason == "rate"
    rare = judged(rows(REGULAR), rows([1400], since=True))
    assert (rare.reason, rare.p) == ("", rare.p)  # One long gap among forty is one chance in forty.


@pytest.mark.parametrize(("name", "before", "after"), [("rating", 5.0, 1.0), ("spent", 20.0, 900.0)])
def test_other_ratings_or_amounts_are_a_change(name: str, before: float, after: float) -> None:
    old = [{**row, name: before + row["day"] % 3 / 10} for row in rows(REGULAR)]
    new = [{**row, name: after} for row in rows(LATER, since=True)]
    assert judged(old, new).reason == {"rating": "rating", "spent": "spend"}[name]
    assert judged(old, [{**row, name: before + row["day"] % 3 / 10} for row in new]).reason == ""


def test_other_words_are_a_change_only_where_they_are_compared() -> None:
    tea = ["龙井很香，回甘好", "The green tea is fragrant", "普洱味道醇厚", "A fine oolong, I drink it daily"]
    work = ["The laptop overheats and the fan is loud", "笔记本电池不耐用", "The hinge broke again", "键盘有几个键失灵"]
    old = [{**row, "said": tea[n % 4]} for n, row in enumerate(rows(REGULAR))]
    new = [{**row, "said": work[n % 4]} for n, row in enumerate(rows(LATER, since=True))]
    assert judged(old, new).reason == ""
    assert judged(old, new, embed=embed_passages).reason == "words"
    same = [{**row, "said": tea[n % 4]} for n, row in enumerate(rows(LATER, since=True))]
    assert judged(old, same, embed=embed_passages).reason == ""


def test_who_has_little_history_or_has_waited_for_long_needs_no_test() -> None:
    assert judged(rows(range(FEW_DAYS - 1)), rows([50], since=True)) == Change("u", "few", 0.0)
    waited = rows(range(400, 400 + 10 * MOST_WAITING, 10), since=True)
    assert judged(rows(REGULAR), waited) == Change("u", "waiting", 0.0)


def test_what_came_late_makes_no_gap() -> None:
    late = rows(range(5, 105, 10), since=True)
    assert judged(rows(REGULAR), late).reason == ""


def test_a_p_value_is_never_zero_and_the_same_every_time() -> None:
    cells = np.array([[40, 0], [0, 40]])
    drawn = [mix(cells, np.random.default_rng(1)) for _ in range(2)]
    assert drawn == [1 / (DRAWS + 1)] * 2
    assert mix(np.array([[5, 5]]), np.random.default_rng(1)) == 1.0


def test_chance_alone_fires_seldom() -> None:
    """Users who go on as before, with bursts, habits of their own and ratings that hang together."""
    rng = np.random.default_rng(7)
    fired = 0
    users = 200
    for number in range(users):
        days = np.cumsum(rng.geometric(0.2, size=60) * rng.choice([1, 7], size=60))
        habit = rng.dirichlet([0.5] * 6)
        made: list[Row] = []
        for place, day in enumerate(days):
            for cell in rng.choice(6, size=rng.integers(1, 4), p=habit):
                given = float(rng.integers(1, 6))
                made += rows([int(day)], f"order\x1f{cell}", since=place >= 45, rating=given, spent=rng.lognormal(3))
        fired += judged(made, user=str(number)).reason != ""
    assert fired <= 0.02 * users  # Nominal is 0.01.


def test_users_of_a_workspace(tmp_path: Path) -> None:
    store = load(
        tmp_path, *_days("steady", "tea", 0, 20), *_days("turned", "tea", 0, 20), event("new", "Hello.", ts=START)
    )
    _read(store, ["steady", "turned", "new"])
    load(
        tmp_path, *_days("steady", "tea", 20, 26), *_days("turned", "cameras", 20, 26), event("new", "Again.", ts=START)
    )
    found = {change.user_id: change.reason for change in find_changes(store, ["turned", "new", "steady", "nobody"])}
    assert found == {"turned": "mix", "new": "few", "steady": "", "nobody": "few"}


def test_what_is_sent_to_a_user_is_not_what_the_user_does(tmp_path: Path) -> None:
    store = load(tmp_path, *_days("mailed", "tea", 0, 20), *_days("told", "tea", 0, 20))
    _read(store, ["mailed", "told"])
    load(
        tmp_path,
        *_days("mailed", "tea", 20, 26),
        *_days("mailed", "cameras", 10, 26, kind="campaign"),
        *_days("told", "tea", 20, 26),
        *_days("told", "cameras", 10, 26, kind="chat", role="agent"),
    )
    assert [change.reason for change in find_changes(store, ["mailed", "told"])] == ["", ""]


def _days(user: str, category: str, first: int, end: int, kind: str = "order", **more: Any) -> Sequence[Row]:
    times = [START + timedelta(days=day) for day in range(first, end)]
    return [event(user, kind=kind, category=category, title=f"{category} {ts:%j}", ts=ts, **more) for ts in times]


def _read(store: Store, users: Sequence[str]) -> None:
    with store.commit("extract") as commit:
        heads = [{"user_id": u, "history_key": "k", "model": "m", "accepted": 0, "rejected": 0} for u in users]
        commit.add("extractions", heads)
