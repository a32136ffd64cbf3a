"""Cases from opinions that people marked: what they said of which aspect, told rightly and wrongly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random

from limner.evals.altered.case import Case, Lang, Pole, Truth
from limner.evals.altered.material import Gold, Material
from limner.evals.altered.wording import Wording, around, other, squash, wording

GENERAL = frozenset({"LAPTOP", "COMPANY", "SOFTWARE", "OS", "整体", "其他", "使用体验"})
"""Categories too wide to say that something else is another matter."""


def shuffled(items: list[Gold], random: Random) -> list[Gold]:
    """The items in a random order."""
    return random.sample(items, len(items))


def label(gold: Gold, words: Wording, *, aspect: str | None = None, opinion: str | None = None) -> str:
    """Aspect and opinion in the order of the text, as a short label."""
    parts = [gold.aspect if aspect is None else aspect, gold.opinion if opinion is None else opinion]
    if gold.a_start > gold.o_start:
        parts.reverse()
    return words.joiner.join(part for part in parts if part)


def plain(material: Material, words: Wording, *, negated: bool = False) -> list[Gold]:
    """Opinions that a reader of their clause alone cannot misread.

    One clause holds aspect and opinion, near to each other; nothing in the clause beside them negates, asks, supposes,
    compares or quotes; the quote stands once in the text.

    Args:
        material: The texts.
        words: The language.
        negated: Whether the opinion's own words hold a negator (`不油腻`); plain opinions without if false.
    """
    return [gold for gold in material.golds if _is_plain(gold, words, negated)]


def _is_plain(gold: Gold, words: Wording, negated: bool) -> bool:
    if bool(re.search(words.negator, gold.opinion)) is not negated or re.fullmatch(words.vague, gold.opinion):
        return False
    first, last = around(gold.text, gold.start, gold.end, words.breaks)
    beside = gold.text[first : gold.o_start] + " | " + gold.text[gold.o_start + len(gold.opinion) : last]
    if first > gold.start or last < gold.end or "?" in gold.text or "？" in gold.text:
        return False
    if re.search(words.unsafe, beside) or squash(gold.text).count(squash(gold.quote)) != 1:
        return False
    return not gold.aspect or _one_statement(gold, words)


def _one_statement(gold: Gold, words: Wording) -> bool:
    """Whether aspect and opinion follow each other with nothing between them that could part them."""
    if gold.a_start < gold.o_start:
        between, form = gold.text[gold.a_start + len(gold.aspect) : gold.o_start], words.between.aspect_first
    else:
        between, form = gold.text[gold.o_start + len(gold.opinion) : gold.a_start], words.between.opinion_first
    behind = re.match(words.between.behind, gold.text[gold.end :], re.DOTALL)
    return re.fullmatch(form, between) is not None and behind is not None


def clear(material: Material) -> list[Gold]:
    """Plain opinions with an aspect whose own words tell the feeling."""
    words = wording(material.lang)
    return [gold for gold in plain(material, words) if gold.aspect and words.pole(gold.opinion) == gold.polarity]


def _case(gold: Gold, lang: Lang, kind: str, truth: Truth, claim: str, polarity: Pole | None, quote: str = "") -> Case:
    return Case(
        text=gold.text, quote=quote or gold.quote, claim=claim, polarity=polarity, lang=lang, truth=truth, kind=kind
    )


def marked_pair(material: Material, random: Random) -> Iterator[Case]:
    """True: aspect and opinion as they stand, with their feeling."""
    words = wording(material.lang)
    for gold in shuffled([gold for gold in plain(material, words) if gold.aspect], random):
        yield _case(gold, material.lang, "marked_pair", "true", label(gold, words), gold.polarity)


def marked_aspect(material: Material, random: Random) -> Iterator[Case]:
    """True: the aspect alone, with the feeling; the opinion's words are plain."""
    for gold in shuffled(clear(material), random):
        yield _case(gold, material.lang, "marked_aspect", "true", gold.aspect, gold.polarity)


def marked_negated(material: Material, random: Random) -> Iterator[Case]:
    """True: an opinion with a negator in it, told with its negator."""
    words = wording(material.lang)
    for gold in shuffled(plain(material, words, negated=True), random):
        core = _replaced(gold.opinion, words.negated.removed)
        if core is None or words.pole(core) != gold.polarity:
            yield _case(gold, material.lang, "marked_negated", "true", label(gold, words), gold.polarity)


def near(material: Material, random: Random) -> Iterator[Case]:
    """True: a plain opinion behind a sentence that says something else of somebody else, or negates, or asks."""
    words = wording(material.lang)
    for gold in shuffled(clear(material), random):
        kind = random.choice(sorted(words.near))
        before = random.choice(words.near[kind])
        yield Case(
            text=before + gold.text,
            quote=gold.quote,
            claim=label(gold, words),
            polarity=gold.polarity,
            lang=material.lang,
            truth="true",
            kind=kind,
        )


def after_contrast(material: Material, random: Random) -> Iterator[Case]:
    """True: an opinion in a clause whose neighbour in the same sentence is negated."""
    words = wording(material.lang)
    for gold in shuffled([gold for gold in plain(material, words) if gold.aspect], random):
        first, last = around(gold.text, gold.start, gold.end, words.sentence_ends)
        if re.search(words.negator, gold.text[first : gold.start] + " | " + gold.text[gold.end : last]):
            yield _case(gold, material.lang, "negated_neighbour", "true", label(gold, words), gold.polarity)


def polarity_flipped(material: Material, random: Random) -> Iterator[Case]:
    """Altered: the right words, the other feeling."""
    words = wording(material.lang)
    for gold in shuffled(clear(material), random):
        claim = random.choice([gold.aspect, label(gold, words)])
        yield _case(gold, material.lang, "polarity_flipped", "altered", claim, other(gold.polarity))


def negation_inserted(material: Material, random: Random) -> Iterator[Case]:
    """Altered: the claim negates what the quote says."""
    words = wording(material.lang)
    for gold in shuffled([gold for gold in plain(material, words) if gold.aspect], random):
        turned = _replaced(gold.opinion, words.negated.forms)
        if turned is not None and (material.lang == "zh" or words.pole(gold.opinion) is not None):
            claim = words.joiner.join((gold.aspect, turned))
            polarity = random.choice([None, other(gold.polarity)])
            yield _case(gold, material.lang, "negation_inserted", "altered", claim, polarity)


def negation_removed(material: Material, random: Random) -> Iterator[Case]:
    """Altered: the quote holds a negator, the claim leaves it out and turns the feeling round."""
    words = wording(material.lang)
    for gold in shuffled(plain(material, words, negated=True), random):
        core = _replaced(gold.opinion, words.negated.removed)
        if core is not None and words.pole(core) != gold.polarity and not core.startswith("错"):
            claim = label(gold, words, opinion=core)
            yield _case(gold, material.lang, "negation_removed", "altered", claim, other(gold.polarity))


def other_aspect(material: Material, random: Random) -> Iterator[Case]:
    """Altered: another aspect of the same text, with the words said of this one."""
    words = wording(material.lang)
    of_text: dict[str, list[Gold]] = {}
    for gold in clear(material):
        of_text.setdefault(gold.text, []).append(gold)
    aspects: dict[str, list[Gold]] = {}
    for gold in material.golds:
        if gold.aspect:
            aspects.setdefault(gold.text, []).append(gold)
    for text in random.sample(sorted(of_text), len(of_text)):
        for gold in of_text[text]:
            foreign = [one for one in aspects[text] if _unlike(gold, one)]
            if foreign:
                wrong = random.choice(foreign).aspect
                claim = random.choice([wrong, label(gold, words, aspect=wrong)])
                yield _case(gold, material.lang, "other_aspect", "altered", claim, gold.polarity)
                break


def _unlike(gold: Gold, one: Gold) -> bool:
    """Whether another opinion is of another category and its aspect shares no word or character with the quote.

    Where both are of one text, they are further apart than `the keys and the screen are both great`.
    """
    categories = {gold.category.split("#")[0], one.category.split("#")[0]}
    if len(categories) < 2 or categories & GENERAL or shared(gold.quote, one.aspect):
        return False
    if gold.text != one.text:
        return True
    gap = gold.text[one.a_start + len(one.aspect) : gold.start] or gold.text[gold.end : one.a_start]
    return re.search(r"[,.;，。；！\s]\s*\S", gap) is not None and not re.fullmatch(r"(?:,| and| the|、|和)+ ?", gap)


def shared(one: str, another: str) -> bool:
    """Whether two texts share a word's first four letters or a Chinese character."""

    def pieces(text: str) -> set[str]:
        return {word[:4] for word in re.findall(r"[a-z0-9]+", text.lower())} | set(re.findall(r"[一-鿿]", text))

    return bool(pieces(one) & pieces(another))


def unrelated(material: Material, random: Random) -> Iterator[Case]:
    """Altered: a claim that shares no word with the quote, of the quote's own feeling."""
    words = wording(material.lang)
    pool = clear(material)
    for gold in shuffled(pool, random):
        wrong = random.choice(pool)
        claim = label(wrong, words)
        if wrong.polarity == gold.polarity and _unlike(gold, wrong) and not shared(gold.quote, claim):
            yield _case(gold, material.lang, "unrelated", "altered", claim, gold.polarity)


def framed(material: Material, random: Random) -> Iterator[Case]:
    """Altered: hearsay, questions, conditions and other products, in a sentence behind a real text."""
    words = wording(material.lang)
    pool = clear(material)
    for base in shuffled(pool, random):
        said = random.choice(pool)
        if shared(base.text, said.aspect) or said.aspect.endswith("s"):
            continue
        frame = random.choice(words.frame)
        filled = {"aspect": said.aspect, "opinion": said.opinion}
        ends = base.text.rstrip()[-1:] in ".!?。！？~～"
        stop = "" if ends else "." if material.lang == "en" else "。"
        yield Case(
            text=base.text.rstrip() + stop + words.joiner + frame.sentence.format(**filled),
            quote=frame.quote.format(**filled),
            claim=frame.claim.format(**filled),
            polarity=said.polarity,
            lang=material.lang,
            truth="altered",
            kind=frame.kind,
        )


def _replaced(opinion: str, pairs: tuple[tuple[str, str], ...]) -> str | None:
    for pattern, form in pairs:
        found = re.fullmatch(pattern, opinion)
        if found is not None:
            return form.format(**found.groupdict())
    return None
