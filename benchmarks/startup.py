"""How long a person waits for the command line to answer, and what the time goes into.

python benchmarks/startup.py
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time

RUNS = 10
SHOWN_IMPORTS = 8
STARTS = {
    "python -c pass": ["-c", "pass"],
    "import limner": ["-c", "import limner"],
    "limner --version": ["-m", "limner", "--version"],
    "limner --help": ["-m", "limner", "--help"],
}


def seconds(arguments: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - began


def slowest_imports(arguments: list[str]) -> list[tuple[float, str]]:
    """Milliseconds each module took by itself, the slowest first."""
    command = [sys.executable, "-X", "importtime", *arguments]
    report = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    rows = [line.removeprefix("import time:").split("|") for line in report.splitlines() if line.count("|") == 2]
    timed = [(int(row[0]) / 1000, row[2].strip()) for row in rows if row[0].strip().isdigit()]
    return sorted(timed, reverse=True)[:SHOWN_IMPORTS]


def main() -> None:
    print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores")
    print(f"\n{'start':20} {'best s':>8} {'median s':>9}   of {RUNS}")
    for name, arguments in STARTS.items():
        measured = [seconds(arguments) for _ in range(RUNS)]
        print(f"{name:20} {min(measured):8.3f} {statistics.median(measured):9.3f}")
    print("\nslowest imports of limner --help, by themselves")
    for milliseconds, module in slowest_imports(STARTS["limner --help"]):
        print(f"{milliseconds:8.1f} ms  {module}")


if __name__ == "__main__":
    main()
