"""The narrative question: a user's best supported traits, numbered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from limner.agents.portraitist.check import Refusal
from limner.agents.portraitist.schema import KINDS, MOST_TRAITS, SENTIMENTS, narrative_pattern, standing, told_kind
from limner.evidence.labels import canonical
from limner.evidence.records import Trait
from limner.prompts import load, neutralise
from limner.serving.request import ChatRequest, Message

MOST_TOKENS = 80
"""Tokens of an answer: four lines of an opening and four slots."""

TOLD_LAST = ("sentiment",)
"""Kinds that say less than the others: what a text sounded like is in its likes and dislikes already."""


def told_traits(traits: Sequence[Trait]) -> list[Trait]:
    """The traits that a narrative is written from, at most `MOST_TRAITS`: the best supported, one of a label.

    What was superseded or has expired is not told.
    """
    ranked = sorted(
        (trait for trait in traits if trait.holds),
        key=lambda t: (t.kind in TOLD_LAST, -t.confidence, -t.mentions, t.label),
    )
    best: dict[str, Trait] = {}
    for trait in ranked:
        best.setdefault(canonical(trait.label), trait)
    return list(best.values())[:MOST_TRAITS]


def narrative_request(lang: str, traits: Sequence[Trait]) -> ChatRequest:
    """Asks for a narrative from traits (those of `told_traits`), shown as T1, T2, ..., in `zh` or `en`."""
    prompt = load("narrative", lang)
    lines = [f"T{number} {trait_line(trait, lang)}" for number, trait in enumerate(traits, 1)]
    return ChatRequest(
        prompt.render(traits="\n".join(lines)),
        prompt.id,
        pattern=narrative_pattern(lang, [standing(trait.kind, trait.polarity) for trait in traits]),
        max_tokens=MOST_TOKENS,
    )


def repair_request(request: ChatRequest, lang: str, answer: str, refused: Sequence[Refusal]) -> ChatRequest:
    """Asks once more, with the answer and what is wrong with its lines."""
    prompt = load("repair", lang)
    problem = "; ".join(f"{refusal.line[:80]}: {refusal.reason}" for refusal in refused)
    again = prompt.render(problem=problem)[-1]
    messages = (*request.messages, Message("assistant", neutralise(answer[:500])), again)
    return replace(request, messages=messages, prompt=prompt.id)


def trait_line(trait: Trait, lang: str) -> str:
    """A trait in a few words, without numbers."""
    said = SENTIMENTS[lang].get(trait.polarity)
    if said and (trait.kind == "sentiment" or trait.polarity == "mixed"):
        return said.format(trait.label)
    colon = "：" if lang == "zh" else ": "
    return f"{KINDS[lang][told_kind(trait.kind, trait.polarity)].short}{colon}{trait.label}"
