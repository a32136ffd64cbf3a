"""Checks every accepted quote of a workspace against its event's text, with nothing of limner but its export.

    python benchmarks/exactness.py WORKSPACE [--words 20] [--traits 3]

Exports events, signals and traits with the command line, reads them with pandas, and counts: accepted signals whose
quote is not exactly `text[start:end]` of the stored event (the same for the traits' evidence), and the users whose
texts have enough words in all, with how many of them have enough traits. Ends with 1 if a quote is not exact.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

WORD = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+")
"""A word: a Chinese character, or a run of letters and digits of other scripts."""


def exported(workspace: str, table: str, folder: Path) -> pd.DataFrame:
    """One table of the workspace as `limner export` writes it."""
    out = folder / f"{table}.parquet"
    command = [sys.executable, "-m", "limner", "export", table, "--out", str(out), "--workspace", workspace]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return pd.read_parquet(out)


def not_exact(quotes: pd.DataFrame, texts: dict[tuple[str, str], str]) -> int:
    """Rows whose quote is not the slice of the event's field that they name."""
    wrong = 0
    for event, field, start, end, quote in quotes[["event_id", "field", "start", "end", "quote"]].to_numpy().tolist():
        text = texts.get((event, field))
        wrong += text is None or end <= start or text[start:end] != quote
    return wrong


def main() -> int:
    """Prints the counts as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace")
    parser.add_argument("--words", type=int, default=20, help="words that a user's texts must have to be counted")
    parser.add_argument("--traits", type=int, default=3, help="accepted traits that such a user should have")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        events, signals, traits, personas = (
            exported(options.workspace, table, Path(name)) for table in ("events", "signals", "traits", "personas")
        )
    fields = [field for field in ("text_title", "text", "title") if field in events]
    texts = {
        (event, field): text
        for field in fields
        for event, text in zip(events["event_id"], events[field], strict=True)
        if isinstance(text, str)
    }
    accepted = signals[signals["status"] == "accepted"]
    proofs = pd.DataFrame([piece for pieces in traits["evidence"] for piece in pieces])
    words = pd.Series(0, index=events.index)
    for field in ("text_title", "text"):
        if field in events:
            words += events[field].fillna("").map(lambda text: len(WORD.findall(text)))
    per_user = words.groupby(events["user_id"]).sum()
    read = per_user[per_user.index.isin(set(personas["user_id"])) & (per_user >= options.words)].index
    enough = traits.groupby("user_id").size().reindex(read, fill_value=0) >= options.traits
    inexact, inexact_evidence = not_exact(accepted, texts), not_exact(proofs, texts)
    counts = {
        "accepted_signals": len(accepted),
        "signals_not_exact": inexact,
        "evidence_of_traits": len(proofs),
        "evidence_not_exact": inexact_evidence,
        "users_with_persona": personas["user_id"].nunique(),
        "users_with_enough_words": len(read),
        "of_them_with_enough_traits": int(enough.sum()),
        "rejected_reasons": signals[signals["status"] == "rejected"]["reason"].value_counts().to_dict(),
    }
    print(json.dumps(counts, ensure_ascii=False, indent=1))
    return int(inexact + inexact_evidence > 0)


if __name__ == "__main__":
    sys.exit(main())
