"""How many altered claims a check accepts, and how many true ones it keeps: limner's and langextract's.

    LIMNER_TEST_DATA=FOLDER python benchmarks/evidence.py
    LIMNER_TEST_DATA=FOLDER python benchmarks/evidence.py --langextract VENV/bin/python --seeds 1 2 3

langextract is not a dependency of limner. Install it into an environment of its own (`pip install langextract==1.7.1`)
and name that environment's Python. A claim counts as accepted by langextract where the quote, as the text of an
extraction, is aligned with the source text by its default tokenizer and settings; it judges where a quote stands and no
claim, so this is what somebody who relies on it for grounding gets.

Rules were read and the check was improved with the cases of seed 0. Other seeds make cases by the same rules from other
texts, which nobody looked at.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from limner.evals.altered import Case, fingerprint, make_suite
from limner.evals.altered.make import SEED
from limner.evals.score import measured, shares
from limner.evals.scorecard import shown
from limner.evals.tasks.evidence import accepted

ALIGN = """
import json, sys
from langextract.core.data import AlignmentStatus, Extraction
from langextract.resolver import WordAligner

aligner, answers = WordAligner(), []
for line in sys.stdin:
    case = json.loads(line)
    extraction = Extraction(extraction_class="claim", extraction_text=case["quote"])
    try:
        found = [one for group in aligner.align_extractions([[extraction]], case["text"]) for one in group]
        status = found[0].alignment_status if found and found[0].char_interval else None
    except Exception as error:
        status = None
    answers.append(status.value if status else "")
print(json.dumps(answers))
"""
"""Run by the Python that has langextract: cases as JSON lines in, alignment statuses out."""

Verdicts = Mapping[str, Sequence[bool]]
"""By the name of a check, whether it accepts each case."""


def verdicts(cases: Sequence[Case], python: str | None) -> dict[str, list[bool]]:
    """What every check says of every case."""
    found = {"limner.evidence.check": [accepted(case) for case in cases]}
    if python is not None:
        lines = "".join(json.dumps({"text": case.text, "quote": case.quote}) + "\n" for case in cases)
        done = subprocess.run([python, "-c", ALIGN], input=lines, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{python} cannot run langextract: {done.stderr.strip().splitlines()[-1]}")
        statuses = json.loads(done.stdout.strip().splitlines()[-1])
        found["langextract, exact only"] = [status == "match_exact" for status in statuses]
        found["langextract, any alignment"] = [bool(status) for status in statuses]
    return found


def lines_of(cases: Sequence[Case], said: Verdicts) -> list[str]:
    """The table's lines: one for each check and language."""
    lines = ["| check | language | altered claims accepted | true claims kept |", "|---|---|---|---|"]
    for name, answers in said.items():
        for lang in ("", "en", "zh"):
            cells = []
            for truth in ("altered", "true"):
                hits = [a for c, a in zip(cases, answers, strict=True) if c.truth == truth and lang in ("", c.lang)]
                figure = measured(shares(truth, hits), 0)
                cells.append(f"{sum(hits)} of {len(hits)}: {shown(figure)}")
            lines.append(f"| {name} | {lang or 'both'} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Prints one table for the suite and one for each other seed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--langextract", metavar="PYTHON", help="a Python that has langextract 1.7.1")
    parser.add_argument("--seeds", type=int, nargs="*", default=[], help="other seeds to make cases with")
    options = parser.parse_args()
    folder = os.environ.get("LIMNER_TEST_DATA")
    if not folder:
        sys.exit("Name the evaluation data folder in LIMNER_TEST_DATA.")
    print(f"{platform.machine()}, Python {platform.python_version()}\n")
    for seed in (0, *options.seeds):
        cases = make_suite(Path(folder), seed=SEED + seed)
        if seed:
            known = {case.case_id for case in make_suite(Path(folder))}
            cases = [case for case in cases if case.case_id not in known]
        print(
            f"Seed {seed}: {len(cases)} cases{', none of them of seed 0' if seed else ''}, suite {fingerprint(cases)}\n"
        )
        print("\n".join(lines_of(cases, verdicts(cases, options.langextract))) + "\n")


if __name__ == "__main__":
    main()
