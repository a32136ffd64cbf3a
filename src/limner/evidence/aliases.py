"""The alias table: which label goes under which name, as a file in the workspace that a person can read and edit.

    [[alias]]
    label = "咖啡"
    canonical = "coffee"
    status = "proposed"
    similarity = 0.71
    applied = true

Proposals are made anew from the labels there are; what a person accepted or refused is kept and always wins.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from limner.errors import UsageError, WorkspaceError
from limner.evidence.labels import canonical
from limner.histories.replacing import replacing

FILE = "aliases.toml"

Status = Literal["proposed", "accepted", "refused"]

_HEAD = """\
# Labels that go under another label's name. `limner persona aliases` lists and decides them; `status` can be edited.
# proposed: alike by their meaning, in force if applied is true. accepted, refused: a person's word, which is kept.
"""


@dataclass(frozen=True, slots=True)
class Alias:
    """One row of the table.

    Attributes:
        label: The label, as it was written.
        name: The label under whose name it goes or could go.
        status: `proposed` by code; `accepted` or `refused` by a person.
        similarity: Of the two, -1 to 1; None where it was not measured.
        applied: Whether it is in force.
    """

    label: str
    name: str
    status: Status
    similarity: float | None
    applied: bool

    @property
    def form(self) -> str:
        """The common form of the label."""
        return canonical(self.label)

    @property
    def name_form(self) -> str:
        """The common form of the name."""
        return canonical(self.name)

    def to_json(self) -> dict[str, Any]:
        """The row as `limner persona aliases --json` prints it."""
        return {
            "label": self.label,
            "canonical": self.name,
            "status": self.status,
            "similarity": self.similarity,
            "applied": self.applied,
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """A person's word on whether a label goes under a name."""

    label: str
    name: str
    accepted: bool
    similarity: float | None = None

    @property
    def form(self) -> str:
        """The common form of the label."""
        return canonical(self.label)

    @property
    def name_form(self) -> str:
        """The common form of the name."""
        return canonical(self.name)


def read_aliases(workspace: Path) -> tuple[Alias, ...]:
    """The alias table of a workspace; empty if there is none yet.

    Raises:
        UsageError: The file was edited into something that is no alias table.
    """
    path = workspace / FILE
    if not path.is_file():
        return ()
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not an alias table: {error}. Mend it, or delete it to begin anew.") from error
    except OSError as error:
        raise WorkspaceError(f"Cannot read {path}: {error.strerror}. Check its permissions.") from error
    rows = raw.pop("alias", [])
    if raw or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UsageError(
            f"{path} is not an alias table: it is a list of [[alias]]. Mend it, or delete it to begin anew."
        )
    table = tuple(_row(path, number, row) for number, row in enumerate(rows, 1))
    _refuse_contradiction(table, f"{path}: ")
    return table


def _row(path: Path, number: int, row: Mapping[str, Any]) -> Alias:
    where = f"{path}, alias {number}"
    odd = sorted(row.keys() - {"label", "canonical", "status", "similarity", "applied"})
    if odd:
        raise UsageError(f"{where} has the unknown key {odd[0]!r}. Known keys: label, canonical, status.")
    label, name, status = (row.get(key) for key in ("label", "canonical", "status"))
    if not isinstance(label, str) or not isinstance(name, str) or not canonical(label) or not canonical(name):
        raise UsageError(f"{where} lacks a label or a canonical name.")
    if status not in ("proposed", "accepted", "refused"):
        raise UsageError(f"{where} has the status {status!r}. Use proposed, accepted or refused.")
    if canonical(label) == canonical(name):
        raise UsageError(f"{where} puts {label!r} under itself. Name two different labels, or delete it.")
    similarity = row.get("similarity")
    applied = status == "accepted" or (status == "proposed" and row.get("applied") is True)
    measured = float(similarity) if isinstance(similarity, int | float) and isfinite(similarity) else None
    return Alias(label, name, status, measured, applied)


def decisions_of(aliases: Iterable[Alias]) -> tuple[Decision, ...]:
    """What persons decided in a table."""
    return tuple(
        Decision(row.label, row.name, row.status == "accepted", row.similarity)
        for row in aliases
        if row.status != "proposed"
    )


def write_aliases(workspace: Path, aliases: Sequence[Alias]) -> None:
    """Writes the table in one step, if it differs from what is there.

    Raises:
        WorkspaceError: The file cannot be written.
    """
    path = workspace / FILE
    text = _HEAD + "".join(_toml(row) for row in aliases)
    try:
        if path.is_file() and path.read_bytes() == text.encode("utf-8"):
            return
        with replacing(path) as temporary:
            temporary.write_bytes(text.encode("utf-8"))
    except OSError as error:
        raise WorkspaceError(f"Cannot write {path}: {error.strerror}. Free some space or check permissions.") from error


def _toml(row: Alias) -> str:
    lines = ["", "[[alias]]", f"label = {_string(row.label)}", f"canonical = {_string(row.name)}"]
    lines.append(f"status = {_string(row.status)}")
    if row.similarity is not None:
        lines.append(f"similarity = {row.similarity:.3f}")
    lines.append(f"applied = {'true' if row.applied else 'false'}")
    return "\n".join(lines) + "\n"


def _string(text: str) -> str:
    """A TOML basic string: JSON's escapes, and DEL, which only TOML forbids; lone surrogates become U+FFFD."""
    clean = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return json.dumps(clean, ensure_ascii=False).replace("\x7f", "\\u007F")


def decide(aliases: Sequence[Alias], label: str, name: str, *, accept: bool) -> tuple[Alias, ...]:
    """The table with a person's word on one pair, in either order; the last word on a pair counts.

    Raises:
        UsageError: A label is empty, both are the same, or the word contradicts others that were accepted.
    """
    if not canonical(label) or not canonical(name) or canonical(label) == canonical(name):
        raise UsageError("Name two different labels: the label, and the name it goes under.")
    pair = frozenset((canonical(label), canonical(name)))
    kept = [row for row in aliases if frozenset((row.form, row.name_form)) != pair]
    similarity = next((r.similarity for r in aliases if frozenset((r.form, r.name_form)) == pair), None)
    if accept:
        kept = [row for row in kept if not (row.form == canonical(label) and row.status == "accepted")]
    table = (*kept, Alias(label, name, "accepted" if accept else "refused", similarity, accept))
    _refuse_contradiction(table)
    return table


def _refuse_contradiction(aliases: Sequence[Alias], where: str = "") -> None:
    """Raises if a label is accepted under two names, or accepted aliases together say that a refused pair is one."""
    root: dict[str, str] = {}
    name_of: dict[str, Alias] = {}

    def find(form: str) -> str:
        while root.get(form, form) != form:
            form = root[form]
        return form

    for row in aliases:
        if row.status == "accepted":
            first = name_of.setdefault(row.form, row)
            if first.name_form != row.name_form:
                raise UsageError(
                    f"{where}{row.label!r} is accepted under {first.name!r} and under {row.name!r}. Leave one of them."
                )
            root[find(row.form)] = find(row.name_form)
    for row in aliases:
        if row.status == "refused" and find(row.form) == find(row.name_form):
            raise UsageError(
                f"{where}{row.label!r} and {row.name!r} are refused, but accepted aliases make them one. "
                "Refuse one of those first, or accept this pair (`limner persona aliases` lists them)."
            )
