"""Sentences and clauses: how far around a quote a text is read, and which words end the reach of others."""

from __future__ import annotations

import re
from dataclasses import dataclass

from limner.evidence.wordlists import Token, read

REACH = 320
"""Characters before and after a quote that are read, if no sentence ends sooner."""

_HARD = "。！？!?；;\n…"
_SOFT = ',，、:：()（）[]【】/|~～"'
_FULL_STOP = re.compile(r"\.(?=[\s\"')]|$|[A-Z])|\.\.+")


@dataclass(frozen=True, slots=True)
class Bounds:
    """A stretch of a text, in characters."""

    start: int
    end: int


def _ends_sentence(text: str, at: int) -> bool:
    """Whether a sentence ends with the character at an offset."""
    character = text[at]
    if character in _HARD:
        return not (character == "\n" and at + 1 < len(text) and text[at + 1].islower())
    if character != ".":
        return False
    after = text[at + 1 : at + 2]
    if after in ("", ".") or after.isspace() or after in "\"')”’」":
        before = text[max(0, at - 3) : at].lower()
        return not before.endswith(("vs", "mr", "dr", "e.g", "i.e", "approx"))
    return (after.isupper() and text[at - 1 : at].islower()) or ord(after) >= 0x2E80


def sentence_around(text: str, start: int, end: int) -> Bounds:
    """The sentences that a slice of a text touches, at most `REACH` characters beyond it on either side."""
    first = start
    while first > 0 and start - first < REACH and not _ends_sentence(text, first - 1):
        first -= 1
    last = end
    if last > start and not _ends_sentence(text, last - 1):
        while last < len(text) and last - end < REACH:
            last += 1
            if _ends_sentence(text, last - 1):
                break
    while last < len(text) and text[last] in "?？!！" and last - end < REACH:
        last += 1
    return Bounds(first, last)


@dataclass(slots=True)
class Clause:
    """One clause of a sentence: its tokens, what begins and what ends it.

    Attributes:
        tokens: Its tokens without white space.
        opener: `contrast` or `link` if such a word begins it, else empty.
        ender: The mark that ends it, or empty.
        sentence: Number of its sentence.
    """

    tokens: list[Token]
    opener: str
    ender: str
    sentence: int

    @property
    def start(self) -> int:
        """Offset of its first character."""
        return self.tokens[0].start

    @property
    def end(self) -> int:
        """Offset behind its last character."""
        return self.tokens[-1].end


def split_clauses(text: str) -> list[Clause]:
    """The clauses of a text, in order; offsets are those of the text.

    Marks, words of contrast and links end a clause, and so does white space between Chinese characters.
    """
    clauses: list[Clause] = []
    tokens: list[Token] = []
    opener, sentence = "", 0
    words = read(text)
    for index, token in enumerate(words):
        if token.text == " ":
            if tokens and _between_wide(words, index):
                clauses.append(Clause(tokens, opener, " ", sentence))
                tokens, opener = [], ""
            continue
        mark = len(token.text) == 1 and not token.text.isalnum()
        hard = mark and _ends_sentence(text, token.start)
        if mark and (hard or token.text in _SOFT or (token.text == "-" and _spaced(text, token))):
            if tokens:
                clauses.append(Clause(tokens, opener, text[token.start], sentence))
            elif clauses and hard:
                clauses[-1].ender = text[token.start]
            tokens, opener = [], ""
            sentence += hard
            continue
        started = "contrast" if "contrast" in token.tags else "link" if "links" in token.tags else ""
        if started and not token.tags & {"asides", "neutral"}:
            if tokens:
                clauses.append(Clause(tokens, opener, "", sentence))
            tokens, opener = [token], started
            continue
        tokens.append(token)
    if tokens:
        clauses.append(Clause(tokens, opener, "", sentence))
    return clauses


def _between_wide(words: list[Token], index: int) -> bool:
    if index == 0 or index + 1 >= len(words):
        return False
    return ord(words[index - 1].text[-1]) >= 0x2E80 and ord(words[index + 1].text[0]) >= 0x2E80


def _spaced(text: str, token: Token) -> bool:
    around = text[max(0, token.start - 1) : token.start] + text[token.end : token.end + 1]
    return (len(around) == 2 and around.isspace()) or text[token.start] in "–—"
