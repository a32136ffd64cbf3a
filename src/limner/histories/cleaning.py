"""Cleaning, in SQL: text, numbers, times and words of a source as DuckDB macros and expressions.

Every macro gives null for what it cannot read, so that the caller can tell a missing value (nothing there) from an
unreadable one (something there, nothing read).
"""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from limner.histories.store import quote_path as literal
from limner.histories.words import CURRENCY_SIGNS

_FULL = "０１２３４５６７８９．，：／－＋％（）　"
_HALF = "0123456789.,:/-+%() "

_BLANKS = " \t\n\v\f\r\u00a0\u2000\u2001\u2002\u2003\u2007\u2009\u200b\u202f\u3000\ufeff"
_CONTROLS = "[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f]"

NOTHING = ("", "null", "none", "nan", "n/a", "na", "nil", "nat", "<na>", "-", "--", "\\n", "undefined", "(null)", "无", "空")
"""Words for no value, in ids, times and numbers; in a text they are words."""

_CURRENCY = "(?:HK\\$|NT\\$|US\\$|RMB|CNY|USD|EUR|GBP|HKD|JPY|TWD|AUD|CAD|INR|KRW|[$€£¥￥₩₹＄])"
_UNITS = (
    f"(?:{_CURRENCY}|元|块|圆|人民币|円|星|颗星|分|stars?|points?|件|个|盒|瓶|包|双|套|台|本|张|次|份|只|支|条|pcs?|pieces?|units?)"
)

_MACROS = f"""
CREATE OR REPLACE TEMP MACRO ln_blank(x) AS
    CASE WHEN regexp_matches(x, '{_CONTROLS}|\\r') THEN
        regexp_replace(replace(replace(x, chr(13) || chr(10), chr(10)), chr(13), chr(10)), '{_CONTROLS}', '', 'g')
    ELSE x END;
CREATE OR REPLACE TEMP MACRO ln_text(x) AS nullif(trim(ln_blank(x), {literal(_BLANKS)}), '');
CREATE OR REPLACE TEMP MACRO ln_nothing(x) AS lower(x) IN ({", ".join(literal(word) for word in NOTHING)});
CREATE OR REPLACE TEMP MACRO ln_given(x) AS CASE WHEN ln_nothing(ln_text(x)) THEN NULL ELSE ln_text(x) END;
CREATE OR REPLACE TEMP MACRO ln_id(x) AS ln_given(x);
CREATE OR REPLACE TEMP MACRO ln_list(x) AS CASE WHEN starts_with(x, '[') AND json_valid(x)
    THEN nullif(array_to_string(json_extract_string(x, '$[*]'), '|'), '') ELSE ln_given(x) END;
CREATE OR REPLACE TEMP MACRO ln_half(x) AS
    trim(translate(translate(x, {literal(_FULL)}, {literal(_HALF)}), {literal(_BLANKS)}, {literal(" " * len(_BLANKS))}));

CREATE OR REPLACE TEMP MACRO ln_bare(x) AS regexp_replace(regexp_replace(
    ln_half(x), '(?i)^([-+(]?)\\s*{_CURRENCY}\\s*', '\\1'), '(?i)\\s*{_UNITS}(\\)?)$', '\\1');
CREATE OR REPLACE TEMP MACRO ln_figure(t) AS CASE
    WHEN regexp_full_match(t, '[-+]?(\\d+\\.?\\d*|\\.\\d+)([eE][-+]?\\d+)?') THEN TRY_CAST(t AS DOUBLE)
    WHEN regexp_full_match(t, '[-+]?\\d{{1,3}}(,\\d{{3}})+(\\.\\d*)?') THEN TRY_CAST(replace(t, ',', '') AS DOUBLE)
    WHEN regexp_full_match(t, '[-+]?\\d{{1,3}}(\\.\\d{{3}})+,\\d+')
        THEN TRY_CAST(replace(replace(t, '.', ''), ',', '.') AS DOUBLE)
    WHEN regexp_full_match(t, '[-+]?\\d+,\\d{{1,2}}') THEN TRY_CAST(replace(t, ',', '.') AS DOUBLE)
    WHEN regexp_full_match(t, '\\([\\d,.]+\\)') THEN -TRY_CAST(replace(trim(t, '()'), ',', '') AS DOUBLE)
    WHEN regexp_full_match(t, '[-+]?[\\d.]+\\s*万') THEN TRY_CAST(trim(replace(t, '万', '')) AS DOUBLE) * 1e4
    WHEN regexp_full_match(t, '[-+]?[\\d.]+\\s*[kK]') THEN TRY_CAST(trim(t, 'kK ') AS DOUBLE) * 1e3
    END;
CREATE OR REPLACE TEMP MACRO ln_finite(v) AS CASE WHEN isfinite(v) THEN v END;
CREATE OR REPLACE TEMP MACRO ln_number(x) AS ln_finite(CASE
    WHEN regexp_full_match(x, '-?\\d+(\\.\\d+)?') THEN TRY_CAST(x AS DOUBLE) ELSE ln_figure(ln_bare(x)) END);
CREATE OR REPLACE TEMP MACRO ln_rating(x) AS coalesce(ln_number(x), CASE
    WHEN regexp_full_match(x, '[★⭐☆✩✰️ ]+') THEN length(regexp_replace(x, '[^★⭐]', '', 'g'))
    WHEN regexp_full_match(x, '[零一二两三四五六七八九十](颗)?星(好评)?')
        THEN strpos('零一二三四五六七八九十', replace(left(x, 1), '两', '二')) - 1
    ELSE ln_number(regexp_extract(ln_half(x), '(?i)^([\\d.]+)\\s*(?:/|out of|of)\\s*\\d+', 1)) END);

CREATE OR REPLACE TEMP MACRO ln_ymd(x) AS CASE
    WHEN regexp_matches(x, '[年月日号时点分秒午]') THEN regexp_replace(trim(regexp_replace(regexp_replace(regexp_replace(
        regexp_replace(regexp_replace(regexp_replace(
            x, '[年月]', '-', 'g'), '[日号]', ' ', 'g'), '[时点分]', ':', 'g'), '秒|星期.|周.', '', 'g'),
        '(上午|凌晨|早上)\\s*([\\d:]+)', '\\2 AM'), '(下午|晚上|中午)\\s*([\\d:]+)', '\\2 PM')), ':( |$)', '\\1')
    ELSE x END;
CREATE OR REPLACE TEMP MACRO ln_hour(t) AS CASE
    WHEN regexp_matches(t, '^\\d{{4}}-\\d{{1,2}}-?$') THEN rtrim(t, '-') || '-1'
    WHEN regexp_matches(t, '^\\d{{4}}-\\d{{1,2}}-\\d{{1,2}}\\s+\\d{{1,2}}$') THEN t || ':00'
    WHEN regexp_matches(t, '^\\d{{4}}-\\d{{1,2}}-\\d{{1,2}}\\s+\\d{{1,2}} [AP]M$')
        THEN regexp_replace(t, ' ([AP]M)$', ':00 \\1') ELSE t END;
CREATE OR REPLACE TEMP MACRO ln_moment(x) AS ln_hour(regexp_replace(regexp_replace(regexp_replace(
    trim(ln_ymd(ln_half(x))), '^(\\d{{4}})[./](\\d{{1,2}})[./](\\d{{1,2}})', '\\1-\\2-\\3'), '\\s+', ' ', 'g'),
    ',(\\d{{3,6}})$', '.\\1'));
"""


BELIEVED = "year({m}) BETWEEN 1900 AND 2199"
"""Years that are believed; a time outside them is unreadable."""


def define_macros(connection: duckdb.DuckDBPyConnection) -> None:
    """Makes the cleaning macros known to a connection."""
    connection.execute(_MACROS)


DIGITS = r"^[-+]?\d+([.]\d+)?$"
YEAR_FIRST = r"^\d{4}-\d{1,2}-\d{1,2}"
DAY_OR_MONTH_FIRST = r"^(\d{1,2})[-/.](\d{1,2})[-/.](\d{4}|\d{2})(\D|$)"
"""Dates whose day and month must be told apart by the column they are in."""

_ZONE = r":\d{2}(\.\d+)?\s*(Z|z|[+-]\d{2}(:?\d{2})?|UTC|GMT|[A-Za-z]+/[A-Za-z_]+)$"

_CLOCKS = (
    *("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p"),
    *(", %H:%M", ", %I:%M:%S %p", "T%H:%M:%S"),
)

_NAMED_DATES = ("%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%b %d %Y")
_NAMED = (
    *(f"{date}{clock}" for date in _NAMED_DATES for clock in _CLOCKS),
    *(f"%a, %d %b %Y{clock}" for clock in ("", " %H:%M:%S")),
    "%a %b %d %H:%M:%S %Y",
    "%m %d, %Y",
)
_NAMED_ZONED = ("%a, %d %b %Y %H:%M:%S %z", "%a %b %d %H:%M:%S %z %Y", "%d %b %Y %H:%M:%S %z", "%d/%b/%Y:%H:%M:%S %z")


def _formats(listed: tuple[str, ...]) -> str:
    return "[" + ", ".join(literal(text) for text in listed) + "]"


def time_sql(moment: str, zone: str, order: str) -> str:
    """SQL that reads a time, as UTC, from text that `ln_moment` has prepared.

    Args:
        moment: A column with `ln_moment(text)`.
        zone: The time zone of times that name none.
        order: `DMY` or `MDY` for dates such as 03/04/2024; `mixed` reads only those that leave no doubt. With dots
            (3.4.2024) the day is first wherever such dates are written.
    """
    here = (lambda sql: sql) if zone == "UTC" else (lambda sql: f"timezone('UTC', timezone({literal(zone)}, {sql}))")
    number = f"TRY_CAST({moment} AS DOUBLE)"
    first, second = (f"TRY_CAST(regexp_extract({moment}, '{DAY_OR_MONTH_FIRST}', {g}) AS INTEGER)" for g in (1, 2))
    dotted = f"contains({moment}, '.')"
    day_first = {"DMY": "true", "MDY": dotted}.get(order, f"({first} > 12 OR {dotted})")
    unsure = f"({first} <= 12 AND {second} <= 12 AND {first} <> {second} AND NOT {dotted})"
    doubtful = "false" if order in {"DMY", "MDY"} else unsure
    bare = f"regexp_replace({moment}, ' (GMT|UTC)$', '')"
    dashed = f"replace(replace({moment}, '/', '-'), '.', '-')"
    short = rf"regexp_matches({moment}, '^\d+[-/.]\d+[-/.]\d{{2}}(\D|$)')"

    def numeric(date: str, year: str) -> str:
        formats = tuple(f"{date}-{year}{clock.replace('.', '-')}" for clock in _CLOCKS)
        return f"try_strptime({dashed}, {_formats(formats)})"

    def by_year(date: str) -> str:
        return f"CASE WHEN {short} THEN {numeric(date, '%y')} ELSE {numeric(date, '%Y')} END"

    compact = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
    digits = " ".join(
        f"WHEN regexp_full_match({moment}, '(19|20|21)\\d{{{n - 2}}}')"
        f" THEN {here(f'try_strptime({moment}, {literal(form)})')}"
        for n, form in compact.items()
    )
    return f"""CASE
    WHEN regexp_matches({moment}, '{YEAR_FIRST}') THEN CASE
        WHEN regexp_matches({moment}, '{_ZONE}') THEN timezone('UTC', TRY_CAST({moment} AS TIMESTAMPTZ))
        WHEN regexp_matches({moment}, '[AaPp][Mm]$') THEN {here(f"try_strptime(upper({moment}), {_formats(_HALF_DAY)})")}
        ELSE {here(f"TRY_CAST({moment} AS TIMESTAMP)")} END
    WHEN regexp_matches({moment}, '{DIGITS}') THEN CASE {digits}
        WHEN abs({number}) < 1e8 THEN NULL
        WHEN abs({number}) < 1e11 THEN make_timestamp(({number} * 1e6)::BIGINT)
        WHEN abs({number}) < 1e14 THEN make_timestamp(({number} * 1e3)::BIGINT)
        WHEN abs({number}) < 1e17 THEN make_timestamp(TRY_CAST({moment} AS BIGINT))
        WHEN abs({number}) < 9e18 THEN make_timestamp(TRY_CAST({moment} AS BIGINT) // 1000) END
    WHEN regexp_matches({moment}, '{DAY_OR_MONTH_FIRST}') THEN CASE
        WHEN {doubtful} THEN NULL
        WHEN {day_first} THEN {here(by_year("%d-%m"))}
        ELSE {here(by_year("%m-%d"))} END
    WHEN regexp_matches({moment}, '[+-]\\d{{4}}( \\d{{4}})?$')
        THEN timezone('UTC', try_strptime({moment}, {_formats(_NAMED_ZONED)}))
    WHEN regexp_matches({moment}, '\\d') THEN {here(f"try_strptime({bare}, {_formats(_NAMED)})")}
    END"""


_HALF_DAY = ("%Y-%m-%d %I:%M %p", "%Y-%m-%d %I:%M:%S %p")


def lookup_sql(expression: str, words: Mapping[str, str], otherwise: str = "NULL") -> str:
    """SQL that replaces words by what a table says they mean; `otherwise` for words that are not in it."""
    branches = [f"WHEN {literal(word)} THEN {literal(meaning)}" for word, meaning in words.items()]
    return f"CASE {expression} {' '.join(branches)} ELSE {otherwise} END" if branches else otherwise


def currency_sql(*expressions: str) -> str:
    """SQL that finds the currency by the sign in one of several amounts."""
    branches = [
        f"WHEN contains({e}, {literal(sign)}) THEN {literal(code)}" for e in expressions for sign, code in CURRENCY_SIGNS
    ]
    return f"CASE {' '.join(branches)} END" if branches else "NULL"
