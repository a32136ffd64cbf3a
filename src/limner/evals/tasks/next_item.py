"""The next-item task: do a user's traits rank the item they took next above others?

The item of a held-out review stands among 99 others that the user never touched. Rank by traits: the mean of the three
highest similarities between its title and the user's labels. Baselines on the same candidates: the titles of what the
user took before, popularity, recency, and item neighbours. Ties count as their expected rank.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from math import sqrt

import numpy as np

from limner.evals.sample_reading import read_users
from limner.evals.score import Tally, shares
from limner.evals.task import EvalCase, Loaded, Setting, Task, Unscored
from limner.retrieval.vectors import Vectors

FILE = "amazon2023_multicat/events.parquet"
USERS = 20
OTHERS = 99
CUTOFF = 10
NEAREST = 3
"""Similarities of a candidate to a profile that count."""

KINDS = ("interest", "preference", "intent", "need")
"""Kinds of traits that say what a user may want."""


class NextCase(EvalCase):
    """A held-out item of a user and the others it stands among, as places in `items`."""

    user_id: str
    item_id: str
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ranks:
    """Expected hit and reciprocal rank of the held-out item by each way of ranking."""

    hits: Mapping[str, float]
    reciprocal: Mapping[str, float]
    by_traits: bool


@dataclass(frozen=True)
class Taken:
    """Who took what and when, without what is held out, and every item's title."""

    of_user: Mapping[str, tuple[str, ...]]
    last: Mapping[str, datetime]
    titles: Mapping[str, str]

    @cached_property
    def users_of(self) -> Mapping[str, frozenset[str]]:
        """The users who took an item."""
        found: dict[str, set[str]] = {}
        for user, items in self.of_user.items():
            for item in items:
                found.setdefault(item, set()).add(user)
        return {item: frozenset(users) for item, users in found.items()}

    def popularity(self, user: str, item: str) -> float:
        """How many users took the item."""
        return float(len(self.users_of.get(item, ())))

    def recency(self, user: str, item: str) -> float:
        """When the item was last taken by anybody, in seconds; 0 if never."""
        at = self.last.get(item)
        return at.timestamp() if at else 0.0

    def neighbours(self, user: str, item: str) -> float:
        """Cosine of shared users between the item and each that the user took, added up (item-kNN)."""
        there = self.users_of.get(item, frozenset())
        total = 0.0
        for own in self.of_user.get(user, ()):
            others = self.users_of[own]
            if there:
                total += len(there & others) / sqrt(len(there) * len(others))
        return total


class NextItem(Task[NextCase, Ranks]):
    """Held-out reviews of the multi-category set."""

    name = "next-item"
    version = 1
    about = "traits rank the held-out item among 99 others; against titles, popularity, recency, item neighbours"
    measure = "HR@10 by traits"

    def load(self, setting: Setting) -> Loaded[NextCase]:
        """Held-out items of drawn users, each with 99 drawn others."""
        taken = read_taken(setting)
        held = setting.rows("SELECT user_id, item_id FROM {0} WHERE is_heldout GROUP BY ALL ORDER BY ALL", FILE)
        users = setting.draw(sorted({user for user, _ in held}), setting.limit or USERS, str)
        touched = {
            user: {item for one, item in held if one == user} | set(taken.of_user.get(user, ())) for user in users
        }
        items = sorted(taken.titles)
        cases = []
        for user, item in held:
            if user in touched and item not in taken.of_user.get(user, ()):
                free = [other for other in items if other not in touched[user]]
                others = tuple(_drawn(free, f"{setting.seed}/{user}/{item}"))
                cases.append(NextCase(user_id=user, item_id=item, others=others))
        return Loaded(tuple(cases))

    def solve(self, cases: Sequence[NextCase], setting: Setting) -> Sequence[Ranks | Unscored]:
        """Reads the users' histories without what is held out, and ranks."""
        taken = read_taken(setting)
        users = list(dict.fromkeys(case.user_id for case in cases))
        labels, failed = traits_of(setting, users)
        items = sorted({item for case in cases for item in (case.item_id, *case.others)})
        vectors = dict(zip(items, setting.space.passages([taken.titles[item] for item in items]), strict=True))
        profiles = {user: _profile(setting, labels.get(user, []), taken, user) for user in users}
        return [
            Unscored("reading failed")
            if case.user_id in failed
            else _ranks(case, taken, vectors, profiles[case.user_id], bool(labels.get(case.user_id)))
            for case in cases
        ]

    def score(self, cases: Sequence[NextCase], answers: Sequence[Ranks]) -> list[Tally]:
        """Hit rate in the first ten and mean reciprocal rank by each way; the share of cases ranked by traits."""
        ways = list(answers[0].hits) if answers else []
        tallies = [shares(f"HR@{CUTOFF} by {way}", [answer.hits[way] for answer in answers]) for way in ways]
        tallies += [shares(f"MRR by {way}", [answer.reciprocal[way] for answer in answers]) for way in ways]
        return [*tallies, shares("users with traits to rank by", [answer.by_traits for answer in answers])]


def read_taken(setting: Setting) -> Taken:
    """What users took, without what is held out."""
    rows = setting.rows("SELECT user_id, item_id, ts FROM {0} WHERE NOT is_heldout ORDER BY ts, item_id", FILE)
    titles = setting.rows("SELECT item_id, any_value(title ORDER BY ts) FROM {0} WHERE title <> '' GROUP BY 1", FILE)
    known = dict(titles)
    of_user: dict[str, list[str]] = {}
    last: dict[str, datetime] = {}
    for user, item, at in rows:
        if item in known:
            of_user.setdefault(user, []).append(item)
            last[item] = at
    return Taken({user: tuple(dict.fromkeys(items)) for user, items in of_user.items()}, last, known)


def traits_of(setting: Setting, users: Sequence[str]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Labels of what users are for, read by the model from their histories without what is held out; failed users."""
    from limner.agents.portraitist import portray
    from limner.evidence.persona import read_personas
    from limner.histories.load import ingest
    from limner.histories.store import Store, quote_path

    store = Store.open(setting.folder / "next-item", create=True)
    import duckdb

    with duckdb.connect() as db:
        source = quote_path(setting.file(FILE))
        frame = db.execute(f"SELECT * EXCLUDE (is_heldout) FROM {source} WHERE NOT is_heldout").df()
    ingest(store, frame=frame)
    with store.read() as db:
        known = {row[0] for row in db.execute("SELECT user_id FROM facts").fetchall()}
    readable = [user for user in users if user in known]
    failed = read_users(store, setting, readable)
    portray(store, None, users=[user for user in readable if user not in failed])
    labels: dict[str, list[str]] = {}
    for persona in read_personas(store, [user for user in readable if user not in failed]):
        wanted = [t.label for t in persona.present if t.kind in KINDS and t.polarity != "negative"]
        labels[persona.user_id] = list(dict.fromkeys(wanted))
    return labels, failed


def _profile(setting: Setting, labels: Sequence[str], taken: Taken, user: str) -> tuple[Vectors, Vectors]:
    """Vectors of a user's labels (titles where there are none) and of the titles of what they took."""
    titles = setting.space.questions([taken.titles[item] for item in taken.of_user.get(user, ())])
    return (setting.space.questions(list(labels)) if labels else titles), titles


def _ranks(
    case: NextCase, taken: Taken, vectors: Mapping[str, Vectors], profile: tuple[Vectors, Vectors], by_traits: bool
) -> Ranks:
    items = (case.item_id, *case.others)
    matrix = np.stack([vectors[item] for item in items])
    ways: dict[str, Callable[[], Sequence[float]]] = {
        "traits": lambda: similarity(matrix, profile[0]),
        "titles": lambda: similarity(matrix, profile[1]),
        "popularity": lambda: [taken.popularity(case.user_id, item) for item in items],
        "recency": lambda: [taken.recency(case.user_id, item) for item in items],
        "item neighbours": lambda: [taken.neighbours(case.user_id, item) for item in items],
    }
    hits: dict[str, float] = {}
    reciprocal: dict[str, float] = {}
    for way, scores in ways.items():
        hits[way], reciprocal[way] = expected_rank(scores())
    return Ranks(hits, reciprocal, by_traits)


def similarity(items: Vectors, profile: Vectors) -> list[float]:
    """The mean of each item's highest similarities to a profile; equal for all items if the profile is empty."""
    if not len(profile):
        return [0.0] * len(items)
    found = np.sort(items @ profile.T, axis=1)[:, -NEAREST:]
    return [float(value) for value in found.mean(axis=1)]


def expected_rank(scores: Sequence[float]) -> tuple[float, float]:
    """Expected hit in the first ten and reciprocal rank of the first score among all, ties in random order."""
    own = scores[0]
    above = sum(score > own for score in scores[1:])
    ties = sum(score == own for score in scores[1:])
    ranks = range(above + 1, above + ties + 2)
    return sum(rank <= CUTOFF for rank in ranks) / len(ranks), sum(1.0 / rank for rank in ranks) / len(ranks)


def _drawn(items: Sequence[str], seed: str) -> list[str]:
    number = int.from_bytes(hashlib.sha256(seed.encode("utf-8", "replace")).digest()[:8], "big")
    random = np.random.default_rng(number)
    return [items[at] for at in random.permutation(len(items))[:OTHERS]]
