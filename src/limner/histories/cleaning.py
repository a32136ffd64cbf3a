"""Cleaning, in SQL: text, numbers, times and words of a source.

Cleaning is a chain of steps, each one SQL expression over the one before (`{x}`), so that no step is written or
computed twice. Every chain gives null for what it cannot read, so that the caller can tell a missing value (nothing
there) from an unreadable one (something there, nothing read).
"""

from __future__ import annotations

from collections.abc import Mapping

from limner.histories.store import quote_path as literal
from limner.histories.words import CURRENCY_SIGNS

Steps = tuple[str, ...]
"""SQL expressions to be applied one after another; `{x}` is the value so far."""

_FULL = "０１２３４５６７８９．，：／－＋％（）"
_HALF = "0123456789.,:/-+%()"

_BLANKS = " \t\n\v\f\r\u00a0\u2000\u2001\u2002\u2003\u2007\u2009\u200b\u202f\u3000\ufeff"
_CONTROLS = "[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f]"
UNTIDY = f"^$|^[{_BLANKS}]|[{_BLANKS}]$|\\r|{_CONTROLS}"
"""What few values have, so that one search tells the tidy ones, which need no rewriting, from the rest."""

_NOTHING = "null|none|nan|n/a|na|nil|nat|<na>|--?|\\\\n|undefined|\\(null\\)|无|空"
"""Words for no value, in ids, times and numbers; in a text they are words."""

TEXT: Steps = (
    f"CASE WHEN regexp_matches({{x}}, {literal(UNTIDY)}) THEN nullif(trim(regexp_replace(replace(replace("
    f"{{x}}, chr(13) || chr(10), chr(10)), chr(13), chr(10)), '{_CONTROLS}', '', 'g'), {literal(_BLANKS)}), '')"
    " ELSE {x} END",
)
"""A text: without control characters, with plain line ends, trimmed; null if nothing is left."""

# A search, not IN (...): DuckDB makes a join of that, one for each column.
WORD_FOR_NOTHING = f"length({{x}}) <= 9 AND regexp_full_match({{x}}, '(?i)({_NOTHING})')"
"""SQL: whether a value is such a word."""

GIVEN: Steps = (
    *TEXT,
    f"CASE WHEN {WORD_FOR_NOTHING} THEN NULL ELSE {{x}} END",
)
"""A value that is not a text of somebody's: as `TEXT`, and words for nothing are nothing."""

LIST: Steps = (
    "CASE WHEN starts_with({x}, '[') AND json_valid({x})"
    " THEN nullif(array_to_string(json_extract_string({x}, '$[*]'), '|'), '') ELSE {x} END",
)
"""After `GIVEN`: a JSON list of words as words with bars between them."""

_CURRENCY = "(?:HK\\$|NT\\$|US\\$|RMB|CNY|USD|EUR|GBP|HKD|JPY|TWD|AUD|CAD|INR|KRW|[$€£¥￥₩₹＄])"
_UNITS = (
    f"(?:{_CURRENCY}|元|块|圆|人民币|円|颗?星|分|stars?|points?|件|个|盒|瓶|包|双|套|台|本|张|次|份|只|支|条"
    "|pcs?|pieces?|units?)"
)
_PLAIN = "-?\\d+(\\.\\d+)?"

_HALF_WIDTH = (
    f"CASE WHEN regexp_matches({{x}}, '[^ -~]') THEN trim(translate(translate({{x}}, {literal(_FULL)},"
    f" {literal(_HALF)}), {literal(_BLANKS)}, {literal(' ' * len(_BLANKS))})) ELSE {{x}} END"
)

NUMBER: Steps = (
    _HALF_WIDTH,
    f"CASE WHEN regexp_full_match({{x}}, '{_PLAIN}') THEN {{x}} ELSE regexp_replace(regexp_replace("
    f"{{x}}, '(?i)^([-+(]?)\\s*{_CURRENCY}\\s*', '\\1'), '(?i)\\s*{_UNITS}(\\)?)$', '\\1') END",
    f"""CASE WHEN regexp_full_match({{x}}, '{_PLAIN}') THEN TRY_CAST({{x}} AS DOUBLE)
    WHEN regexp_full_match({{x}}, '[-+]?(\\d+\\.?\\d*|\\.\\d+)([eE][-+]?\\d+)?') THEN TRY_CAST({{x}} AS DOUBLE)
    WHEN regexp_full_match({{x}}, '[-+]?\\d{{1,3}}(,\\d{{3}})+(\\.\\d*)?')
        THEN TRY_CAST(replace({{x}}, ',', '') AS DOUBLE)
    WHEN regexp_full_match({{x}}, '[-+]?\\d{{1,3}}(\\.\\d{{3}})+,\\d+')
        THEN TRY_CAST(replace(replace({{x}}, '.', ''), ',', '.') AS DOUBLE)
    WHEN regexp_full_match({{x}}, '[-+]?\\d+,\\d{{1,2}}') THEN TRY_CAST(replace({{x}}, ',', '.') AS DOUBLE)
    WHEN regexp_full_match({{x}}, '\\([\\d,.]+\\)') THEN -TRY_CAST(replace(trim({{x}}, '()'), ',', '') AS DOUBLE)
    WHEN regexp_full_match({{x}}, '[-+]?[\\d.]+\\s*万') THEN TRY_CAST(trim(replace({{x}}, '万', '')) AS DOUBLE) * 1e4
    WHEN regexp_full_match({{x}}, '[-+]?[\\d.]+\\s*[kK]') THEN TRY_CAST(trim({{x}}, 'kK ') AS DOUBLE) * 1e3
    END""",
    "CASE WHEN isfinite({x}) THEN {x} END",
)
"""After `GIVEN`: a number, with or without currency, thousands separators and units; 1,299 is one thousand."""

RATING: Steps = (
    _HALF_WIDTH,
    """CASE WHEN regexp_full_match({x}, '[\\d.]+') THEN {x}
    WHEN regexp_full_match({x}, '[★⭐☆✩✰️ ]+') THEN length(regexp_replace({x}, '[^★⭐]', '', 'g'))::VARCHAR
    WHEN regexp_full_match({x}, '[零一二两三四五六七八九十]颗?星(好评)?')
        THEN (strpos('零一二三四五六七八九十', replace(left({x}, 1), '两', '二')) - 1)::VARCHAR
    WHEN regexp_matches({x}, '(?i)^[\\d.]+\\s*(/|out of|of)\\s*\\d+')
        THEN regexp_extract({x}, '^([\\d.]+)', 1) ELSE {x} END""",
    *NUMBER[1:],
)
"""After `GIVEN`: a rating, also as stars, as 五星 and as 4/5 (of which the first number counts)."""

MOMENT: Steps = (
    _HALF_WIDTH,
    """CASE WHEN regexp_matches({x}, '[年月日号时点分秒午]') THEN trim(regexp_replace(regexp_replace(
        regexp_replace(regexp_replace(regexp_replace(regexp_replace(
            {x}, '[年月]', '-', 'g'), '[日号]', ' ', 'g'), '[时点分]', ':', 'g'), '秒|星期.|周.', '', 'g'),
        '(上午|凌晨|早上)\\s*([\\d:]+)', '\\2 AM'), '(下午|晚上|中午)\\s*([\\d:]+)', '\\2 PM')) ELSE {x} END""",
    """CASE WHEN regexp_full_match({x}, '\\d{4}-\\d{2}-\\d{2}([ T]\\d{2}:\\d{2}:\\d{2}(\\.\\d+)?)?') THEN {x}
    ELSE regexp_replace(regexp_replace(regexp_replace(regexp_replace(
        {x}, '^(\\d{4})[./](\\d{1,2})[./](\\d{1,2})', '\\1-\\2-\\3'), '\\s+', ' ', 'g'), ',(\\d{3,6})$', '.\\1'),
        ':( |$)', '\\1') END""",
    """CASE WHEN regexp_full_match({x}, '\\d{4}-\\d{1,2}-?') THEN rtrim({x}, '-') || '-1'
    WHEN regexp_full_match({x}, '\\d{4}-\\d{1,2}-\\d{1,2} \\d{1,2}( [AP]M)?')
        THEN regexp_replace({x}, ' (\\d{1,2})( [AP]M)?$', ' \\1:00\\2') ELSE {x} END""",
)
"""After `GIVEN`: a time as `time_sql` reads it, with the year first written 2024-1-5 3:04."""


def apply(steps: Steps, relation: str) -> str:
    """A query that applies steps to the column `x` of a relation; the result is called `x` too."""
    for step in steps:
        relation = f"(SELECT {step_sql(step, 'x')} AS x FROM {relation})"
    return relation


def step_sql(step: str, column: str) -> str:
    """One step over a column."""
    return step.replace("{x}", column)


BELIEVED = "year({m}) BETWEEN 1900 AND 2199"
"""Years that are believed; a time outside them is unreadable."""


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
    """SQL that reads a time, as UTC, from text that the steps `MOMENT` have prepared.

    Args:
        moment: The column with that text.
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
        WHEN regexp_matches({moment}, '[AaPp][Mm]$')
            THEN {here(f"try_strptime(upper({moment}), {_formats(_HALF_DAY)})")}
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
    WHEN regexp_matches({moment}, ' [+-]\\d{{4}}( \\d{{4}})?$')
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
        f"WHEN contains({amount}, {literal(sign)}) THEN {literal(code)}"
        for amount in expressions
        for sign, code in CURRENCY_SIGNS
    ]
    return f"CASE {' '.join(branches)} END" if branches else "NULL"
