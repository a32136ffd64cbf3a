"""How each field of a source is made: what its column's type and values spare of cleaning.

A column of times or numbers is taken as it is and never becomes text. A column of text is looked through once, each
different value where there are few, and is cleaned only if something in it needs it: a tidy table is loaded at the
speed of copying it. What comes out is the same as if every value had been cleaned as text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as Mapping_
from dataclasses import dataclass

import duckdb

from limner.histories.cleaning import (
    BELIEVED,
    GIVEN,
    LIST,
    MOMENT,
    NUMBER,
    RATING,
    TEXT,
    UNTIDY,
    WORD_FOR_NOTHING,
    Steps,
    apply,
    step_sql,
)
from limner.histories.columns import Column, Raw, find_column
from limner.histories.mapping import FIELDS, JOINS, Mapping
from limner.histories.store import quote_path as literal


@dataclass(frozen=True, slots=True)
class FieldForm:
    """How one sort of field becomes a value.

    Attributes:
        given: Steps to its text; what comes out is what a reason shows.
        steps: Further steps to its value.
        problem: What a reason says where there is text but no value; empty if any text will do.
    """

    given: Steps = GIVEN
    steps: Steps = ()
    problem: str = ""


_WORD, _TEXT = FieldForm(), FieldForm(TEXT)
_NUMBER = FieldForm(GIVEN, NUMBER, "is not a number")

IDS = frozenset({"user_id", "other_id", "item_id", "session_id"})
"""Fields whose joined columns must all be there."""

NUMBERS = ("price", "quantity", "amount", "weight")

FORMS: dict[str, FieldForm] = {
    "ts": FieldForm(GIVEN, MOMENT, "unreadable time"),
    "category": FieldForm(GIVEN, LIST),
    "rating": FieldForm(GIVEN, RATING, "is not a number"),
    **dict.fromkeys(NUMBERS, _NUMBER),
    **dict.fromkeys(("title", "text_title", "text"), _TEXT),
    **dict.fromkeys(("kind", "currency", "channel", "device", "place", "role", "lang", *IDS), _WORD),
}
"""The form of each field, in any table."""

NOTHING = "NULL::VARCHAR"

_ABSENT = {"ts": "NULL::TIMESTAMP", **dict.fromkeys((*NUMBERS, "rating"), "NULL::DOUBLE")}

_EXACT = re.compile(r"(TINY|SMALL|BIG)INT|INTEGER|U(TINY|SMALL)INT|UINTEGER|DECIMAL\((\d|1[0-5]),\d+\)")
"""Types whose numbers are the same whether taken as they are or read from their text."""

_WIDE = re.compile(r"U?(BIG|HUGE)INT|DECIMAL.*")
"""Types whose numbers are rounded as their text is."""

_FLOATING = {"DOUBLE": "{v}", "FLOAT": "{v}::VARCHAR::DOUBLE"}
"""Types whose numbers need not be finite, and how they become wide ones."""

_TIMES = re.compile(r"TIMESTAMP(_S|_MS)?|DATE")

_ZONED = "TIMESTAMP WITH TIME ZONE"

_TIDY = re.compile(r"U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|DECIMAL.*|DOUBLE|FLOAT|BOOLEAN|UUID|DATE|TIME.*")
"""Types whose text needs no cleaning."""

SMALL = 50_000
"""Rows up to which a source is looked through at once."""

_MANY = frozenset({"text", "text_title", "title", "session_id"})
"""Fields with as many values as rows, or nearly: looking for the different ones would cost more than looking at all."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one field is made.

    Attributes:
        first: SQL over the raw table for its text, or its value if it needs no cleaning.
        given: Steps from there to what a reason shows.
        steps: Further steps to its value.
        said: SQL over the raw table for what a reason shows; empty where the steps `given` give it.
        known: It is read by its type: what its steps would do is done.
        absent: The source does not have it.
    """

    first: str
    given: Steps = ()
    steps: Steps = ()
    said: str = ""
    known: bool = False
    absent: bool = False


def plan_fields(connection: duckdb.DuckDBPyConnection, raw: Raw, mapping: Mapping, source: str) -> dict[str, Plan]:
    """Decides for every field of a source how it is made.

    Args:
        connection: Holds the raw table.
        raw: The source.
        mapping: How to read it.
        source: Its name.
    """
    single: dict[str, Column] = {}
    plans: dict[str, Plan] = {}
    for field in FIELDS[mapping.kind].every:
        names = mapping.columns.get(field, ())
        columns = [find_column(raw, name, source, field) for name in names]
        constant = mapping.constants.get(field)
        if field == "currency" and not constant:
            constant = mapping.currency or None
        if not columns and constant is None:
            plans[field] = Plan(_ABSENT.get(field, NOTHING), absent=True)
        elif not columns:
            plans[field] = _constant(connection, field, constant or "")
        elif len(columns) == 1 and constant is None:
            single[field] = columns[0]
        else:
            plans[field] = Plan(_joined(field, columns, constant), FORMS[field].given, FORMS[field].steps)
    plans |= {field: plan for field, column in single.items() if (plan := _by_type(field, column, mapping.timezone))}
    left = {field: column for field, column in single.items() if field not in plans}
    return {**plans, **_by_values(connection, raw, left)}


def _constant(connection: duckdb.DuckDBPyConnection, field: str, text: str) -> Plan:
    form = FORMS[field]
    value = connection.execute(f"SELECT x FROM {apply(form.given, f'(SELECT {literal(text)} AS x)')}").fetchall()[0][0]
    return Plan(NOTHING if value is None else literal(str(value)), steps=form.steps)


def _joined(field: str, columns: list[Column], constant: str | None) -> str:
    """SQL for a field's text: several columns joined, or a constant where a column has nothing."""
    separator = literal(JOINS.get(field, ":"))
    given = [f"nullif(trim({c.text}), '')" for c in columns]
    if len(columns) == 1:
        joined = columns[0].text
    elif field in IDS:
        joined = "(" + f" || {separator} || ".join(given) + ")"
    else:
        joined = f"nullif(concat_ws({separator}, {', '.join(given)}), '')"
    return joined if constant is None else f"coalesce(nullif(trim({joined}), ''), {literal(constant)})"


def _by_type(field: str, column: Column, zone: str) -> Plan | None:
    """The plan of a field whose column's type spares the cleaning; None if it does not."""
    value, kind = column.value, column.kind
    if not value:
        return None
    if field in (*NUMBERS, "rating"):
        return _number(value, kind)
    if field == "ts" and (_TIMES.fullmatch(kind) or kind == _ZONED):
        moment = f"TRY_CAST({value} AS TIMESTAMP)"
        if kind == _ZONED:
            moment = f"timezone('UTC', {value})"
        elif zone != "UTC":
            moment = f"timezone('UTC', timezone({literal(zone)}, {moment}))"
        believed = moment if kind == "TIMESTAMP" and zone == "UTC" else f"({moment})"
        return Plan(f"CASE WHEN {BELIEVED.format(m=believed)} THEN {believed} END", said=column.text, known=True)
    if FORMS[field].given == GIVEN and not FORMS[field].problem and _TIDY.fullmatch(kind):
        return Plan(column.text)
    return None


def _number(value: str, kind: str) -> Plan | None:
    """The plan of a field that is a number, for a column of numbers."""
    if wide := _FLOATING.get(kind):
        # Adding nothing makes nought of minus nought, as its text does.
        finite = f"CASE WHEN isfinite({value}) THEN {wide.format(v=value)} + 0.0::DOUBLE END"
        return Plan(finite, said=f"CASE WHEN isinf({value}) THEN {value}::VARCHAR END", known=True)
    if _EXACT.fullmatch(kind):
        return Plan(f"{value}::DOUBLE", said=NOTHING, known=True)
    return Plan(f"{value}::VARCHAR::DOUBLE", said=NOTHING, known=True) if _WIDE.fullmatch(kind) else None


def _by_values(connection: duckdb.DuckDBPyConnection, raw: Raw, columns: Mapping_[str, Column]) -> dict[str, Plan]:
    """The plans of fields whose columns are text: without the steps that none of their values needs."""
    plans = {}
    for (field, column), odd in zip(columns.items(), _oddities(connection, raw, columns), strict=True):
        form = FORMS[field]
        needed = (odd.untidy, odd.untidy or odd.nothing)
        given = tuple(step for step, wanted in zip(form.given, needed, strict=False) if wanted)
        steps = () if form.steps == LIST and not odd.untidy and not odd.listed else form.steps
        plans[field] = Plan(column.text, given, steps)
    return plans


@dataclass(frozen=True, slots=True)
class _Odd:
    """Whether any value of a column is untidy, is a word for nothing, or may be a list in JSON."""

    untidy: bool
    nothing: bool
    listed: bool


def _oddities(connection: duckdb.DuckDBPyConnection, raw: Raw, columns: Mapping_[str, Column]) -> list[_Odd]:
    """What is odd in each column: in a small source by one look at all, else by the different values of each column."""
    tests = (f"regexp_matches({{x}}, {literal(UNTIDY)})", WORD_FOR_NOTHING, "starts_with({x}, '[')")

    def asked(text: str) -> str:
        return ", ".join(f"coalesce(bool_or({step_sql(test, text)}), false)" for test in tests)

    small = connection.execute(f"SELECT count(*) <= {SMALL} FROM {raw.table}").fetchall()[0][0]
    if small and columns:
        every = ", ".join(asked(column.text) for column in columns.values())
        found = connection.execute(f"SELECT {every} FROM {raw.table}").fetchall()[0]
        return [_Odd(*found[at : at + len(tests)]) for at in range(0, len(found), len(tests))]
    odd = []
    for field, column in columns.items():
        values = f"SELECT {'' if field in _MANY else 'DISTINCT '}{column.text} AS x FROM {raw.table}"
        odd.append(_Odd(*connection.execute(f"SELECT {asked('x')} FROM ({values})").fetchall()[0]))
    return odd
