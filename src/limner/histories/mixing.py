"""Homophily: how far ties lead to users who are alike, held against what chance would give.

Chance is that of ties drawn anew between the same users, each keeping the number of its ties: a neighbour then has a
value as often as the ends of all other users' ties have it. What lies above is measured for the whole network by
Newman's assortativity ("Mixing patterns in networks", 2003): 0 is chance, 1 is ties among equals only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from limner.histories.communities import Places

UNKNOWN = -1
"""The code of a user of whom a value is not known."""

SHUFFLES = 99
"""How often values are dealt out anew among the users for the test; the least p is then 0.01."""

SEED = 0

BLOCK = 1 << 20
"""Ties looked at together, so that memory does not grow with their number."""

Counts = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Mixed:
    """How ties mix the values of one feature. Only ties between users of whom it is known count.

    Attributes:
        known: For each user of whom it is known, its neighbours of whom it is too; 0 for the others.
        same: Those of them with the user's own value.
        ends: For each value the ends of ties that have it.
    """

    known: Counts
    same: Counts
    ends: Counts

    @property
    def ties(self) -> int:
        """Ties that count."""
        return int(self.ends.sum()) // 2

    @property
    def users(self) -> int:
        """Users with a tie that counts."""
        return int(np.count_nonzero(self.known))

    @property
    def values(self) -> int:
        """Different values at the ends of ties."""
        return int(np.count_nonzero(self.ends))

    @property
    def share(self) -> float | None:
        """The share of ties between users with the same value."""
        return int(self.same.sum()) / (2 * self.ties) if self.ties else None

    @property
    def chance(self) -> float | None:
        """The share of them that chance would give."""
        return float(((self.ends / (2 * self.ties)) ** 2).sum()) if self.ties else None

    @property
    def assortativity(self) -> float | None:
        """Newman's r, from -1 to 1; None if there is no tie or only one value."""
        if self.share is None or self.chance is None or self.values < 2:
            return None
        return (self.share - self.chance) / (1 - self.chance)

    def expected_of(self, codes: Places) -> Shares:
        """For each user the share of other users' ends that have its value; NaN where it has no tie that counts."""
        expected = np.full(len(codes), np.nan)
        mine = np.flatnonzero(self.known)
        known = self.known[mine]
        expected[mine] = (self.ends[codes[mine]] - known) / (2 * self.ties - known)
        return expected


def mix(one: Places, other: Places, codes: Places) -> Mixed:
    """Counts who is tied to whom.

    Args:
        one: One end of each tie, as numbers of users.
        other: Its other end.
        codes: For each user its value as a number from 0, or `UNKNOWN`.
    """
    users = len(codes)
    values = int(codes.max(initial=UNKNOWN)) + 1
    known, same = np.zeros(users, np.int64), np.zeros(users, np.int64)
    ends = np.zeros(values, np.int64)
    for left, right in _blocks(one, other, codes):
        alike = codes[left] == codes[right]
        for end in (left, right):
            known += np.bincount(end, minlength=users)
            same += np.bincount(end[alike], minlength=users)
            ends += np.bincount(codes[end], minlength=values)
    return Mixed(known, same, ends)


def standard_error(one: Places, other: Places, codes: Places, mixed: Mixed) -> float | None:
    """The standard error of the assortativity by the jackknife (Newman, 2003, equation 5): each tie left out once.

    It takes ties as independent, which those of one user are not: it is too small where few users have most ties.
    """
    r, n = mixed.assortativity, mixed.ties - 1
    if r is None or n < 1:
        return None
    ends = mixed.ends.astype(np.float64)
    squares, same, total = float((ends**2).sum()), float(mixed.same.sum()) / 2, 0.0
    for left, right in _blocks(one, other, codes):
        a, b = ends[codes[left]], ends[codes[right]]
        alike = codes[left] == codes[right]
        chance = (squares - np.where(alike, 4 * a - 4, 2 * a + 2 * b - 2)) / (2 * n) ** 2
        if (chance >= 1).any():
            return None  # Without that tie there is one value only.
        total += float(((((same - alike) / n - chance) / (1 - chance) - r) ** 2).sum())
    return math.sqrt(total)


def p_value(one: Places, other: Places, codes: Places, mixed: Mixed) -> float | None:
    """How often values dealt out by chance among the same users are as assortative, either way (permutation test).

    The network stays as it is, and so does how many users have each value. Seeded: the same ties give the same p.
    """
    if mixed.assortativity is None:
        return None
    rng = np.random.default_rng(SEED)
    holders = np.flatnonzero(mixed.known)
    kept = list(_blocks(one, other, codes))
    dealt, degree = codes.copy(), mixed.known[holders]
    found = []
    for _ in range(SHUFFLES):
        dealt[holders] = rng.permutation(codes[holders])
        ends = np.bincount(dealt[holders], weights=degree, minlength=len(mixed.ends)) / (2 * mixed.ties)
        chance = float((ends**2).sum())
        same = sum(int(np.count_nonzero(dealt[left] == dealt[right])) for left, right in kept)
        found.append((same / mixed.ties - chance) / (1 - chance))
    middle = float(np.mean(found))
    beyond = sum(abs(r - middle) >= abs(mixed.assortativity - middle) - 1e-12 for r in found)
    return (1 + beyond) / (1 + SHUFFLES)


def _blocks(one: Places, other: Places, codes: Places) -> Iterator[tuple[Places, Places]]:
    """The ends of the ties that count, some at a time."""
    for start in range(0, len(one), BLOCK):
        left, right = one[start : start + BLOCK], other[start : start + BLOCK]
        both = (codes[left] != UNKNOWN) & (codes[right] != UNKNOWN)
        yield left[both], right[both]
