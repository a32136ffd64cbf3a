"""The copywriter's requests: one per variant, each with its own angle, and one more to repair a variant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limner.agents.copywriter.audience import Audience, SegmentTrait
from limner.agents.copywriter.channels import Channel
from limner.agents.copywriter.schema import Language, ProductSheet, draft_schema
from limner.prompts import load
from limner.serving.request import ChatRequest

VARIANT = "copy_variant"

TOKENS = 400
"""A long e-mail variant is about 250 tokens of JSON."""

TEMPERATURE = 0.7
"""Above zero, so that variants differ; seeded, so that a variant can be made again."""


@dataclass(frozen=True, slots=True)
class Material:
    """One thing to write from: its key in the prompt, what it says, and how `uses` names it.

    Attributes:
        key: `F1` for a product fact, `T1` for a trait.
        text: What it says.
        use: The id of the sheet's fact, or `trait:LABEL`.
    """

    key: str
    text: str
    use: str


@dataclass(frozen=True, slots=True)
class Brief:
    """Everything that the variants of one call have in common.

    Attributes:
        product: The sheet.
        audience: The segment.
        channel: Where it is sent.
        language: The language to write in.
        facts: The sheet's facts; the price is the last.
        traits: The segment's traits.
    """

    product: ProductSheet
    audience: Audience
    channel: Channel
    language: Language
    facts: tuple[Material, ...]
    traits: tuple[Material, ...]

    @property
    def uses(self) -> dict[str, str]:
        """How `uses` names each key."""
        return {m.key: m.use for m in (*self.facts, *self.traits)}


def make_brief(product: ProductSheet, audience: Audience, channel: Channel, language: Language) -> Brief:
    """Numbers the facts and traits."""
    facts = [Material(f"F{at}", fact.text, fact.id) for at, fact in enumerate(product.facts, start=1)]
    if product.price_text:
        label = "价格" if language == "zh" else "Price"
        facts.append(Material(f"F{len(facts) + 1}", f"{label}: {product.price_text}", "price"))
    traits = [
        Material(f"T{at}", _trait_text(trait, language), f"trait:{trait.label}")
        for at, trait in enumerate(audience.traits, start=1)
    ]
    return Brief(product, audience, channel, language, tuple(facts), tuple(traits))


_HOW = {
    "en": {
        "positive": "they like",
        "negative": "they are unhappy with",
        "mixed": "they are of two minds about",
        "bought": "they buy",
    },
    "zh": {"positive": "喜欢", "negative": "不满意", "mixed": "看法不一", "bought": "常买"},
}
_PLAIN = {"en": {"intent": "they want to", "need": "they need"}, "zh": {"intent": "打算", "need": "需要"}}


def _trait_text(trait: SegmentTrait, language: Language) -> str:
    how = _HOW[language].get(trait.polarity)
    if trait.kind in ("intent", "need") and trait.polarity != "negative":
        how = _PLAIN[language][trait.kind]
    how = how or ("提到" if language == "zh" else "they talk about")
    return f"{how}：{trait.label}" if language == "zh" else f"{how}: {trait.label}"


def variant_request(brief: Brief, number: int, problems: Sequence[str] = ()) -> ChatRequest:
    """Asks for one variant.

    Args:
        brief: What all variants share.
        number: Which variant, from 0: it decides the angle (a trait), the leading fact and the seed.
        problems: What was wrong with the first try; empty for the first.
    """
    prompt = load(VARIANT, brief.language)
    angle = brief.traits[number % len(brief.traits)].key if brief.traits else ""
    channel = brief.channel
    return ChatRequest(
        messages=prompt.render(
            length=channel.zh if brief.language == "zh" else channel.en,
            forbidden=list(brief.product.must_not_say),
            name=brief.product.name,
            facts=list(brief.facts),
            traits=list(brief.traits),
            angle=angle,
            lead=brief.facts[number % len(brief.product.facts)].key,
            problems=list(problems),
        ),
        prompt=prompt.id,
        schema=draft_schema(tuple(brief.uses)),
        max_tokens=TOKENS,
        temperature=TEMPERATURE,
        seed=number + 1 + (100 if problems else 0),
    )
