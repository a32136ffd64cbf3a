"""Attacks a model with every hostile text of the suite and prints what got through.

    python benchmarks/hostile.py [--model embedded] [--plan auto] [--unguarded]

`--unguarded` shows the model also the texts that limner would withhold because they speak to a machine, so that the
figure says what the other guards (tags, answer forms, evidence checks) hold back by themselves.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

from limner.agents.extractor import choose_plan
from limner.evals.hostile import attack
from limner.histories.store import Store
from limner.serving import connect

READERS = ("limner.agents.extractor.run", "limner.histories.lines", "limner.reports.facts_text")


def main() -> None:
    """Prints the score as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--plan", default="auto")
    parser.add_argument("--unguarded", action="store_true")
    options = parser.parse_args()
    guards = [patch(f"{module}.directive_in", lambda text: None) for module in READERS] if options.unguarded else []
    for guard in guards:
        guard.start()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "workspace", create=True)
        with connect(store.path, options.model, run="hostile") as client:
            score = attack(store, client, choose_plan(options.model, options.plan))
    told = {**score.to_json(), "unguarded": options.unguarded, "seconds": round(time.perf_counter() - started, 1)}
    print(json.dumps(told, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
