"""Accounts that look like bots or tests: found by stated rules, kept with the reason, deleted never.

Flagged accounts are left out of segments and of what a model reads, unless they are asked for; their events and facts
stay. A person can clear an account, which later checks respect.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import duckdb

from limner.errors import UsageError
from limner.histories.flagging import ACTS, Rule, rules
from limner.histories.store import Store, arrow, new_run_id

CLEARED = "cleared"
"""The flag of accounts that a person cleared."""

FLAGGED = f"SELECT user_id FROM flags WHERE user_id NOT IN (SELECT user_id FROM flags WHERE flag = '{CLEARED}')"
"""SQL for the flagged users of a workspace."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One reason why an account looks like no person.

    Attributes:
        user_id: The account.
        flag: The rule's name, or `cleared`.
        reason: What was found, in words.
        value: What was measured.
        at_least: From where on it counts.
    """

    user_id: str
    flag: str
    reason: str
    value: float
    at_least: float


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found.

    Attributes:
        run: The run, to be undone; empty if nothing changed.
        users: Users of the workspace.
        flagged: Users who are flagged.
        by_flag: How many by each rule; one user may have several.
        new: Users who were not flagged before.
        gone: Users who were, and are no more.
        cleared: Users whom a rule would flag and a person cleared.
    """

    run: str
    users: int
    flagged: int
    by_flag: dict[str, int]
    new: int
    gone: int
    cleared: int

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return asdict(self)


def check(store: Store) -> Checked:
    """Looks at every user by every rule and replaces what was flagged before."""
    from limner.histories.neartexts import near_texts  # numpy is slow to load, and only this needs it.

    with store.read() as db:
        users = int(db.execute("SELECT count(*) FROM facts").fetchall()[0][0])
        before = _read(db)
        db.execute(ACTS)
        found = [flag for rule in rules(near_texts(db)) for flag in _apply(db, rule)]
    cleared = {flag.user_id: flag for flag in before if flag.flag == CLEARED}
    flags = [*found, *cleared.values()]
    now, then = _users(flags), _users(before)
    run = "" if set(flags) == set(before) else _write(store, "flags-check", flags, {"flagged": len(now)})
    return Checked(
        run,
        users,
        len(now),
        dict(Counter(flag.flag for flag in found if flag.user_id in now).most_common()),
        len(now - then),
        len(then - now),
        len({flag.user_id for flag in found} & set(cleared)),
    )


def clear(store: Store, users: Sequence[str], *, again: bool = False) -> str:
    """Says of accounts that they are people's; with `again`, takes that back. Returns the run.

    Raises:
        UsageError: One of them is not in the workspace, or was not cleared.
    """
    with store.read() as db:
        before = _read(db)
        known = db.execute(
            "SELECT user_id FROM facts WHERE user_id IN (SELECT unnest($1::VARCHAR[]))", [list(users)]
        ).fetchall()
    allowed = {flag.user_id for flag in before if flag.flag == CLEARED} if again else {str(row[0]) for row in known}
    missing = [user for user in users if user not in allowed]
    if missing:
        why = "was not cleared" if again else f"is not in {store.path}"
        raise UsageError(f"The user {missing[0]!r} {why}. `limner flags list` shows those that are flagged.")
    kept = [flag for flag in before if flag.flag != CLEARED or flag.user_id not in users]
    added = [] if again else [Flag(user, CLEARED, "cleared by hand", 0.0, 0.0) for user in dict.fromkeys(users)]
    return _write(store, "flags-clear", [*kept, *added], {"cleared": len(added)})


def flags_of(store: Store) -> list[Flag]:
    """Every flag, those of cleared accounts included, ordered by user."""
    with store.read(tables=("flags",)) as db:
        return _read(db)


def flagged_users(store: Store) -> frozenset[str]:
    """The users who are flagged and were not cleared."""
    if not store.manifest().tables.get("flags"):
        return frozenset()
    return frozenset(_users(flags_of(store)))


def unflagged(store: Store, users: Sequence[str], *, include_flagged: bool = False) -> list[str]:
    """Users without those who are flagged, in their order; all if flagged ones are asked for."""
    out: Collection[str] = () if include_flagged else flagged_users(store)
    return [user for user in users if user not in out]


def _users(flags: Collection[Flag]) -> set[str]:
    return {flag.user_id for flag in flags} - {flag.user_id for flag in flags if flag.flag == CLEARED}


def _apply(db: duckdb.DuckDBPyConnection, rule: Rule) -> list[Flag]:
    rows = db.execute(
        f"SELECT user_id, {rule.reason}, value FROM ({rule.query}) WHERE value >= {rule.at_least} ORDER BY user_id"
    ).fetchall()
    return [Flag(str(user), rule.name, str(reason), float(value), rule.at_least) for user, reason, value in rows]


def _read(db: duckdb.DuckDBPyConnection) -> list[Flag]:
    columns = ", ".join(Flag.__dataclass_fields__)
    return [Flag(**row) for row in arrow(db, f"SELECT {columns} FROM flags ORDER BY user_id, flag").to_pylist()]


def _write(store: Store, command: str, flags: Sequence[Flag], summary: dict[str, int]) -> str:
    run = new_run_id(command)
    with store.commit(command, run=run) as commit:
        # A row without a user says that there was a check, also where it found nobody.
        commit.add("flags", [*(asdict(flag) for flag in flags), asdict(Flag("", "", "", 0.0, 0.0))])
        commit.summary.update(summary)
    return run
