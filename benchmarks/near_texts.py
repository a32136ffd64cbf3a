"""Near-duplicate texts: seconds for many texts, and what is found beside a comparison of every pair.

python benchmarks/near_texts.py                       100,000 made texts
python benchmarks/near_texts.py 1000000               as many as you like
python benchmarks/near_texts.py --texts FILE COLUMN   pairs found in a Parquet file's texts, and all there are
"""

from __future__ import annotations

import itertools
import random
import resource
import sys
import time

import numpy as np
from scipy import sparse

from limner.histories.minhash import SIMILAR, near_clusters, shingles, signatures
from limner.histories.neartexts import LEAST

SHARE = 0.1
"""The share of made texts that are another one with a word or character changed."""


def made(count: int) -> list[str]:
    """Texts in both languages, 8 to 60 words or 20 to 150 characters."""
    draw = random.Random(1)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(20_000)]
    letters = [chr(draw.randint(0x4E00, 0x5FFF)) for _ in range(3_000)]
    texts: list[str] = []
    for number in range(count):
        if texts and draw.random() < SHARE:
            text = list(draw.choice(texts))
            text[draw.randrange(len(text))] = "x"
            texts.append("".join(text))
        elif number % 2:
            texts.append("".join(draw.choices(letters, k=draw.randint(20, 150))))
        else:
            texts.append(" ".join(draw.choices(words, k=draw.randint(8, 60))))
    return texts


def speed(count: int) -> None:
    texts = made(count)
    began = time.perf_counter()
    signatures(texts)
    signed = time.perf_counter()
    groups = near_clusters(texts)
    done = time.perf_counter()
    print(
        f"{count:,} texts of {sum(map(len, texts)) / count:.0f} characters: signatures {signed - began:.1f} s, all"
        f" {done - signed:.1f} s; {sum(map(len, groups)):,} texts in {len(groups):,} groups;"
        f" {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB"
    )


def exact_pairs(texts: list[str], similar: float) -> set[tuple[int, int]]:
    """Every pair that is at least so similar, by comparing all."""
    hashes, text = shingles(texts)
    _, column = np.unique(hashes, return_inverse=True)
    matrix = sparse.csr_matrix((np.ones(len(text), np.int32), (text, column)), shape=(len(texts), column.max() + 1))
    matrix.data[:] = 1
    size = np.asarray(matrix.sum(axis=1)).ravel()
    found: set[tuple[int, int]] = set()
    for start in range(0, len(texts), 500):
        shared = (matrix[start : start + 500] @ matrix.T).tocoo()
        one, other = shared.row + start, shared.col
        near = (one < other) & (shared.data >= similar * (size[one] + size[other] - shared.data))
        found |= set(zip(one[near].tolist(), other[near].tolist(), strict=True))
    return found


def quality(path: str, column: str) -> None:
    import duckdb

    plain = f"trim(regexp_replace(lower(\"{column}\"), '[^\\p{{L}}\\p{{N}}]+', ' ', 'g'))"
    long = f"length(p) + 2 * length(regexp_replace(p, '[^\\p{{Han}}]', '', 'g')) >= {LEAST}"
    query = f"SELECT DISTINCT p FROM (SELECT {plain} AS p FROM read_parquet(?)) WHERE {long} ORDER BY p"
    rows = duckdb.execute(query, [path]).fetchall()
    texts = [str(row[0])[:2000] for row in rows]
    began = time.perf_counter()
    groups = near_clusters(texts)
    seconds = time.perf_counter() - began
    found = {pair for group in groups for pair in itertools.combinations(group, 2)}
    began = time.perf_counter()
    exact = exact_pairs(texts, SIMILAR)
    every = time.perf_counter() - began
    strangers = len({place for group in groups for place in group} - set(itertools.chain(*exact)))
    print(f"{path} {column}: {len(texts):,} different long texts, {seconds:.1f} s (every pair {every:.1f} s)")
    print(
        f"{len(exact):,} pairs at {SIMILAR} or more, {len(exact & found):,} found; {len(found - exact):,} further"
        f" pairs by chains; {strangers:,} texts in a group without any near one"
    )


def main() -> None:
    if sys.argv[1:2] == ["--texts"]:
        quality(sys.argv[2], sys.argv[3])
    else:
        speed(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)


if __name__ == "__main__":
    main()
