"""Which labels of a workspace are the same thing, by their meaning: fills the alias table.

Similarities are cosines in the space that both languages share (retrieval/space.py). The thresholds were measured on
made pairs; benchmarks/aliases.py measures them again, docs/decisions/0005-traits-over-time.md has the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from limner.errors import MissingExtra
from limner.evidence.aliases import Alias, decide, decisions_of, read_aliases, write_aliases
from limner.evidence.labels import Wording, canonical, likeness, wording
from limner.evidence.names import Label, Names, Pair, group, names_of
from limner.evidence.taxonomy import Taxonomy, keep_taxonomy, stored_taxonomy
from limner.histories.language import detect
from limner.histories.store import Store

Embed = Callable[[Sequence[str]], npt.NDArray[np.float32]]
"""Gives a unit vector for each label, of shape (n, dimensions)."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """Cosines from which a pair is proposed, and from which it is put in force without a person's word."""

    proposed: float
    sure: float


THRESHOLDS = {"en": Threshold(0.68, 0.82), "zh": Threshold(0.62, 0.85), "across": Threshold(0.45, 0.60)}
"""By the labels' language. Across languages a sure pair must also be each other's nearest."""

LARGEST = 20_000
"""Distinct labels compared with each other, those of most users first; rarer ones are compared by their words only."""

ROWS = 512
"""Labels compared with all others at once: a block of 512 x 20,000 cosines takes 40 MB."""


def refresh_names(store: Store, embed: Embed | None = None) -> Names:
    """Brings the alias table up to date with the labels there are, and gives the names in force.

    Args:
        store: The workspace.
        embed: How labels become vectors; the workspace's own embedder if None. Where none is installed, labels are
            compared by their words alone.

    Raises:
        UsageError: The alias table or the taxonomy was edited into something else.
    """
    before, taxonomy = read_aliases(store.path), stored_taxonomy(store.path)
    labels = _labels(store)
    if not labels and not before:
        return names_of((), taxonomy)
    aliases = propose(labels, before, taxonomy, embed or _embedder(store))
    write_aliases(store.path, aliases)
    return names_of(aliases, taxonomy)


@dataclass(frozen=True, slots=True)
class Review:
    """What a person sees of a workspace's names.

    Attributes:
        aliases: The alias table.
        other: The labels that the taxonomy does not know, those of most users first; empty without a taxonomy.
        changed: Whether names in force changed since the table was last written.
    """

    aliases: tuple[Alias, ...]
    other: tuple[str, ...]
    changed: bool

    def to_json(self) -> dict[str, Any]:
        """The table as `limner persona aliases --json` prints it."""
        return {"aliases": [row.to_json() for row in self.aliases], "other": list(self.other)}


def review(
    store: Store,
    *,
    accept: tuple[str, str] | None = None,
    refuse: tuple[str, str] | None = None,
    taxonomy: Path | None = None,
    embed: Embed | None = None,
) -> Review:
    """The alias table over the labels there are now, after a person's decision if one is given.

    Args:
        store: The workspace.
        accept: A label, and the name it goes under.
        refuse: A label, and a name that it does not go under.
        taxonomy: A file to keep as the workspace's closed vocabulary.
        embed: As of `refresh_names`.

    Raises:
        UsageError: A decision contradicts another, or a file is no alias table or taxonomy.
    """
    table = read_aliases(store.path)
    before = names_of(table, stored_taxonomy(store.path))
    for pair, word in ((accept, True), (refuse, False)):
        if pair is not None:
            table = decide(table, *pair, accept=word)
    if taxonomy is not None:
        keep_taxonomy(store.path, taxonomy)
    write_aliases(store.path, table)
    names = refresh_names(store, embed)
    labels = sorted(_labels(store), key=lambda label: (-label.users, label.text))
    other = tuple(label.text for label in labels if names.key(label.text) not in names.known) if names.known else ()
    return Review(read_aliases(store.path), other, names != before)


def propose(
    labels: Sequence[Label], before: Sequence[Alias], taxonomy: Taxonomy | None, embed: Embed
) -> tuple[Alias, ...]:
    """The alias table of some labels; of the table before, only persons' decisions count."""
    known = {label.form for label in labels}
    extra = [Label(text) for text in (taxonomy.wordings if taxonomy else ()) if canonical(text) not in known]
    ordered = sorted([*labels, *extra], key=lambda label: (-label.users, label.text))[:LARGEST]
    pairs = near_pairs([label.text for label in ordered], embed)
    return group(labels, pairs, decisions_of(before), taxonomy)


def near_pairs(texts: Sequence[str], embed: Embed) -> list[Pair]:
    """The pairs of labels that could be one, with whether they surely are.

    Words come first (`labels.likeness`): what differs in a number or an opposite is no pair, what has the same words is
    a sure one. The rest is by similarity.
    """
    if len(texts) < 2:
        return []
    try:
        vectors = embed(texts)
    except MissingExtra:
        vectors = np.zeros((len(texts), 1), dtype=np.float32)
    chinese = np.array([detect(text) == "zh" for text in texts])
    nearest = _nearest_across(vectors, chinese)
    found = [pair for start in range(0, len(texts), ROWS) for pair in _block(texts, vectors, chinese, nearest, start)]
    return found + _same_words(texts, vectors)


def _block(
    texts: Sequence[str],
    vectors: npt.NDArray[np.float32],
    chinese: npt.NDArray[np.bool_],
    nearest: npt.NDArray[np.int64],
    start: int,
) -> list[Pair]:
    """Near pairs of one block of labels with all that come after them."""
    cosines = vectors[start : start + ROWS] @ vectors[start:].T
    own, others = chinese[start : start + ROWS, None], chinese[None, start:]
    limits = {part: np.float32(threshold.proposed) for part, threshold in THRESHOLDS.items()}
    lowest = np.where(own != others, limits["across"], np.where(own, limits["zh"], limits["en"]))
    rows, columns = np.nonzero(np.triu(cosines >= lowest, 1))
    found = []
    places = zip((rows + start).tolist(), (columns + start).tolist(), cosines[rows, columns].tolist(), strict=True)
    for i, j, cosine in places:
        words = likeness(texts[i], texts[j])
        if words in ("different", "same"):
            continue
        across = chinese[i] != chinese[j]
        sure = words == "open" and cosine >= THRESHOLDS["across" if across else "zh" if chinese[i] else "en"].sure
        if across:
            sure = sure and bool(nearest[i] == j and nearest[j] == i)
        found.append(Pair(texts[i], texts[j], round(cosine, 3), sure))
    return found


def _nearest_across(vectors: npt.NDArray[np.float32], chinese: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """For each label the nearest one of the other language, -1 if there is none."""
    nearest = np.full(len(vectors), -1, dtype=np.int64)
    sides = (np.flatnonzero(chinese), np.flatnonzero(~chinese))
    for own, others in (sides, sides[::-1]):
        if len(others):
            for start in range(0, len(own), ROWS):
                rows = own[start : start + ROWS]
                nearest[rows] = others[(vectors[rows] @ vectors[others].T).argmax(axis=1)]
    return nearest


def _same_words(texts: Sequence[str], vectors: npt.NDArray[np.float32]) -> list[Pair]:
    """Pairs of labels with the same words in another order or form."""
    alike: dict[Wording, list[int]] = {}
    for i, text in enumerate(texts):
        said = wording(text)
        if said.words:
            alike.setdefault(said, []).append(i)
    return [
        Pair(texts[i], texts[j], max(round(float(vectors[i] @ vectors[j]), 3), 0.0), True)
        for members in alike.values()
        for i, j in combinations(members, 2)
    ]


def _labels(store: Store) -> list[Label]:
    """The labels of all accepted signals, one for each common form."""
    with store.read() as db:
        rows = db.execute(
            "SELECT label, min(ts) AS first, count(DISTINCT user_id) AS users FROM signals"
            " WHERE status = 'accepted' GROUP BY label ORDER BY users DESC, label"
        ).fetchall()
    found: dict[str, Label] = {}
    for text, first, users in rows:
        form = canonical(text)
        if not form:
            continue
        other = found.get(form)
        if other is None:
            found[form] = Label(text, first, users)
            continue
        times = [ts for ts in (other.first_seen, first) if ts is not None]
        found[form] = Label(other.text, min(times, default=None), other.users + users)
    return list(found.values())


def _embedder(store: Store) -> Embed:
    from limner.retrieval.space import Space

    return Space.open(store.path).passages
