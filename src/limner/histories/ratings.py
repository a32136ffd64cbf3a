"""The best rating that each source ever gave, from which its scale is told; kept beside the tables."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress

from limner.histories.manifest import Manifest
from limner.histories.replacing import replacing
from limner.histories.store import Store

_SCALES = "SELECT source, max(rating) AS best FROM events WHERE isfinite(rating) GROUP BY source"


def best_ratings(store: Store, version: Manifest) -> dict[str | None, float]:
    """The best rating ever given in each source, kept beside the tables as long as the events are the same."""
    files = "\n".join(file.path for file in version.tables.get("events", ()))
    mark = hashlib.sha256(files.encode()).hexdigest()
    path = store.path / "cache" / "ratings.json"
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["events"] == mark:
            return {source: float(best) for source, best in kept["best"]}
    except (OSError, ValueError, KeyError, TypeError):
        pass  # It is derived: what cannot be read is computed again.
    with store.read(version, tables=("events",)) as connection:
        best = {source: float(value) for source, value in connection.execute(_SCALES).fetchall()}
    with suppress(OSError):  # A workspace that cannot be written can still be read.
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as temporary:
            told = {"events": mark, "best": [*best.items()]}
            temporary.write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
    return best
