"""Keys that tell a person: e-mail addresses, phone numbers and other exact ids, tidied and hashed with a secret.

Two ways to write one address give one hash, and what is no address gives none. The hash is keyed, so that nobody who
lacks the key can find addresses by hashing lists of them; the value itself is stored nowhere by what is here.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import duckdb

from limner.errors import UsageError, WorkspaceError
from limner.histories.cleaning import GIVEN, Steps, apply
from limner.histories.store import quote_path as literal

KEY_FILE = "identity.key"
"""The file of a workspace that holds its secret, readable by its owner alone."""

KEY_VARIABLE = "LIMNER_IDENTITY_KEY"
"""The environment variable that holds the secret instead, so that it is kept away from the data."""

SHORTEST_SECRET = 16
"""Characters that a secret of one's own must have."""

HASH_DIGITS = 32
"""Hex digits kept of a hash: 128 bits."""

_WIDE = "".join(chr(code) for code in range(0xFF01, 0xFF5F)) + "　。"
_NARROW = "".join(chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)) + " ."

HALF_WIDTH = f"translate({{x}}, {literal(_WIDE)}, {literal(_NARROW)})"
"""A step: full-width letters, digits and signs as half-width ones."""

_NOBODY = "noreply|no-reply|donotreply|none|null|unknown|anonymous|na|n/a|nobody|test|example|abc|aaa+|xxx+"
_NOWHERE = "example[.](com|org|net)|test[.](com|cn|local)|localhost|invalid|none[.]com"

EMAIL: Steps = (
    f"lower(trim({HALF_WIDTH}))",
    "regexp_replace(regexp_replace({x}, '^(mailto:|.*<)', ''), '[>;,. ]+$', '')",
    'CASE WHEN regexp_full_match({x}, \'[^@\\s<>"(),:;]+@[^@\\s<>"(),:;]+[.][^@\\s<>"(),:;.]{2,}\')'
    f" AND NOT regexp_full_match({{x}}, '({_NOBODY})@.*|.*@({_NOWHERE})') THEN {{x}} END",
)
"""After `GIVEN`: an e-mail address in lower case and half width. Dots and tags (`a.b+shop@`) are part of it: only its
provider could tell whether they matter."""

PHONE: Steps = (
    f"regexp_replace(trim({HALF_WIDTH}), '^(tel:|mobile:|phone:)', '', 'i')",
    "regexp_replace({x}, '[-\\s().·‐‑–—]', '', 'g')",
    "regexp_replace({x}, '^00', '+')",
    """CASE WHEN regexp_full_match({x}, '([+]86|86|0|)1[3-9]\\d{9}') THEN '+86' || right({x}, 11)
    WHEN regexp_full_match({x}, '[+][1-9]\\d{7,14}') THEN {x}
    WHEN regexp_full_match({x}, '\\d{10,15}') THEN {x} END""",
    """CASE WHEN {x} IN ('+8613800138000', '+8613912345678', '+8613812345678') THEN NULL
    WHEN regexp_matches({x}, '(0{6}|1{7}|2{7}|3{7}|4{7}|5{7}|6{7}|7{7}|8{7}|9{7}|1234567|7654321)') THEN NULL
    ELSE {x} END""",
)
"""After `GIVEN`: a phone number without what stands between its digits, Chinese mobile numbers always with +86. Numbers
without a country stay as they are written, if they are long enough to have an area code. Numbers that nobody has (all
zeros, 1234567, the operator's own) are none."""

EXACT: Steps = (f"nullif(trim({HALF_WIDTH}), '')",)
"""After `GIVEN`: any other id, as written but for width and blanks; letter case counts."""


@dataclass(frozen=True, slots=True)
class KeyForm:
    """A sort of key.

    Attributes:
        name: Its name.
        steps: How a value is tidied, after `GIVEN`; null where it is no such key.
        looks: A regular expression that most values of a column of such keys match.
    """

    name: str
    steps: Steps
    looks: str


FORMS: dict[str, KeyForm] = {
    form.name: form
    for form in (
        KeyForm("email", EMAIL, "[^@\\s]+[@＠][^@\\s]+[.．。][^@\\s]+"),
        KeyForm("phone", PHONE, "[+＋]?[\\d０-９][-\\d０-９ ()（）－.]{6,24}"),
        KeyForm("exact", EXACT, ".*"),
    )
}
"""Every sort of key, those with a form of their own first."""

MARK = "hashed:"
"""How a value begins that was hashed when it was loaded; the sort of key and the hash follow."""


def hash_sql(value: str, form: KeyForm, secret: str) -> str:
    """SQL for the keyed hash of a tidied value."""
    prefix = literal(f"{secret}\x1f{form.name}\x1f")
    return f"left(sha256({prefix} || {value}), {HASH_DIGITS})"


def hashed_relation(relation: str, form: KeyForm, secret: str) -> str:
    """The column `x` of a relation, hashed, as another column `h`; null where it is no key. Hashes stay as they are.

    Args:
        relation: SQL with the columns `x` and any others.
        form: The sort of key.
        secret: The workspace's secret.
    """
    tidied = f"(SELECT *, x AS said FROM {relation})"
    for step in (*GIVEN, *form.steps):
        tidied = f"(SELECT * REPLACE ({step.replace('{x}', 'x')} AS x) FROM {tidied})"
    known = f"starts_with(said, {literal(MARK)})"
    kept = f"CASE WHEN {known} THEN split_part(said, ':', 3) WHEN x IS NOT NULL THEN {hash_sql('x', form, secret)} END"
    return f"(SELECT * EXCLUDE (x, said), {kept} AS h FROM {tidied})"


def tidied(value: str, form: KeyForm) -> str | None:
    """One value tidied as a column of them would be; None if it is no such key."""
    with duckdb.connect() as connection:
        rows = connection.execute(f"SELECT x FROM {apply((*GIVEN, *form.steps), '(SELECT ?::VARCHAR AS x)')}", [value])
        found = rows.fetchall()[0][0]
    return None if found is None else str(found)


def secret_of(workspace: Path) -> str:
    """The secret of a workspace: the environment's, else that of its key file, which is made if there is none.

    Raises:
        UsageError: The environment's is too short to be one.
        WorkspaceError: The key file cannot be read or written.
    """
    given = os.environ.get(KEY_VARIABLE)
    if given:
        if len(given) < SHORTEST_SECRET:
            raise UsageError(
                f"{KEY_VARIABLE} is too short to be a secret. Give it {SHORTEST_SECRET} characters or more."
            )
        return hashlib.sha256(given.encode()).hexdigest()
    path = workspace / KEY_FILE
    try:
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
                file.write(secrets.token_hex(32) + "\n")
        except FileExistsError:
            pass
        kept = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a key"
        raise WorkspaceError(f"Cannot use {path}: {reason}. Check its permissions, or set {KEY_VARIABLE}.") from error
    if len(kept) < SHORTEST_SECRET:
        raise WorkspaceError(f"{path} holds no key. Put back the one that was there, or set {KEY_VARIABLE}.")
    return hashlib.sha256(kept.encode()).hexdigest()
