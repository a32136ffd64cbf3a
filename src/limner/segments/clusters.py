"""Groups of vectors, and how many there are.

k-means on the leading principal components. The number is the smallest whose mean silhouette (Rousseeuw 1987) stands
out about as much as any from what k-means finds in data without groups: the same components drawn from one normal
distribution, as the gap statistic does with dispersion (Tibshirani, Walther and Hastie 2001). If no number stands out
from 95 % of such draws, there is one group, because k-means cuts anything in pieces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from limner.segments.views import Matrix

LARGEST = 8
"""More segments than this are hard to name apart and to act on."""

USERS_PER_SEGMENT = 4
"""Fewer users than this on average are no segment."""

COMPONENTS = 10
"""Principal components at most: past these lie single users' wordings. One per four users for small numbers."""

SAMPLE = 1500
"""Users the silhouette is computed on; it is quadratic in their number."""

LARGE = 20_000
"""Users from which k-means gains from several threads."""

PLATEAU = 0.9
"""Of numbers that stand out about as much (90 % of the most), the smallest is taken: where users word the same likes in
a few ways, cutting a group by wording raises the silhouette a little again."""

DRAWS = 20
"""Draws without groups. The largest of 20 is the 95 % point (one-sided, 1 in 21)."""


@dataclass(frozen=True, slots=True)
class Clusters:
    """A grouping.

    Attributes:
        of: The group of each row, 0 is the largest.
        confidence: Probability of that group for each row, if groups were round and equally wide: the groups' share of
            exp(-d²/2s²), d the distance to the centre and s² the mean variance inside groups.
        criterion: How the number was chosen, in words and figures.
    """

    of: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    criterion: str

    @property
    def k(self) -> int:
        """The number of groups."""
        return int(self.of.max()) + 1


def find_clusters(vectors: Matrix, *, k: int | None = None, seed: int = 0) -> Clusters:
    """Groups the rows.

    Args:
        vectors: Shape (rows, dimensions), at least one row.
        k: The number of groups; chosen if None.
        seed: The same seed gives the same groups.
    """
    from threadpoolctl import threadpool_limits

    # Thousands of fits on small matrices: threads that wait for each other took three times as long as one.
    with threadpool_limits(1 if len(vectors) <= LARGE else None):
        return _find(vectors, k, seed)


def _find(vectors: Matrix, k: int | None, seed: int) -> Clusters:
    points = _components(vectors, seed)
    distinct = len(np.unique(points.round(6), axis=0))
    if k is not None:
        made = min(k, distinct)
        short = "" if made == k else f", {k} were asked for but only {made} users differ"
        return _grouped(points, made, seed, f"{made} segments by request{short}")
    most = min(LARGEST, len(points) // USERS_PER_SEGMENT, distinct - 1)
    if most < 2:
        return _grouped(points, 1, seed, f"1 segment: too few users that differ to divide ({len(points)})")
    choice = _choose(points, most, seed)
    return _grouped(points, choice.k, seed, choice.words)


@dataclass(frozen=True, slots=True)
class _Choice:
    """The number chosen, and why."""

    k: int
    words: str


def _components(vectors: Matrix, seed: int) -> npt.NDArray[np.float64]:
    from sklearn.decomposition import PCA

    rows, columns = vectors.shape
    count = max(1, min(COMPONENTS, rows // 4, rows - 1, columns))
    if np.allclose(vectors, vectors[0]):
        return np.zeros((rows, 1))
    points: npt.NDArray[np.float64] = PCA(count, random_state=seed).fit_transform(vectors.astype(np.float64))
    return points


def _choose(points: npt.NDArray[np.float64], most: int, seed: int) -> _Choice:
    rng = np.random.default_rng(seed)
    sample = points if len(points) <= SAMPLE else points[np.sort(rng.choice(len(points), SAMPLE, replace=False))]
    tried = range(2, most + 1)
    found = np.array(_silhouettes(sample, tried, seed))
    width = sample.std(axis=0)
    null = np.array([_silhouettes(rng.normal(size=sample.shape) * width, tried, seed) for _ in range(DRAWS)])
    chance = null.mean(axis=0)
    excess, best_by_chance = found - chance, (null - chance).max()
    best = int(np.flatnonzero(excess >= PLATEAU * excess.max())[0]) if excess.max() > 0 else 0
    figures = f"silhouette {found[best]:.2f} against {chance[best]:.2f} by chance, 2 to {most} segments tried"
    if excess.max() <= best_by_chance:
        return _Choice(1, f"1 segment: no division stands out (best: {tried[best]} segments, {figures})")
    return _Choice(tried[best], f"{tried[best]} segments: {figures} on {len(sample)} users")


def _silhouettes(points: npt.NDArray[np.float64], tried: range, seed: int) -> list[float]:
    from sklearn.metrics import silhouette_score

    scores = []
    for k in tried:
        labels = _k_means(points, k, seed).labels_
        scores.append(float(silhouette_score(points, labels)) if len(set(labels)) > 1 else 0.0)
    return scores


def _k_means(points: npt.NDArray[np.float64], k: int, seed: int) -> Any:
    from sklearn.cluster import KMeans

    return KMeans(k, n_init=5, random_state=seed).fit(points)


def _grouped(points: npt.NDArray[np.float64], k: int, seed: int, criterion: str) -> Clusters:
    if k == 1:
        return Clusters(np.zeros(len(points), dtype=np.int64), np.ones(len(points)), criterion)
    fitted = _k_means(points, k, seed)
    # By size, then by first member, so that the numbering does not hang on the fit's own order.
    first = {label: int(np.flatnonzero(fitted.labels_ == label)[0]) for label in set(fitted.labels_)}
    order = sorted(first, key=lambda label: (-int((fitted.labels_ == label).sum()), first[label]))
    rank = {label: position for position, label in enumerate(order)}
    of = np.array([rank[label] for label in fitted.labels_], dtype=np.int64)
    return Clusters(of, _confidence(fitted.transform(points)[:, order] ** 2, of, points.shape[1]), criterion)


def _confidence(
    squared: npt.NDArray[np.float64],
    of: npt.NDArray[np.int64],
    dimensions: int,
    fixed: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.float64]:
    """The probability of each row's group (see `Clusters`), from squared distances to all centres.

    The variance inside groups is that of the `fixed` rows, all of them if None.
    """
    rows = np.arange(len(of))
    inside = squared[rows, of] if fixed is None else squared[rows[fixed], of[fixed]]
    variance = max(float(inside.sum()) / (max(len(inside) - squared.shape[1], 1) * dimensions), 1e-12)
    odds = np.exp(-(squared - squared.min(axis=1, keepdims=True)) / (2 * variance))
    found: npt.NDArray[np.float64] = odds[rows, of] / odds.sum(axis=1)
    return found


def place(vectors: Matrix, of: npt.NDArray[np.int64], moving: npt.NDArray[np.bool_], *, seed: int = 0) -> Clusters:
    """Puts some rows into the nearest of groups that others already form; the others stay where they are.

    Args:
        vectors: Shape (rows, dimensions).
        of: The group of each row, 0 and up; of moving rows the group that they were in, or -1 for none.
        moving: Which rows are placed anew. A group that has no other members keeps its place through them.
        seed: Seed of the principal components.
    """
    points = _components(vectors, seed)
    groups = int(of.max()) + 1
    founding = [(of == g) & ~moving if ((of == g) & ~moving).any() else of == g for g in range(groups)]
    centres = np.stack([points[rows].mean(axis=0) for rows in founding])
    squared = ((points[:, None, :] - centres[None, :, :]) ** 2).sum(axis=2)
    placed = np.where(moving, squared.argmin(axis=1), of)
    confidence = _confidence(squared, placed, points.shape[1], ~moving if (~moving).any() else None)
    return Clusters(placed, confidence, "")
