"""Features of social ties on a made network: seconds and memory of `limner export society`, and libraries compared.

    python benchmarks/society.py [--users 2000000] [--ties 11500000] [--memory 4GB] [--folder FOLDER]
    python benchmarks/society.py --methods leiden_csr louvain leiden plm [--users ...] [--ties ...]

The network has communities with sizes by a power law (20 users to a fiftieth of all), users who have ties by a power
law (exponent 2.5), and three ties of ten that lead anywhere. Some ties are drawn twice. A user's place and category are
those of its community with probability 0.4, else anybody's, and a fifth of the users have none; devices are chance.

The second form gives the same network to each method in a process of its own, one thread, and prints what it found: its
modularity beside that of the communities the network was made of, how much it knows of those (normalised mutual
information), how many communities fall apart into pieces, and by how much the process's memory grew. Methods:
`leiden_csr` (graspologic-native, which limner uses), `louvain`, `leiden` and `propagation` (scikit-network), `plm` and
`parallel_leiden` (networkit). What is not installed is told and left out.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

MIXING = 0.3
ALIKE = 0.4
UNKNOWN = 0.2


def network(users: int, ties: int, seed: int = 7) -> tuple[Ints, Ints, Ints]:
    """Both ends of each drawn tie (some drawn twice), and each user's community."""
    rng = np.random.default_rng(seed)
    sizes = np.minimum((20 / (1 - rng.random(users // 20 + 1))).astype(np.int64), max(users // 50, 20))
    bounds = np.unique(np.minimum(np.concatenate([[0], np.cumsum(sizes)]), users))
    group = np.searchsorted(bounds, np.arange(users), side="right") - 1
    total = np.concatenate([[0], np.cumsum(np.minimum((1 - rng.random(users)) ** (-1 / 1.5), 2000.0))])

    def drawn(low: Any, high: Any) -> Ints:
        found = np.searchsorted(total, low + rng.random(ties) * (high - low), side="right") - 1
        return np.asarray(np.minimum(found, users - 1))

    one = drawn(0.0, total[-1])
    inside = rng.random(ties) > MIXING
    near = group[one]
    other = drawn(np.where(inside, total[bounds[near]], 0), np.where(inside, total[bounds[near + 1]], total[-1]))
    return one, other, group


def workspace(folder: Path, users: int, ties: int) -> None:
    """A workspace with these ties and, for four users in five, one event with a place, a category and a device."""
    import pyarrow as pa

    from limner.histories.facts import aggregate
    from limner.histories.store import Store

    one, other, group = network(users, ties)
    rng = np.random.default_rng(8)
    ids = np.arange(users)[rng.random(users) > UNKNOWN]
    like = np.where(rng.random(len(ids)) < ALIKE, group[ids], rng.integers(0, 1 << 30, len(ids)))
    store = Store.open(folder, create=True)
    with store.commit("ingest") as commit, store.connect() as db:
        db.register("t", pa.table({"one": one, "other": other}))
        commit.add_query("ties", db, "SELECT 'u' || one AS user_id, 'u' || other AS other_id, 'friend' AS kind FROM t")
        db.register("e", pa.table({"user": ids, "alike": like, "device": rng.integers(0, 3, len(ids))}))
        commit.add_query(
            "events",
            db,
            "SELECT 'e' || user AS event_id, 'u' || user AS user_id, TIMESTAMP '2025-01-01 10:00:00' AS ts,"
            " 'view' AS kind, 'category ' || alike % 40 AS category, 'city ' || alike % 300 AS place,"
            " ['phone', 'laptop', 'tablet'][1 + device::INT] AS device FROM e",
        )
    aggregate(store, run="bench")


def took(command: list[str], **environment: str) -> dict[str, Any]:
    """Runs a process; its seconds and its largest resident memory."""
    started = time.perf_counter()
    done = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **environment})
    _, status, usage = os.wait4(done.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command[:4])}")
    return {
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "memory_gb": round(usage.ru_maxrss / 2**20, 2),
    }


def exports(options: argparse.Namespace) -> None:
    """Times both exports of a made workspace."""
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        made = [sys.executable, __file__, "--make", str(folder / "w")]
        took([*made, "--users", str(options.users), "--ties", str(options.ties)])
        told: dict[str, Any] = {"users": options.users, "drawn": options.ties, "memory": options.memory}
        for table, file in (("society", "society.parquet"), ("mixing", "mixing.jsonl")):
            command = [sys.executable, "-m", "limner", "export", table, "--workspace", str(folder / "w")]
            told[table] = took([*command, "--out", str(folder / file)], LIMNER_MEMORY=options.memory)
        told["mixing_rows"] = [json.loads(line) for line in (folder / "mixing.jsonl").read_text().splitlines()]
        print(json.dumps(told, indent=1))


def _leiden_csr(matrix: Any) -> Ints:
    from graspologic_native import leiden_csr

    indptr, indices, users = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.shape[0]
    _, found = leiden_csr(indptr, indices, matrix.data.astype(np.float64), users, seed=0)
    return np.fromiter((found[user] for user in range(users)), np.int64, users)


def _scikit_network(name: str) -> Callable[[Any], Ints]:
    def run(matrix: Any) -> Ints:
        from sknetwork import clustering

        more = {} if name == "PropagationClustering" else {"random_state": 0, "modularity": "newman"}
        method = getattr(clustering, name)(return_probs=False, return_aggregate=False, **more)
        return np.asarray(method.fit_predict(matrix))

    return run


def _networkit(parallel: bool) -> Callable[[Any], Ints]:
    def run(matrix: Any) -> Ints:
        import networkit as nk
        from scipy.sparse import triu

        nk.setNumberOfThreads(1)
        nk.setSeed(0, False)
        half = triu(matrix).tocoo()
        graph = nk.GraphFromCoo((half.row.astype(np.int64), half.col.astype(np.int64)), n=matrix.shape[0])
        method = nk.community.ParallelLeiden(graph) if parallel else nk.community.PLM(graph, True, par="none")
        method.run()
        return np.asarray(method.getPartition().getVector())

    return run


METHODS: dict[str, Callable[[Any], Ints]] = {
    "leiden_csr": _leiden_csr,
    "louvain": _scikit_network("Louvain"),
    "leiden": _scikit_network("Leiden"),
    "propagation": _scikit_network("PropagationClustering"),
    "plm": _networkit(False),
    "parallel_leiden": _networkit(True),
}


def modularity(matrix: Any, labels: Ints) -> float:
    """Of a partition, from the matrix of ties."""
    degrees = np.diff(matrix.indptr)
    inside = (labels[np.repeat(np.arange(len(labels)), degrees)] == labels[matrix.indices]).mean()
    return float(inside - ((np.bincount(labels, weights=degrees) / degrees.sum()) ** 2).sum())


def most_memory() -> int:
    """KiB this process had at most; not `ru_maxrss`, which begins with what its parent had."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text(encoding="ascii"))
    return int(found[1]) if found else 0


def measure(name: str, path: Path) -> dict[str, Any]:
    """Runs one method on a stored network and judges what it found."""
    from scipy.sparse import csgraph, load_npz
    from sklearn.metrics import normalized_mutual_info_score

    matrix, group = load_npz(path), np.load(path.with_suffix(".npy"))
    before = most_memory()
    started, busy = time.perf_counter(), time.process_time()
    labels = np.unique(METHODS[name](matrix), return_inverse=True)[1]
    seconds, cpu = time.perf_counter() - started, time.process_time() - busy
    grown = most_memory() - before
    rows = np.repeat(np.arange(len(labels)), np.diff(matrix.indptr))
    found, planted = modularity(matrix, labels), modularity(matrix, group)
    matrix.data[labels[rows] != labels[matrix.indices]] = 0
    matrix.eliminate_zeros()
    pieces = int(csgraph.connected_components(matrix, directed=False)[0])
    return {
        "method": name,
        "users": len(labels),
        "ties": len(rows) // 2,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "grown_gb": round(grown / 2**20, 2),
        "communities": int(labels.max()) + 1,
        "in_pieces": pieces - int(labels.max()) - 1,
        "modularity": round(found, 4),
        "planted_modularity": round(planted, 4),
        "information": round(float(normalized_mutual_info_score(group, labels)), 3),
    }


def compare(options: argparse.Namespace) -> None:
    """Gives one network to several methods, users without a tie left out."""
    from scipy.sparse import coo_array, csr_matrix, save_npz

    one, other, group = network(options.users, options.ties)
    kept = one != other
    half = coo_array((np.ones(int(kept.sum()), np.int32), (one[kept], other[kept])), shape=(options.users,) * 2)
    whole = csr_matrix(((half + half.T).tocsr() > 0).astype(np.int8))
    tied = np.flatnonzero(np.diff(whole.indptr))
    whole = whole[tied][:, tied]
    whole.sort_indices()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        path = Path(name) / "network.npz"
        save_npz(path, whole, compressed=False)
        np.save(path.with_suffix(".npy"), np.unique(group[tied], return_inverse=True)[1])
        del one, other, group, half, whole
        for method in options.methods:
            command = [sys.executable, __file__, "--one", method, str(path)]
            done = subprocess.run(command, capture_output=True, text=True)
            said = done.stderr.strip().splitlines() or ["nothing"]
            print(done.stdout.strip() or f"{method}: {said[-1]}", flush=True)


def main() -> None:
    """Prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=2_000_000)
    parser.add_argument("--ties", type=int, default=11_500_000)
    parser.add_argument("--memory", default="4GB")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--methods", nargs="+", choices=METHODS)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        workspace(options.make, options.users, options.ties)
    elif options.one:
        print(json.dumps(measure(options.one[0], Path(options.one[1]))))
    elif options.methods:
        compare(options)
    else:
        exports(options)


if __name__ == "__main__":
    main()
