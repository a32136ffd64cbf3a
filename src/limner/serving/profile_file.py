"""Writing a profile into a person's file: one entry is replaced, the others and their comments stay as they are."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from limner.errors import UsageError
from limner.histories.replacing import replacing
from limner.serving.profiles import Profile, read_entries

BEFORE = ".before"
"""Ending of the copy of the file as it was."""

_HEAD = """\
# What was measured of models, written by `limner models tune`; a person may edit it. To undo an entry, delete it.
# As the file was before the last measurement stands beside it, with the ending .before.
"""

_ENTRY = re.compile(r"(?m)^[ \t]*\[\[?[^\]\n]*\]\]?[ \t]*(?:#.*)?$")
"""The head of a table, behind which what stands before ends."""


def write_profile(file: Path, profile: Profile) -> Path | None:
    """Puts a profile into a file, in place of the entry of the same model if there is one.

    Args:
        file: The file, made if it is not there.
        profile: What was measured.

    Returns:
        The copy of the file as it was; None if there was none.

    Raises:
        UsageError: The file cannot be read or written.
    """
    before = None
    try:
        text = file.read_text(encoding="utf-8-sig") if file.is_file() else _HEAD
        read_entries(file)  # What cannot be read is not added to.
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.is_file():
            before = file.with_name(file.name + BEFORE)
            shutil.copyfile(file, before)
        with replacing(file) as temporary:
            temporary.write_text(with_entry(text, profile), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"Cannot write {file}: {error.strerror}. Name a workspace that can be written with --workspace."
        ) from error
    read_entries(file)
    return before


def with_entry(text: str, profile: Profile) -> str:
    """A file's text with a profile in place of the entry of its model, or at the end."""
    named = re.compile(
        rf"(?m)^[ \t]*model[ \t]*=[ \t]*(?:{re.escape(_string(profile.model))}|'{re.escape(profile.model)}')"
    )
    heads = [match.start() for match in _ENTRY.finditer(text)]
    kept = [text[: heads[0]] if heads else text]
    own = False
    for start, end in pairwise([*heads, len(text)]):
        block = text[start:end]
        if not block.lstrip().startswith("[profile."):
            own = block.lstrip().startswith("[[profile]]") and bool(named.search(block))
        if not own:  # The tables below an entry go with it.
            kept.append(block)
    return "".join(kept).rstrip("\n") + "\n\n" + entry(profile)


def entry(profile: Profile) -> str:
    """A profile as an entry of a file."""
    fields: dict[str, str | int | None] = {
        "model": _string(profile.model),
        "spec": _string(profile.spec),
        "plan": _string(profile.plan),
        "context": profile.context,
        "concurrency": profile.concurrency,
        "positive_from": _inline(profile.positive_from),
        "measured": _string(profile.measured),
        "suite": _string(profile.suite),
        "by": _string(profile.by),
        "rates": _inline(profile.rates),
    }
    for one in profile.scores:
        figures = {"score": one.score, "low": one.low, "high": one.high, "tokens": one.tokens, "calls": one.calls}
        fields[f"scores.{one.plan}"] = _inline(figures)
    return "\n".join(["[[profile]]", *(f"{name} = {value}" for name, value in fields.items() if value), ""])


def _inline(values: Mapping[str, float]) -> str:
    """An inline table of numbers; empty if there are none."""
    told = ", ".join(f"{name} = {round(value, 4)}" for name, value in values.items())
    return f"{{ {told} }}" if told else ""


def _string(value: str) -> str:
    """A TOML string: JSON's escapes are among TOML's; DEL is not allowed bare."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
