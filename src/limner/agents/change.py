"""Whether a user behaves otherwise than when they were last read: the trigger of a new portrait.

The events stored since a user's last reading are held against those before it by five permutation tests, which hold
their error rate whatever the numbers are. They count days rather than events: what is done in one sitting is one
decision, and the ratings given in it are alike.

- *mix*: the likelihood-ratio statistic G of the two counts of (kind, category) cells, under draws of as many days from
  both together (Sokal and Rohlf, Biometry, on G; the draws are multivariate hypergeometric);
- *rate*: active days since the reading, under shuffles of all gaps between active days;
- *spend*: the difference of the means of the logarithm of a day's orders;
- *rating*: the difference of the mean ratings of a day;
- *words*: the squared distance of the mean embeddings of a day's texts.

A user counts as changed if the smallest p-value, times the number of tests done (Bonferroni), is at most `alpha`. Who
has little history, or has waited for long, is read without a test.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from limner.histories.facts import AMOUNT
from limner.histories.store import Store, arrow
from limner.histories.texts import ACTED, register_wanted

Floats = npt.NDArray[np.float64]
Embed = Callable[[Sequence[str]], npt.NDArray[np.float32]]
Reason = Literal["few", "waiting", "mix", "rate", "spend", "rating", "words", ""]

ALPHA = 0.01
"""Share of users whose behaviour did not change that are read again all the same, at most."""

DRAWS = 1999
"""Permutations of a test: its smallest p-value is 1 / 2000, a quarter of what five tests need at 0.01."""

FEW_DAYS = 8
"""Active days before the reading under which a user is read again at once: there is nothing to hold the new against."""

MOST_WAITING = 30
"""Active days since the reading from which a user is read again, changed or not."""

FEWEST = 3
"""Days with orders, ratings or texts on either side that a test of them needs."""

MOST_TEXTS = 60
"""Of each side the newest texts are embedded, at most."""

USERS_AT_ONCE = 500
"""Users whose events are in memory together."""


@dataclass(frozen=True, slots=True)
class Change:
    """What was found of one user.

    Attributes:
        user_id: The user.
        reason: Why the user is to be read again: the test with the smallest p-value, or `few` or `waiting`; empty if
            nothing speaks for it.
        p: The smallest p-value times the number of tests, at most 1; 0 where none was needed.
    """

    user_id: str
    reason: Reason
    p: float


@dataclass
class Sides:
    """One user's behaviour before the last reading and since.

    Attributes:
        cells: Days on which each (kind, category) was seen, before and since: shape (cells, 2).
        days: Active days, as numbers, ascending; the first `before` of them are before the reading.
        before: How many days are before it.
        end: The newest day of the whole workspace.
        spend: What the orders of a day came to, its logarithm, before and since.
        ratings: The mean rating of each day with one, before and since.
        texts: The user's own texts before and since, each with its day.
    """

    cells: npt.NDArray[np.int64]
    days: npt.NDArray[np.int64]
    before: int
    end: int
    spend: tuple[Floats, Floats]
    ratings: tuple[Floats, Floats]
    texts: tuple[list[tuple[int, str]], list[tuple[int, str]]] = field(default_factory=lambda: ([], []))


def find_changes(
    store: Store, users: Sequence[str], *, alpha: float = ALPHA, embed: Embed | None = None
) -> list[Change]:
    """Holds what is new of users who were read before against what was there then, user by user in the order given.

    Args:
        store: The workspace's tables.
        users: Users who were read.
        alpha: The share of unchanged users that may be found changed.
        embed: Turns texts into unit vectors (n, dimensions); without it words are not compared.
    """
    changes = []
    for start in range(0, len(users), USERS_AT_ONCE):
        part = users[start : start + USERS_AT_ONCE]
        found = dict(_sides(store, part))
        changes += [judge(u, found[u], alpha, embed) if u in found else Change(u, "few", 0.0) for u in part]
    return changes


def judge(user: str, sides: Sides, alpha: float = ALPHA, embed: Embed | None = None) -> Change:
    """Tests one user. The permutations are drawn from a seed made of the user's id."""
    since = len(sides.days) - sides.before
    if sides.before < FEW_DAYS:
        return Change(user, "few", 0.0)
    if since >= MOST_WAITING:
        return Change(user, "waiting", 0.0)
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(user.encode("utf-8", "replace")).digest()[:8], "big"))
    tests: dict[Reason, float] = {"mix": mix(sides.cells, rng), "rate": rate(sides, rng)}
    days: dict[Reason, tuple[Floats, Floats]] = {"spend": sides.spend, "rating": sides.ratings}
    if embed is not None and min(len({day for day, _ in side}) for side in sides.texts) >= FEWEST:
        days["words"] = (_said(sides.texts[0], embed), _said(sides.texts[1], embed))
    for name, (old, new) in days.items():
        if min(len(old), len(new)) >= FEWEST:
            tests[name] = means(old, new, rng)
    reason = min(tests, key=lambda name: tests[name])
    p = min(1.0, tests[reason] * len(tests))
    return Change(user, reason if p <= alpha else "", p)


def mix(cells: npt.NDArray[np.int64], rng: np.random.Generator) -> float:
    """p-value of two counts of the same cells, shape (cells, 2), against one distribution behind both."""
    total, since = cells.sum(axis=1), int(cells[:, 1].sum())
    if len(cells) < 2 or not 0 < since < total.sum():
        return 1.0
    drawn = rng.multivariate_hypergeometric(total, since, size=DRAWS, method="marginals")
    return _p(_g(cells[:, 1], total), _g(drawn, total))


def _g(since: npt.NDArray[np.int64], total: npt.NDArray[np.int64]) -> Floats:
    """G of counts since, shape (..., cells), among totals: twice the sum of n log n, up to what all draws share."""
    before = total - since
    result: Floats = 2 * (_nlogn(since) + _nlogn(before)).sum(axis=-1)
    return result


def _nlogn(counts: npt.NDArray[np.int64]) -> Floats:
    n = counts.astype(np.float64)
    result: Floats = n * np.log(np.maximum(n, 1.0))
    return result


def rate(sides: Sides, rng: np.random.Generator) -> float:
    """p-value of the active days since the reading, were the gaps between active days in any order.

    The window begins after the last active day before the reading and ends with the workspace's newest day.
    """
    gaps = np.diff(sides.days)
    length, since = sides.end - int(sides.days[sides.before - 1]), len(sides.days) - sides.before
    if len(gaps) < FEW_DAYS or length < 1:
        return 1.0
    shuffled = rng.permuted(np.broadcast_to(gaps, (DRAWS, len(gaps))), axis=1)
    counts = (np.cumsum(shuffled, axis=1) <= length).sum(axis=1)
    most, least = _p(since, counts), _p(-since, -counts)
    return min(1.0, 2 * min(most, least))


def means(old: Floats, new: Floats, rng: np.random.Generator) -> float:
    """p-value of the squared distance of two means, shapes (n, d) and (m, d), under shuffles of all rows."""
    rows = np.concatenate([old, new])
    order = rng.permuted(np.broadcast_to(np.arange(len(rows)), (DRAWS, len(rows))), axis=1)[:, : len(new)]
    member = np.zeros((DRAWS + 1, len(rows)))
    np.put_along_axis(member[1:], order, 1.0, axis=1)
    member[0, len(old) :] = 1.0
    weights = member / len(new) - (1.0 - member) / len(old)
    distances = ((weights @ rows) ** 2).sum(axis=1)
    return _p(distances[0], distances[1:])


def _p(seen: float | Floats, drawn: Floats | npt.NDArray[np.int64]) -> float:
    """Share of draws, the seen one among them, that are as extreme; equal ones count, up to rounding."""
    return float((1 + (drawn >= seen - 1e-9).sum()) / (1 + len(drawn)))


def _said(texts: Sequence[tuple[int, str]], embed: Embed) -> Floats:
    """The mean vector of each day's texts, shape (days, dimensions)."""
    newest = texts[-MOST_TEXTS:]
    vectors = embed([text for _, text in newest]).astype(np.float64)
    days, place = np.unique([day for day, _ in newest], return_inverse=True)
    sums = np.zeros((len(days), vectors.shape[1]))
    np.add.at(sums, place, vectors)
    means_of_days: Floats = sums / np.bincount(place)[:, None]
    return means_of_days


DOINGS = f"""
SELECT user_id, event_id, seq, ts, date_diff('day', TIMESTAMP '1970-01-01', ts) AS day,
    concat_ws(chr(31), kind, split_part(coalesce(category, ''), '|', 1)) AS cell,
    CASE WHEN kind = 'order' AND isfinite({AMOUNT}) THEN {AMOUNT} END AS spent,
    CASE WHEN isfinite(rating) THEN rating END AS rating, "text" AS said
FROM titled_events WHERE {ACTED} AND ts IS NOT NULL AND isfinite(ts)
"""
"""What users did, as `sides_of` takes it, all but `since`."""

_EVENTS = f"""
WITH reading AS (SELECT user_id, max(seq) AS seq FROM raw_extractions GROUP BY user_id)
SELECT e.* EXCLUDE (seq), e.seq > r.seq AS since
FROM ({DOINGS}) e JOIN wanted w ON w.user_id = e.user_id JOIN reading r ON r.user_id = e.user_id
ORDER BY w.place, ts, event_id
"""

_END = "SELECT date_diff('day', TIMESTAMP '1970-01-01', max(as_of)) FROM facts"


def _sides(store: Store, users: Sequence[str]) -> Iterator[tuple[str, Sides]]:
    with store.read() as db:
        end = db.execute(_END).fetchall()[0][0] or 0
        register_wanted(db, users)
        rows = arrow(db, _EVENTS).to_pylist()
    by_user: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        by_user[row["user_id"]].append(row)
    for user, mine in by_user.items():
        yield user, sides_of(mine, int(end))


def sides_of(rows: Sequence[Mapping[str, Any]], end: int) -> Sides:
    """One user's behaviour from the events.

    Args:
        rows: The events, oldest first: `since` (whether stored since the reading), `day` (a number), `cell` (kind and
            category), `spent`, `rating` and `said`, each of the last three None if there is none.
        end: The newest day of the whole workspace.
    """
    cells: dict[str, tuple[set[int], set[int]]] = defaultdict(lambda: (set(), set()))
    spent: _Daily = ({}, {})
    ratings: _Daily = ({}, {})
    texts: tuple[list[tuple[int, str]], list[tuple[int, str]]] = ([], [])
    active: tuple[set[int], set[int]] = (set(), set())
    for row in rows:
        side, day = int(row["since"]), int(row["day"])
        active[side].add(day)
        cells[row["cell"]][side].add(day)
        for name, daily in (("spent", spent), ("rating", ratings)):
            if row[name] is not None:
                daily[side].setdefault(day, []).append(float(row[name]))
        if row["said"]:
            texts[side].append((day, row["said"]))
    newest = max(active[0], default=-1)
    later = [day for day in active[1] if day > newest]  # What came late, of a day before, makes no gap.
    days = np.array([*sorted(active[0]), *sorted(later)], dtype=np.int64)
    return Sides(
        cells=np.array([[len(before), len(since)] for before, since in cells.values()], dtype=np.int64),
        days=days,
        before=len(active[0]),
        end=max([end, *later]),
        spend=_columns(spent, lambda amounts: np.log1p(max(0.0, sum(amounts)))),
        ratings=_columns(ratings, lambda given: sum(given) / len(given)),
        texts=texts,
    )


_Daily = tuple[dict[int, list[float]], dict[int, list[float]]]


def _columns(daily: _Daily, of_day: Callable[[list[float]], float]) -> tuple[Floats, Floats]:
    """One number for each day of either side, shapes (days, 1)."""
    old, new = (np.array([of_day(values) for values in side.values()], dtype=np.float64)[:, None] for side in daily)
    return old, new
