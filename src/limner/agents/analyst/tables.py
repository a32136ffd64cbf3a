"""The analyst's queries: fixed SQL with parameters; a plan only fills in values, and columns from a closed list.

All run on one connection over one version of the workspace. The users a plan leaves over are a temporary table,
`eligible`, so that a large workspace is filtered where it lies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from limner.agents.analyst.schema import FACT_COLUMNS, CitationType, FactName, Plan
from limner.histories.store import arrow

if TYPE_CHECKING:
    import duckdb

_OPERATORS = {">=": ">=", ">": ">", "<=": "<=", "<": "<", "==": "="}


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """A segment as the workspace has it; `features` are dictionaries with label, kind, share and lift."""

    segment_id: str
    name: str
    users: int
    features: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class TraitRow:
    """One user's trait, with its newest quote and the event that has it."""

    trait_id: str
    user_id: str
    kind: str
    label: str
    polarity: str
    event_id: str
    quote: str


@dataclass(frozen=True, slots=True)
class FactValue:
    """One user's value of one fact."""

    user_id: str
    value: float


@dataclass(frozen=True, slots=True)
class Spread:
    """One fact over many users: how many it is known of, its mean and its median."""

    known: int
    mean: float
    median: float


def segments(db: duckdb.DuckDBPyConnection) -> list[SegmentRow]:
    """All segments, the largest first."""
    rows = arrow(db, "SELECT segment_id, name, users, features FROM segments ORDER BY users DESC, name").to_pylist()
    return [SegmentRow(r["segment_id"], r["name"], r["users"] or 0, tuple(r["features"] or ())) for r in rows]


def users_named(db: duckdb.DuckDBPyConnection, question: str) -> list[str]:
    """Ids of users that stand in the question as whole words; bare numbers only after the word user."""
    rows = arrow(
        db,
        "SELECT user_id FROM facts WHERE contains($1, user_id) AND length(user_id) > 0 AND ("
        " (length(user_id) > 1 AND regexp_matches(user_id, '[0-9]') AND NOT regexp_matches(user_id, '^[0-9]+$')"
        "  AND regexp_matches($1, '(^|[^A-Za-z0-9_-])' || regexp_escape(user_id) || '($|[^A-Za-z0-9_-])'))"
        " OR regexp_matches($1, '(?i)(users?|customers?|用户|客户|顾客)\\s*[:：#]?\\s*' || regexp_escape(user_id)"
        "  || '($|[^A-Za-z0-9_-])'))"
        " ORDER BY length(user_id) DESC, user_id LIMIT 20",
        [question],
    )
    return [str(value) for value in rows.column("user_id").to_pylist()]


def restrict(db: duckdb.DuckDBPyConnection, plan: Plan, named: Sequence[str], segment_id: str | None) -> int:
    """Makes the temporary table `eligible` of the users that a plan's filters leave; returns how many they are.

    A user whose fact is unknown meets no condition on it.
    """
    conditions, values = _conditions(plan, named, segment_id)
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    parameters = {str(i): value for i, value in enumerate(values, start=1)}
    db.execute(f"CREATE OR REPLACE TEMP TABLE eligible AS SELECT user_id, lang FROM facts {where}", parameters or None)
    return count(db, "SELECT count(*) FROM eligible")


def _conditions(plan: Plan, named: Sequence[str], segment_id: str | None) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    values: list[Any] = []

    def add(condition: str, value: Any) -> None:
        values.append(value)
        conditions.append(condition.format(f"${len(values)}"))

    for threshold in plan.thresholds:
        column = FACT_COLUMNS[threshold.fact].name
        add(f"{column} {_OPERATORS[threshold.op]} {{}}", threshold.value)
    if plan.language != "any":
        add("lang = {}", plan.language)
    if segment_id is not None:
        add("user_id IN (SELECT user_id FROM memberships WHERE segment_id = {})", segment_id)
    if named:
        add("user_id IN (SELECT unnest({}::VARCHAR[]))", list(named))
    return conditions, values


def count(db: duckdb.DuckDBPyConnection, query: str, parameters: list[Any] | None = None) -> int:
    """The one number a query gives."""
    rows = db.execute(query, parameters or []).fetchall()
    return int(rows[0][0]) if rows else 0


def known(db: duckdb.DuckDBPyConnection, fact: FactName) -> int:
    """How many users have a value of a fact, filters aside."""
    return count(db, f"SELECT count({FACT_COLUMNS[fact].name}) FROM facts")


def eligible_users(
    db: duckdb.DuckDBPyConnection, language: str | None = None, segment_id: str | None = None
) -> list[str]:
    """Ids of the eligible users, of one language or segment if named."""
    return [
        str(row[0])
        for row in db.execute(
            "SELECT user_id FROM eligible WHERE ($1 IS NULL OR lang = $1)"
            " AND ($2 IS NULL OR user_id IN (SELECT user_id FROM memberships WHERE segment_id = $2)) ORDER BY user_id",
            [language, segment_id],
        ).fetchall()
    ]


def ranked(
    db: duckdb.DuckDBPyConnection, fact: FactName, *, highest: bool, limit: int, everyone: bool = False
) -> list[FactValue]:
    """The eligible users (or all) with the highest or lowest value of a fact; those without a value are left out."""
    column = FACT_COLUMNS[fact].name
    chosen = "" if everyone else "AND user_id IN (SELECT user_id FROM eligible)"
    rows = db.execute(
        f"SELECT user_id, {column} FROM facts WHERE {column} IS NOT NULL {chosen}"
        f" ORDER BY {column} {'DESC' if highest else 'ASC'}, user_id LIMIT $1",
        [limit],
    ).fetchall()
    return [FactValue(str(user), float(value)) for user, value in rows]


def spread(db: duckdb.DuckDBPyConnection, fact: FactName) -> Spread | None:
    """Mean and median of a fact over the eligible users; None if it is known of none."""
    column = FACT_COLUMNS[fact].name
    [row] = db.execute(
        f"SELECT count({column}), avg({column}), median({column}) FROM facts"
        " WHERE user_id IN (SELECT user_id FROM eligible)"
    ).fetchall()
    return Spread(int(row[0]), float(row[1]), float(row[2])) if row[0] else None


_TRAITS = (
    "SELECT t.trait_id, t.user_id, t.kind, t.label, t.polarity, t.evidence[1].event_id AS event_id,"
    " t.evidence[1].quote AS quote FROM present_traits t JOIN eligible e ON e.user_id = t.user_id"
    " WHERE ($1 = 'any' OR t.polarity = $1 OR t.polarity = 'mixed' OR ($1 = 'negative' AND t.kind = 'objection'))"
    " AND ($2 = 'any' OR t.kind = $2) AND len(t.evidence) > 0"
)
_BEST_FIRST = " ORDER BY t.confidence DESC, t.mentions DESC, t.trait_id"


def traits(db: duckdb.DuckDBPyConnection, plan: Plan, labels: Sequence[str] | None = None) -> list[TraitRow]:
    """Traits of eligible users that the plan's polarity and kind admit, of the given labels or all; best first."""
    chosen = "" if labels is None else " AND lower(t.label) IN (SELECT lower(unnest($3::VARCHAR[])))"
    values: list[Any] = [plan.polarity, plan.kind, *([] if labels is None else [list(labels)])]
    rows = arrow(db, _TRAITS + chosen + _BEST_FIRST, values).to_pylist()
    return [TraitRow(**row) for row in rows]


def labels_of(db: duckdb.DuckDBPyConnection, trait_ids: Sequence[str]) -> dict[str, str]:
    """The label of each trait id."""
    rows = db.execute(
        "SELECT trait_id, label FROM present_traits WHERE trait_id IN (SELECT unnest($1::VARCHAR[]))", [list(trait_ids)]
    ).fetchall()
    return {str(trait): str(label) for trait, label in rows}


def members(db: duckdb.DuckDBPyConnection, segment_id: str) -> list[str]:
    """Ids of a segment's members, the surest first."""
    rows = db.execute(
        "SELECT user_id FROM memberships WHERE segment_id = $1 ORDER BY confidence DESC, user_id", [segment_id]
    ).fetchall()
    return [str(row[0]) for row in rows]


_EXISTS: dict[CitationType, str] = {
    "user": "SELECT user_id FROM facts WHERE user_id IN (SELECT unnest($1::VARCHAR[]))",
    "segment": "SELECT segment_id FROM segments WHERE segment_id IN (SELECT unnest($1::VARCHAR[]))",
    "event": "SELECT event_id FROM events WHERE event_id IN (SELECT unnest($1::VARCHAR[]))",
}


def existing(db: duckdb.DuckDBPyConnection, kind: CitationType, ids: Sequence[str]) -> set[str]:
    """Which of the ids are in the workspace."""
    return {str(row[0]) for row in db.execute(_EXISTS[kind], [list(ids)]).fetchall()}
