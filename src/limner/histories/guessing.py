"""Guessing a mapping from a source's column names, in Chinese or English, and from its values.

A name proposes, the values decide: a column called `score` that holds no numbers is no rating. What was guessed is
shown and can be saved as a mapping file, so that a person corrects it once instead of describing everything.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain
from typing import cast

import duckdb

from limner.errors import UsageError
from limner.histories.cleaning import (
    BELIEVED,
    DAY_OR_MONTH_FIRST,
    GIVEN,
    MOMENT,
    NUMBER,
    RATING,
    Steps,
    step_sql,
    time_sql,
)
from limner.histories.columns import Column, Raw, distinct_given, shown_names
from limner.histories.mapping import FIELDS, KINDS, Kind, Mapping
from limner.histories.words import (
    FIELD_NAMES,
    FILE_WORDS,
    KIND_WORDS,
    LANGUAGE_WORDS,
    MORE_NAMES,
    VOLATILE_NAMES,
    plain_name,
)

SAMPLE = 2_000
"""Rows that the values are judged by."""

NUMBERS = 0.9
"""The share of a column's values that must be numbers for it to be a price, quantity, amount or rating."""

TIMES = 0.8
"""The share of a column's values that must be times for it to be the time."""

FEW = 60
"""How many different values a column may have to be the kind of events."""

LONG = 20
"""The mean number of characters from which an unnamed column is taken for the text."""

ORDER = (
    "user_id other_id ts item_id session_id rating price quantity amount weight kind role currency lang channel device"
    " place category text text_title title"
).split()
"""Fields in the order in which they choose a column: those that values can confirm first."""

_person = re.compile(r"user|customer|cust|member|client|buyer|reviewer|用户|客户|会员|买家|顾客")
_number = re.compile(r"id|no|num|key|编号|号|码")
_aside = re.compile(r"[(（\[【].*?[)）\]】]")


@dataclass(frozen=True, slots=True)
class Guess:
    """A guessed mapping, with the doubts a person should look at.

    Attributes:
        mapping: The guess.
        doubts: What could not be told for sure, one sentence each.
    """

    mapping: Mapping
    doubts: tuple[str, ...] = ()


@dataclass(slots=True)
class _Sample:
    """The first rows of a source and measures of its columns."""

    connection: duckdb.DuckDBPyConnection
    raw: Raw

    def __post_init__(self) -> None:
        listed = ", ".join(f"{c.text} AS s{i}" for i, c in enumerate(self.raw.columns)) or "NULL AS s0"
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE sample AS SELECT {listed} FROM {self.raw.table} LIMIT {SAMPLE}"
        )
        for step in GIVEN:
            again = ", ".join(f"{step_sql(step, f's{i}')} AS s{i}" for i in range(len(self.raw.columns))) or "s0"
            self.connection.execute(f"CREATE OR REPLACE TEMP TABLE sample AS SELECT {again} FROM sample")

    def measure(self, column: Column, aggregate: str, *steps: Steps) -> float:
        """An SQL aggregate over a column's given values `x`, taken further by steps; 0 if it has none.

        Each step makes a table of its own: in one nested query DuckDB copies the inner expressions into the outer ones.
        """
        position = self.raw.columns.index(column)
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE judged AS SELECT s{position} AS x FROM sample WHERE s{position} IS NOT NULL"
        )
        for step in chain(*steps):
            self.connection.execute(
                f"CREATE OR REPLACE TEMP TABLE judged AS SELECT {step_sql(step, 'x')} AS x FROM judged"
            )
        rows = self.connection.execute(f"SELECT {aggregate} FROM judged").fetchall()
        return float(rows[0][0] or 0.0)

    def share(self, column: Column, test: str, *steps: Steps) -> float:
        """The share of a column's given values for which SQL over `x` is true; 0 if it has none."""
        return self.measure(column, f"avg(CASE WHEN {test} THEN 1.0 ELSE 0.0 END)", *steps)

    def times(self, column: Column) -> float:
        """The share of a column's values that are times."""
        if self.share(column, "regexp_matches(x, '\\d')") < TIMES:
            return 0.0
        if self.share(column, f"regexp_matches(x, '{DAY_OR_MONTH_FIRST}')") >= TIMES:
            return 1.0  # 25/04/2024 beside 04/25/2024: `date_order` decides
        readings = (time_sql("x", "UTC", order) for order in ("DMY", "MDY"))
        return max(self.share(column, BELIEVED.format(m="x"), MOMENT, (reading,)) for reading in readings)


def guess(connection: duckdb.DuckDBPyConnection, raw: Raw, source: str, kind: str | None = None) -> Guess:
    """Guesses how to read a source.

    Args:
        connection: Where the raw table is.
        raw: The source as read.
        source: Its name, whose words tell what the rows are.
        kind: The table its rows go to, if that is known.

    Raises:
        UsageError: No column looks like what every row of that table must have.
    """
    sample = _Sample(connection, raw)
    table_kind = kind or _table_kind(sample, source)
    chosen = _choose(sample, table_kind)
    missing = [f for f in FIELDS[table_kind].required if f not in chosen]
    if missing:
        have = shown_names(raw)
        raise UsageError(
            f"No column of {source} looks like {' or '.join(missing)}. Say which one is in a mapping file (--map), "
            f"as docs/ingest.md shows. Columns: {have}"
        )
    mapping = Mapping(kind=cast("Kind", table_kind), columns=chosen)
    if table_kind == "events":
        return _finish_events(sample, mapping, source)
    return Guess(replace(mapping, undated="keep"))


def _table_kind(sample: _Sample, source: str) -> str:
    """What the rows of a source are, by its file's name and its columns."""
    found = {kind: _choose(sample, kind) for kind in KINDS}
    whole = {kind for kind in KINDS if set(FIELDS[kind].required) <= set(found[kind])}
    named = {kind for kind, words in FILE_WORDS.items() if file_words(source) & set(words)} & whole
    if "ties" in whole:
        return "ties"
    if "events" not in whole:
        told = {"title", "category", "price"} & set(found["items"])
        return "items" if "items" in whole and (told or "items" in named) else "events"
    if "events" in named:
        return "events"
    user = next(c for c in sample.raw.columns if c.name == found["events"]["user_id"][0])
    alone = sample.measure(user, "count(DISTINCT x) = count(x) AND count(x) > 1") == 1.0
    deeds = {"ts", "kind", "item_id", "rating", "text", "amount", "quantity", "session_id"} & set(found["events"])
    return "users" if alone and ("users" in named or not deeds) else "events"


def file_words(source: str) -> set[str]:
    """The words of a source's file name, in lower case, without its folders and digits."""
    return set(re.split(r"[^a-z\u4e00-\u9fff]+", source.lower().rsplit("/", 1)[-1]))


def _choose(sample: _Sample, kind: str) -> dict[str, tuple[str, ...]]:
    """The columns of the fields of one table."""
    chosen: dict[str, tuple[str, ...]] = {}
    free = list(sample.raw.columns)
    for field in (f for f in ORDER if f in FIELDS[kind].every):
        for column in _candidates(free, field, kind):
            if _confirmed(sample, column, field):
                chosen[field] = (column.name,)
                free.remove(column)
                break
    if kind == "events":
        _add_by_values(sample, chosen, free)
    return chosen


def _candidates(columns: list[Column], field: str, kind: str) -> list[Column]:
    """Columns whose name is one of a field's names, the likeliest first."""
    names = FIELD_NAMES[field] + MORE_NAMES.get(kind, {}).get(field, ())
    ranks = {name.replace("_", ""): rank for rank, name in reversed(list(enumerate(names)))}
    ranked: list[tuple[int, int, Column]] = []
    for column in columns:
        plain = plain_name(_aside.sub("", column.name) or column.name).replace("_", "")
        if column.nested:
            plain = plain_name(column.name).replace("_", "")
        if plain in ranks:
            ranked.append((ranks[plain], len(ranked), column))
    return [column for _, _, column in sorted(ranked, key=lambda item: item[:2])]


def _confirmed(sample: _Sample, column: Column, field: str) -> bool:
    """Whether a column's values are what its name promises. A column without values promises nothing else."""
    test = _TESTS.get(field)
    if sample.share(column, "starts_with(x, '{')") > 0.5:
        return False  # an object, of which at most a member is the field
    return test is None or sample.measure(column, "count(x)") == 0 or test(sample, column)


def _numbers(sample: _Sample, column: Column) -> bool:
    return sample.share(column, "x IS NOT NULL", NUMBER) >= NUMBERS


def _some_language(sample: _Sample, column: Column) -> bool:
    words = ", ".join(f"'{word}'" for word in LANGUAGE_WORDS)
    return sample.share(column, f"lower(x) IN ({words}) OR regexp_full_match(x, '[a-zA-Z]{{2}}')") >= TIMES


_TESTS: dict[str, Callable[[_Sample, Column], bool]] = {
    "ts": lambda s, c: s.times(c) >= TIMES,
    "rating": lambda s, c: s.share(c, "x IS NOT NULL", RATING) >= NUMBERS,
    "price": _numbers,
    "quantity": _numbers,
    "amount": _numbers,
    "weight": _numbers,
    "kind": lambda s, c: s.measure(c, "count(DISTINCT x)") <= FEW and s.measure(c, "avg(length(x))") <= 30,
    "role": lambda s, c: s.measure(c, "count(DISTINCT x)") <= FEW,
    "lang": _some_language,
    "text": lambda s, c: s.share(c, "x IS NULL", NUMBER) >= 0.5,
    "text_title": lambda s, c: s.share(c, "x IS NULL", NUMBER) >= 0.5,
}
"""For fields whose values can be judged, the judgement."""


def _add_by_values(sample: _Sample, chosen: dict[str, tuple[str, ...]], free: list[Column]) -> None:
    """Finds what no name told: a time of day beside the date, the time, the text, the user."""
    plain = [c for c in free if not c.nested]
    clock = "regexp_full_match(x, '\\d{1,2}:\\d{2}(:\\d{2})?(\\.\\d+)?')"
    if "ts" in chosen:
        date = next(c for c in sample.raw.columns if c.name == chosen["ts"][0])
        if sample.share(date, "NOT contains(x, ':') AND length(x) <= 11") >= NUMBERS:
            for column in plain:
                if sample.share(column, clock) >= NUMBERS:
                    chosen["ts"] = (*chosen["ts"], column.name)
                    free.remove(column)
                    break
    else:
        for column in plain:
            name = column.name.lower()
            if re.search(r"time|date|日期|时间", name) and "birth" not in name and sample.times(column) >= TIMES:
                chosen["ts"] = (column.name,)
                free.remove(column)
                break
    if "text" not in chosen:
        prose = next((c for c in free if not c.nested and _is_prose(sample, c)), None)
        if prose:
            chosen["text"] = (prose.name,)
            free.remove(prose)
    if "user_id" not in chosen:
        likely = next((c for c in free if _person.search(c.name.lower()) and _number.search(c.name.lower())), None)
        if likely:
            chosen["user_id"] = (likely.name,)


def _is_prose(sample: _Sample, column: Column) -> bool:
    """Whether a column holds sentences: long values, mostly different, of several words."""
    return (
        sample.measure(column, "avg(length(x))") >= LONG
        and sample.measure(column, "count(DISTINCT x) / greatest(count(x), 1)") >= 0.5
        and sample.share(column, "contains(x, ' ') OR regexp_matches(x, '\\p{Han}{4}')") >= 0.6
    )


def _finish_events(sample: _Sample, mapping: Mapping, source: str) -> Guess:
    """Adds what events need beside columns: their kind, the words for it, volatile columns, undated ones."""
    columns, doubts = mapping.columns, []
    constants: dict[str, str] = {}
    kinds: dict[str, str] = {}
    if "kind" in columns:
        column = next(c for c in sample.raw.columns if c.name == columns["kind"][0])
        rows = sample.connection.execute(
            f"SELECT DISTINCT lower(x) FROM {distinct_given(sample.raw, column)} LIMIT {FEW + 1}"
        ).fetchall()
        known = KIND_WORDS
        words = sorted(str(row[0]) for row in rows if row[0] is not None)
        kinds = {word: known.get(word, known.get(word.replace("-", "_").replace(" ", "_"), "other")) for word in words}
        unknown = [word for word in words if kinds[word] == "other" and word not in known]
        if unknown:
            doubts.append(f"unknown kinds of events become `other`: {', '.join(unknown[:8])}")
    else:
        constants["kind"] = _constant_kind(set(columns), source)
        doubts.append(f"no column tells the kind of event; all are taken as `{constants['kind']}`")
    undated = mapping.undated
    if "ts" not in columns:
        undated = "keep"
        doubts.append("no column looks like a time; events are kept without one")
    taken = {name for names in columns.values() for name in names}
    volatile = tuple(
        c.name
        for c in sample.raw.columns
        if not c.nested and c.name not in taken and plain_name(c.name) in VOLATILE_NAMES
    )
    negative = "return" if constants.get("kind") == "order" else ""
    finished = replace(mapping, constants=constants, kinds=kinds, undated=undated, volatile=volatile, negative=negative)
    return Guess(finished, tuple(doubts))


def _constant_kind(fields: set[str], source: str) -> str:
    """The kind of events that no column names: by the name of their file, else by what they hold."""
    named = {KIND_WORDS[word] for word in file_words(source) if word in KIND_WORDS} - {"other"}
    if len(named) == 1 and (kind := named.pop()) and _NEEDS.get(kind, set()) <= fields:
        return kind
    rules = (
        ("chat", {"role"}),
        ("review", {"text", "rating"}),
        ("order", {"amount"}),
        ("order", {"quantity"}),
        ("review", {"text", "item_id"}),
        ("rating", {"rating"}),
        ("post", {"text"}),
        ("order", {"price"}),
        ("view", {"item_id"}),
    )
    return next((kind for kind, needs in rules if needs <= fields), "other")


_NEEDS = {"review": {"text"}, "chat": {"text"}, "post": {"text"}, "support": {"text"}, "rating": {"rating"}}
"""What events must hold for a file's name to make them this kind: a `reviews.csv` without texts holds other things."""
