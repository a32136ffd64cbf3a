"""From a raw table to rows of the workspace's tables: mapped, cleaned, each with the reason why it is bad, if it is.

One SQL statement per source does all of it, so that a load of any size stays inside DuckDB. The statement is built in
layers: the texts of each field, then their values, then what depends on other values, then the verdict.
"""

from __future__ import annotations

import json
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
    Steps,
    currency_sql,
    lookup_sql,
    step_sql,
    time_sql,
)
from limner.histories.columns import Column, Raw, distinct_given, find, find_column
from limner.histories.language import detect_sql
from limner.histories.mapping import FIELDS, JOINS, Mapping
from limner.histories.quarantine import Quarantine
from limner.histories.schema import TABLES
from limner.histories.store import quote_path as literal
from limner.histories.words import KIND_WORDS, LANGUAGE_WORDS, ROLE_WORDS

SHOWN = 60
"""Characters of a bad value that a reason shows."""


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

FORMS: dict[str, FieldForm] = {
    "ts": FieldForm(GIVEN, MOMENT, "unreadable time"),
    "category": FieldForm(GIVEN, LIST),
    "rating": FieldForm(GIVEN, RATING, "is not a number"),
    **dict.fromkeys(("price", "quantity", "amount", "weight"), _NUMBER),
    **dict.fromkeys(("title", "text_title", "text"), _TEXT),
    **dict.fromkeys(("kind", "currency", "channel", "device", "place", "role", "lang", *IDS), _WORD),
}
"""The form of each field, in any table."""

MISSING = {"user_id": "no user", "item_id": "no item", "other_id": "no other user"}
"""What the reason says where a required field has no value."""

IDENTITY = (
    "user_id ts kind item_id title category text_title text rating price quantity amount currency channel device place"
    " session_id role"
).split()
"""What an event says, besides `attrs`: the fields whose hash is its id. Where it was read from is no part of it."""

SEPARATOR = "chr(31)"
"""Between fields under the hash: the unit separator, which cleaning takes out of every value."""


def create_stage(connection: duckdb.DuckDBPyConnection, kind: str) -> str:
    """Makes the table that collects the good rows of all sources for one table; returns its name.

    `_order` is the row's place in the load, `_said_attrs` the part of `attrs` that identifies it.
    """
    name = f"staged_{kind}"
    listed = [f'"{c}" {_SQL[str(t)]}' for c, t in TABLES[kind].columns if c not in {"event_id", "ordinal"}]
    connection.execute(f"CREATE TEMP TABLE {name} ({', '.join(listed)}, _order BIGINT, _said_attrs VARCHAR)")
    return name


def stage(connection: duckdb.DuckDBPyConnection, statement: Statement, quarantine: Quarantine, base: int) -> int:
    """Adds the good rows of a source to its stage and gives the bad ones to the quarantine.

    Args:
        connection: Where the raw table and the stage are.
        statement: What to do.
        quarantine: Where bad rows go.
        base: What is added to a row's number to give its place in the load.

    Returns:
        The number of rows looked at.
    """
    name = f"staged_{statement.mapping.kind}"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE seen AS {statement.sql()}")
    listed = [f'"{c}"' for c, _ in TABLES[statement.mapping.kind].columns if c not in {"event_id", "ordinal"}]
    chosen = ", ".join(listed)
    connection.execute(
        f"INSERT INTO {name} ({chosen}, _order, _said_attrs)"
        f" SELECT {chosen}, _row + {base}, _said_attrs FROM seen WHERE _reason IS NULL"
    )
    looked, bad = connection.execute("SELECT count(*), count(_reason) FROM seen").fetchall()[0]
    if bad:
        _set_aside(connection, statement, quarantine)
    connection.execute("DROP TABLE seen")
    return int(looked)


def _set_aside(connection: duckdb.DuckDBPyConnection, statement: Statement, quarantine: Quarantine) -> None:
    """Gives the bad rows of the table `seen` to the quarantine, each with its reason and as it was read."""
    cursor = connection.execute(
        f"SELECT r._row, s._reason, r.whole FROM (SELECT {statement.raw.row} AS _row, {statement.whole()} AS whole"
        f" FROM {statement.raw.table}) r JOIN (SELECT _row, _reason FROM seen WHERE _reason IS NOT NULL) s USING (_row)"
        " ORDER BY ALL"
    )
    while rows := cursor.fetchmany(1_000):
        for row, reason, whole in rows:
            quarantine.add(statement.source, int(row), reason, json.loads(whole, strict=False))


_SQL = {"string": "VARCHAR", "double": "DOUBLE", "timestamp[us]": "TIMESTAMP"}


@dataclass(frozen=True, slots=True)
class Words:
    """What a source's words mean, for the words that occur in it.

    Attributes:
        kinds: Kinds of events.
        unknown: Words for kinds that no table knows; they became `other`.
    """

    kinds: dict[str, str]
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """The SQL that stages one source.

    Attributes:
        raw: The source.
        mapping: How to read it.
        source: Its name, stored with each row.
        order: Order of day and month, decided for the whole column.
        words: The meanings of its kind words.
    """

    raw: Raw
    mapping: Mapping
    source: str
    order: str
    words: Words

    def sql(self) -> str:
        """A query that gives every row with its fields, `_row`, `_reason` (null if good) and `_said_attrs`."""
        fields = FIELDS[self.mapping.kind].every
        texts = ", ".join(f"{self._text(f)} AS {f}" for f in fields)
        layer = f"SELECT {self.raw.row} AS _row, {texts}, {self._extras()} FROM {self.raw.table}"
        layer = _layers(layer, {f: FORMS[f].given for f in fields})
        layer = f"SELECT *, {', '.join(f'{f} AS {f}_said' for f in fields)} FROM ({layer})"
        layer = _layers(layer, {f: FORMS[f].steps for f in fields})
        if "ts" in fields:
            layer = f"SELECT * REPLACE ({time_sql('ts', self.mapping.timezone, self.order)} AS ts) FROM ({layer})"
            layer = f"SELECT * REPLACE (CASE WHEN {BELIEVED.format(m='ts')} THEN ts END AS ts) FROM ({layer})"
        replaced = self._replaced(fields)
        if replaced:
            layer = f"SELECT * REPLACE ({', '.join(f'{sql} AS {f}' for f, sql in replaced.items())}) FROM ({layer})"
        if self.mapping.kind == "events":
            layer = f"SELECT *, CASE WHEN lang IS NULL THEN {_SPOKEN} END AS _spoken FROM ({layer})"
            layer = f"SELECT * REPLACE (coalesce(lang, nullif({detect_sql('_spoken')}, '')) AS lang) FROM ({layer})"
        reason, attrs = self._reason(fields), self._attrs()
        return f"SELECT *, {literal(self.source)} AS source, {attrs} AS attrs, {reason} AS _reason FROM ({layer})"

    def _text(self, field: str) -> str:
        """SQL for a field's text: its column, several joined, or its constant."""
        columns = [find_column(self.raw, name, self.source, field) for name in self.mapping.columns.get(field, ())]
        constant = self.mapping.constants.get(field)
        if field == "currency" and not constant:
            constant = self.mapping.currency or None
        if not columns:
            return literal(constant) if constant is not None else "NULL::VARCHAR"
        separator = literal(JOINS.get(field, ":"))
        given = [f"nullif(trim({c.text}), '')" for c in columns]
        if len(columns) == 1:
            joined = columns[0].text
        elif field in IDS:
            joined = "(" + f" || {separator} || ".join(given) + ")"
        else:
            joined = f"nullif(concat_ws({separator}, {', '.join(given)}), '')"
        return joined if constant is None else f"coalesce(nullif(trim({joined}), ''), {literal(constant)})"

    def _extras(self) -> str:
        """SQL for the columns that no field takes: those that identify, and those that do not."""
        taken = {c.name for names in self.mapping.columns.values() for n in names if (c := find(self.raw, n))}
        left = [c for c in self.raw.columns if not c.nested and c.name not in taken]
        dropped = {c.name for n in self.mapping.drop if (c := find(self.raw, n))}
        volatile = {c.name for n in self.mapping.volatile if (c := find(self.raw, n))}
        lasting = [c for c in left if c.name not in dropped | volatile]
        passing = [c for c in left if c.name in volatile - dropped]
        return f"{_members(lasting)} AS _said_attrs, {_members(passing)} AS _other_attrs"

    def whole(self) -> str:
        """SQL for a whole raw row as JSON, for the quarantine."""
        return f"'{{' || coalesce({_members([c for c in self.raw.columns if not c.nested])}, '') || '}}'"

    def _replaced(self, fields: tuple[str, ...]) -> dict[str, str]:
        """Fields whose value depends on tables of words or on other fields."""
        found: dict[str, str] = {}
        if "lang" in fields:
            found["lang"] = f"lower({lookup_sql('lower(lang)', LANGUAGE_WORDS, 'lang')})"
        if self.mapping.kind == "events":
            kind = lookup_sql("lower(kind)", self.words.kinds, "'other'")
            if self.mapping.negative:
                kind = f"CASE WHEN quantity < 0 OR amount < 0 THEN {literal(self.mapping.negative)} ELSE {kind} END"
            found["kind"] = kind
            roles = lookup_sql("lower(role)", ROLE_WORDS, "lower(role)")
            found["role"] = f"CASE WHEN role IS NOT NULL THEN {roles} END"
        if self.mapping.kind == "ties":
            found["kind"] = "coalesce(kind, 'knows')"
        if "currency" in fields:
            signs = currency_sql(*(f"{f}_said" for f in ("amount", "price") if f in fields))
            value = "CASE WHEN {f} IS NOT NULL THEN {v} END"
            known = f"coalesce(upper(currency), {signs})"
            anything = "coalesce(" + ", ".join(f for f in ("amount", "price") if f in fields) + ")"
            found["currency"] = value.format(f=anything, v=known)
        return found

    def _attrs(self) -> str:
        """SQL for the JSON of everything that has no field of its own."""
        parts = ["_said_attrs", "_other_attrs"]
        for field, keep in (("kind", "kind = 'other' AND kind_said IS NOT NULL"), ("ts", "ts IS NULL")):
            names = self.mapping.columns.get(field)
            if names and self.mapping.kind == "events":
                key = literal(json.dumps(names[0], ensure_ascii=False) + ":")
                parts.append(f"CASE WHEN {keep} THEN {key} || to_json({field}_said)::VARCHAR END")
        return f"'{{' || concat_ws(',', {', '.join(parts)}) || '}}'"

    def _reason(self, fields: tuple[str, ...]) -> str:
        """SQL for why a row is bad; null if it is not."""
        required = FIELDS[self.mapping.kind].required
        branches = [f"CASE WHEN {f} IS NULL THEN {literal(MISSING[f])} END" for f in required]
        for field in fields:
            problem = FORMS[field].problem
            if field == "ts":
                branches.append(self._time_reason())
            elif problem:
                said = f"{field}_said"
                says = _says(f"{field} {problem}", said)
                branches.append(f"CASE WHEN {field} IS NULL AND {said} IS NOT NULL THEN {says} END")
        return f"nullif(concat_ws('; ', {', '.join(branches)}), '')"

    def _time_reason(self) -> str:
        if self.mapping.undated == "keep":
            return "NULL"
        said = "ts_said"
        doubtful = "day and month cannot be told apart (set dates in the mapping)"
        unreadable = _says("unreadable time", said)
        if self.order == "mixed":
            shape = f"regexp_matches({said}, '^\\d{{1,2}}[-/]\\d{{1,2}}[-/]\\d{{2,4}}')"
            unreadable = f"CASE WHEN {shape} THEN {_says(doubtful, said)} ELSE {unreadable} END"
        missing = "'no time'" if self.mapping.kind == "events" else "NULL"
        return f"CASE WHEN ts IS NULL AND {said} IS NULL THEN {missing} WHEN ts IS NULL THEN {unreadable} END"


_SPOKEN = "coalesce(nullif(concat_ws(' ', text_title, text), ''), title)"
"""What an event's language is told from: the person's own words, else the item's title."""


def _layers(query: str, steps: Mapping_[str, Steps]) -> str:
    """Applies each field's steps, one layer of SELECT for each step."""
    for depth in range(max(map(len, steps.values()))):
        replaced = ", ".join(f"{step_sql(s[depth], f)} AS {f}" for f, s in steps.items() if len(s) > depth)
        query = f"SELECT * REPLACE ({replaced}) FROM ({query})"
    return query


def _says(problem: str, said: str) -> str:
    return f"{literal(problem + ': ')} || left({said}, {SHOWN})"


def _members(columns: list[Column]) -> str:
    """SQL for the members of a JSON object with the values of columns; empty members are left out, null if all are."""
    if not columns:
        return "NULL::VARCHAR"
    members = [
        f"{literal(json.dumps(c.name, ensure_ascii=False) + ':')} || nullif(({c.json})::VARCHAR, '\"\"')"
        for c in columns
    ]
    return f"nullif(concat_ws(',', {', '.join(members)}), '')"


def said_sql() -> str:
    """SQL for the hash of what an event says."""
    values = ", ".join(f"coalesce(CAST({field} AS VARCHAR), '')" for field in IDENTITY)
    # Without its quotes, so that a number and the same number as text say the same.
    return f"md5(concat_ws({SEPARATOR}, {values}, replace(coalesce(_said_attrs, ''), '\"', '')))"


def occurring_words(connection: duckdb.DuckDBPyConnection, raw: Raw, mapping: Mapping, source: str) -> Words:
    """The meanings of the kind words that occur in a source, so that only those are looked for row by row."""
    own = {word.strip().lower(): kind for word, kind in mapping.kinds.items()}
    known = {**KIND_WORDS, **own}
    constant = mapping.constants.get("kind")
    names = mapping.columns.get("kind", ())
    present = {constant} if constant else set()
    if len(names) == 1:
        column = find_column(raw, names[0], source, "kind")
        rows = connection.execute(f"SELECT DISTINCT lower(x) FROM {distinct_given(raw, column)} LIMIT 5000").fetchall()
        present |= {str(row[0]) for row in rows if row[0] is not None}
    elif names:
        present |= set(known)
    kinds = {word: meaning for word in present if (meaning := known.get(word) or known.get(_loose(word)))}
    return Words(kinds, tuple(sorted(present - set(kinds))))


def _loose(word: str) -> str:
    return "_".join(word.replace("-", " ").replace("_", " ").split())
