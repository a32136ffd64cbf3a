"""Communities: groups of users who have more ties among each other than chance would give.

They are found by the Leiden algorithm (Traag, Waltman and van Eck, 2019), which maximises modularity (Newman and
Girvan, 2004) and, unlike the older Louvain, leaves every community connected. Why this library is said in
docs/decisions/0009-communities.md.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.int32]
"""Numbers of users, from 0."""

SEED = 0
"""The same ties give the same communities."""


def communities(one: Places, other: Places, users: int) -> Places:
    """The community of each user, named by the number of its first member.

    Args:
        one: One end of each tie.
        other: Its other end. No tie is given twice, in either direction, and none leads to oneself.
        users: The number of users; everyone has a tie.

    Returns:
        For each user the lowest number among those of its community.
    """
    if not len(one):
        return np.arange(users, dtype=np.int32)
    from graspologic_native import leiden_csr

    indptr, indices = _neighbours(one, other, users)
    weights = np.ones(len(indices))
    _, found = leiden_csr(indptr, indices, weights, users, seed=SEED)
    labels = np.fromiter((found[place] for place in range(users)), dtype=np.int64, count=users)
    _, first, label = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(first[label], dtype=np.int32)


def _neighbours(one: Places, other: Places, users: int) -> tuple[npt.NDArray[np.int64], Places]:
    """The neighbours of all users one after the other, in order, and where those of each begin."""
    from scipy.sparse import coo_array

    half = coo_array((np.ones(len(one), np.int8), (one, other)), shape=(users, users)).tocsr()
    whole = (half + half.T).tocsr()
    whole.sort_indices()
    return whole.indptr.astype(np.int64), whole.indices.astype(np.int32)
