"""Finding quotes in one text, as often as asked, in time that does not depend on what is in it.

A quote is looked up as it is and, only if it is not there, in its folded form (see `folding`). For long texts an index
of short pieces tells at once that a quote is not there, whatever the text repeats.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from limner.evidence.folding import fold

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MOST_OCCURRENCES = 24
"""Occurrences of one quote that are looked at; of more the first ones."""

LONG = 50_000
"""Characters from which a text is indexed."""

PIECE = 6
"""Characters of the indexed pieces."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a quote stands in the original text, in characters, and whether it stands there exactly as given."""

    start: int
    end: int
    exact: bool


class FoldedText:
    """One stored text, ready to be searched for many quotes.

    Args:
        text: The stored text, unchanged.
        simplify: Whether a quote in traditional characters is found in simplified ones and the other way round.
    """

    def __init__(self, text: str, *, simplify: bool = True) -> None:
        self.text = text
        self.simplify = simplify

    @cached_property
    def _folded(self) -> tuple[str, list[int], list[int]]:
        return fold(self.text, simplify=self.simplify)

    @cached_property
    def _exact_pieces(self) -> _Pieces:
        return _Pieces(self.text)

    @cached_property
    def _folded_pieces(self) -> _Pieces:
        return _Pieces(self._folded[0])

    def places(self, quote: str) -> list[Place]:
        """Where a quote stands, in order, at most `MOST_OCCURRENCES`; nothing for a quote without a visible character.

        Exact occurrences if there are any, else those that differ only in what folding takes away. An occurrence never
        begins or ends inside a character: `s` is not found in `ß`, though that folds to `ss`.
        """
        if not quote.strip():
            return []
        if len(self.text) < LONG or self._exact_pieces.may_hold(quote):
            exact = [Place(at, at + len(quote), True) for at in _all(self.text, quote)]
            if exact:
                return exact
        wanted = fold(quote, simplify=self.simplify)[0].strip()
        return self._folded_places(wanted) or self._folded_places(wanted.strip("\"' "))

    def _folded_places(self, wanted: str) -> list[Place]:
        folded, starts, ends = self._folded
        if not wanted or (len(folded) >= LONG and not self._folded_pieces.may_hold(wanted)):
            return []
        places = []
        for at in _all(folded, wanted):
            last = at + len(wanted) - 1
            whole = (at == 0 or starts[at - 1] != starts[at]) and (
                last + 1 == len(folded) or starts[last + 1] != starts[last]
            )
            if whole:
                places.append(Place(starts[at], ends[last], False))
        return places


def _all(text: str, wanted: str) -> list[int]:
    found: list[int] = []
    at = text.find(wanted)
    while at >= 0 and len(found) < MOST_OCCURRENCES:
        found.append(at)
        at = text.find(wanted, at + len(wanted))
    return found


class _Pieces:
    """All pieces of `PIECE` characters of a text, as sorted hashes: a quote with another piece is not there."""

    def __init__(self, text: str) -> None:
        import numpy

        self._sorted = numpy.unique(_hashes(text))

    def may_hold(self, quote: str) -> bool:
        """False if the quote is surely not in the text."""
        import numpy

        if len(quote) < PIECE:
            return True
        wanted = _hashes(quote)
        at = numpy.searchsorted(self._sorted, wanted)
        return bool((at < len(self._sorted)).all() and (self._sorted[at] == wanted).all())


def _hashes(text: str) -> npt.NDArray[np.uint64]:
    """One number for each piece of a text; equal pieces have equal numbers."""
    import numpy

    codes = numpy.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=numpy.uint32).astype(numpy.uint64)
    count = max(0, len(codes) - PIECE + 1)
    total = numpy.zeros(count, dtype=numpy.uint64)
    for offset in range(PIECE):
        total = total * numpy.uint64(1_000_003) + codes[offset : offset + count]
    return total


@lru_cache(maxsize=8)
def folded_text(text: str, simplify: bool = True) -> FoldedText:
    """The index of a text; those of the last few texts are kept."""
    return FoldedText(text, simplify=simplify)
