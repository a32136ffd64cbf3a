"""A taxonomy: a closed vocabulary for labels, with synonyms in both languages.

[[entry]]
name = "coffee"
also = ["espresso", "咖啡", "手冲咖啡"]
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limner.errors import UsageError, WorkspaceError
from limner.evidence.labels import canonical
from limner.histories.replacing import replacing

FILE = "taxonomy.toml"
"""Where a workspace keeps the taxonomy it was built with."""


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """A closed vocabulary.

    Attributes:
        entry_of: The entry's name for each label it knows, in `canonical` form, the names included.
        wordings: All labels as written, in the file's order.
    """

    entry_of: Mapping[str, str]
    wordings: tuple[str, ...]


def read_taxonomy(path: Path) -> Taxonomy:
    """Reads a taxonomy file.

    Raises:
        UsageError: It cannot be read, is no TOML, has unknown keys, or a label stands for two entries.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML in UTF-8: {error}. See docs/traits.md for the form.") from error
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}. Check the path.") from error
    entries = raw.pop("entry", None)
    if raw or not isinstance(entries, list) or not entries:
        odd = f"unknown key {next(iter(raw))!r}" if raw else "no [[entry]]"
        raise UsageError(f"{path}: {odd}. A taxonomy is a list of [[entry]] with `name` and `also`.")
    entry_of: dict[str, str] = {}
    wordings: list[str] = []
    for number, entry in enumerate(entries, 1):
        for label in _labels(path, number, entry):
            owner = entry_of.setdefault(canonical(label), entry["name"])
            if owner != entry["name"]:
                raise UsageError(f"{path}: {label!r} stands in {owner!r} and in {entry['name']!r}. Leave it in one.")
            wordings.append(label)
    return Taxonomy(entry_of, tuple(wordings))


def _labels(path: Path, number: int, entry: Any) -> list[str]:
    """The labels of one entry, its name first."""
    where = f"{path}, entry {number}"
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not canonical(entry["name"]):
        raise UsageError(f'{where} has no name. Give every [[entry]] a line `name = "..."`.')
    odd = sorted(entry.keys() - {"name", "also"})
    if odd:
        raise UsageError(f"{where} has the unknown key {odd[0]!r}. Known keys: name, also.")
    also = entry.get("also", [])
    if not isinstance(also, list) or not all(isinstance(label, str) and canonical(label) for label in also):
        raise UsageError(f"{where}: `also` must be a list of labels.")
    return [entry["name"], *also]


def stored_taxonomy(workspace: Path) -> Taxonomy | None:
    """The taxonomy of a workspace, if it has one.

    Raises:
        UsageError: The stored file was changed into something that is no taxonomy.
    """
    path = workspace / FILE
    return read_taxonomy(path) if path.is_file() else None


def keep_taxonomy(workspace: Path, source: Path) -> Taxonomy:
    """Checks a taxonomy file and copies it into a workspace, in place of the one it has.

    Raises:
        UsageError: The file is no taxonomy.
        WorkspaceError: The copy cannot be written.
    """
    taxonomy = read_taxonomy(source)
    path = workspace / FILE
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(source.read_bytes())
    except OSError as error:
        raise WorkspaceError(f"Cannot write {path}: {error.strerror}. Free some space or check permissions.") from error
    return taxonomy
