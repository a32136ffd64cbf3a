"""The plain variant: the sheet's own sentences, for when a model does not manage one that keeps the rules."""

from __future__ import annotations

from limner.agents.copywriter.channels import sent_text
from limner.agents.copywriter.grounds import word_units
from limner.agents.copywriter.prompt import Brief, Material
from limner.agents.copywriter.schema import Draft

_CTA = {"en": ("See details", "Have a look", "Find out more"), "zh": ("了解详情", "去看看", "查看产品")}


def plain_draft(brief: Brief, number: int) -> Draft:
    """A variant out of the sheet's facts, as many as fit; which come first depends on the variant's number.

    Facts are never cut: if not even one fits the channel, the first stands in full and the length check says so.
    """
    facts = _ordered(brief, number)
    for count in range(min(brief.channel.facts, len(facts)), 0, -1):
        for with_link in (True, False) if brief.channel.link and brief.product.url else (False,):
            draft = _draft(brief, number, facts[:count], with_link)
            if _fits(draft, brief):
                return draft
    short = [_draft(brief, number, [fact], False) for fact in facts]
    return next((draft for draft in short if _fits(draft, brief)), short[0])


def _ordered(brief: Brief, number: int) -> list[Material]:
    """The facts that speak to the variant's trait first, the others rotated by the variant's number."""
    facts = [fact for fact in brief.facts if fact.use != "price"]
    turned = facts[number % len(facts) :] + facts[: number % len(facts)]
    if not brief.traits:
        return turned
    wanted = word_units(brief.traits[number % len(brief.traits)].text)
    return sorted(turned, key=lambda fact: -len(word_units(fact.text) & wanted))


def _draft(brief: Brief, number: int, facts: list[Material], with_link: bool) -> Draft:
    sentences = [_sentence(fact.text, brief) for fact in facts]
    price = next((fact for fact in brief.facts if fact.use == "price"), None)
    used = list(facts)
    if price and len(facts) > 1:
        sentences.append(_sentence(price.text.replace(": ", "：") if brief.language == "zh" else price.text, brief))
        used.append(price)
    cta = _CTA[brief.language][number % 3]
    if with_link and brief.product.url:
        cta = sent_text([cta + ("：" if brief.language == "zh" else ":"), brief.product.url])
    body = ("" if brief.language == "zh" else " ").join(sentences)
    return Draft(headline=brief.product.name, body=body, cta=cta, uses=tuple(fact.key for fact in used))


def _sentence(text: str, brief: Brief) -> str:
    ended = text.strip()
    if ended[-1:] in ".!?。！？":
        return ended
    return ended + ("。" if brief.language == "zh" else ".")


def _fits(draft: Draft, brief: Brief) -> bool:
    limits = brief.channel.limits
    return all(limit.measure(sent_text([getattr(draft, name) for name in limit.fields])).ok for limit in limits)
