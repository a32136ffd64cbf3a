"""The plain variant: the sheet's own sentences, for when a model does not manage one that keeps the rules."""

from __future__ import annotations

from limner.agents.copywriter.channels import sent_text
from limner.agents.copywriter.prompt import Angle, Brief, stance_of
from limner.agents.copywriter.schema import Draft
from limner.histories.language import detect

_CTA = {"en": ("See details", "Have a look", "Find out more"), "zh": ("了解详情", "去看看", "查看产品")}

_OPENING = {
    "en": {
        "positive": "For people who like {}.",
        "bought": "For people who buy {}.",
        "need": "For people who need {}.",
    },
    "zh": {"positive": "写给喜欢{}的你。", "bought": "写给常买{}的你。", "need": "写给需要{}的你。"},
}
"""How the plain variant speaks to a trait. Dislikes and plans need more tact than a template has."""

LABEL = 40
"""Characters of the longest label that an opening names."""


def plain_draft(brief: Brief, angle: Angle) -> Draft:
    """A variant out of the angle's facts, as many as fit the channel.

    Facts are never cut: if not even one fits, the first stands in full and the length check says so.
    """
    facts = list(range(1, len(angle.facts) + 1))
    opening, link = _opening(brief, angle), brief.product.url if brief.channel.link else None
    tries = [
        _draft(brief, angle, facts[:count], first, address)
        for count in range(len(facts), 0, -1)
        for first in dict.fromkeys((opening, ""))
        for address in dict.fromkeys((link, None))
    ]
    others = [_draft(brief, angle, [number], "", None) for number in facts[1:]]
    return next((draft for draft in (*tries, *others) if _fits(draft, brief)), tries[-1])


def _opening(brief: Brief, angle: Angle) -> str:
    trait = angle.source
    if trait is None or len(trait.label) > LABEL or detect(trait.label) not in ("", brief.language):
        return ""
    return _OPENING[brief.language].get(stance_of(trait), "").format(trait.label)


def _draft(brief: Brief, angle: Angle, numbers: list[int], opening: str, link: str | None) -> Draft:
    sentences = [opening, *(_sentence(angle.facts[number - 1].text, brief) for number in numbers)]
    cta = _CTA[brief.language][angle.number % 3]
    if link:
        cta = sent_text([cta + ("：" if brief.language == "zh" else ":"), link])
    body = ("" if brief.language == "zh" else " ").join(part for part in sentences if part)
    return Draft(headline=brief.product.name, body=body, cta=cta, uses=tuple(numbers))


def _sentence(text: str, brief: Brief) -> str:
    ended = text.strip()
    if ended[-1:] in ".!?。！？":
        return ended
    return ended + ("。" if brief.language == "zh" else ".")


def _fits(draft: Draft, brief: Brief) -> bool:
    limits = brief.channel.limits
    return all(limit.measure(sent_text([getattr(draft, name) for name in limit.fields])).ok for limit in limits)
