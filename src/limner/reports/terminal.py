"""Personas, segments, answers and copy in a terminal: in colour where it has it, at any width, Chinese and English.

Every function gives a rich renderable; `plain` turns one into text. Customers' words go in as text, never as markup,
and without the characters that could move a cursor or turn the writing direction.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from limner.evidence.persona import Persona
from limner.evidence.records import Trait
from limner.reports.facts_text import UNKNOWN, fact_lines, percent
from limner.reports.plain_data import plain_data
from limner.reports.wording import clean
from limner.reports.words import KIND_ORDER, POLARITY_SIGNS, confidence_key, counted, language, say, status_marks, word

if TYPE_CHECKING:
    from limner.reports.plain_data import Given

_COLOURS: Mapping[str, str] = {"positive": "green", "negative": "red", "mixed": "yellow", "neutral": "bright_black"}

WIDE = 72
"""From this many columns on, facts stand in two columns and confidence bars are shown."""

_BAR_CELLS = 10
_QUOTES = 2
_QUOTE_CHARACTERS = 160


def plain(renderable: RenderableType, width: int = 80) -> str:
    """A renderable as text without colour, for files and pipes."""
    file = io.StringIO()
    Console(file=file, width=width, color_system=None, highlight=False, legacy_windows=False).print(renderable)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


@dataclass(frozen=True, slots=True)
class _PersonaView:
    """Lays a persona out for the width it is given."""

    persona: Persona
    lang: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.max_width >= WIDE
        yield Text(clean(self.persona.user_id, 120), style="bold")
        if self.persona.merged:
            yield Text(say(self.lang, "merged", clean(", ".join(self.persona.merged), 1000)), style="dim")
        yield from _narrative(self.persona, self.lang)
        yield Text()
        yield _heading(say(self.lang, "facts"))
        yield _facts(self.persona, self.lang, wide)
        yield Text()
        yield _heading(say(self.lang, "traits"))
        yield from _traits(self.persona.traits, self.lang, wide)


def persona_text(persona: Persona, lang: str | None = None) -> RenderableType:
    """A persona for the terminal.

    Args:
        persona: The persona.
        lang: Language of the words around it, `zh` or `en`; the persona's own if not given.
    """
    return _PersonaView(persona, language(lang or persona.language))


def _heading(text: str) -> Text:
    return Text(text, style="bold underline")


def _narrative(persona: Persona, lang: str) -> Iterator[RenderableType]:
    if not persona.narrative:
        return
    joint = "" if language(persona.language) == "zh" else " "
    yield Text()
    yield Text(joint.join(clean(s.text, 1000) for s in persona.narrative))
    if persona.model:
        yield Text(say(lang, "model", clean(persona.model, 80)), style="dim")


def _facts(persona: Persona, lang: str, wide: bool) -> RenderableType:
    lines = fact_lines(persona.facts, lang)
    known = [line for line in lines if line.known]
    unknown = [line.label for line in lines if not line.known]
    table = Table.grid(padding=(0, 2))
    columns = 2 if wide else 1
    for _ in range(columns):
        table.add_column(style="dim", no_wrap=wide)
        table.add_column(overflow="fold")
    for first in range(0, len(known), columns):
        row = known[first : first + columns]
        table.add_row(*(Text(part) for line in row for part in (line.label, line.value)))
    if not unknown:
        return table
    listed = ("、" if lang == "zh" else ", ").join(unknown)
    return Group(table, Text(say(lang, "not_known", listed), style="dim"))


def _traits(traits: Sequence[Trait], lang: str, wide: bool) -> Iterator[RenderableType]:
    if not traits:
        yield Text(say(lang, "nothing_read"), style="dim")
        return
    present = [trait for trait in traits if trait.holds]
    kinds = [k for k in KIND_ORDER if any(t.kind == k for t in present)]
    kinds += sorted({t.kind for t in present} - set(kinds))
    for kind in kinds:
        yield Text(word(lang, "kind", kind), style="bold")
        for trait in present:
            if trait.kind == kind:
                yield from _trait(trait, lang, wide)
    if len(present) < len(traits):
        yield Text(say(lang, "no_longer"), style="bold dim")
        for trait in traits:
            if not trait.holds:
                yield from _trait(trait, lang, wide)


def _trait(trait: Trait, lang: str, wide: bool) -> Iterator[RenderableType]:
    colour = _COLOURS.get(trait.polarity, "")
    line = Text()
    line.append(POLARITY_SIGNS.get(trait.polarity, "●") + " ", style=colour)
    line.append(clean(trait.label, 120))
    line.append("  " + word(lang, "polarity", trait.polarity), style=colour)
    line.append("".join(f" · {mark}" for mark in status_marks(trait, lang)), style="yellow")
    if wide and trait.confidence is not None:
        filled = round(max(0.0, min(1.0, trait.confidence)) * _BAR_CELLS)
        line.append("  " + "━" * filled, style=colour)
        line.append("╌" * (_BAR_CELLS - filled), style="dim")
    line.append("  " + _confidence(trait.confidence, lang) + " · ", style="dim")
    line.append(counted(lang, "mention", "mentions", trait.mentions), style="dim")
    yield Padding(line, (0, 0, 0, 2))
    for span in trait.evidence[:_QUOTES]:
        opened, closed = ("「", "」") if lang == "zh" else ("“", "”")
        quote = Text(f"{opened}{clean(span.quote, _QUOTE_CHARACTERS)}{closed}", style="italic")
        quote.append(f"  {clean(span.event_id, 40)}", style="not italic dim")
        yield Padding(quote, (0, 0, 0, 4))


def _confidence(confidence: float | None, lang: str) -> str:
    key = confidence_key(confidence)
    number = "" if key == "unknown" else f" {confidence:.2f}"
    return word(lang, "confidence", key) + number


def segments_table(segments: Iterable[Given], lang: str | None = None, total: int | None = None) -> RenderableType:
    """Segments with their sizes and what sets them apart.

    Args:
        segments: Segments, or rows of the `segments` table.
        lang: `zh` or `en`.
        total: Number of all users, for the shares; the sum of the segments if not given.
    """
    rows = [plain_data(segment) for segment in segments]
    everyone = total or sum(row.get("users") or 0 for row in rows)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column(say(lang, "segment"), overflow="fold", ratio=2)
    table.add_column(say(lang, "users_column"), justify="right")
    table.add_column(say(lang, "share_column"), justify="right")
    table.add_column(say(lang, "marks_column"), overflow="fold", ratio=3)
    for row in rows:
        users = row.get("users") or 0
        share = percent(users / everyone) if everyone else UNKNOWN[language(lang)]
        name = Text(clean(row.get("name") or "", 80), style="bold")
        if row.get("description"):
            name.append("\n" + clean(row["description"], 300), style="not bold dim")
        table.add_row(name, f"{users:,}", share, Text(_marks(row.get("features") or (), lang)))
    return table


def _marks(features: Iterable[Mapping[str, Any]], lang: str | None) -> str:
    """The first features of a segment with their lift: `tea ×3.2`."""
    shown = [f"{clean(str(f['label']), 40)} ×{f['lift']:.1f}" for f in list(features)[:4] if f.get("lift") is not None]
    return ("、" if language(lang) == "zh" else ", ").join(shown)


def answer_text(answer: Given) -> RenderableType:
    """The answer to a question, with its sources under it."""
    given = plain_data(answer)
    lang = language(given.get("language"))
    parts: list[RenderableType] = [Text(clean(given.get("question") or "", 500), style="bold"), Text()]
    abstained = bool(given.get("abstained"))
    said = given.get("answer") or (say(lang, "abstained") if abstained else "")
    parts += [
        Text(clean(line, 4000), style="yellow" if abstained else "") for line in said.splitlines() if line.strip()
    ]
    if not abstained and given.get("n") is not None:
        parts.append(Text(counted(lang, "rests_on_one", "rests_on", given["n"]), style="dim"))
    cited = [
        f"  [{number}] {cite.get('type')} {clean(str(cite.get('id')), 60)}"
        for number, cite in enumerate(given.get("citations") or (), start=1)
    ]
    if cited:
        parts += [Text(), Text(say(lang, "citations"), style="dim"), *(Text(line, style="dim") for line in cited)]
    return Group(*parts)


def copy_text(copy: Given, lang: str | None = None) -> RenderableType:
    """Copy variants with what each uses and how it did in the checks."""
    given = plain_data(copy)
    channel = word(lang, "channel", str(given.get("channel") or ""))
    parts: list[RenderableType] = [Text(say(lang, "copy_for", channel, clean(given.get("segment") or "", 80)), "bold")]
    for number, variant in enumerate(given.get("variants") or (), start=1):
        parts += [Text(), _heading(say(lang, "variant", number))]
        parts += [
            Text(clean(variant[name], 2000), style="bold" if name == "headline" else "")
            for name in ("headline", "body")
            if variant.get(name)
        ]
        if variant.get("cta"):
            parts.append(Text(f"[ {clean(variant['cta'], 120)} ]", style="cyan"))
        if variant.get("uses"):
            used = ", ".join(clean(str(use).removeprefix("trait:"), 60) for use in variant["uses"])
            parts.append(Text(f"{say(lang, 'uses')}: {used}", style="dim"))
        parts += [_check(check, lang) for check in variant.get("checks") or ()]
    return Group(*parts)


def _check(check: Mapping[str, Any], lang: str | None) -> Text:
    line = Text("✓ " if check.get("ok") else "✗ ", style="green" if check.get("ok") else "red")
    line.append(clean(word(lang, "rule", str(check.get("rule"))), 80), style="default")
    if check.get("detail"):
        line.append("  " + clean(str(check["detail"]), 200), style="dim")
    return line
