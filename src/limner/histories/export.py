"""Writing a table of the workspace to one file that other tools can open.

The database streams the rows to a temporary file beside the target, which then takes the target's name in one step: a
reader never sees half an export, and a failed one leaves what was there before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from limner.errors import UsageError
from limner.histories.facts import EVERYONE
from limner.histories.impute import KEYS, with_imputed
from limner.histories.journeys import JOURNEYS, SESSIONS
from limner.histories.replacing import replacing
from limner.histories.society import define_mixing, define_society
from limner.histories.store import Store, quote_path


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export of one name contains.

    Attributes:
        query: SQL for the rows.
        order: The columns that order them.
        define: Makes the tables that the query reads, where they are not stored.
    """

    query: str
    order: str
    define: Callable[[duckdb.DuckDBPyConnection], None] | None = None


_USERS = f"""
SELECT user_id, coalesce(f.lang, u.lang) AS lang, u.attrs, u.source,
    f.* EXCLUDE (user_id, lang, run, seq)
FROM ({EVERYONE}) LEFT JOIN users u USING (user_id) LEFT JOIN facts f USING (user_id)
"""
"""Every known user, with or without a profile, with or without facts."""

EXPORTS: dict[str, Exported] = {
    "events": Exported("SELECT * FROM titled_events", "user_id, ts, event_id"),
    "items": Exported("SELECT * FROM items", "item_id"),
    "users": Exported(_USERS, "user_id"),
    "sessions": Exported(SESSIONS, "user_id, session"),
    "journeys": Exported(JOURNEYS, "user_id"),
    "ties": Exported("SELECT * FROM ties", "user_id, other_id, kind"),
    "society": Exported("SELECT * FROM society", "user_id", define_society),
    "mixing": Exported("SELECT * FROM mixing", "feature", define_mixing),
    "signals": Exported("SELECT * FROM signals", "user_id, ts, signal_id"),
    "traits": Exported("SELECT * FROM traits", "user_id, confidence DESC, trait_id"),
    "personas": Exported("SELECT * FROM personas", "user_id"),
    "segments": Exported("SELECT * FROM segments", "origin, segment_id"),
    "identities": Exported(
        "SELECT user_id, member_id, reason, key FROM identities WHERE member_id <> user_id", "user_id, member_id"
    ),
    "flags": Exported("SELECT * FROM flags", "user_id, flag"),
    "imputed": Exported("SELECT * FROM imputed", "table_name, column_name, key"),
    "memberships": Exported("SELECT * FROM memberships", "origin, segment_id, user_id"),
}
"""What can be exported. Events carry the item table's title and category where they have none, as evidence does."""


@dataclass(frozen=True, slots=True)
class Format:
    """A file format.

    Attributes:
        options: Of DuckDB's COPY.
        nested: Whether lists and structures stay what they are; else they become JSON text.
        nonfinite: Whether NaN and infinity can be written; else they become null.
    """

    options: str
    nested: bool
    nonfinite: bool


FORMATS: dict[str, Format] = {
    "parquet": Format("FORMAT parquet, COMPRESSION zstd", nested=True, nonfinite=True),
    "csv": Format("FORMAT csv, HEADER", nested=False, nonfinite=False),
    "jsonl": Format("FORMAT json, ARRAY false", nested=True, nonfinite=False),
}

_BOOKKEEPING = ("run", "seq")

_FORMULA = "'^[=+\\-@\\t\\r\\n＝＋－＠]'"
"""How a text begins that a spreadsheet would run as a formula (OWASP, "CSV Injection"; full width signs included)."""


def export_table(
    store: Store, name: str, out: Path, format: str, *, spreadsheet_safe: bool = False, imputed: bool = False
) -> int:
    """Writes one table's present rows to a file, in place of what was there.

    Args:
        store: The workspace's tables.
        name: What to write, a key of `EXPORTS`.
        out: The file; its folder must exist.
        format: `parquet`, `csv` or `jsonl`. In CSV, lists and structures are JSON text.
        spreadsheet_safe: For CSV that a person opens in a spreadsheet: texts that would run as a formula get a `'` in
            front, and the file begins with a byte order mark so that Chinese is read as it is. Off by default, because
            it changes texts, and offsets of evidence with them.
        imputed: With what was filled in of missing values, each marked in a column NAME_imputed.

    Returns:
        The number of rows.

    Raises:
        UsageError: Unknown name or format, or the file cannot be written.
    """
    table, written = EXPORTS.get(name), FORMATS.get(format)
    if table is None:
        raise UsageError(f"There is no table {name!r} to export. Choose one of: {', '.join(EXPORTS)}.")
    if written is None:
        raise UsageError(f"There is no export format {format!r}. Choose one of: {', '.join(FORMATS)}.")
    if imputed and name not in KEYS:
        raise UsageError(f"Nothing is filled in in {name}. --imputed goes with {', '.join(KEYS)}.")
    if spreadsheet_safe and format != "csv":
        raise UsageError("Only CSV can be made safe for spreadsheets. Add --format csv, or leave the option out.")
    target = _target(out)
    with store.read() as connection:
        if table.define is not None:
            table.define(connection)
        rows = with_imputed(connection, name, table.query) if imputed else table.query
        columns = _columns(connection, rows, written, spreadsheet_safe)
        query = f"SELECT {columns} FROM ({rows}) ORDER BY {table.order}"
        try:
            with replacing(target) as temporary:
                done = connection.execute(f"COPY ({query}) TO {quote_path(temporary)} ({written.options})").fetchone()
        except (duckdb.IOException, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
            raise UsageError(f"Cannot write {out}: {reason}. Choose another --out, or free some space.") from error
    return int(done[0]) if done else 0


def _target(out: Path) -> Path:
    """The file to replace, links followed, if it is or could be a plain file."""
    target = out.expanduser().resolve()
    device = str(out).startswith("/dev/")  # /dev/stdout may lead to a plain file, which must not be replaced
    if device or (target.exists() and not target.is_file()):
        raise UsageError(f"{out} is not a file that can be written. Give --out the path of a file.")
    if not target.parent.is_dir():
        raise UsageError(f"There is no folder {out.parent} to write {out.name} into. Make it first.")
    return target


def _columns(connection: duckdb.DuckDBPyConnection, rows: str, written: Format, safe: bool) -> str:
    """The SELECT list that turns a query's columns into what the format can hold."""
    described = connection.execute(f"DESCRIBE {rows}").fetchall()
    chosen: list[str] = []
    for name, kind in ((row[0], row[1]) for row in described if row[0] not in _BOOKKEEPING):
        column = '"' + name.replace('"', '""') + '"'
        value = column
        if kind == "DOUBLE" and not written.nonfinite:
            value = f"CASE WHEN isfinite({column}) THEN {column} END"
        elif kind.endswith(("[]", ")")) and not written.nested:
            value = f"to_json({column})::VARCHAR"
        elif kind == "VARCHAR" and safe:
            value = f"CASE WHEN regexp_matches({column}, {_FORMULA}) THEN '''' || {column} ELSE {column} END"
        mark = "\ufeff" if safe and not chosen else ""
        chosen.append(f'{value} AS "{mark}{name}"' if mark or value != column else column)
    return ", ".join(chosen)
