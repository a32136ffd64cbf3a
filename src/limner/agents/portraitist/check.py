"""Checking a narrative: every sentence rests on traits or facts that exist, and numbers come from code only."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from limner.agents.portraitist.schema import KINDS, MOST_TRAITS, MOST_WORDS, SENTIMENTS, SLOTS
from limner.evidence.overlap import shares_words
from limner.evidence.persona import Sentence
from limner.evidence.records import Trait
from limner.histories.language import count_words

_LINE = re.compile(r"^\[([^\]]+)\]\s*(.+)$")
_SLOT = re.compile(r"\{([a-z_]*)\}")
_NUMBER = re.compile(r"[0-9０-９]|[零两二三四五六七八九十百千万亿]+[次笔元块个件条天年月]")
_NUMBER_WORD = re.compile(
    r"\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozens?|hundreds?|thousands?|twice|thrice)\b", re.I
)


def checked_sentences(answer: str, lang: str, traits: Sequence[Trait], phrases: Mapping[str, str]) -> list[Sentence]:
    """The sentences of an answer that hold, slots filled in, in order.

    A sentence is refused if it names a trait or a slot that does not exist, holds a number of its own, rests on
    nothing, or shares no word with the label of any trait it rests on.
    """
    sentences = []
    for line in answer.splitlines():
        match = _LINE.match(line.strip())
        sentence = _checked(match[1], match[2], traits, phrases) if match else None
        if sentence is not None and all(sentence.text != other.text for other in sentences):
            sentences.append(sentence)
    return sentences


def _checked(marks: str, text: str, traits: Sequence[Trait], phrases: Mapping[str, str]) -> Sentence | None:
    shown = {f"T{n}": trait for n, trait in enumerate(traits[:MOST_TRAITS], 1)}
    named = [mark.strip() for mark in marks.split(",") if mark.strip() != "F"]
    slots = _SLOT.findall(text)
    bare = _SLOT.sub("", text)
    if any(mark not in shown for mark in named) or any(slot not in phrases for slot in slots):
        return None
    labels = "".join(shown[mark].label for mark in named)
    if "{" in bare or "}" in bare or _NUMBER.search(bare) or _unsupported_number_word(bare, labels):
        return None
    resting = [shown[mark] for mark in dict.fromkeys(named) if _speaks_of(bare, shown[mark])]
    if not resting and not slots:
        return None
    supports = [trait.trait_id for trait in resting] + [f"fact:{slot}" for slot in dict.fromkeys(slots)]
    return Sentence(_SLOT.sub(lambda m: phrases[m[1]], text).strip(), tuple(supports))


def _unsupported_number_word(text: str, labels: str) -> bool:
    return any(m.group().casefold() not in labels.casefold() for m in _NUMBER_WORD.finditer(text))


def _speaks_of(text: str, trait: Trait) -> bool:
    return trait.label.casefold() in text.casefold() or shares_words(trait.label, text)


def plain_narrative(lang: str, traits: Sequence[Trait], phrases: Mapping[str, str]) -> list[Sentence]:
    """The narrative that code writes by itself: traits listed by kind, and the facts."""
    colon = ", " if lang == "en" else "、"
    sentences = []
    for kind, words in KINDS[lang].items():
        chosen = [trait for trait in traits[:MOST_TRAITS] if trait.kind == kind]
        if not chosen:
            continue
        ids = tuple(trait.trait_id for trait in chosen)
        if kind == "sentiment":
            said = [SENTIMENTS[lang].get(t.polarity, KINDS[lang][kind].short + " {}").format(t.label) for t in chosen]
            text = ("、" if lang == "zh" else ", ").join(said)
            text = text + "。" if lang == "zh" else text[0].upper() + text[1:] + "."
        else:
            text = words.plain.format(colon.join(trait.label for trait in chosen))
        sentences.append(Sentence(text, ids))
    fact = fact_sentence(lang, phrases)
    return sentences + ([fact] if fact else [])


_FACT_CLAUSES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "en": (
        ("frequency", "{} so far"),
        ("monetary", "{} spent"),
        ("top_category", "mostly {}"),
        ("rating_mean", "rates {} on average"),
        ("last_seen", "last seen {}"),
    ),
    "zh": (
        ("frequency", "共{}"),
        ("monetary", "消费{}"),
        ("top_category", "主要类目是{}"),
        ("rating_mean", "平均评分{}"),
        ("last_seen", "最近一次出现在{}"),
    ),
}


def fact_sentence(lang: str, phrases: Mapping[str, str]) -> Sentence | None:
    """One sentence of the known facts; None if none is known."""
    known = [(slot, form.format(phrases[slot])) for slot, form in _FACT_CLAUSES[lang] if slot in phrases]
    if not known:
        return None
    text = ("，" if lang == "zh" else "; ").join(clause for _, clause in known)
    text = text + "。" if lang == "zh" else text[0].upper() + text[1:] + "."
    return Sentence(text, tuple(f"fact:{slot}" for slot, _ in known))


def within_limit(sentences: Sequence[Sentence]) -> tuple[Sentence, ...]:
    """As many of the sentences, from the first on, as have `MOST_WORDS` words together."""
    kept: list[Sentence] = []
    words = 0
    for sentence in sentences:
        words += count_words(sentence.text)
        if words > MOST_WORDS:
            break
        kept.append(sentence)
    return tuple(kept)


def known_slots(lang: str, phrases: Mapping[str, str]) -> dict[str, str]:
    """The phrases of the slots that a narrative may use."""
    return {name: phrases[name] for name in SLOTS[lang] if name in phrases}
