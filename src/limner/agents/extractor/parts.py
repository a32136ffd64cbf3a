"""Cutting a text into parts small enough for one small question each.

A part is a clause or a short sentence. Parts are exact slices: no character is changed, so that what is found in a part
has a place in the stored text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from limner.histories.language import count_words, detect

MOST_PARTS = 8
"""Parts read of one text. Of a longer one the first two thirds and the last third are read: openings say what it is
about, endings say the verdict."""

LONGEST_PART = 240
"""Characters. A longer part (a text without punctuation) is cut at white space, or hard where there is none."""

_ENDS = re.compile(r"[。！？!?；;…\n]+[”’」』）)\"']*|(?<!\.)\.++(?=[\s”\"')]|$)[”\"')]*")
_PAUSES = re.compile(r"[，,](?=\D|$)|[:：](?=\s)|\s[-–—]+\s|——|～+|~+")

_LINK = re.compile(r"(?:https?://|www\.)[!-~]+", re.IGNORECASE)
"""A web address: signs inside it end nothing."""

FULL = {"zh": 6, "en": 5}
"""Words after which a pause (a comma) ends a part; Chinese counts characters."""

FEWEST = {"zh": 2, "en": 2}
"""Words that a part must have to be worth a question."""


@dataclass(frozen=True, slots=True)
class Part:
    """A slice of a text: `source[start:end] == text`, without white space at its ends."""

    start: int
    end: int
    text: str


def split_parts(text: str) -> list[Part]:
    """The parts of a text, in order, at most `MOST_PARTS`.

    Sentence ends always cut; commas cut once a part has enough words to be understood alone. A rest without letters
    (an emoji, a row of dots) is no part.
    """
    full = FULL[_script(text)]
    parts: list[Part] = []
    start = counted = words = 0
    for end, hard in _cuts(text):
        words, counted = words + count_words(text[counted:end]), end
        if hard or words >= full:
            parts.extend(_trimmed(text, start, end))
            start, words = end, 0
    parts.extend(_trimmed(text, start, len(text)))
    if len(parts) <= MOST_PARTS:
        return parts
    head = MOST_PARTS * 2 // 3
    return parts[:head] + parts[head - MOST_PARTS :]


def _cuts(text: str) -> list[tuple[int, bool]]:
    """Offsets after which the text may be cut, and whether it must be."""
    ends = [(m.end(), True) for m in _ENDS.finditer(text)]
    pauses = [(m.end(), False) for m in _PAUSES.finditer(text)]
    linked = {offset for m in _LINK.finditer(text) for offset in range(m.start() + 1, m.end())}
    return sorted(cut for cut in ends + pauses if cut[0] not in linked)


def _trimmed(text: str, start: int, end: int) -> list[Part]:
    """The slice without white space at its ends, as one part or, if too long, several; none if it has too few words."""
    parts = []
    while start < end:
        space = text.rfind(" ", start + LONGEST_PART // 2, start + LONGEST_PART)
        stop = end if end - start <= LONGEST_PART else space if space > 0 else start + LONGEST_PART
        piece = text[start:stop]
        words = piece.strip()
        if count_words(words) >= FEWEST[_script(words)]:
            first = start + len(piece) - len(piece.lstrip())
            parts.append(Part(first, first + len(words), words))
        start = stop
    return parts


def _script(text: str) -> str:
    return "zh" if detect(text) == "zh" else "en"
