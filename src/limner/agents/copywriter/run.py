"""Writing copy: the model writes, code checks; one repair, then a plain variant from the sheet, with its checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from limner.agents.copywriter.audience import find_audience
from limner.agents.copywriter.channels import find_channel
from limner.agents.copywriter.check import check_draft, parse_draft, told
from limner.agents.copywriter.plain import plain_draft
from limner.agents.copywriter.prompt import Angle, Brief, angles, variant_request
from limner.agents.copywriter.schema import Check, CopySet, Draft, ProductSheet, Variant, read_product
from limner.errors import UsageError
from limner.histories.store import Store
from limner.serving.request import ChatAnswer, ChatRequest, Outcome

MOST_VARIANTS = 20
"""More variants of one product for one segment are no longer different."""


class Asker(Protocol):
    """The part of a client that the copywriter uses."""

    def ask(self, requests: Sequence[ChatRequest]) -> list[Outcome]:
        """The outcomes of the requests, in their order."""
        ...


@dataclass(frozen=True, slots=True)
class _Try:
    """A draft with its checks; no draft if the model gave none."""

    draft: Draft | None
    checks: tuple[Check, ...]

    @property
    def broken(self) -> tuple[str, ...]:
        """What is wrong, for the repair question."""
        return tuple(check.detail for check in self.checks if not check.ok)


def write_copy(
    store: Store, client: Asker, segment: str, product: Path | str | ProductSheet, channel: str, variants: int = 3
) -> CopySet:
    """Writes variants of a product's copy for a segment.

    Args:
        store: The workspace.
        client: What asks the model.
        segment: The segment's name or id.
        product: A product sheet or the path of one.
        channel: `email`, `sms` or `push`.
        variants: How many, 1 to `MOST_VARIANTS`.

    Raises:
        UsageError: No such segment or channel, a product sheet that cannot be read, or a number out of range.
        ModelError: The model cannot be reached at all.
    """
    chosen = find_channel(channel)
    if not 1 <= variants <= MOST_VARIANTS:
        raise UsageError(f"Cannot write {variants} variants; ask for 1 to {MOST_VARIANTS} with --variants.")
    sheet = product if isinstance(product, ProductSheet) else read_product(product)
    audience = find_audience(store, segment, sheet.language)
    brief = Brief(sheet, audience, chosen, sheet.language or audience.language)
    written: list[Variant] = []
    kept: list[Draft] = []
    planned = angles(brief, variants)
    first = client.ask([variant_request(brief, angle) for angle in planned])
    for angle, outcome in zip(planned, first, strict=True):
        finished = _finish(client, brief, angle, outcome, kept)
        kept.append(finished.draft)
        written.append(finished.variant)
    return CopySet(audience.name, chosen.name, brief.language, tuple(written))


@dataclass(frozen=True, slots=True)
class _Finished:
    """A draft as it was kept, and the variant it became."""

    draft: Draft
    variant: Variant


def _finish(client: Asker, brief: Brief, angle: Angle, outcome: Outcome, earlier: Sequence[Draft]) -> _Finished:
    """The best that comes of one variant: as written, repaired, or plain.

    A plain variant that breaks a rule too (a fact longer than the channel) is shown with that rule as failing.
    """
    tried = _checked(outcome, brief, angle, earlier)
    if tried.draft is not None and not tried.broken:
        return _finished(tried.draft, tried.checks, brief, angle, "model")
    [second] = client.ask([variant_request(brief, angle, tried.broken)])
    repaired = _checked(second, brief, angle, earlier)
    if repaired.draft is not None and not repaired.broken:
        return _finished(repaired.draft, repaired.checks, brief, angle, "repair")
    plain = plain_draft(brief, angle)
    return _finished(plain, check_draft(plain, brief, angle, earlier), brief, angle, "template")


def _checked(outcome: Outcome, brief: Brief, angle: Angle, earlier: Sequence[Draft]) -> _Try:
    draft = parse_draft(outcome.text) if isinstance(outcome, ChatAnswer) else None
    if draft is None:
        wrong = "答案不是所要的 JSON" if brief.language == "zh" else "the answer was not the JSON asked for"
        return _Try(None, (Check("complete", False, wrong),))
    return _Try(draft, check_draft(draft, brief, angle, earlier))


def _finished(
    draft: Draft, checks: tuple[Check, ...], brief: Brief, angle: Angle, by: Literal["model", "repair", "template"]
) -> _Finished:
    uses = told(draft, brief, angle)
    return _Finished(draft, Variant(draft.headline, draft.body, draft.cta, uses, checks, by))
