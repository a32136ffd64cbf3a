"""Traits over time in a terminal: how one user's changed, both sides of conflicts, and the table of names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from limner.evidence.aliases import Alias
from limner.evidence.changes import Change, TraitHistory
from limner.evidence.over_time import Conflict, Said, UserHistory
from limner.evidence.records import Span, Trait
from limner.reports.wording import clean
from limner.reports.words import POLARITY_SIGNS, language, say, word

if TYPE_CHECKING:
    from collections.abc import Iterable

_QUOTE_CHARACTERS = 160
_QUOTES = 3
"""Quotes shown of one change or one side."""

_OTHER_SHOWN = 30
"""Labels outside the taxonomy that are named; JSON has all."""


def history_text(told: UserHistory) -> RenderableType:
    """How one user's traits changed, oldest change first."""
    lang = language(told.language)
    parts: list[RenderableType] = [Text(clean(told.user_id, 120), style="bold")]
    if not told.traits:
        parts.append(Text(say(lang, "no_changes"), style="dim"))
    for topic in told.traits:
        parts += [Text(), *_topic(topic, lang)]
    return Group(*parts)


def _topic(told: TraitHistory, lang: str) -> Iterator[RenderableType]:
    yield _headline(told.traits[0], lang)
    for change in told.changes:
        yield Padding(_change(change, lang), (0, 0, 0, 2))
        for span in change.evidence[:_QUOTES]:
            yield Padding(_quote(span, lang), (0, 0, 0, 4))


def _headline(trait: Trait, lang: str) -> Text:
    line = Text(f"{POLARITY_SIGNS.get(trait.polarity, '●')} {clean(trait.label, 120)}", style="bold underline")
    said = [word(lang, "kind", trait.kind), word(lang, "polarity", trait.polarity), word(lang, "status", trait.status)]
    line.append("  " + " · ".join(said), style="not bold not underline dim")
    if trait.declared_in:
        field = say(lang, "in_profile", clean(trait.declared_in, 40))
        line.append(f" · {field}", style="not bold not underline dim")
    return line


def _change(change: Change, lang: str) -> Text:
    line = Text(_date(change.at, lang) + "  ")
    line.append(word(lang, "change", change.kind), style="bold")
    line.append(f"  {POLARITY_SIGNS.get(change.polarity, '●')} {word(lang, 'polarity', change.polarity)}")
    line.append(f"  {change.strength:.2f}", style="dim")
    return line


def _date(at: datetime | None, lang: str) -> str:
    return at.date().isoformat() if at else say(lang, "no_date")


def _quote(span: Span, lang: str) -> Text:
    opened, closed = ("「", "」") if lang == "zh" else ("“", "”")
    quote = Text(f"{opened}{clean(span.quote, _QUOTE_CHARACTERS)}{closed}", style="italic")
    quote.append(f"  {clean(span.event_id, 40)}", style="not italic dim")
    return quote


def conflicts_text(found: Sequence[Conflict], lang: str | None = None) -> RenderableType:
    """Traits with words on both sides, both shown."""
    chosen = language(lang)
    if not found:
        return Text(say(chosen, "no_conflicts"), style="dim")
    parts: list[RenderableType] = []
    for conflict in found:
        parts += [*([Text()] if parts else []), Text(clean(conflict.trait.user_id, 120), style="bold")]
        parts += [_headline(conflict.trait, chosen), *_side("for", "▲", conflict.positive, chosen)]
        parts += _side("against", "▼", conflict.negative, chosen)
    return Group(*parts)


def _side(name: str, sign: str, said: Sequence[Said], lang: str) -> Iterator[RenderableType]:
    if said:
        yield Padding(Text(f"{sign} {say(lang, name)}"), (0, 0, 0, 2))
    for words in said[:_QUOTES]:
        line = Text(_date(words.ts, lang) + "  ")
        yield Padding(line.append_text(_quote(words.span, lang)), (0, 0, 0, 4))


def aliases_table(aliases: Sequence[Alias], other: Iterable[str] = (), lang: str | None = None) -> RenderableType:
    """The alias table, and the labels that a taxonomy does not know."""
    listed = list(other)
    parts: list[RenderableType] = []
    if aliases:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for key in ("alias_label", "alias_name", "alias_status"):
            table.add_column(say(lang, key), overflow="fold")
        table.add_column(say(lang, "alias_similarity"), justify="right")
        for row in aliases:
            status = "applied" if row.applied and row.status == "proposed" else row.status
            alike = "" if row.similarity is None else f"{row.similarity:.2f}"
            table.add_row(
                Text(clean(row.label, 60)), Text(clean(row.name, 60)), Text(word(lang, "alias", status)), Text(alike)
            )
        parts.append(table)
    elif not listed:
        parts.append(Text(say(lang, "no_aliases"), style="dim"))
    if listed:
        comma = "、" if language(lang) == "zh" else ", "
        more = "…" if len(listed) > _OTHER_SHOWN else ""
        named = comma.join(clean(label, 60) for label in listed[:_OTHER_SHOWN]) + more
        parts.append(Text(say(lang, "other_labels", named), style="dim"))
    return Group(*parts)
