"""One HTML file that holds everything: people, claims, and the words behind every claim.

The file loads nothing. Its content security policy forbids all but the one script and the one style sheet that stand
in it, by their hashes, and forbids the script to write HTML at all. Customers' words are JSON in the file and reach
the screen as text only.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from limner.evidence.persona import Persona
from limner.histories.store import Store
from limner.reports.material import Material, Refused, Row, Totals, gather
from limner.reports.payload import embed_json, page_data
from limner.reports.plain_data import Given, plain_data
from limner.reports.words import language, majority, say

SCRIPTS = (
    "page_text.js",
    "page_parts.js",
    "page_panel.js",
    "page_card.js",
    "page_answer.js",
    "page_views.js",
    "page.js",
)
"""The parts of the page's script, in the order in which they stand in it."""

STYLES = ("page.css", "page_parts.css")


def write_page(
    store: Store,
    out: Path,
    *,
    title: str,
    users: Sequence[str] | None = None,
    answer: Given | None = None,
    copy: Given | None = None,
) -> Path:
    """Writes a workspace's personas as one self-contained HTML file.

    Args:
        store: The workspace.
        out: The file to write; its folder is made if need be, and what it held is replaced in one step.
        title: Heading of the page.
        users: Whom to show; the `PAGE_USERS` with the most traits if None.
        answer: An answer of `limner ask` to show, with its sources.
        copy: Variants of `limner copy` to show, with their checks.

    Returns:
        The file.

    Raises:
        UsageError: A named user is not in the workspace.
        OSError: The file cannot be written.
    """
    given = None if answer is None else plain_data(answer)
    cited = [str(c["id"]) for c in (given or {}).get("citations") or () if c.get("type") == "event"]
    material = gather(store, users, cited)
    lang = majority(persona.language for persona in material.personas)
    data = page_data(material, title=title, lang=lang, single=False, made=_now())
    data["answer"] = given
    data["copy"] = None if copy is None else plain_data(copy)
    return write_text(out, render(data))


def persona_html(
    persona: Persona,
    events: Iterable[Row],
    *,
    title: str | None = None,
    lang: str | None = None,
    rejected: Sequence[Row] = (),
) -> str:
    """One persona as the same self-contained page.

    Args:
        persona: The persona.
        events: Rows of the `events` table that its evidence cites.
        title: Heading of the page; the user's id if not given.
        lang: Language in which the interface starts; the persona's own if not given.
        rejected: Rows of the `signals` table that were refused.
    """
    refused = {persona.user_id: Refused(len(rejected), tuple(rejected))} if rejected else {}
    return material_html(Material((persona,), tuple(events), Totals(1), refused=refused), title=title, lang=lang)


def material_html(material: Material, *, title: str | None = None, lang: str | None = None) -> str:
    """The page of the one persona that `material` holds, with its segments and refused claims."""
    persona = material.personas[0]
    chosen = language(lang or persona.language)
    return render(page_data(material, title=title or persona.user_id, lang=chosen, single=True, made=_now()))


def write_text(out: Path, text: str) -> Path:
    """Writes a file in UTF-8 in one step: whoever opens it sees the old text or the new, never a part."""
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8", errors="replace", newline="\n")
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return out


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0, tzinfo=None)


def policy(script: str, style: str) -> str:
    """The content security policy that lets exactly this script and this style sheet run, and nothing load."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{source_hash(script)}'",
            f"style-src '{source_hash(style)}'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def source_hash(source: str) -> str:
    """The hash source of an inline script or style (CSP Level 3, section 2.3.1)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode("utf-8")).digest()).decode("ascii")


@cache
def _source(name: str) -> str:
    return files("limner.reports").joinpath(name).read_text(encoding="utf-8")


@cache
def page_script() -> str:
    """The page's whole script."""
    parts = "\n".join(_source(name) for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}\n}})();\n'


@cache
def page_style() -> str:
    """The page's whole style sheet."""
    return "\n".join(_source(name) for name in STYLES)


def render(data: Mapping[str, Any]) -> str:
    """The HTML of a page from its data (`payload.page_data`)."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    script, style = page_script(), page_style()
    return environment.from_string(_source("page.html")).render(
        lang={"zh": "zh-CN"}.get(data["lang"], data["lang"]),
        title=data["title"],
        policy=policy(script, style),
        script=script,
        style=style,
        data=embed_json(data),
        no_script=[say(lang, "no_script") for lang in ("en", "zh")],
    )
