"""Whether a column's dates such as 03/04/2024 begin with the day or the month: the column itself must show it."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from limner.histories.cleaning import DAY_OR_MONTH_FIRST, GIVEN, MOMENT, apply
from limner.histories.columns import Column, Raw


@dataclass(frozen=True, slots=True)
class DateOrder:
    """How dates such as 03/04/2024 are read in one column.

    Attributes:
        order: `DMY`, `MDY`, or `mixed` where the column holds dates of both sorts.
        certain: Whether the column itself shows it.
    """

    order: str
    certain: bool


def date_order(connection: duckdb.DuckDBPyConnection, raw: Raw, columns: list[Column]) -> DateOrder:
    """Decides for a whole column whether day or month comes first: by any number above 12 in either place.

    A column that shows neither is read month first and is not certain; one without such dates is certain.
    """
    text = columns[0].text
    first, second = (f"TRY_CAST(regexp_extract(x, '{DAY_OR_MONTH_FIRST}', {g}) AS INTEGER)" for g in (1, 2))
    days, months, any_ = connection.execute(
        f"SELECT coalesce(bool_or({first} > 12), false), coalesce(bool_or({second} > 12), false), count({first})"
        f" FROM {apply(GIVEN + MOMENT[:1], f'(SELECT {text} AS x FROM {raw.table})')}"
        " WHERE regexp_matches(x, '^\\d{1,2}[-/]')"
    ).fetchall()[0]
    if days and months:
        return DateOrder("mixed", certain=True)
    if days or months:
        return DateOrder("DMY" if days else "MDY", certain=True)
    return DateOrder("MDY", certain=not any_)
