"""Personas as Markdown in which nothing a customer wrote is active: no HTML, no link, no image, no mention.

Verbatim quotes stand in code spans, where Markdown has no other syntax, and are kept to the character. Labels and
sentences are escaped; the openings of automatic links (`://`, `www.`, `@`) get a word joiner (U+2060) inside, because
some readers link them even when they are escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from limner.evidence.persona import Persona, Sentence
from limner.evidence.records import Span, Trait
from limner.reports.facts_text import fact_lines
from limner.reports.wording import clean, visible
from limner.reports.words import KIND_ORDER, confidence_key, counted, language, say, status_marks, word

_ACTIVE = re.compile(r"[\\`*_{}\[\]|<>~$]|^[#+\-=:]|(?<=^\d)[.)]|(?<=^\d{2})[.)]|(?<=^\d{3})[.)]|(?<=^\d{4})[.)]")
"""What has a meaning in Markdown anywhere in a line, and what has one only where an item begins."""

_JOINER = "\u2060"
_AUTOLINK = re.compile(r"(?<=:)(?=//)|(?<=www)(?=\.)|(?<=@)|(?<=mailto)(?=:)|(?<=xmpp)(?=:)", re.IGNORECASE)


def escape(text: str, limit: int = 2000) -> str:
    """Text from the data as inactive Markdown on one line."""
    joined = _AUTOLINK.sub(_JOINER, clean(text, limit)).replace("&", "&amp;")
    return _ACTIVE.sub(lambda m: "&lt;" if m.group() == "<" else "\\" + m.group(), joined)


def verbatim(text: str) -> str:
    """Text in a code span, fenced with more backticks than it holds in a row; line ends become spaces."""
    line = re.sub(r"\r\n|[\r\n\t\u2028\u2029]", " ", visible(text))
    longest = max((len(run) for run in re.findall(r"`+", line)), default=0)
    fence = "`" * (longest + 1)
    # A span that begins or ends with a backtick, or is blank, needs a space that Markdown takes off again.
    space = " " if longest and (line[:1] == "`" or line[-1:] == "`") else ""
    return f"{fence}{space}{line or ' '}{space}{fence}"


def persona_markdown(persona: Persona, lang: str | None = None) -> str:
    """A persona as a Markdown document, ending in a line end.

    Args:
        persona: The persona.
        lang: Language of the words around it, `zh` or `en`; the persona's own if not given.
    """
    chosen = language(lang or persona.language)
    lines = [f"# {escape(persona.user_id, 200)}", ""]
    if persona.merged:
        lines += [say(chosen, "merged", escape(", ".join(persona.merged))), ""]
    lines += _narrative(persona, chosen)
    lines += [f"## {say(chosen, 'facts')}", "", *_facts(persona, chosen), ""]
    lines += [f"## {say(chosen, 'traits')}", "", *_traits(persona, chosen)]
    return "\n".join(lines).rstrip() + "\n"


def _narrative(persona: Persona, lang: str) -> Iterator[str]:
    if not persona.narrative:
        return
    labels = {trait.trait_id: trait.label for trait in persona.traits}
    labels |= {f"fact:{line.column}": line.label for line in fact_lines(persona.facts, lang)}
    for sentence in persona.narrative:
        yield f"- {escape(sentence.text)}"
        support = _supports(sentence, labels, lang)
        if support:
            yield f"  *{support}*"
    if persona.model:
        yield from ("", f"{say(lang, 'model', escape(persona.model, 80))}")
    yield ""


def _supports(sentence: Sentence, labels: dict[str, str], lang: str) -> str:
    named = [escape(labels.get(support, support), 80) for support in sentence.supports]
    colon, comma = ("：", "、") if lang == "zh" else (": ", ", ")
    return f"{say(lang, 'evidence')}{colon}{comma.join(named)}" if named else ""


def _facts(persona: Persona, lang: str) -> Iterator[str]:
    lines = fact_lines(persona.facts, lang)
    colon, comma = ("：", "、") if lang == "zh" else (": ", ", ")
    yield from (f"- {line.label}{colon}{escape(line.value, 300)}" for line in lines if line.known)
    unknown = [line.label for line in lines if not line.known]
    if unknown:
        yield f"- {say(lang, 'not_known', comma.join(unknown))}"


def _traits(persona: Persona, lang: str) -> Iterator[str]:
    if not persona.traits:
        yield say(lang, "nothing_read")
        return
    kinds = [*KIND_ORDER, *sorted({t.kind for t in persona.traits} - set(KIND_ORDER))]
    for kind in kinds:
        chosen = [trait for trait in persona.present if trait.kind == kind]
        yield from _listed(word(lang, "kind", kind), chosen, lang)
    yield from _listed(say(lang, "no_longer"), [trait for trait in persona.traits if not trait.holds], lang)


def _listed(title: str, traits: list[Trait], lang: str) -> Iterator[str]:
    if traits:
        yield from (f"### {escape(title, 60)}", "")
        for trait in traits:
            yield from _trait(trait, lang)
        yield ""


def _trait(trait: Trait, lang: str) -> Iterator[str]:
    key = confidence_key(trait.confidence)
    number = "" if key == "unknown" else f" {trait.confidence:.2f}"
    said = (
        escape(word(lang, "polarity", trait.polarity), 40),
        *(escape(mark, 80) for mark in status_marks(trait, lang)),
        word(lang, "confidence", key) + number,
        counted(lang, "mention", "mentions", trait.mentions),
    )
    yield f"- **{escape(trait.label, 200)}** · {' · '.join(said)}"
    for span in trait.evidence:
        yield f"  - {_quoted(span, lang)}"
    for span in (span for span in trait.against if span not in trait.evidence):
        yield f"  - {say(lang, 'against')}{'：' if lang == 'zh' else ': '}{_quoted(span, lang)}"


def _quoted(span: Span, lang: str) -> str:
    return f"{verbatim(span.quote)} ({escape(word(lang, 'field', span.field), 40)}, {verbatim(span.event_id)})"
