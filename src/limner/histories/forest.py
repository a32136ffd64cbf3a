"""A random forest that tells a missing number from the other columns of its row (`sklearn.impute.IterativeImputer`)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

LEARNED = 20_000
"""Rows with a value that the forest learns from, drawn by hash."""

TREES = 50
"""Trees of the forest."""

ROUNDS = 3
"""How often columns are filled in from each other."""

WORDS = 20
"""The most frequent words of a column that are told apart."""

COLUMNS = 30
"""Further columns of profiles that are looked at, the most filled first."""

BATCH = 50_000
"""Rows that are filled in together."""


def forest(connection: duckdb.DuckDBPyConnection, cells: str) -> str:
    """SQL for (key, value) of the cells without a value, told by a forest that learned from those with one.

    Args:
        connection: Holds the cells.
        cells: The table: `key`, `t`, `x`, numbers `n_...`, words `w_...` and JSON objects `a_...`.
    """
    import numpy as np
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401  For the next import.
    from sklearn.impute import IterativeImputer

    known = connection.execute(f"SELECT * FROM {cells} WHERE x IS NOT NULL ORDER BY hash(key) LIMIT {LEARNED}").df()
    vocabulary = _vocabulary(known)
    learned = _matrix(known, vocabulary)
    trees = RandomForestRegressor(n_estimators=TREES, min_samples_leaf=3, max_features=0.5, random_state=0)
    imputer = IterativeImputer(estimator=trees, max_iter=ROUNDS, random_state=0, keep_empty_features=True)
    # Rows without the value are learned from too, so that the forest of this column is there to be used.
    blank = connection.execute(f"SELECT * FROM {cells} WHERE x IS NULL ORDER BY hash(key) LIMIT {LEARNED // 10}").df()
    imputer.fit(np.vstack([learned, _matrix(blank, vocabulary)]))
    connection.execute("CREATE OR REPLACE TEMP TABLE told_by_forest (key VARCHAR, value DOUBLE)")
    missing = int(connection.execute(f"SELECT count(*) FROM {cells} WHERE x IS NULL").fetchall()[0][0])
    for start in range(0, missing, BATCH):
        part = f"ORDER BY key LIMIT {BATCH} OFFSET {start}"
        rows = connection.execute(f"SELECT * FROM {cells} WHERE x IS NULL {part}").df()
        values = imputer.transform(_matrix(rows, vocabulary))[:, 0]
        connection.register("forest_part", pa.table({"key": pa.array(rows["key"], pa.string()), "value": values}))
        connection.execute("INSERT INTO told_by_forest SELECT * FROM forest_part")
        connection.unregister("forest_part")
    return "SELECT key, value FROM told_by_forest"


def _flat(rows: pd.DataFrame) -> dict[str, list[Any]]:
    """Every column beside the key and group, those inside JSON objects too."""
    found: dict[str, list[Any]] = {}
    for column in rows.columns:
        if column.startswith("a_"):
            objects = [json.loads(text) if text else {} for text in rows[column]]
            for name in dict.fromkeys(key for one in objects for key in one):
                found[f"a_{name}"] = [one.get(name) for one in objects]
        elif column[:2] in {"n_", "w_"} or column == "t":
            found[column] = rows[column].tolist()
    return found


def _vocabulary(rows: pd.DataFrame) -> dict[str, list[str]]:
    """For each column the words that are told apart; none for a column of numbers."""
    import pandas as pd

    found: dict[str, list[str]] = {}
    for name, values in _flat(rows).items():
        series = pd.Series(values, dtype=object).dropna()
        if not len(series):
            continue
        numbers = pd.to_numeric(series, errors="coerce").notna().mean() if not name.startswith("w_") else 0.0
        words = [] if numbers > 0.9 else [str(word) for word in series.astype(str).value_counts().index[:WORDS]]
        found[name] = words
        if len(found) == COLUMNS:
            break
    return found


def _matrix(rows: pd.DataFrame, vocabulary: dict[str, list[str]]) -> npt.NDArray[np.float64]:
    """Numbers of shape (rows, 1 + columns): the value first, then numbers, then a column for each word."""
    import numpy as np
    import pandas as pd

    flat, size = _flat(rows), len(rows)
    columns: dict[str, Any] = {"x": rows["x"].astype(float).to_numpy()}
    for name, words in vocabulary.items():
        values = pd.Series(flat.get(name, [None] * size), dtype=object)
        if not words:
            columns[name] = pd.to_numeric(values, errors="coerce").to_numpy(dtype=float)
        for word in words:
            columns[f"{name}={word}"] = (values.astype(str) == word).to_numpy(dtype=float)
    matrix = np.column_stack(list(columns.values())).astype(np.float64)
    matrix[~np.isfinite(matrix)] = np.nan
    return matrix
