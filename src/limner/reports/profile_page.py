"""A workspace's profile as one HTML file that loads nothing and runs nothing; every value in it is escaped."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from limner.errors import UsageError
from limner.histories.profile import ColumnProfile, Profile

STYLES = ("page.css", "profile.css")

NEAR_SHOWN = 5
"""Groups of near-duplicate texts that are shown."""

NEAR_CHARACTERS = 80
"""Characters of each."""


def profile_html(found: Profile, title: str) -> str:
    """The page's text."""
    folder = files("limner.reports")
    style = "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in STYLES)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(folder.joinpath("profile.html").read_text(encoding="utf-8"))
    return template.render(
        profile=found,
        title=title,
        style=style,
        style_hash=f"sha256-{digest}",
        count=count,
        change=change,
        notes=notes,
        more=people_and_texts(found),
    )


def write_profile_page(found: Profile, out: Path, title: str) -> Path:
    """Writes the page and returns its path.

    Raises:
        UsageError: The file cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(profile_html(found, title), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"Cannot write {out}: {error.strerror}. Choose another file with --html.") from error
    return out


def count(value: int | None) -> str:
    """A count for people; a dash where nothing was looked for."""
    return "–" if value is None else f"{value:,}"


def change(before: int, after: int) -> str:
    """A count before and after, once if it is the same."""
    return f"{before:,}" if before == after else f"{before:,} → {after:,}"


def notes(column: ColumnProfile) -> str:
    """What else there is to say of a column, in a line."""
    said: list[str] = []
    if column.constant is not None:
        value = " ".join(column.constant.split())
        said.append(f"always {value[:60]}{'…' if len(value) > 60 else ''}")
    if column.outlying:
        said.append(f"outlying is below {_fence(column.low)} or above {_fence(column.high)}")
    if column.contradictory:
        said.append(f"contradictory: {column.contradiction}")
    return "; ".join(said)


def people_and_texts(found: Profile) -> list[str]:
    """What there is to say of merged ids, flagged accounts and near-duplicate texts, a line each."""
    lines: list[str] = []
    if found.merged:
        lines.append(f"{found.merged:,} ids are merged into another")
    if found.flagged is not None:
        rules = ", ".join(f"{users:,} {rule.replace('_', ' ')}" for rule, users in found.flagged.items())
        lines.append(f"Flagged accounts: {rules or 'none'}")
    near = found.near
    if near is not None and near.events:
        share = near.near / near.texts
        drawn = " (a sample)" if near.sampled else ""
        lines.append(
            f"Long texts: {near.events:,} in events, {near.same:,} word for word again; of {near.texts:,} different"
            f" ones{drawn} {near.near:,} ({share:.1%}) are nearly the same as another"
        )
        for group in near.groups[:NEAR_SHOWN]:
            text = group.text[:NEAR_CHARACTERS] + ("…" if len(group.text) > NEAR_CHARACTERS else "")
            lines.append(f"  {group.events:,} events of {group.users:,} users in {group.texts:,} wordings: {text}")
    return lines


def _fence(value: float | str | None) -> str:
    return f"{value:,.2f}".rstrip("0").rstrip(".") if isinstance(value, int | float) else str(value)
