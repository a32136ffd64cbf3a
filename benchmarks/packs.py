"""What a larger pack of texts does to the joint plan's answers: score, quotes and tokens.

    python benchmarks/packs.py DATA_FOLDER [--model embedded] [--sizes 1 8] [--each 40] [--seed 0]

Asks about the same balanced, labelled reviews, so many at once, as the joint plan does with those of one user, and
prints for each size and language: texts whose sentiment is as labelled (`mixed` and `neutral` are not), packs whose
answer could not be used (their texts would be asked one by one), what is accepted a text, the share of quotes that are
in the text, and tokens a text, read and written.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from limner.agents.extractor.check import signals_of
from limner.agents.extractor.packs import packed, parts_of
from limner.agents.extractor.plan import PLANS
from limner.agents.extractor.prompt import AboutText, Question, reading_request
from limner.evals.labelled import LabelledText, balanced, read_labelled
from limner.evals.tasks.sentiment import SOURCES
from limner.histories.texts import TextOfUser
from limner.serving import connect
from limner.serving.client import Client
from limner.serving.request import ChatAnswer


@dataclass
class Score:
    """Sums over the texts of one language, asked so many at once."""

    size: int
    lang: str
    texts: int = 0
    right: int = 0
    unusable: int = 0
    accepted: int = 0
    quotes: int = 0
    quoted: int = 0
    read: int = 0
    written: int = 0


def questions_of(texts: Sequence[LabelledText], lang: str) -> list[Question]:
    """Each text as a question about one of a user's texts."""
    made = [
        TextOfUser("u", (f"e{n}",), "text", t.text, "", "", None, "review", None, lang, "") for n, t in enumerate(texts)
    ]
    return [Question("u", lang, reading_request([text], lang), AboutText(text)) for text in made]


def score(client: Client, texts: Sequence[LabelledText], lang: str, size: int) -> Score:
    """Asks about texts, so many at once."""
    found = Score(size, lang, texts=len(texts))
    questions = questions_of(texts, lang)
    packs = [range(start, min(start + size, len(texts))) for start in range(0, len(texts), size)]
    outcomes = client.ask([packed([questions[n] for n in pack]) for pack in packs])
    for pack, outcome in zip(packs, outcomes, strict=True):
        found.read += outcome.input_tokens
        found.written += outcome.output_tokens
        if not isinstance(outcome, ChatAnswer):
            found.unusable += 1
            continue
        for n, part in zip(pack, parts_of(outcome, len(pack)), strict=True):
            said = json.loads(part.text)["1"]["sentiment"]
            found.right += said == ("positive" if texts[n].positive else "negative")
            signals = [s for s in signals_of(questions[n], part, PLANS["joint"], client.model) if s.kind != "sentiment"]
            found.accepted += sum(s.status == "accepted" for s in signals)
            found.quotes += len(signals)
            found.quoted += sum(s.evidence.start >= 0 for s in signals)
    return found


def scores(client: Client, options: argparse.Namespace) -> Iterator[Score]:
    """One score for each size and language."""
    for size in options.sizes:
        for source in SOURCES:
            texts = read_labelled(options.folder / source.file, source.text, source.label)
            drawn = balanced(texts, options.each, options.seed)
            half = len(drawn) // 2
            mixed = [text for pair in zip(drawn[:half], drawn[half:], strict=True) for text in pair]
            yield score(client, [t for t in mixed if len(t.text) <= options.longest], source.lang, size)


def main() -> None:
    """Prints one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--each", type=int, default=40, help="Texts of a language.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=int, default=500, help="Characters of the longest text taken.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, connect(Path(folder), options.model, run="packs") as client:
        for found in scores(client, options):
            print(json.dumps(asdict(found)), flush=True)


if __name__ == "__main__":
    main()
