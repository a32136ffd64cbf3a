"""The narrative question: a user's best supported traits and the fact slots, numbered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from limner.agents.portraitist.schema import KINDS, MOST_TRAITS, NARRATIVE_PATTERN, SENTIMENTS, SLOTS
from limner.evidence.records import Trait
from limner.prompts import load
from limner.serving.request import ChatRequest


def narrative_request(lang: str, traits: Sequence[Trait], phrases: Mapping[str, str]) -> ChatRequest:
    """Asks for a narrative from traits and fact slots.

    Args:
        lang: `zh` or `en`.
        traits: The traits, best supported first; the first `MOST_TRAITS` are shown, as T1, T2, ...
        phrases: What each known fact slot will be filled with; the model sees the slots, not the values.
    """
    prompt = load("narrative", lang)
    slots = [f"{{{name}}} = {meaning}" for name, meaning in SLOTS[lang].items() if name in phrases]
    lines = [f"T{number} {trait_line(trait, lang)}" for number, trait in enumerate(traits[:MOST_TRAITS], 1)]
    messages = prompt.render(traits="\n".join(lines), slots="; ".join(slots))
    return ChatRequest(messages, prompt.id, pattern=NARRATIVE_PATTERN, max_tokens=160)


def trait_line(trait: Trait, lang: str) -> str:
    """A trait in a few words, without numbers."""
    if trait.kind == "sentiment":
        said = SENTIMENTS[lang].get(trait.polarity)
        if said:
            return said.format(trait.label)
    colon = "：" if lang == "zh" else ": "
    return f"{KINDS[lang][trait.kind].short}{colon}{trait.label}"
