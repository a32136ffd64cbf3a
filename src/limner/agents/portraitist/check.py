"""Checking a narrative: every sentence rests on traits or facts that exist, and its words come from them alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from limner.agents.portraitist.schema import FACT_CLAUSES, KINDS, MOST_WORDS, OPENINGS, SENTIMENTS, standing, told_kind
from limner.evidence.persona import Sentence
from limner.evidence.records import Trait
from limner.histories.language import count_words

_SLOT = re.compile(r"\{(T\d+)\}")
_JOINS = re.compile(r"(?:[\s,，、.。;；&]|\band\b|\bas well as\b|和|与|以及|及|也)*")
"""What may stand between slots and at the end of a line."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line that does not hold: why, and the traits it names that exist."""

    line: str
    reason: str
    traits: tuple[Trait, ...]


@dataclass(frozen=True, slots=True)
class Narrative:
    """What of an answer holds, in order, and what does not."""

    sentences: tuple[Sentence, ...]
    refused: tuple[Refusal, ...]


def read_narrative(
    answer: str, lang: str, traits: Sequence[Trait], *, told: Iterable[str] = (), cut: bool = False
) -> Narrative:
    """The sentences of an answer that hold, with their slots filled in, and the lines that do not.

    A line holds if it is one of `OPENINGS` followed by slots of traits that exist and fit the opening, and nothing
    else: no word, number, date or name of the model's own. A trait that was told before is left out of later lines,
    and lines with one opening become one sentence.

    Args:
        answer: Lines such as `Keen on {T1} and {T2}`.
        lang: `zh` or `en`.
        traits: The traits that were shown as T1, T2, ...
        told: Ids of traits that need no telling any more.
        cut: The answer ended for its length: the last line is not whole and is left out.
    """
    openings: dict[str, list[Trait]] = {}
    refused: list[Refusal] = []
    shown = {f"T{number}": trait for number, trait in enumerate(traits, 1)}
    seen = set(told)
    for line in answer.splitlines()[: -1 if cut else None]:
        text = line.strip()
        named = [shown[mark] for mark in dict.fromkeys(_SLOT.findall(text)) if mark in shown]
        reason = _wrong(text, lang, shown) if text else None
        if reason:
            refused.append(Refusal(text, reason, tuple(named)))
            continue
        new = [trait for trait in named if trait.trait_id not in seen]
        if new:
            seen.update(trait.trait_id for trait in new)
            openings.setdefault(_opening(text, lang), []).extend(new)
    return Narrative(tuple(_filled(opening, lang, told) for opening, told in openings.items()), tuple(refused))


def _opening(text: str, lang: str) -> str:
    return max((opening for opening in OPENINGS[lang] if text.startswith(opening)), key=len, default="")


def _wrong(text: str, lang: str, shown: Mapping[str, Trait]) -> str | None:
    """Why a line does not hold, in the words of a repair question; None if it holds."""
    chinese = lang == "zh"
    opening, marks = _opening(text, lang), _SLOT.findall(text)
    if not opening or not marks:
        return "不是“开头加花括号编号”的形式" if chinese else "not an opening followed by ids in braces"
    if not all(_JOINS.fullmatch(between) for between in _SLOT.split(text.removeprefix(opening))[::2]):
        return "有自己添加的文字" if chinese else "has words of its own"
    for mark in marks:
        if mark not in shown:
            return f"没有编号{mark}" if chinese else f"there is no {mark}"
        if standing(shown[mark].kind, shown[mark].polarity) not in OPENINGS[lang][opening]:
            return f"{mark}不能说“{opening}”" if chinese else f"{mark} cannot be told as {opening!r}"
    return None


def _filled(opening: str, lang: str, traits: Sequence[Trait]) -> Sentence:
    labels = [trait.label for trait in traits]
    if lang == "zh":
        text = opening + "、".join(labels) + "。"
    else:
        text = f"{opening} {', '.join(labels[:-1])}{' and ' if len(labels) > 1 else ''}{labels[-1]}."
    return Sentence(text, tuple(trait.trait_id for trait in traits))


def plain_sentences(lang: str, traits: Sequence[Trait]) -> list[Sentence]:
    """The sentences that code writes by itself: the traits listed by kind."""
    comma = "、" if lang == "zh" else ", "
    sentences = []
    for kind, words in KINDS[lang].items():
        chosen = [trait for trait in traits if _told_under(trait) == kind]
        if not chosen:
            continue
        if kind == "sentiment":
            text = _ended(comma.join(SENTIMENTS[lang].get(t.polarity, "{}").format(t.label) for t in chosen), lang)
        else:
            text = words.plain.format(comma.join(trait.label for trait in chosen))
        sentences.append(Sentence(text, tuple(trait.trait_id for trait in chosen)))
    return sentences


def _told_under(trait: Trait) -> str:
    """The kind under whose words a trait is listed: what a user is of two minds about goes with the sentiments."""
    return "sentiment" if trait.polarity == "mixed" else told_kind(trait.kind, trait.polarity)


def fact_sentence(lang: str, phrases: Mapping[str, str]) -> Sentence | None:
    """One sentence of the known facts, from their phrases; None if none is known."""
    known = [(slot, form.format(phrases[slot])) for slot, form in FACT_CLAUSES[lang] if slot in phrases]
    if not known:
        return None
    text = _ended(("，" if lang == "zh" else "; ").join(clause for _, clause in known), lang)
    return Sentence(text, tuple(f"fact:{slot}" for slot, _ in known))


def _ended(text: str, lang: str) -> str:
    return text + "。" if lang == "zh" else text[0].upper() + text[1:] + "."


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
