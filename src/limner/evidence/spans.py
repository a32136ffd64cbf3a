"""Finding a quote in a stored text. A quote that is not an exact slice of it proves nothing."""

from __future__ import annotations

from limner.evidence.records import Span


def find_span(
    event_id: str, field: str, text: str, quote: str, *, start: int = 0, end: int | None = None
) -> Span | None:
    """The first occurrence of a quote in a text, between two offsets.

    Args:
        event_id: The event whose text it is.
        field: The event's field (`schema.TEXT_FIELDS`).
        text: The stored text, unchanged.
        quote: What is claimed to stand there.
        start: First character to look at.
        end: Character after the last one to look at; None for the end of the text.

    Returns:
        The span, with `text[span.start:span.end] == quote`; None if the quote is empty or not there.
    """
    if not quote:
        return None
    at = text.find(quote, start, len(text) if end is None else end)
    return None if at < 0 else Span(event_id, field, at, at + len(quote), quote)


def holds(text: str | None, span: Span) -> bool:
    """Whether a span is an exact, non-empty slice of a stored text."""
    return text is not None and 0 <= span.start < span.end <= len(text) and text[span.start : span.end] == span.quote


def fold_case(text: str) -> tuple[str, list[int]]:
    """A text without case, and for each of its characters the offset of the character it comes from.

    Case folding can lengthen a text (`ß` becomes `ss`), so offsets must be mapped back.
    """
    folded: list[str] = []
    origin: list[int] = []
    for offset, character in enumerate(text):
        for part in character.casefold():
            folded.append(part)
            origin.append(offset)
    return "".join(folded), origin


def find_span_any_case(event_id: str, field: str, text: str, quote: str, *, start: int, end: int) -> Span | None:
    """As `find_span`, but blind to case: the span's quote is what the text says, not what was asked for.

    A quote never begins or ends inside a character: `s` is not found in `ß`, though that folds to `ss`.
    """
    exact = find_span(event_id, field, text, quote, start=start, end=end)
    if exact is not None:
        return exact
    folded, origin = fold_case(text[start:end])
    wanted = quote.casefold()
    edges = [*origin, end]
    at = folded.find(wanted) if wanted else -1
    while at >= 0:
        behind = at + len(wanted)
        if (at == 0 or edges[at - 1] < edges[at]) and edges[behind - 1] < edges[behind]:
            first, last = start + edges[at], start + edges[behind - 1] + 1
            return Span(event_id, field, first, last, text[first:last])
        at = folded.find(wanted, at + 1)
    return None
