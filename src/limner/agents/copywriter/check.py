"""The rules a variant is checked against, by code. What breaks one is repaired, replaced, or shown as failing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from pydantic import ValidationError

from limner.agents.copywriter.channels import sent_text, sms_parts
from limner.agents.copywriter.claims import absolute_words, unsupported_claims
from limner.agents.copywriter.grounds import foreign_links, foreign_numbers, named_users, repeated_words, word_units
from limner.agents.copywriter.prompt import Angle, Brief
from limner.agents.copywriter.schema import Check, Draft
from limner.agents.quantities import fold, quantities
from limner.histories.language import detect

ALIKE = 0.85
"""From this share of equal characters on, two variants are one."""


def parse_draft(answer: str) -> Draft | None:
    """The variant a model wrote; None if its answer is not what was asked for."""
    try:
        draft = Draft.model_validate(json.loads(answer))
    except (ValueError, ValidationError, RecursionError):
        return None
    return Draft(
        uses=draft.uses, headline=_tidy(draft.headline), body=_tidy(draft.body, lines=True), cta=_tidy(draft.cta)
    )


_NUMBERING = re.compile(r"(?:^|(?<=[\s。；;]))(?:F?\d{1,2}[.、：:)）]|#\d{1,2}\b|[FT]\d{1,2}\b)[ \t]*(?=[^\d\s])")


def _tidy(text: str, *, lines: bool = False) -> str:
    """The text without the facts' numbering and a stray quotation mark at an end; on one line unless `lines`."""
    plain = _NUMBERING.sub("", text)
    plain = plain.strip() if lines else " ".join(plain.split())
    for opening, closing in (("“", "”"), ("「", "」")):
        if plain.count(opening) != plain.count(closing):
            plain = plain.strip(opening + closing + ",， ")
    return plain


@dataclass(frozen=True, slots=True)
class _Case:
    """One variant under check, with what it is compared with."""

    draft: Draft
    brief: Brief
    angle: Angle
    earlier: Sequence[Draft]

    @property
    def text(self) -> str:
        """All that a reader sees."""
        return "\n".join((self.draft.headline, self.draft.body, self.draft.cta))

    def say(self, english: str, chinese: str) -> str:
        """A remark in the copy's language."""
        return chinese if self.brief.language == "zh" else english


def _complete(case: _Case) -> str:
    empty = [name for name in ("headline", "body", "cta") if not getattr(case.draft, name)]
    return case.say(f"{empty[0]} is empty", f"{empty[0]} 是空的") if empty else ""


def _length(case: _Case) -> str:
    for limit in case.brief.channel.limits:
        text = sent_text([getattr(case.draft, name) for name in limit.fields])
        length = limit.measure(text)
        if not length.ok:
            what = "+".join(limit.fields)
            parts = f", {sms_parts(text)} parts" if "characters" in length.unit else ""
            return case.say(
                f"{what} has {length.used} {length.unit}, at most {length.limit}{parts}: shorten it",
                f"{what} 长 {length.used}（{length.unit}），上限 {length.limit}：请缩短",
            )
    return ""


def length_detail(draft: Draft, brief: Brief) -> str:
    """The measured lengths, for a check that is kept: `headline 34/60 columns`."""
    shown = []
    for limit in brief.channel.limits:
        length = limit.measure(sent_text([getattr(draft, name) for name in limit.fields]))
        shown.append(f"{'+'.join(limit.fields)} {length.used}/{length.limit} {length.unit}")
    return ", ".join(shown)


def _uses(case: _Case) -> str:
    unknown = [number for number in case.draft.uses if not 1 <= number <= len(case.angle.facts)]
    if unknown:
        return case.say(f"there is no fact {unknown[0]}", f"没有第 {unknown[0]} 条事实")
    if all(use.startswith("trait:") for use in told(case.draft, case.brief, case.angle)):
        return case.say("no product fact is told", "没有讲到任何产品事实")
    return ""


TOLD = 0.5
"""From this share of a fact's words on, a text tells it."""


def told(draft: Draft, brief: Brief, angle: Angle) -> tuple[str, ...]:
    """What a variant uses, as code sees it: the sheet's facts whose words it has, and the trait it speaks to."""
    text = f"{draft.headline}\n{draft.body}\n{draft.cta}"
    said = word_units(text)
    uses = [fact.id for fact in brief.product.facts if _tells(text, said, fact.text)]
    if brief.product.price and fold(brief.product.price) in fold(text):
        uses.append("price")
    if angle.trait and angle.source and word_units(angle.source.label) & said:
        uses.append(angle.trait.use)
    return tuple(uses)


def _tells(text: str, said: set[str], fact: str) -> bool:
    """Whether a text has half of a fact's words, or one of its numbers with what it counts."""
    units, folded = word_units(fact), fold(fact)
    counted = [folded[number.start : number.end + 2].strip() for number in quantities(folded) if not number.spelled]
    return len(units & said) >= max(1, TOLD * len(units)) or any(number in fold(text) for number in counted)


def _numbers(case: _Case) -> str:
    wrong = foreign_numbers(case.text, case.brief.product.all_text())
    return case.say(f"not in the sheet: {', '.join(wrong)}", f"产品资料里没有：{'、'.join(wrong)}") if wrong else ""


def _links(case: _Case) -> str:
    wrong = foreign_links(case.text, case.brief.product.url)
    return case.say(f"not the sheet's link: {wrong[0]}", f"不是资料里的链接：{wrong[0]}") if wrong else ""


def _absolute(case: _Case) -> str:
    wrong = absolute_words(case.text, case.brief.product.name)
    return case.say(f"absolute words: {', '.join(wrong)}", f"绝对化用语：{'、'.join(wrong)}") if wrong else ""


def _supported(case: _Case) -> str:
    wrong = unsupported_claims(case.text, case.brief.product.all_text())
    return case.say(f"the sheet does not say: {', '.join(wrong)}", f"资料没有说：{'、'.join(wrong)}") if wrong else ""


def _must_not_say(case: _Case) -> str:
    text = fold(case.text).lower()
    wrong = [
        phrase
        for phrase in case.brief.product.must_not_say
        if re.search(
            rf"(?<![a-z0-9]){re.escape(fold(phrase).lower())}" if phrase[0].isascii() else re.escape(phrase), text
        )
    ]
    return case.say(f"must not be said: {', '.join(wrong)}", f"不得出现：{'、'.join(wrong)}") if wrong else ""


def _private(case: _Case) -> str:
    sheet = case.brief.product.all_text()
    users = [user for user in named_users(case.text, case.brief.audience.users) if user not in sheet]
    if users:
        return case.say(f"names the customer {users[0]}", f"写出了客户 {users[0]}")
    labels = [trait.label for trait in case.brief.audience.traits]
    words = repeated_words(case.text, case.brief.audience.quotes, [sheet, *labels])
    return case.say(f"a customer's own words: {words}", f"照搬了客户的原话：{words}") if words else ""


def _language(case: _Case) -> str:
    for text in (case.draft.headline, case.draft.body):
        plain = fold(text).replace(fold(case.brief.product.name), " ")
        if detect(plain) not in ("", case.brief.language):
            return case.say("write in English only", "请只用中文写")
    return ""


_PLACEHOLDER = re.compile(
    r"\[[^\]\n]{0,40}\]|"
    r"【[^】\n]{0,20}(?:姓名|名字|称呼|链接|品牌|产品名|日期)[^】\n]{0,20}】|\{[^}\n]*\}|<[^>\n]{1,40}>|_{3,}|"
    r"\bX{2,}\b|某某|"
    r"\b(?:lorem ipsum|todo|tbd|insert \w+ here|your name|dear customer name)\b|\b[FT]\d{1,2}\b|"
    r"\bheadline\b|\bcta\b|\bJSON\b",
    re.IGNORECASE | re.ASCII,
)


def _placeholders(case: _Case) -> str:
    rest = fold(case.text).replace(fold(case.brief.product.name), " ")
    found = _PLACEHOLDER.search(rest)
    return case.say(f"left in the text: {found[0]}", f"文中残留：{found[0]}") if found else ""


def _distinct(case: _Case) -> str:
    text = case.draft.headline + "\n" + case.draft.body
    for number, other in enumerate(case.earlier, start=1):
        if SequenceMatcher(None, text, other.headline + "\n" + other.body, autojunk=False).ratio() >= ALIKE:
            return case.say(f"too like variant {number}: write it differently", f"与版本 {number} 太像：请换一种写法")
    return ""


RULES: dict[str, Callable[[_Case], str]] = {
    "complete": _complete,
    "length": _length,
    "uses": _uses,
    "numbers": _numbers,
    "links": _links,
    "absolute_words": _absolute,
    "supported_claims": _supported,
    "must_not_say": _must_not_say,
    "private": _private,
    "language": _language,
    "placeholders": _placeholders,
    "distinct": _distinct,
}
"""Every rule: what is wrong with a variant in a few words, or an empty string."""


def check_draft(draft: Draft, brief: Brief, angle: Angle, earlier: Sequence[Draft] = ()) -> tuple[Check, ...]:
    """Checks a variant against every rule, in the order of `RULES`.

    Args:
        draft: The variant.
        brief: What all variants share.
        angle: What this one was written from.
        earlier: The variants before it, from which it must differ.
    """
    case = _Case(draft, brief, angle, earlier)
    checks = []
    for rule, wrong in RULES.items():
        detail = wrong(case)
        shown = detail or (length_detail(draft, brief) if rule == "length" else "")
        checks.append(Check(rule, not detail, shown))
    return tuple(checks)
