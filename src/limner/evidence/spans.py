"""The invariant of all evidence: a quote that is not an exact slice of a stored text proves nothing."""

from __future__ import annotations

from limner.evidence.records import Span


def holds(text: str | None, span: Span) -> bool:
    """Whether a span is an exact, non-empty slice of a stored text."""
    return text is not None and 0 <= span.start < span.end <= len(text) and text[span.start : span.end] == span.quote
