"""Near-duplicate texts among millions: MinHash signatures and banded locality-sensitive hashing, in numpy.

A text is the set of its shingles: three Chinese characters in a row, or two words in a row. The share of equal numbers
in two signatures estimates their Jaccard similarity (Broder 1997); texts whose signatures agree in a whole band are
candidates (Leskovec et al., "Mining of Massive Datasets", chapter 3), and every candidate is checked by the exact
similarity. Work grows in a straight line with the characters; nothing is compared pair by pair but candidates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from limner.histories.unions import Unions

SIMILAR = 0.7
"""The Jaccard similarity from which texts are near-duplicates: about one word or character in ten differs."""

BANDS = 20
ROWS = 4
"""Bands of a signature and numbers in each. Of pairs as similar as `SIMILAR` all but four in a thousand share a band,
of those at 0.8 all but three in a hundred thousand, of those at 0.4 two in five, which the check then refuses."""

SIGNS = BANDS * ROWS
"""Numbers of a signature."""

DOUBTFUL = 0.5
"""The share of equal numbers below which a candidate is not worth the exact check."""

BATCH = 2_000
"""Texts whose shingles are worked on together: few enough to stay in the processor's cache."""

SEED = 20_260_101
"""Of the hash functions: the same texts give the same clusters everywhere."""

Hashes = npt.NDArray[np.uint64]
Signatures = npt.NDArray[np.uint32]

_HAN = ((0x3041, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF))
"""Letters that are a word each, as far as shingles go."""

_LONGEST = 64
"""Letters of a word that count."""


@dataclass(frozen=True, slots=True)
class _Functions:
    """The random numbers that all hashing rests on."""

    letters: Hashes
    places: Hashes
    words: Hashes
    factors: Hashes
    terms: Hashes


@cache
def _functions() -> _Functions:
    draw = np.random.default_rng(SEED)

    def odd(count: int) -> Hashes:
        return draw.integers(1, 2**63, count, dtype=np.uint64) * np.uint64(2) + np.uint64(1)

    return _Functions(odd(1), odd(_LONGEST), odd(3), odd(SIGNS), odd(SIGNS))


def _mixed(values: Hashes) -> Hashes:
    """A bijection that makes every bit depend on every other (the finaliser of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def shingles(texts: Sequence[str]) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """The hashed shingles of texts, in their order, and the text that each is of.

    Args:
        texts: Words with a space between them, without other signs; Chinese may stand without spaces.

    Returns:
        Hashes of shape (shingles,), and the number of the text of each, ascending.
    """
    functions = _functions()
    codes = np.frombuffer("\0".join(texts).encode("utf-32-le", "replace") + b"\0\0\0\0", dtype=np.uint32)
    blank = (codes == 0) | (codes == 32)
    han = np.zeros(len(codes), dtype=np.bool_)
    for first, last in _HAN:
        han |= (codes >= first) & (codes <= last)
    ends = np.r_[True, (blank | han)[:-1]]  # A word begins after a blank or a letter that is a word.
    begins = np.flatnonzero(~blank & (han | ends))
    if not len(begins):
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    word = np.cumsum(~blank & (han | ends)) - 1
    place = np.minimum(np.arange(len(codes)) - begins[np.maximum(word, 0)], _LONGEST - 1)
    letters = _mixed(codes.astype(np.uint64) + functions.letters[0]) * functions.places[np.maximum(place, 0)]
    letters[blank] = 0
    words = _mixed(np.add.reduceat(letters, begins))
    text = np.cumsum(codes == 0)[begins]
    first, second, third = functions.words
    pair = words[:-1] * first + words[1:] * second
    triple = np.r_[pair[:-1] + words[2:] * third, np.uint64(0)]
    whole = text[:-1] == text[1:]
    whole_triple = np.r_[text[:-2] == text[2:], False] if len(text) > 1 else whole
    three = han[begins][:-1]
    kept = np.where(three, whole_triple, whole)
    return _mixed(np.where(three, triple, pair))[kept], text[:-1][kept]


def signatures(texts: Sequence[str]) -> tuple[Signatures, npt.NDArray[np.int64]]:
    """The signatures of texts, and which texts they are of: those with a shingle.

    Returns:
        Numbers of shape (texts with a shingle, `SIGNS`), and the places of these texts.
    """
    functions = _functions()
    parts: list[Signatures] = []
    places: list[npt.NDArray[np.int64]] = []
    for start in range(0, len(texts), BATCH):
        hashes, text = shingles(texts[start : start + BATCH])
        if not len(hashes):
            continue
        begins = np.flatnonzero(np.r_[True, text[1:] != text[:-1]])
        part = np.empty((len(begins), SIGNS), dtype=np.uint32)
        for sign in range(SIGNS):
            values = ((hashes * functions.factors[sign] + functions.terms[sign]) >> np.uint64(32)).astype(np.uint32)
            part[:, sign] = np.minimum.reduceat(values, begins)
        parts.append(part)
        places.append(text[begins] + start)
    if not parts:
        return np.empty((0, SIGNS), np.uint32), np.empty(0, np.int64)
    return np.concatenate(parts), np.concatenate(places)


def near_clusters(texts: Sequence[str], similar: float = SIMILAR) -> list[list[int]]:
    """Groups of texts that are near-duplicates of each other, directly or by a chain, as places in `texts`.

    Args:
        texts: Different texts, as `shingles` takes them.
        similar: The exact Jaccard similarity of shingles from which two are near-duplicates.
    """
    signs, places = signatures(texts)
    unions: Unions[int] = Unions()
    pairs = _candidates(signs)
    for part in np.array_split(pairs, max(1, len(pairs) // 100_000)):
        near = (signs[part[:, 0]] == signs[part[:, 1]]).mean(axis=1) >= DOUBTFUL
        for one, other in _alike(texts, places[part[near]], similar):
            unions.join(one, other)
    return sorted((sorted(group) for group in unions.groups()), key=lambda group: (-len(group), group[0]))


def _candidates(signs: Signatures) -> npt.NDArray[np.int64]:
    """Pairs of rows that agree in a whole band: every row of a bucket with its first one and with the one before."""
    functions = _functions()
    found: list[npt.NDArray[np.int64]] = []
    for band in range(BANDS):
        key = np.zeros(len(signs), dtype=np.uint64)
        for row in range(band * ROWS, (band + 1) * ROWS):
            key = _mixed(key + signs[:, row]) * functions.factors[row]
        order = np.argsort(key, kind="stable")
        ordered = key[order]
        begins = np.r_[True, ordered[1:] != ordered[:-1]] if len(ordered) else np.empty(0, np.bool_)
        leader = order[np.flatnonzero(begins)][np.cumsum(begins) - 1]
        again = np.flatnonzero(~begins)
        found.append(np.stack([leader[again], order[again]], axis=1))
        found.append(np.stack([order[again - 1], order[again]], axis=1))
    return np.unique(np.concatenate(found), axis=0) if found else np.empty((0, 2), np.int64)


def _alike(texts: Sequence[str], pairs: npt.NDArray[np.int64], similar: float) -> Iterator[tuple[int, int]]:
    """Those of some pairs of texts whose exact similarity is high enough."""
    wanted = np.unique(pairs)
    hashes, text = shingles([texts[place] for place in wanted])
    edges = np.searchsorted(text, np.arange(len(wanted) + 1))
    sets = {int(p): frozenset(hashes[edges[n] : edges[n + 1]].tolist()) for n, p in enumerate(wanted)}
    for one, other in pairs.tolist():
        a, b = sets[one], sets[other]
        shared = len(a & b)
        if shared and shared >= similar * (len(a) + len(b) - shared):
            yield one, other
