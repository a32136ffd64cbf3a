"""One person under several ids: found by a ties file, by stored ties or by exact keys, merged, and split again.

What was found is one table, `identities`; nothing else is rewritten (`merged` reads through it), so that a merge is
taken back by undoing its run or by splitting. Groups that are too large are told of and left alone: an id that fifty
people share is a shop's telephone, not a person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import duckdb
import pyarrow as pa

from limner.errors import UsageError
from limner.histories.facts import EVERYONE
from limner.histories.links import Link
from limner.histories.merged import SPLIT
from limner.histories.refresh import refresh_facts
from limner.histories.store import Store, new_run_id
from limner.histories.unions import Unions

MOST = 10
"""Ids that one person may have, unless said otherwise: a household's devices and addresses over years, no more."""

SHOWN = 5
"""Members of a group that is too large that are named."""


@dataclass(frozen=True, slots=True)
class TooLarge:
    """Ids that were not merged because they are too many.

    Attributes:
        reason: What ties them: a sort of key, or `together` where each tie is small but the chain of them is not.
        key: The hash they share, shortened; empty for a chain.
        ids: How many.
        examples: Some of them.
    """

    reason: str
    key: str
    ids: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MergeSummary:
    """What a merge did.

    Attributes:
        run: The run, to be undone; empty if nothing was new.
        people: People whose ids changed.
        ids: Ids of theirs that are merged into another now.
        links: Pairs of ids that were found, by reason.
        too_large: Groups that were left alone.
        held_apart: Pairs that were left alone because a person split one of their ids.
        unknown: Ids among the pairs that the workspace does not know (yet).
        facts: Users whose facts were computed again.
    """

    run: str
    people: int
    ids: int
    links: dict[str, int]
    too_large: tuple[TooLarge, ...]
    held_apart: int
    unknown: int
    facts: int

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Person:
    """One person of several ids.

    Attributes:
        user_id: The id under which everything about the person is read.
        members: The others.
        reasons: Why they are merged, the most frequent first.
    """

    user_id: str
    members: tuple[str, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Row:
    member_id: str
    user_id: str
    reason: str
    key: str


@dataclass(frozen=True, slots=True)
class _Known:
    """What the workspace knows of ids.

    Attributes:
        rows: The present row of each id that was ever merged.
        events: Number of events of each id asked about that the workspace knows.
    """

    rows: dict[str, _Row]
    events: dict[str, int]


def merge(store: Store, links: Sequence[Link], *, most: int = MOST) -> MergeSummary:
    """Merges ids that are one person's, and computes the facts of these people anew. Done twice, it changes nothing.

    A person keeps the id that others were merged into before; else it is the id with the most events.

    Args:
        store: The workspace's tables.
        links: Pairs and groups of ids, see `links`.
        most: Ids that one person may have at most.

    Raises:
        UsageError: `most` is below two.
    """
    if most < 2:
        raise UsageError("A person of several ids has at least two. Give --most a number from 2 on.")
    known = _known(store, {id_ for link in links for id_ in link.ids})
    apart = {row.member_id for row in known.rows.values() if row.reason == SPLIT}
    usable, too_large, held = _usable(links, apart, most)
    groups, larger = _groups(known, usable, most)
    rows = _rows(known, groups, usable)
    found = Counter(link.reason for link in links for _ in link.ids[1:])
    unknown = len({id_ for link in links for id_ in link.ids} - set(known.events))
    told = MergeSummary("", 0, 0, dict(found), (*too_large, *larger), held, unknown, 0)
    if not rows:
        return told
    people, ids = len({row.user_id for row in rows}), sum(row.member_id != row.user_id for row in rows)
    run, facts = _write(store, "identity-merge", rows, {"people": people, "ids": ids})
    return replace(told, run=run, people=people, ids=ids, facts=facts)


def split(store: Store, ids: Collection[str]) -> tuple[str, tuple[str, ...]]:
    """Gives merged ids back to themselves; a person's own id takes all of that person's ids apart.

    Ids that were split are not merged again by keys, only by a ties file. What a model wrote of the person is not shown
    any more, since it may rest on what another one said.

    Returns:
        The run, and the ids that stand for themselves now.

    Raises:
        UsageError: One of the ids is merged with no other.
    """
    rows = _known(store, ()).rows
    members: dict[str, set[str]] = {}
    for row in rows.values():
        members.setdefault(row.user_id, set()).add(row.member_id)
    leaving: dict[str, set[str]] = {}
    for id_ in dict.fromkeys(ids):
        person = rows[id_].user_id if id_ in rows else id_
        together = members.get(person, {person}) | {person}
        if len(together) < 2:
            raise UsageError(f"The id {id_!r} is merged with no other. `limner identity list` shows those that are.")
        leaving[person] = leaving.get(person, set()) | (together if id_ == person else {id_})
    written: list[_Row] = []
    for person, out in leaving.items():
        together = members[person] | {person}
        staying = together - out - {person}
        gone = together if person in out or not staying else out
        written += [_Row(id_, id_, SPLIT, "") for id_ in sorted(gone)]
        written += [rows.get(id_, _Row(id_, person, "", "")) for id_ in sorted(together - gone)]
    apart = tuple(row.member_id for row in written if row.reason == SPLIT)
    run, _ = _write(store, "identity-split", written, {"ids": len(apart)})
    return run, apart


def people(store: Store) -> list[Person]:
    """Everyone who has several ids, ordered by id."""
    found: dict[str, list[_Row]] = {}
    for row in _known(store, ()).rows.values():
        if row.member_id != row.user_id:
            found.setdefault(row.user_id, []).append(row)
    return [
        Person(
            user,
            tuple(sorted(row.member_id for row in rows)),
            tuple(reason for reason, _ in Counter(row.reason for row in rows).most_common()),
        )
        for user, rows in sorted(found.items())
    ]


def _write(store: Store, command: str, rows: Iterable[_Row], summary: dict[str, int]) -> tuple[str, int]:
    run = new_run_id(command)
    with store.commit(command, run=run) as commit:
        commit.add("identities", [asdict(row) for row in rows])
        commit.summary.update(summary)
    return run, refresh_facts(store, run)


def _known(store: Store, ids: Collection[str]) -> _Known:
    with store.read(merged=False) as db:
        columns = ", ".join(_Row.__dataclass_fields__)
        rows = {str(row[0]): _Row(*map(str, row)) for row in db.execute(f"SELECT {columns} FROM identities").fetchall()}
        return _Known(rows, _counted(db, {*ids, *rows}) if ids else {})


def _counted(db: duckdb.DuckDBPyConnection, ids: Collection[str]) -> dict[str, int]:
    db.register("asked", pa.table({"user_id": pa.array(sorted(ids), pa.string())}))
    query = (
        f"SELECT e.user_id, coalesce(n, 0) FROM ({EVERYONE}) e SEMI JOIN asked USING (user_id)"
        " LEFT JOIN (SELECT user_id, count(*) AS n FROM events SEMI JOIN asked USING (user_id) GROUP BY 1) c"
        " USING (user_id)"
    )
    return {str(user): int(n) for user, n in db.execute(query).fetchall()}


def _usable(links: Iterable[Link], apart: Collection[str], most: int) -> tuple[list[Link], list[TooLarge], int]:
    """The links to go by; those that are too large; and how many pairs a person has taken apart."""
    usable: list[Link] = []
    too_large: list[TooLarge] = []
    held = 0
    for link in links:
        left = link.ids if link.declared else tuple(id_ for id_ in link.ids if id_ not in apart)
        held += len(link.ids) - max(len(left), 1)
        if len(left) > most:
            too_large.append(TooLarge(link.reason, link.key, len(left), left[:SHOWN]))
        elif len(left) > 1:
            usable.append(replace(link, ids=left))
    return usable, sorted(too_large, key=lambda group: (-group.ids, group.key)), held


def _groups(known: _Known, links: Iterable[Link], most: int) -> tuple[list[list[str]], list[TooLarge]]:
    """Groups of ids that links and earlier merges make, without those that are too large or that nobody knows."""
    unions: Unions[str] = Unions((row.user_id, row.member_id) for row in known.rows.values())
    for link in links:
        for other in link.ids[1:]:
            unions.join(link.ids[0], other)
    groups: list[list[str]] = []
    too_large: list[TooLarge] = []
    for group in unions.groups():
        if len(group) > most and not _as_it_is(known, group):
            too_large.append(TooLarge("together", "", len(group), tuple(sorted(group)[:SHOWN])))
        elif len(group) > 1 and any(id_ in known.events for id_ in group):
            groups.append(group)
    return groups, sorted(too_large, key=lambda group: (-group.ids, group.examples))


def _as_it_is(known: _Known, group: Sequence[str]) -> bool:
    """Whether just these ids are merged already."""
    return len({known.rows[id_].user_id if id_ in known.rows else id_ for id_ in group}) == 1


def _rows(known: _Known, groups: Iterable[list[str]], links: Iterable[Link]) -> list[_Row]:
    """The rows of every group that is not merged so already."""
    why: dict[str, Link] = {}
    for link in links:
        for id_ in link.ids:
            why.setdefault(id_, link)
    rows: list[_Row] = []
    for group in groups:
        if _as_it_is(known, group):
            continue
        person = _person(known, group)
        for id_ in sorted(group):
            before, cause = known.rows.get(id_), why.get(id_)
            if before is not None and before.reason != SPLIT:
                rows.append(replace(before, user_id=person))
            else:
                rows.append(_Row(id_, person, cause.reason if cause else "", cause.key if cause else ""))
    return rows


def _person(known: _Known, group: Sequence[str]) -> str:
    """The id that a group goes by: what most were merged into, else of those known the one with most events."""
    into = Counter(known.rows[id_].user_id for id_ in group if id_ in known.rows and known.rows[id_].reason != SPLIT)
    return min((id_ for id_ in group if id_ in known.events), key=lambda id_: (-into[id_], -known.events[id_], id_))
