"""Serves a GGUF file through llama.cpp on this machine: to measure a model that the embedded engine cannot read.

    pip install xllamacpp
    python benchmarks/llamacpp_server.py WEIGHTS.gguf [--port 8091] [--slots 1]
    limner eval run aspects --model http://127.0.0.1:8091/v1#NAME --data-folder FOLDER

Runs until Ctrl-C.
"""

from __future__ import annotations

import argparse
import signal
import threading
from pathlib import Path


def main() -> None:
    """Serves until interrupted."""
    import xllamacpp

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--port", type=int, default=8091)
    parser.add_argument("--slots", type=int, default=1)
    options = parser.parse_args()
    params = xllamacpp.CommonParams()
    params.model.path = str(options.weights)
    params.n_ctx = 4096 * options.slots
    params.n_parallel = options.slots
    params.use_jinja = True
    params.verbosity = -1
    params.port = options.port
    server = xllamacpp.Server(params)
    print(f"{server.listening_address}/v1", flush=True)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()


if __name__ == "__main__":
    main()
