"""Checking a narrative: every sentence rests on traits or facts that exist, and numbers come from code only."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from limner.agents.portraitist.schema import FACT_CLAUSES, KINDS, MOST_WORDS, OPENINGS, SENTIMENTS, standing, told_kind
from limner.evidence.overlap import shares_words
from limner.evidence.persona import Sentence
from limner.evidence.records import Trait
from limner.histories.language import count_words

_LINE = re.compile(r"^\[([^\]]+)\]\s*(.+)$")
_DIGITS = r"[{}]|\d+(?:[.,:/]\d+)*"
_MEASURES = "次笔元块个件条天年月日周双瓶本杯台部张支只款家位人岁倍折套盒包份颗遍种"
_NUMERALS = "零〇一两二三四五六七八九十百千万亿半"
_CHINESE = rf"(?!一[{_MEASURES}])[{_NUMERALS}][{_NUMERALS}几多余来]*[{_MEASURES}]"
_ENGLISH = (
    r"\b(?:zero|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen"
    r"|(?:twen|thir|for|fif|six|seven|eigh|nine)ty|dozens?|hundreds?|thousands?|millions?|billions?|twice|thrice)\b"
)
_NUMBER = re.compile(f"{_DIGITS}|{_CHINESE}|{_ENGLISH}")
"""What tells a number: digits (slots too), Chinese numerals before a measure word, English number words; `one` and `一`
are articles more often than numbers."""


def checked_sentences(answer: str, lang: str, traits: Sequence[Trait], *, cut: bool = False) -> list[Sentence]:
    """The sentences of an answer that hold, in order.

    A sentence is refused if it names a trait that does not exist, begins with none of `OPENINGS`, or holds a number
    that is in none of its traits' labels. Of the traits it names, those are kept as its support that fit its beginning
    and share a word with it; if none is left, it is refused.

    Args:
        answer: Lines such as `[T1,T3] Likes strong coffee`.
        lang: `zh` or `en`.
        traits: The traits that were shown as T1, T2, ...
        cut: The answer ended for its length: the last line is not whole and is left out.
    """
    sentences: list[Sentence] = []
    for line in answer.splitlines()[: -1 if cut else None]:
        match = _LINE.match(line.strip())
        sentence = _checked(match[1], match[2].strip(), lang, traits) if match else None
        if sentence is not None and all(sentence.text != other.text for other in sentences):
            sentences.append(sentence)
    return sentences


def _checked(marks: str, text: str, lang: str, traits: Sequence[Trait]) -> Sentence | None:
    shown = {f"T{number}": trait for number, trait in enumerate(traits, 1)}
    named = list(dict.fromkeys(mark.strip() for mark in marks.split(",")))
    opening = max((o for o in OPENINGS[lang] if text.startswith(o)), key=len, default="")
    if not opening or any(mark not in shown for mark in named):
        return None
    fitting = [shown[m] for m in named if standing(shown[m].kind, shown[m].polarity) in OPENINGS[lang][opening]]
    resting = [trait for trait in fitting if _speaks_of(text, trait)]
    known = {number for trait in resting for number in _numbers(trait.label)}
    if not resting or not known.issuperset(_numbers(text.removeprefix(opening))):
        return None
    ended = text.rstrip(" .。,，;；、") + ("。" if lang == "zh" else ".")
    return Sentence(ended, tuple(trait.trait_id for trait in resting))


def _numbers(text: str) -> list[str]:
    """The numbers in a text, in any width; signs such as `②` and `½` count by the digits in them."""
    return _NUMBER.findall(unicodedata.normalize("NFKC", text).casefold())


def _speaks_of(text: str, trait: Trait) -> bool:
    return trait.label.casefold() in text.casefold() or shares_words(trait.label, text)


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
