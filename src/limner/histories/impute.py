"""Missing numbers filled in, only where asked for and by the way asked for, kept apart from what is known.

What is filled in is rows of the table `imputed`. Events, profiles and facts stay as they are, so that no fact, persona
or answer rests on a guess; an export may take the values in, each with a mark beside it. How far off a way is, is
measured on a tenth of the known values that it is not shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import duckdb

from limner.errors import UsageError
from limner.histories.forest import forest
from limner.histories.mapping import FIELDS
from limner.histories.rules import RANGED
from limner.histories.store import Store, new_run_id
from limner.histories.store import quote_path as literal

ENOUGH = 3
"""Known values that a group must have for its own median."""

MOSTLY = 0.5
"""The share of events of a kind that have the value, from which one without it misses it: a view has no price."""

HELD_OUT = 10
"""One in so many known values is hidden to measure a way."""

KEYS = {"events": "event_id", "items": "item_id", "users": "user_id"}
"""What identifies a row of each table."""

_GROUPS = {"price": "item_id"}
"""The field whose equal values make a group of like rows, where it is not the user."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be filled in, and how.

    Attributes:
        table: `events`, `items` or `users`.
        column: A number's field, or for users the name of a further column.
        way: One of `WAYS`.
    """

    table: str
    column: str
    way: str


@dataclass(frozen=True, slots=True)
class Imputed:
    """What was filled in of one column.

    Attributes:
        table, column, way: As chosen.
        known: Rows with a value.
        missing: Rows that miss one.
        filled: Rows that have a guess now.
        error: Mean distance of guesses from hidden values; None if too few are known to tell.
        plain_error: The same of the median of everything.
    """

    table: str
    column: str
    way: str
    known: int
    missing: int
    filled: int
    error: float | None
    plain_error: float | None

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return asdict(self)


_MEDIAN = f"""
SELECT key, coalesce(g.m, (SELECT median(x) FROM {{cells}})) AS value FROM {{cells}} c LEFT JOIN (
    SELECT grp, median(x) AS m FROM {{cells}} WHERE grp IS NOT NULL GROUP BY grp HAVING count(x) >= {ENOUGH}
) g USING (grp) WHERE c.x IS NULL
"""

_TIME = """
SELECT key, CASE WHEN x0 IS NULL THEN x1 WHEN x1 IS NULL OR t1 = t0 THEN x0
    ELSE x0 + (x1 - x0) * (t - t0) / (t1 - t0) END AS value FROM (
    SELECT key, t, x, last_value(x IGNORE NULLS) OVER before AS x0,
        last_value(CASE WHEN x IS NOT NULL THEN t END IGNORE NULLS) OVER before AS t0,
        first_value(x IGNORE NULLS) OVER after AS x1,
        first_value(CASE WHEN x IS NOT NULL THEN t END IGNORE NULLS) OVER after AS t1
    FROM {cells} WHERE grp IS NOT NULL AND t IS NOT NULL
    WINDOW before AS (PARTITION BY grp ORDER BY t, key ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW),
        after AS (PARTITION BY grp ORDER BY t, key ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)
) WHERE x IS NULL AND coalesce(x0, x1) IS NOT NULL
"""

Way = Callable[[duckdb.DuckDBPyConnection, str], str]
"""Gives SQL for (key, value) of the cells without a value in a table of cells."""

WAYS: dict[str, Way] = {
    "median": lambda _, cells: _MEDIAN.format(cells=cells),
    "time": lambda _, cells: _TIME.format(cells=cells),
    "forest": forest,
}
"""Every way: the median of like rows, a line in time between the neighbours, a random forest over the other columns."""


def impute(store: Store, choices: Sequence[Choice]) -> list[Imputed]:
    """Fills in missing values and commits them, in place of what was filled in of the same columns before.

    Args:
        store: The workspace's tables.
        choices: What, and how.

    Raises:
        UsageError: A column is no number, or has no known value.
    """
    for choice in choices:
        _check(choice)
    run, told = new_run_id("impute"), []
    with store.commit("impute", run=run) as commit, store.read(merged=False) as db:
        for choice in choices:
            known, missing = _cells(db, choice)
            if not known:
                raise UsageError(f"No row of {choice.table} has a number in {choice.column!r} to tell others from.")
            error, plain = _errors(db, choice)
            db.execute(f"CREATE OR REPLACE TEMP TABLE guesses AS {WAYS[choice.way](db, 'cells')}")
            filled = commit.add_query(
                "imputed",
                db,
                f"SELECT key, {literal(choice.table)} AS table_name, {literal(choice.column)} AS column_name, value,"
                f" {literal(choice.way)} AS way FROM guesses WHERE isfinite(value)",
            )
            told.append(Imputed(choice.table, choice.column, choice.way, known, missing, filled, error, plain))
            commit.summary[f"{choice.table}.{choice.column}"] = filled
    return told


def read_choices(said: Sequence[str]) -> list[Choice]:
    """Choices from words such as `events.price=median`.

    Raises:
        UsageError: One has another form.
    """
    choices = []
    for words in said:
        name, sign, way = words.rpartition("=")
        table, dot, column = name.partition(".")
        if not (sign and dot and column):
            raise UsageError(f"{words!r} is no choice. Write TABLE.COLUMN=WAY, such as events.price=median.")
        choices.append(Choice(table, column, way))
    return choices


def with_imputed(connection: duckdb.DuckDBPyConnection, table: str, query: str) -> str:
    """A query's rows with what was filled in of their table, and for each such column NAME a mark NAME_imputed.

    Args:
        connection: Holds the table `imputed`.
        table: The table's name.
        query: SQL for its rows.
    """
    rows = connection.execute("SELECT DISTINCT column_name FROM imputed WHERE table_name = ? ORDER BY 1", [table])
    fields = FIELDS[table].every if table in FIELDS else ()
    for (column,) in rows.fetchall():
        name = '"' + column.replace('"', '""') + '"'
        mark = '"' + column.replace('"', '""') + '_imputed"'
        known = name if column in fields else _attribute(column)
        own = f"table_name = {literal(table)} AND column_name = {literal(column)}"
        chosen = "r.* EXCLUDE (" + name + ")" if column in fields else "r.*"
        query = (
            f"SELECT {chosen}, coalesce({known}, i.value) AS {name}, {known} IS NULL AND i.value IS NOT NULL AS {mark}"
            f" FROM ({query}) r LEFT JOIN (SELECT key, value FROM imputed WHERE {own}) i ON i.key = r.{KEYS[table]}"
        )
    return query


def _check(choice: Choice) -> None:
    if choice.way not in WAYS:
        raise UsageError(f"There is no way {choice.way!r} to fill in values. Choose one of: {', '.join(WAYS)}.")
    if choice.table not in KEYS:
        raise UsageError(f"Nothing is filled in in {choice.table!r}. Choose one of: {', '.join(KEYS)}.")
    if choice.table != "users" and choice.column not in RANGED - {"ts"}:
        numbers = ", ".join(sorted(RANGED - {"ts"}))
        raise UsageError(f"{choice.table}.{choice.column} is no number. Choose one of: {numbers}.")
    if choice.way == "time" and choice.table != "events":
        raise UsageError(f"{choice.table} have no times to draw a line between. Choose median or forest.")


def _attribute(column: str) -> str:
    """SQL for a number in `attrs`."""
    pointer = "/" + column.replace("~", "~0").replace("/", "~1")
    return f"TRY_CAST(json_extract_string(attrs, {literal(pointer)}) AS DOUBLE)"


def _cells(db: duckdb.DuckDBPyConnection, choice: Choice) -> tuple[int, int]:
    """Makes `cells(key, grp, t, x, ...)`: a row for each row of the table that has or misses the value."""
    key, value = KEYS[choice.table], f'"{choice.column}"' if choice.table != "users" else _attribute(choice.column)
    time, group, among = "NULL::DOUBLE", "NULL::VARCHAR", "true"
    if choice.table == "events":
        time, group = "epoch(CASE WHEN isfinite(ts) THEN ts END)", _GROUPS.get(choice.column, "user_id")
        among = f"kind IN (SELECT kind FROM events GROUP BY kind HAVING count({value}) >= {MOSTLY} * count(*))"
    finite = f"CASE WHEN isfinite({value}) THEN {value} END::DOUBLE"
    db.execute(
        f"CREATE OR REPLACE TEMP TABLE cells AS SELECT {key} AS key, {group} AS grp, {time} AS t, {finite} AS x,"
        f" {_others(choice)} FROM {choice.table} WHERE {among}"
    )
    known, rows = db.execute("SELECT count(x), count(*) FROM cells").fetchall()[0]
    return int(known), int(rows - known)


def _others(choice: Choice) -> str:
    """SQL for the other columns, from which a forest tells: numbers as `n_...`, words as `w_...`."""
    if choice.table == "users":
        without = literal(json.dumps({choice.column: None}, ensure_ascii=False))
        return f"json_merge_patch(coalesce(attrs, '{{}}')::JSON, {without})::VARCHAR AS a_attrs, lang AS w_lang"
    numbers = [f for f in FIELDS[choice.table].every if f in RANGED - {"ts", choice.column}]
    words = [f for f in ("kind", "category", "channel", "device", "lang", "item_id") if f in FIELDS[choice.table].every]
    return ", ".join([*(f'"{f}" AS n_{f}' for f in numbers), *(f'"{f}" AS w_{f}' for f in words)]) or "NULL AS n_none"


def _errors(db: duckdb.DuckDBPyConnection, choice: Choice) -> tuple[float | None, float | None]:
    """How far guesses are from hidden values, by the way chosen and by the median of everything."""
    hidden = f"hash(key) % {HELD_OUT} = 0"
    shown = f"CASE WHEN {hidden} THEN NULL ELSE x END"
    db.execute(f"CREATE OR REPLACE TEMP TABLE shown AS SELECT * REPLACE ({shown} AS x) FROM cells")
    answer = f"""
    SELECT avg(abs(c.x - g.value)), avg(abs(c.x - (SELECT median(x) FROM shown)))
    FROM cells c JOIN ({WAYS[choice.way](db, "shown")}) g USING (key) WHERE c.x IS NOT NULL AND {hidden}
    """
    error, plain = db.execute(answer).fetchall()[0]
    return (None, None) if error is None else (round(float(error), 6), round(float(plain), 6))
