"""From a raw table to rows of the workspace's tables: mapped, cleaned, each with the reason why it is bad, if it is.

One SQL statement per source does all of it, so that a load of any size stays inside DuckDB. The statement is built in
layers: the texts of each field, then their values, then what depends on other values, then the verdict.
"""

from __future__ import annotations

import json
from collections.abc import Mapping as Mapping_
from dataclasses import dataclass

import duckdb

from limner.histories.cleaning import BELIEVED, Steps, currency_sql, lookup_sql, step_sql, time_sql
from limner.histories.columns import Column, Raw, distinct_given, find, find_column
from limner.histories.language import detect_sql
from limner.histories.mapping import FIELDS, Mapping
from limner.histories.plans import FORMS, NOTHING, NUMBERS, Plan
from limner.histories.quarantine import Quarantine
from limner.histories.said import OTHERS
from limner.histories.schema import TABLES
from limner.histories.store import quote_path as literal
from limner.histories.words import KIND_WORDS, LANGUAGE_WORDS, ROLE_WORDS

SHOWN = 60
"""Characters of a bad value that a reason shows."""


MISSING = {"user_id": "no user", "item_id": "no item", "other_id": "no other user"}
"""What the reason says where a required field has no value."""


def create_stage(connection: duckdb.DuckDBPyConnection, kind: str) -> str:
    """Makes the table that collects the rows of all sources for one table; returns its name.

    `_order` is the row's place in the load, `_said_attrs` the part of `attrs` that identifies it.
    """
    name = f"staged_{kind}"
    listed = [f'"{c}" {_SQL[str(t)]}' for c, t in TABLES[kind].columns if c not in {"event_id", "ordinal"}]
    connection.execute(f"CREATE TEMP TABLE {name} ({', '.join(listed)}, {_PLACES})")
    return name


_PLACES = "_order BIGINT, _said_attrs VARCHAR, _reason VARCHAR"


def stage(connection: duckdb.DuckDBPyConnection, statement: Statement, quarantine: Quarantine, base: int) -> int:
    """Adds the good rows of a source to its stage and gives the bad ones to the quarantine.

    Rows of a file that are as quick to read again (`Statement.streams`) are only judged: `streamed` gives them.

    Args:
        connection: Where the raw table and the stage are.
        statement: What to do.
        quarantine: Where bad rows go.
        base: What is added to a row's number to give its place in the load.

    Returns:
        The number of rows looked at.
    """
    looked = int(connection.execute(f"SELECT count(*) FROM {statement.raw.table}").fetchall()[0][0])
    if statement.streams:
        bad_rows = (
            f"SELECT _row, {statement.reason()} AS _reason FROM ({statement.sql()}) WHERE NOT ({statement.good()})"
        )
        if connection.execute(f"SELECT 1 FROM ({bad_rows}) LIMIT 1").fetchall():
            _set_aside(connection, statement, quarantine, bad_rows)
        return looked
    name, chosen = f"staged_{statement.mapping.kind}", _columns(statement.mapping.kind)
    connection.execute(
        f"INSERT INTO {name} ({chosen}, _order, _said_attrs, _reason)"
        f" SELECT {chosen}, _row + {base}, _said_attrs, {statement.reason()} FROM ({statement.sql()})"
    )
    if connection.execute(f"SELECT count(_reason) FROM {name}").fetchall()[0][0]:
        bad_rows = f"SELECT _order - {base} AS _row, _reason FROM {name} WHERE _reason IS NOT NULL"
        _set_aside(connection, statement, quarantine, bad_rows)
        connection.execute(f"DELETE FROM {name} WHERE _reason IS NOT NULL")
    return looked


def streamed(statement: Statement, base: int, among: str = "") -> str:
    """SQL for the good rows of a source that `stage` did not keep, with the columns of its stage.

    Args:
        statement: How it is read.
        base: As for `stage`.
        among: A table of users (`user_id`) whose rows alone are wanted; everyone's if empty.
    """
    return (
        f"SELECT {_columns(statement.mapping.kind)}, _row + {base} AS _order, _said_attrs"
        f" FROM ({statement.sql(among)}) WHERE {statement.good()}"
    )


def _columns(kind: str) -> str:
    return ", ".join(f'"{c}"' for c, _ in TABLES[kind].columns if c not in {"event_id", "ordinal"})


def _set_aside(
    connection: duckdb.DuckDBPyConnection, statement: Statement, quarantine: Quarantine, bad_rows: str
) -> None:
    """Gives the bad rows of a source to the quarantine, each with its reason and as it was read."""
    cursor = connection.execute(
        f"SELECT r._row, s._reason, r.whole FROM (SELECT {statement.raw.row} AS _row, {statement.whole()} AS whole"
        f" FROM {statement.raw.table}) r JOIN ({bad_rows}) s USING (_row) ORDER BY ALL"
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
        plans: How each field is made.
    """

    raw: Raw
    mapping: Mapping
    source: str
    order: str
    words: Words
    plans: Mapping_[str, Plan]

    @property
    def streams(self) -> bool:
        """Whether the source is a file whose rows cost no more to read again than to keep."""
        plans = [plan for plan in self.plans.values() if not plan.absent]
        own = self.raw.again is not None and self.raw.again.table == self.raw.table
        return own and all(not (plan.given or plan.steps) for plan in plans)

    @property
    def given(self) -> frozenset[str]:
        """The fields that may have a value, `attrs` and the part of it that identifies (`said.OTHERS`) among them."""
        made = {"events": {"kind", "lang"}, "ties": {"kind"}}.get(self.mapping.kind, set())
        if any(not self.plans[f].absent and not self.plans[f].known for f in NUMBERS if f in self.plans):
            made |= {"currency"}  # Its sign may stand beside an amount.
        made |= {rule.field for rule in self.mapping.rules}
        lasting, passing = self._left()
        if lasting:
            made |= {OTHERS}
        if lasting or passing or self.mapping.kind != "events" or self._keeps_words():
            made |= {"attrs"}
        return frozenset(made | {field for field, plan in self.plans.items() if not plan.absent})

    def sql(self, among: str = "") -> str:
        """A query that gives every row with its fields, `_row`, `_said_attrs`, and for each FIELD its text FIELD_said.

        Args:
            among: A table of users (`user_id`) whose rows alone are wanted, where the source `streams`.
        """
        fields = FIELDS[self.mapping.kind].every
        texts = ", ".join(f"{self.plans[f].first} AS {f}" for f in fields)
        told = {f: self.plans[f].said or f"{NOTHING}" for f in fields if self.plans[f].known or self.plans[f].absent}
        said = "".join(f", {sql} AS {f}_said" for f, sql in told.items())
        layer = f"SELECT {self.raw.row} AS _row, {texts}{said}, {self._extras()} FROM {self.raw.table}"
        if among:
            layer += f" SEMI JOIN {among} ON {among}.user_id = {self.plans['user_id'].first}"
        left = [f for f in fields if f not in told]
        layer = _layers(layer, {f: self.plans[f].given for f in left})
        layer = f"SELECT {', '.join(['*', *(f'{f} AS {f}_said' for f in left)])} FROM ({layer})"
        layer = _layers(layer, {f: self.plans[f].steps for f in left})
        if "ts" in left:
            layer = f"SELECT * REPLACE ({time_sql('ts', self.mapping.timezone, self.order)} AS ts) FROM ({layer})"
            layer = f"SELECT * REPLACE (CASE WHEN {BELIEVED.format(m='ts')} THEN ts END AS ts) FROM ({layer})"
        replaced = self._replaced(fields)
        if replaced:
            layer = f"SELECT * REPLACE ({', '.join(f'{sql} AS {f}' for f, sql in replaced.items())}) FROM ({layer})"
        if repairs := {column: sql for rule in self.mapping.rules for column, sql in rule.repaired().items()}:
            layer = f"SELECT * REPLACE ({', '.join(f'{sql} AS {f}' for f, sql in repairs.items())}) FROM ({layer})"
        spoken = [f for f in ("text_title", "text", "title") if f in self.given]
        if self.mapping.kind == "events" and spoken:
            some = " OR ".join(f"{f} IS NOT NULL" for f in spoken)
            layer = f"SELECT *, CASE WHEN lang IS NULL AND ({some}) THEN {_SPOKEN} END AS _spoken FROM ({layer})"
            found = f"CASE WHEN _spoken IS NOT NULL THEN nullif({detect_sql('_spoken')}, '') END"
            layer = f"SELECT * REPLACE (coalesce(lang, {found}) AS lang) FROM ({layer})"
        return f"SELECT *, {literal(self.source)} AS source, {self._attrs()} AS attrs FROM ({layer})"

    def _keeps_words(self) -> bool:
        """Whether the word for a kind that is `other`, or an unreadable time, may be kept in `attrs`."""
        meant = {*self.words.kinds.values(), self.mapping.negative}
        kinds = bool(self.words.unknown) or not self.words.kinds or "other" in meant
        return kinds or self.mapping.undated == "keep" or any(rule.field == "kind" for rule in self.mapping.rules)

    def _left(self) -> tuple[list[Column], list[Column]]:
        """The columns that no field takes: those that identify, and those that do not."""
        taken = {c.name for names in self.mapping.columns.values() for n in names if (c := find(self.raw, n))}
        left = [c for c in self.raw.columns if not c.nested and c.name not in taken]
        dropped = {c.name for n in self.mapping.drop if (c := find(self.raw, n))}
        volatile = {c.name for n in self.mapping.volatile if (c := find(self.raw, n))}
        lasting = [c for c in left if c.name not in dropped | volatile]
        passing = [c for c in left if c.name in volatile - dropped]
        return lasting, passing

    def _extras(self) -> str:
        """SQL for the columns that no field takes, as members of a JSON object."""
        lasting, passing = self._left()
        return f"{_members(lasting)} AS {OTHERS}, {_members(passing)} AS _other_attrs"

    def whole(self) -> str:
        """SQL for a whole raw row as JSON, for the quarantine."""
        return f"'{{' || coalesce({_members([c for c in self.raw.columns if not c.nested])}, '') || '}}'"

    def _replaced(self, fields: tuple[str, ...]) -> dict[str, str]:
        """Fields whose value depends on tables of words or on other fields."""
        found: dict[str, str] = {}
        here = {f for f in fields if not self.plans[f].absent}
        if "lang" in here:
            found["lang"] = f"lower({lookup_sql('lower(lang)', LANGUAGE_WORDS, 'lang')})"
        if self.mapping.kind == "events":
            kind = lookup_sql("lower(kind)", self.words.kinds, "'other'")
            if self.mapping.negative and here & {"quantity", "amount"}:
                kind = f"CASE WHEN quantity < 0 OR amount < 0 THEN {literal(self.mapping.negative)} ELSE {kind} END"
            found["kind"] = kind
            if "role" in here:
                roles = lookup_sql("lower(role)", ROLE_WORDS, "lower(role)")
                found["role"] = f"CASE WHEN role IS NOT NULL THEN {roles} END"
        if self.mapping.kind == "ties":
            found["kind"] = "coalesce(kind, 'knows')"
        if "currency" in fields and "currency" in self.given:
            texts = [f for f in ("amount", "price") if f in here and not self.plans[f].known]
            signs = currency_sql(*(f"{f}_said" for f in texts))
            value = "CASE WHEN {f} IS NOT NULL THEN {v} END"
            known = f"coalesce(upper(currency), {signs})"
            anything = "coalesce(" + ", ".join(f for f in ("amount", "price") if f in fields) + ")"
            found["currency"] = value.format(f=anything, v=known)
        return found

    def _attrs(self) -> str:
        """SQL for the JSON of everything that has no field of its own."""
        parts = ["_said_attrs", "_other_attrs"]
        kept = {"kind": "kind = 'other' AND kind_said IS NOT NULL", "ts": "ts IS NULL"}
        for field, keep in kept.items():
            names = self.mapping.columns.get(field)
            if names and self.mapping.kind == "events":
                key = literal(json.dumps(names[0], ensure_ascii=False) + ":")
                parts.append(f"CASE WHEN {keep} THEN {key} || to_json({field}_said)::VARCHAR END")
        return f"'{{' || concat_ws(',', {', '.join(parts)}) || '}}'"

    def reason(self) -> str:
        """SQL over the rows of `sql` for why a row is bad; null if it is not."""
        branches = [f"CASE WHEN {condition} THEN {told} END" for condition, told in self._faults()]
        return f"nullif(concat_ws('; ', {', '.join(branches)}), '')"

    def good(self) -> str:
        """SQL over the rows of `sql`: whether a row is good."""
        return " AND ".join([f"NOT ({condition})" for condition, _ in self._faults()] or ["true"])

    def _faults(self) -> list[tuple[str, str]]:
        """What makes a row bad, as SQL that is true or false and SQL that says so."""
        table = FIELDS[self.mapping.kind]
        faults = [(f"{f} IS NULL", literal(MISSING[f])) for f in table.required]
        for field in table.every:
            plan, problem, said = self.plans[field], FORMS[field].problem, f"{field}_said"
            if field == "ts":
                faults += self._time_faults()
            elif problem and not plan.absent and plan.said != NOTHING:
                faults.append((f"{field} IS NULL AND {said} IS NOT NULL", _says(f"{field} {problem}", said)))
        return faults + [fault for rule in self.mapping.rules for fault in rule.faults()]

    def _time_faults(self) -> list[tuple[str, str]]:
        if self.mapping.undated == "keep":
            return []
        said = "ts_said"
        doubtful = "day and month cannot be told apart (set dates in the mapping)"
        unreadable = _says("unreadable time", said)
        if self.order == "mixed":
            shape = f"regexp_matches({said}, '^\\d{{1,2}}[-/]\\d{{1,2}}[-/]\\d{{2,4}}')"
            unreadable = f"CASE WHEN {shape} THEN {_says(doubtful, said)} ELSE {unreadable} END"
        if self.mapping.kind == "events":
            return [("ts IS NULL", f"CASE WHEN {said} IS NULL THEN 'no time' ELSE {unreadable} END")]
        return [(f"ts IS NULL AND {said} IS NOT NULL", unreadable)]


_SPOKEN = "coalesce(nullif(concat_ws(' ', text_title, text), ''), title)"
"""What an event's language is told from: the person's own words, else the item's title."""


def _layers(query: str, steps: Mapping_[str, Steps]) -> str:
    """Applies each field's steps, one layer of SELECT for each step."""
    for depth in range(max(map(len, steps.values()), default=0)):
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
