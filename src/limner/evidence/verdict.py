"""What a check of a claim ends with: a verdict, its reason code, and the words for a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

VerdictStatus = Literal["supported", "contradicted", "unsupported"]


@dataclass(frozen=True, slots=True)
class Reason:
    """One way a check can end.

    Attributes:
        status: The verdict it makes.
        words: What a person is told.
    """

    status: VerdictStatus
    words: str


REASONS: Mapping[str, Reason] = {
    "said": Reason("supported", "The quoted words say it."),
    "entailed": Reason("supported", "The quoted words share no word with the claim, but were found to entail it."),
    "negated": Reason("contradicted", "The text denies what is claimed."),
    "not_negated": Reason("contradicted", "The claim denies what the text says."),
    "opposite_feeling": Reason("contradicted", "The text says the opposite feeling."),
    "compared_with": Reason("contradicted", "It is only what something else is compared with."),
    "number_differs": Reason("contradicted", "The text gives another number."),
    "unit_differs": Reason("contradicted", "The text gives another unit."),
    "date_differs": Reason("contradicted", "The text gives another date."),
    "empty_quote": Reason("unsupported", "There is no quote."),
    "empty_claim": Reason("unsupported", "There is no claim."),
    "quote_not_in_text": Reason("unsupported", "The quote does not stand in the text."),
    "quote_too_long": Reason("unsupported", "A quote this long points at nothing."),
    "part_of_a_word": Reason("unsupported", "The quote begins or ends inside a word or a number."),
    "shares_no_words": Reason("unsupported", "The quote shares no word with the claim."),
    "words_missing": Reason("unsupported", "The quote lacks some of the claim's words."),
    "number_missing": Reason("unsupported", "The quote lacks a number or date of the claim."),
    "asked": Reason("unsupported", "The text asks it and does not say it."),
    "hypothetical": Reason("unsupported", "The text only supposes it."),
    "wished": Reason("unsupported", "The text only wishes, expects or imagines it."),
    "hearsay": Reason("unsupported", "The text tells it as others' words."),
    "others_feeling": Reason("unsupported", "It is what somebody else feels."),
}
"""Every reason code that a verdict can carry. `docs/evidence.md` lists them too."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a quote proves a claim.

    Attributes:
        status: `supported`, `contradicted` (the text says otherwise) or `unsupported` (it does not say so).
        start, end: Where the quote stands in the original text, in characters; None if it was not found.
        reason: A code of `REASONS`.
        words: The same for a person.
    """

    status: VerdictStatus
    start: int | None
    end: int | None
    reason: str
    words: str

    @property
    def supported(self) -> bool:
        """Whether the claim may be kept."""
        return self.status == "supported"


def verdict(reason: str, start: int | None = None, end: int | None = None) -> Verdict:
    """The verdict of a reason code."""
    found = REASONS[reason]
    return Verdict(found.status, start, end, reason, found.words)
