"""A user's history as numbered lines that fit a token budget.

Repeats are one line with a count, and each line knows every event behind it, so that a claim that cites a line can be
traced to the events. When not everything fits, the most telling and most recent lines stay; what is left is shown
oldest to newest.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

import duckdb

from limner.errors import UsageError
from limner.histories.directives import directive_in
from limner.histories.facts import EVERYONE
from limner.histories.language import detect, estimate_tokens
from limner.histories.manifest import Manifest
from limner.histories.persons import Stored, stored_of_few
from limner.histories.phrasing import Deed, phrase
from limner.histories.ratings import best_ratings
from limner.histories.schema import EVENT_KINDS
from limner.histories.store import Store
from limner.histories.texts import BATCH_ROWS, OWN, OWN_ROLES, TIME, TextOfUser, register_wanted, user_texts

__all__ = ["History", "Line", "Part", "TextOfUser", "build_histories", "user_texts"]

BUDGET = 1500
"""Tokens of a history by default: with instructions and answer it stays inside the 4k context of a small model."""

HALF_LIFE_DAYS = 180.0
"""Age, before the user's newest event, at which an event tells half as much as a new one."""

TELLING_TOKENS = 25.0
"""Length at which a text has told about two thirds of what a long one would."""

AGENT_SHARE = 0.3
"""How much an agent's words tell about the customer, against the customer's own."""

FULL_LINES = 12
"""From this many lines on, a single text may take at most one of so many parts of the budget."""

NEAR_LETTERS = 10
"""Letters a text must have for its digits not to matter when texts are compared."""

SHORTEST_LINE = 8
"""Tokens below which no line fits: what is left of the budget then stays unused."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stored text that a line shows: `field` of event `event_id`, whole and unchanged."""

    event_id: str
    field: str
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a history.

    Attributes:
        number: From 1, oldest first, as it stands in `text`.
        text: The line as a model or person reads it, `[3] 2024-05-01 ...`.
        event_ids: All events behind it, oldest first.
        kind: Their kind.
        ts: Time of the latest of them, UTC; None if it has no time.
        parts: The stored texts it shows, those of the latest event: what a quote from this line must be a slice of.
            Words of agents and systems are shown but are no parts, as they prove nothing about the customer.
    """

    number: int
    text: str
    event_ids: tuple[str, ...]
    kind: str
    ts: datetime | None
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class History:
    """One user's aggregate.

    Attributes:
        user_id: The user.
        lang: `zh` or `en`: the language the user mostly writes, else that of the items, else `en`.
        facts: The user's row of the `facts` table; empty before the first `aggregate`.
        lines: What fits the budget, oldest first; empty for a user with nothing to read.
        tokens: About how many tokens the lines have together, at most the budget.
    """

    user_id: str
    lang: str
    facts: Mapping[str, Any]
    lines: tuple[Line, ...]
    tokens: int

    @property
    def text(self) -> str:
        """The lines, one below the other."""
        return "\n".join(line.text for line in self.lines)


_SHOWN = ("text_title", "text", "title", "category")
"""Fields whose words a line shows, unless they speak to a machine."""

_SAME = f"""
SELECT w.place AS turn, e.user_id, kind, item_id, coalesce(title, '') AS title, coalesce(category, '') AS category,
    coalesce(text_title, '') AS text_title, coalesce("text", '') AS text, lower(trim(coalesce(role, ''))) AS role,
    CASE WHEN isfinite(rating) THEN rating END AS rating, source, {OWN} AS own,
    max(moment) AS ts,
    list({{'ts': moment, 'event_id': event_id}} ORDER BY moment NULLS FIRST, event_id) AS events
FROM (SELECT *, {TIME} AS moment FROM titled_events) e JOIN wanted w ON w.user_id = e.user_id
GROUP BY ALL
ORDER BY turn, max(moment) NULLS FIRST, events[-1].event_id
"""
"""Events of the wanted users, those that are the same in every respect but time already together."""

_AGGREGATED = """
SELECT f.* EXCLUDE (user_id, run, seq), w.user_id, true AS aggregated
FROM wanted w JOIN facts f ON f.user_id = w.user_id
ORDER BY w.place
"""

_KNOWN = f"""
SELECT f.* EXCLUDE (user_id, run, seq), w.user_id, f.user_id IS NOT NULL AS aggregated
FROM wanted w SEMI JOIN ({EVERYONE}) e ON e.user_id = w.user_id LEFT JOIN facts f ON f.user_id = w.user_id
ORDER BY w.place
"""

FEW = 100
"""Up to so many users only the files that hold them are read."""


def build_histories(store: Store, user_ids: Sequence[str], *, budget: int = BUDGET) -> Iterator[History]:
    """Builds the histories of users, in the order given; unknown users give none.

    Args:
        store: The workspace's tables.
        user_ids: Whose histories.
        budget: About how many tokens the lines may have together.

    Yields:
        One history for each known user. One user at a time is held in memory.

    Raises:
        UsageError: The budget is not positive.
    """
    if budget < 1:
        raise UsageError(f"A history of {budget} tokens cannot be built. Give a budget of at least 1.")
    version = store.manifest()
    scales = {source: _scale(best) for source, best in best_ratings(store, version).items()}
    with ExitStack() as stack:
        if len(user_ids) <= FEW:
            rows, everyone = _of_few(store, version, user_ids)
        else:
            events = stack.enter_context(store.read(version, tables=("events", "items")))
            register_wanted(events, user_ids)
            rows, everyone = _streamed(events, _SAME), _known(store, version, user_ids)
        by_user = groupby(rows, key=lambda row: row["user_id"])
        user, mine = next(by_user, (None, iter(())))
        for facts in everyone:
            if facts["user_id"] == user:
                yield _history(facts, list(mine), scales, budget)
                user, mine = next(by_user, (None, iter(())))
            else:
                yield _history(facts, [], scales, budget)


Rows = Iterable[dict[str, Any]]


def _streamed(connection: duckdb.DuckDBPyConnection, query: str) -> Rows:
    return (row for batch in connection.sql(query).to_arrow_reader(BATCH_ROWS) for row in batch.to_pylist())


def _of_few(store: Store, version: Manifest, user_ids: Sequence[str]) -> tuple[Rows, Rows]:
    """Events and facts of a few users, from only the files that these are in."""
    stored = stored_of_few(store, version, user_ids)
    if stored is None:
        with store.read(version, users=user_ids, tables=("events", "items", "facts")) as connection:
            register_wanted(connection, user_ids)
            stored = Stored(list(_streamed(connection, _SAME)), list(_streamed(connection, _AGGREGATED)))
    # Who has no facts may still be known by a profile or a tie, which is to be looked for everywhere.
    known = len(stored.facts) == len(set(user_ids))
    return stored.events, stored.facts if known else _known(store, version, user_ids)


def _known(store: Store, version: Manifest, user_ids: Sequence[str]) -> Rows:
    """The facts of the users that the workspace knows of, in the order given."""
    with store.read(version) as connection:
        register_wanted(connection, user_ids)
        yield from _streamed(connection, _KNOWN)


def _scale(best: float) -> int | None:
    """The best rating possible in a source, from the best given. Up to 1 it may be thumbs or stars: not known."""
    return next((scale for scale in (5, 10, 100) if 1 < best <= scale), None)


def _history(
    known: dict[str, Any], rows: list[dict[str, Any]], scales: Mapping[str | None, int | None], budget: int
) -> History:
    user_id, aggregated = known.pop("user_id"), known.pop("aggregated")
    facts = known if aggregated else {}
    lang = facts.get("lang") or _language(rows)
    lines, tokens = _fit(_collapse(rows, scales), lang, budget)
    return History(user_id, lang, facts, lines, tokens)


def _language(rows: Iterable[dict[str, Any]]) -> str:
    """The language of what the user wrote last, else of the items, else English."""
    newest = list(rows)[:-51:-1]
    written = detect(" ".join(f"{row['text_title']} {row['text']}" for row in newest if row["own"]))
    return written or detect(" ".join(row["title"] for row in newest)) or "en"


def near(text: str) -> str:
    """What two texts have in common if a reader would call them the same: without case, width, signs and spaces.

    Digits go too where enough letters stand beside them ("order 4711 is late"); in a short text they are what it says
    ("1 star", "666"). A text of signs alone stays as it is.
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    said = "".join(c for c in plain if unicodedata.category(c)[0] not in "PZC")
    letters = "".join(c for c in said if unicodedata.category(c)[0] != "N")
    return (letters if len(letters) >= NEAR_LETTERS else said) or "".join(plain.split())


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line before it is chosen: what it says, which events it stands for, and how much it tells."""

    deed: Deed
    event_ids: tuple[str, ...]
    parts: tuple[Part, ...]
    own: bool

    def score(self, newest: datetime | None) -> float:
        kind = EVENT_KINDS.get(self.deed.kind, EVENT_KINDS["other"])
        said = 1 - math.exp(-estimate_tokens(self.deed.text_title + self.deed.text) / TELLING_TOKENS)
        tells = kind.weight * (0.4 + 0.6 * said) * (1 + 0.15 * math.log2(self.deed.times))
        age: float = (newest - self.deed.ts).total_seconds() / 86_400 if newest and self.deed.ts else HALF_LIFE_DAYS
        recency = 0.4 + 0.6 * math.exp2(-age / HALF_LIFE_DAYS)
        return tells * (1.0 if self.own else AGENT_SHARE) * recency


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    """Rows with equal keys are one line: the same words with the same rating, or the same thing done to one item."""
    words = (near(row["text_title"]), near(row["text"]))
    if any(words):
        return (row["kind"], row["role"] in OWN_ROLES or row["role"], row["rating"], *words)
    return (row["kind"], row["rating"], row["item_id"] or row["title"] or row["category"])


def _collapse(rows: Iterable[dict[str, Any]], scales: Mapping[str | None, int | None]) -> list[_Entry]:
    """Rows of one user, oldest first, to entries."""
    same: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        same.setdefault(_key(row), []).append(row)
    return [_entry(group, scales) for group in same.values()]


def _entry(group: list[dict[str, Any]], scales: Mapping[str | None, int | None]) -> _Entry:
    """One entry from rows that are the same, oldest first: it says what the latest says."""
    latest = group[-1]
    events = sorted(
        (event for row in group for event in row["events"]),
        key=lambda event: (event["ts"] or datetime.min, event["event_id"]),
    )
    event_id = latest["events"][-1]["event_id"]
    latest = {**latest, **{field: "" for field in _SHOWN if directive_in(latest[field])}}
    written = ("text_title", "text", "title") if latest["own"] else ("title",)
    deed = Deed(
        kind=latest["kind"],
        role=latest["role"],
        ts=latest["ts"],
        times=len(events),
        titles=list(dict.fromkeys(t for row in reversed(group) if (t := row["title"]) and not directive_in(t))),
        category=latest["category"],
        rating=latest["rating"],
        scale=scales.get(latest["source"]),
        text_title=latest["text_title"],
        text=latest["text"],
    )
    return _Entry(
        deed,
        tuple(event["event_id"] for event in events),
        tuple(Part(event_id, field, latest[field]) for field in written if latest[field]),
        latest["own"],
    )


def _fit(entries: list[_Entry], lang: str, budget: int) -> tuple[tuple[Line, ...], int]:
    """The most telling entries that fit the budget, as numbered lines, and their tokens together."""
    newest = max((entry.deed.ts for entry in entries if entry.deed.ts), default=None)
    words = max(1, budget // max(1, min(len(entries), FULL_LINES)))
    widest = f"[{len(entries)}] "
    left = budget
    chosen: list[tuple[_Entry, str]] = []
    for entry in sorted(entries, key=lambda e: (-e.score(newest), e.event_ids)):
        if left < SHORTEST_LINE:
            break
        text = phrase(entry.deed, lang, words)
        tokens = _tokens(widest + text)
        if tokens <= left:
            left -= tokens
            chosen.append((entry, text))
    chosen.sort(key=lambda pair: (pair[0].deed.ts or datetime.min, pair[0].event_ids[-1]))
    lines = tuple(
        Line(n, f"[{n}] {text}", entry.event_ids, entry.deed.kind, entry.deed.ts, entry.parts)
        for n, (entry, text) in enumerate(chosen, 1)
    )
    return lines, sum(_tokens(line.text) for line in lines)


def _tokens(line: str) -> int:
    return estimate_tokens(line + "\n")
