"""What is in each column before and after cleaning: missing, unreadable, constant, outlying, repeated, contradictory.

Everything is counted in SQL over the stored tables and the quarantine, so the figures are those of the workspace, not
of one load. "Before" are the rows as they were read: those that were stored and those that were set aside. "After" are
the stored ones. Nothing here changes a value: an outlier may be a fact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import duckdb

from limner.errors import UsageError
from limner.histories.contradictions import CONTRADICTIONS
from limner.histories.flags import FLAGGED
from limner.histories.mapping import FIELDS, KINDS
from limner.histories.neartexts import NearTexts, describe
from limner.histories.plans import FORMS
from limner.histories.staging import MISSING
from limner.histories.store import Store
from limner.histories.store import quote_path as literal

EXACT_ROWS = 5_000_000
"""Rows up to which different values are counted exactly; above, by a sketch that is right to about 2 %."""

FENCE = 3.0
"""Quartile ranges beyond the quartiles at which a number is outlying: the outer fence of Tukey (1977)."""

FENCED = 20
"""Values a column must have for its quartiles to mean something."""

NUMERIC = frozenset({"rating", "price", "quantity", "amount", "weight"})
"""Fields whose outlying values are looked for, beside times."""

EXTRA = 40
"""Columns without a field of their own (`attrs.NAME`) that are profiled, the most filled first."""


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """One column.

    Attributes:
        name: The field, or `attrs.NAME` for a column without a field of its own.
        missing_before: Rows without a value as read.
        missing_after: Stored rows without a value.
        unreadable: Values that could not be read as what the field is; their rows are in the quarantine.
        different: Different stored values.
        repeated: Stored values that another row has too.
        constant: The one value that all stored rows with a value have; None if there are several or none.
        outlying: Stored values beyond the outer fences; None where there are none to look for.
        low, high: The fences, numbers or times; None without.
        contradictory: Stored rows whose value another one speaks against; None where nothing is held against it.
        contradiction: What was held against what.
    """

    name: str
    missing_before: int
    missing_after: int
    unreadable: int
    different: int
    repeated: int
    constant: str | None
    outlying: int | None = None
    low: float | str | None = None
    high: float | str | None = None
    contradictory: int | None = None
    contradiction: str = ""


@dataclass(frozen=True, slots=True)
class TableProfile:
    """One table.

    Attributes:
        name: The table.
        rows_before: Rows stored and rows in the quarantine.
        rows_after: Rows stored.
        columns: Its columns, fields first.
    """

    name: str
    rows_before: int
    rows_after: int
    columns: tuple[ColumnProfile, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """A workspace's profile.

    Attributes:
        tables: The tables that hold something.
        read: Rows read by the loads that stored something.
        duplicates: Rows of those that were duplicates of what was stored, or dropped repeats.
        kept_repeats: Stored events that say exactly what another event says.
        quarantined: Rows in the quarantine, each counted once.
        reasons: Their sorts of reasons.
        exact: Whether different values were counted exactly.
        merged: Ids that are merged into another.
        flagged: Users who look like bots or tests, by rule; None before the first check.
        near: Texts that say nearly the same; None if they were not looked for.
    """

    tables: tuple[TableProfile, ...]
    read: int
    duplicates: int
    kept_repeats: int
    quarantined: int
    reasons: Mapping[str, int]
    exact: bool
    merged: int = 0
    flagged: Mapping[str, int] | None = None
    near: NearTexts | None = None

    def to_json(self) -> dict[str, Any]:
        """The profile as `limner profile --json` prints it."""
        return asdict(self)


def profile(store: Store, *, texts: bool = True) -> Profile:
    """Profiles a workspace.

    Args:
        store: Its tables.
        texts: Look for near-duplicate texts too, which takes a minute for a million different long texts.

    Raises:
        UsageError: It holds no rows of any source.
        WorkspaceError: It cannot be read.
    """
    manifest = store.manifest()
    with store.read(manifest, merged=False) as connection:
        _load_quarantine(connection, store)
        loads = [(record.run, record.committed) for record in manifest.runs]
        connection.execute("CREATE TEMP TABLE loads (run VARCHAR, committed TIMESTAMP)")
        if loads:
            connection.executemany("INSERT INTO loads VALUES (?, ?)", loads)
        held = [kind for kind in KINDS if _one(connection, f"SELECT count(*) FROM {kind}")]
        quarantined = _one(connection, "SELECT count(*) FROM bad")
        if not held and not quarantined:
            raise UsageError(f"{store.path} holds nothing to profile. Load data first with `limner ingest FILE`.")
        tables = tuple(_table(connection, kind) for kind in held)
        repeats = _one(connection, "SELECT count(*) FROM events WHERE ordinal > 0")
        reasons = connection.execute("SELECT sort, count(*) AS n FROM bad GROUP BY sort ORDER BY n DESC, sort")
        told = {str(sort): int(n) for sort, n in reasons.fetchall()}
        merged = _one(connection, "SELECT count(*) FROM identities WHERE member_id <> user_id")
        flagged = _flagged(connection) if manifest.tables.get("flags") else None
        near = describe(connection) if texts and "events" in held else None
    ingests = {r.run: r.summary for r in manifest.runs if {"rows", "stored", "quarantined"} <= set(r.summary)}
    duplicates = sum(s["rows"] - s["stored"] - s["quarantined"] for s in ingests.values())
    exact = all(table.rows_after <= EXACT_ROWS for table in tables)
    read = sum(s["rows"] for s in ingests.values())
    return Profile(tables, read, duplicates, repeats, quarantined, told, exact, merged, flagged, near)


def _flagged(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    rows = connection.execute(
        f"SELECT flag, count(*) AS n FROM flags SEMI JOIN ({FLAGGED}) USING (user_id)"
        " GROUP BY flag ORDER BY n DESC, flag"
    ).fetchall()
    return {str(flag): int(n) for flag, n in rows}


def _load_quarantine(connection: duckdb.DuckDBPyConnection, store: Store) -> None:
    """Makes the table `bad`: rows of the quarantine of runs that were not taken back, each once, with its table.

    A row's table is the one that holds other rows of its file; `events` where none was stored.
    """
    undone = {record.run for taken in store.manifest().undone for record in taken.runs}
    files = [p for p in sorted((store.path / "quarantine").glob("*.jsonl")) if p.stem not in undone]
    connection.execute("CREATE TEMP TABLE bad (kind VARCHAR, reason VARCHAR, sort VARCHAR)")
    if not files:
        return
    listed = ", ".join(literal(path) for path in files)
    homes = " UNION ALL ".join(f"SELECT DISTINCT source, {literal(kind)} AS kind FROM {kind}" for kind in KINDS)
    connection.execute(
        "INSERT INTO bad SELECT coalesce(h.kind, 'events'), reason, split_part(reason, ':', 1) FROM ("
        f"SELECT file, min(reason) AS reason FROM read_json([{listed}], format = 'newline_delimited',"
        " columns = {'file': 'VARCHAR', 'row': 'BIGINT', 'reason': 'VARCHAR', 'raw': 'JSON'},"
        " maximum_object_size = 67108864) GROUP BY file, row, raw::VARCHAR) b"
        f" LEFT JOIN (SELECT source, min(kind) AS kind FROM ({homes}) GROUP BY source) h ON h.source = b.file"
    )


def _table(connection: duckdb.DuckDBPyConnection, kind: str) -> TableProfile:
    """One table's profile: its fields, then what it keeps in `attrs`."""
    rows = _one(connection, f"SELECT count(*) FROM {kind}")
    bad = _one(connection, "SELECT count(*) FROM bad WHERE kind = ?", [kind])
    fields = FIELDS[kind].every
    counts = _counts(connection, kind, {field: field for field in fields}, rows)
    columns = [_column(connection, kind, field, counts[field], rows) for field in fields]
    if kind != "ties":
        extra = _extra_columns(connection, kind)
        sql = {name: f"json_extract_string(attrs, {literal(_pointer(name))})" for name in extra}
        found = _counts(connection, kind, sql, rows) if sql else {}
        columns += [
            ColumnProfile(f"attrs.{name}", rows - c.values, rows - c.values, 0, c.different, c.repeated, c.constant)
            for name, c in found.items()
        ]
    return TableProfile(kind, rows + bad, rows, tuple(columns))


@dataclass(frozen=True, slots=True)
class _Counts:
    values: int
    different: int
    constant: str | None

    @property
    def repeated(self) -> int:
        return max(0, self.values - self.different)


def _counts(
    connection: duckdb.DuckDBPyConnection, kind: str, columns: Mapping[str, str], rows: int
) -> dict[str, _Counts]:
    """Values, different values and the one value of each column, in one pass."""
    different = "count(DISTINCT {c})" if rows <= EXACT_ROWS else "approx_count_distinct({c})"
    wanted = ", ".join(
        f"count({c}), {different.format(c=c)}, CASE WHEN min({c}) = max({c}) THEN min({c})::VARCHAR END"
        for c in (sql if sql.startswith("json") else f'"{sql}"' for sql in columns.values())
    )
    row = connection.execute(f"SELECT {wanted} FROM {kind}").fetchall()[0]
    return {name: _Counts(*row[3 * i : 3 * i + 3]) for i, name in enumerate(columns)}


def _column(connection: duckdb.DuckDBPyConnection, kind: str, field: str, counts: _Counts, rows: int) -> ColumnProfile:
    """The profile of a field."""
    missing, unreadable = _set_aside(connection, kind, field)
    after = rows - counts.values
    low = high = outlying = None
    if (field in NUMERIC or field == "ts") and counts.values >= FENCED:
        low, high, outlying = _outlying(connection, kind, field)
    contradictory = contradiction = None
    if (found := CONTRADICTIONS.get((kind, field))) and counts.values:
        contradictory, contradiction = _one(connection, found.count), found.words
    return ColumnProfile(
        field,
        after + missing,
        after,
        unreadable,
        counts.different,
        counts.repeated,
        counts.constant,
        outlying,
        low,
        high,
        contradictory,
        contradiction or "",
    )


def _set_aside(connection: duckdb.DuckDBPyConnection, kind: str, field: str) -> tuple[int, int]:
    """Rows of the quarantine that lack a field, and those whose value for it cannot be read."""
    lacks = MISSING.get(field, "no time" if field == "ts" else "")
    problem = FORMS[field].problem
    unread = {"ts": ("unreadable time", "day and month cannot be told apart")}.get(field, (f"{field} {problem}",))
    missing = "SELECT count(*) FROM bad WHERE kind = ? AND list_contains(string_split(reason, '; '), ?)"
    said = " OR ".join(f"contains('; ' || reason, {literal('; ' + words)})" for words in unread)
    return (
        _one(connection, missing, [kind, lacks]) if lacks else 0,
        _one(connection, f"SELECT count(*) FROM bad WHERE kind = ? AND ({said})", [kind]) if problem else 0,
    )


def _outlying(connection: duckdb.DuckDBPyConnection, kind: str, field: str) -> tuple[Any, Any, int | None]:
    """The outer fences of a column and how many values lie beyond; none where half of all values are the same."""
    value = f'epoch("{field}")' if field == "ts" else f'"{field}"'
    quantile = "quantile_cont" if _one(connection, f"SELECT count(*) FROM {kind}") <= EXACT_ROWS else "approx_quantile"
    finite = f"FROM (SELECT {value} AS x FROM {kind}) WHERE x IS NOT NULL AND isfinite(x)"
    rows = connection.execute(f"SELECT {quantile}(x, 0.25), {quantile}(x, 0.75) {finite}").fetchall()
    lower, upper = rows[0]
    if lower is None or upper == lower:
        return None, None, None
    low, high = lower - FENCE * (upper - lower), upper + FENCE * (upper - lower)
    beyond = _one(connection, f"SELECT count(*) {finite} AND (x < ? OR x > ?)", [low, high])
    if field == "ts":
        shown = connection.execute(
            "SELECT make_timestamp((? * 1e6)::BIGINT), make_timestamp((? * 1e6)::BIGINT)", [low, high]
        )
        low, high = (f"{moment:%Y-%m-%d}" for moment in shown.fetchall()[0])
    return low, high, beyond


def _extra_columns(connection: duckdb.DuckDBPyConnection, kind: str) -> list[str]:
    """The names of further columns in `attrs`."""
    rows = connection.execute(
        f"SELECT k FROM (SELECT unnest(json_keys(attrs)) AS k FROM {kind} WHERE attrs <> '{{}}')"
        f" GROUP BY k ORDER BY count(*) DESC, k LIMIT {EXTRA}"
    ).fetchall()
    return [str(row[0]) for row in rows]


def _pointer(key: str) -> str:
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _one(connection: duckdb.DuckDBPyConnection, query: str, parameters: list[Any] | None = None) -> int:
    return int(connection.execute(query, parameters or []).fetchall()[0][0] or 0)
