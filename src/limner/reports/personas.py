"""Personas in the formats people ask for: one at a time, or all of them into a file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, TypeVar

from limner.errors import UsageError
from limner.evidence.persona import Persona, read_persona, read_personas
from limner.histories.store import Store
from limner.reports.markdown import persona_markdown
from limner.reports.material import PAGE_USERS, gather
from limner.reports.page import material_html, write_page

T = TypeVar("T")

BATCH = 2_000
"""Personas read at a time while exporting, so that memory does not grow with the number of users."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One persona in one format.

    Attributes:
        persona: The persona.
        text: The document; None for `text`, which a console lays out for its width (`terminal.persona_text`).
        read: Whether a model has already read this user's history.
    """

    persona: Persona
    text: str | None
    read: bool


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote: the file, and how many personas are in it."""

    out: Path
    personas: int


_DOCUMENTS: dict[str, Callable[[Store, Persona], str] | None] = {
    "text": None,
    "json": lambda store, persona: json.dumps(persona.to_json(), ensure_ascii=False, indent=2) + "\n",
    "md": lambda store, persona: persona_markdown(persona),
    "html": lambda store, persona: material_html(gather(store, [persona.user_id])),
}

SHOW_FORMATS = tuple(_DOCUMENTS)


def show_persona(store: Store, user_id: str, format: str = "text") -> Shown:
    """One user's persona in a format.

    Args:
        store: The workspace.
        user_id: The user.
        format: One of `SHOW_FORMATS`.

    Raises:
        UsageError: There is no such user, or no such format.
    """
    document = _known(_DOCUMENTS, format)
    persona = read_persona(store, user_id)
    read = bool(store.rows("SELECT 1 FROM extractions WHERE user_id = $1", [persona.user_id]))
    return Shown(persona, document(store, persona) if document else None, read)


def export_personas(store: Store, out: Path, format: str = "jsonl") -> Exported:
    """Writes every user's persona into one file, in one step: an interrupted export leaves what was there before.

    A page (`html`) shows the `material.PAGE_USERS` users with the most traits; the other formats hold everyone.

    Args:
        store: The workspace.
        out: The file to write; its folder is made if need be.
        format: One of `EXPORT_FORMATS`.

    Raises:
        UsageError: No such format, or `out` is a folder.
        OSError: The file cannot be written.
    """
    write = _known(_WRITERS, format)
    if out.is_dir():
        raise UsageError(f"{out} is a folder. Name a file with --out, such as {out / f'personas.{format}'}.")
    if write is None:
        write_page(store, out, title=out.stem)
        known = store.rows("SELECT count(*) AS n FROM facts")[0]["n"]
        return Exported(out, min(known, PAGE_USERS))
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8", errors="replace", newline="\n") as file:
            count = write(file, _everyone(store))
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return Exported(out, count)


def _known(table: dict[str, T], format: str) -> T:
    if format not in table:
        raise UsageError(f"There is no format {format}. Choose one of {', '.join(table)}.")
    return table[format]


def _everyone(store: Store) -> Iterator[Persona]:
    users = [row["user_id"] for row in store.rows("SELECT user_id FROM facts ORDER BY user_id")]
    for first in range(0, len(users), BATCH):
        yield from read_personas(store, users[first : first + BATCH])


def _one_line(persona: Persona) -> str:
    """A persona as JSON without any character that some readers take for a line end."""
    text = json.dumps(persona.to_json(), ensure_ascii=False)
    return text.translate({0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"})


def _write_lines(file: TextIO, personas: Iterable[Persona]) -> int:
    return sum(1 for persona in personas if file.write(_one_line(persona) + "\n"))


def _write_array(file: TextIO, personas: Iterable[Persona]) -> int:
    count = 0
    file.write("[")
    for count, persona in enumerate(personas, start=1):
        file.write("\n" if count == 1 else ",\n")
        file.write(_one_line(persona))
    file.write("\n]\n")
    return count


def _write_markdown(file: TextIO, personas: Iterable[Persona]) -> int:
    count = 0
    for count, persona in enumerate(personas, start=1):
        file.write(("" if count == 1 else "\n---\n\n") + persona_markdown(persona))
    return count


_WRITERS: dict[str, Callable[[TextIO, Iterable[Persona]], int] | None] = {
    "jsonl": _write_lines,
    "json": _write_array,
    "html": None,
    "md": _write_markdown,
}

EXPORT_FORMATS = tuple(_WRITERS)
