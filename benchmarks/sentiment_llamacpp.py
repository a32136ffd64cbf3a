"""The sentiment question to a GGUF file that the embedded engine cannot read, through llama.cpp with a grammar.

    pip install xllamacpp
    python benchmarks/sentiment_llamacpp.py WEIGHTS.gguf --data FILE --text COLUMN --label COLUMN [--limit 200]

The same prompts, the same seeded draw and the same two words as `limner eval sentiment`; the word itself is taken, as
limner does with every model it has no measured threshold for. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from limner.agents.extractor.prompt import sentiment_request
from limner.agents.extractor.schema import WORDINGS
from limner.evals.labelled import balanced, read_labelled
from limner.histories.language import detect


def server(weights: Path) -> Any:
    """llama.cpp with one model, in this process."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(weights)
    params.n_ctx = 4096
    params.n_parallel = 1
    params.use_jinja = True
    params.verbosity = -1
    params.port = 0
    return xllamacpp.Server(params)


def main() -> None:
    """Scores the file's model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--text", action="append", required=True)
    parser.add_argument("--label", required=True)
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    drawn = balanced(read_labelled(options.data, options.text, options.label), options.limit, options.seed)
    model = server(options.weights)
    right = 0
    started = time.perf_counter()
    for one in drawn:
        lang = detect(one.text) or "en"
        wording = WORDINGS[lang]
        request = sentiment_request(one.text, lang)
        body = {
            "messages": [{"role": message.role, "content": message.content} for message in request.messages],
            "temperature": 0,
            "max_tokens": request.max_tokens,
            "grammar": f'root ::= "{wording.positive}" | "{wording.negative}"',
        }
        answer = model.handle_chat_completions(body)
        said = (answer if isinstance(answer, dict) else json.loads(answer))["choices"][0]["message"]["content"].strip()
        right += (said == wording.positive) is one.positive
    seconds = round(time.perf_counter() - started, 1)
    print(json.dumps({"n": len(drawn), "accuracy": round(right / len(drawn), 4), "seconds": seconds}))


if __name__ == "__main__":
    main()
