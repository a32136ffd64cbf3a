"""The copywriter's requests: one per variant, each with its own angle, and one more to repair a variant.

A variant is written from a few facts and one trait, not from the whole sheet: given everything, the default model told
everything, over every limit, and wrote the keys of facts into the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limner.agents.copywriter.audience import Audience, SegmentTrait
from limner.agents.copywriter.channels import Channel
from limner.agents.copywriter.grounds import word_units
from limner.agents.copywriter.schema import Language, ProductSheet, draft_schema
from limner.prompts import load
from limner.serving.request import ChatRequest

VARIANT = "copy_variant"

TOKENS = 300
"""A long e-mail variant is about 200 tokens of JSON."""

TEMPERATURE = 0.6
REPAIR_TEMPERATURE = 0.3
"""Above zero, so that variants differ; seeded, so that a variant can be made again. Lower for a repair, which is told
what to change."""


@dataclass(frozen=True, slots=True)
class Material:
    """One thing to write from: what it says, and how `uses` names it (a fact's id, or `trait:LABEL`)."""

    text: str
    use: str


@dataclass(frozen=True, slots=True)
class Angle:
    """What one variant is written from.

    Attributes:
        number: Which variant, from 0.
        facts: The sheet's facts it tells, the leading one first.
        trait: The segment's trait it speaks to; None if the segment shares none.
        label: That trait's label and kind, for the plain variant.
    """

    number: int
    facts: tuple[Material, ...]
    trait: Material | None
    source: SegmentTrait | None


@dataclass(frozen=True, slots=True)
class Brief:
    """Everything that the variants of one call have in common."""

    product: ProductSheet
    audience: Audience
    channel: Channel
    language: Language

    @property
    def price(self) -> Material | None:
        """The price as a fact."""
        if self.product.price_text is None:
            return None
        label = "价格：" if self.language == "zh" else "Price: "
        return Material(label + self.product.price_text, "price")


def angles(brief: Brief, variants: int) -> list[Angle]:
    """The angles of the variants: traits in turn, each with the facts nearest to it that no other leads with."""
    facts = [Material(fact.text, fact.id) for fact in brief.product.facts]
    led: list[Material] = []
    made = []
    for number in range(variants):
        source = brief.audience.traits[number % len(brief.audience.traits)] if brief.audience.traits else None
        trait = Material(_trait_text(source, brief.language), f"trait:{source.label}") if source else None
        wanted = word_units(source.label) if source else set()
        turned = facts[number % len(facts) :] + facts[: number % len(facts)]
        ordered = sorted(turned, key=lambda fact: (led.count(fact), -len(word_units(fact.text) & wanted)))
        led.append(ordered[0])
        chosen = ordered[: brief.channel.facts]
        if brief.price and brief.channel.facts > 1:
            chosen.append(brief.price)
        made.append(Angle(number, tuple(chosen), trait, source))
    return made


_HOW = {
    "en": {
        "positive": "people who like {}",
        "negative": "people who were unhappy with {}",
        "bought": "people who often buy {}",
        "intent": "people who plan this: {}",
        "need": "people who need {}",
        "": "people who talk about {}",
    },
    "zh": {
        "positive": "喜欢{}的人",
        "negative": "对{}不满意过的人",
        "bought": "常买{}的人",
        "intent": "打算{}的人",
        "need": "需要{}的人",
        "": "谈到{}的人",
    },
}


def stance_of(trait: SegmentTrait) -> str:
    """How readers stand to a trait: its polarity, or `intent` or `need`."""
    if trait.kind in ("intent", "need") and trait.polarity != "negative":
        return trait.kind
    return trait.polarity if trait.polarity in ("positive", "negative", "bought") else ""


def _trait_text(trait: SegmentTrait, language: Language) -> str:
    return _HOW[language][stance_of(trait)].format(trait.label)


def variant_request(brief: Brief, angle: Angle, problems: Sequence[str] = ()) -> ChatRequest:
    """Asks for one variant.

    Args:
        brief: What all variants share.
        angle: What this one is written from.
        problems: What was wrong with the first try; empty for the first.
    """
    prompt = load(VARIANT, brief.language)
    channel = brief.channel
    return ChatRequest(
        messages=prompt.render(
            length=channel.zh if brief.language == "zh" else channel.en,
            forbidden=list(brief.product.must_not_say),
            name=brief.product.name,
            facts=[fact.text for fact in angle.facts],
            readers=angle.trait.text if angle.trait else "",
            problems=list(problems),
        ),
        prompt=prompt.id,
        schema=draft_schema(len(angle.facts)),
        max_tokens=TOKENS,
        temperature=REPAIR_TEMPERATURE if problems else TEMPERATURE,
        seed=angle.number + 1,
    )
