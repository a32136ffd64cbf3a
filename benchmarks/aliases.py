"""How well labels are brought under one name: precision and recall over made pairs, whole and with wordings missing.

`python benchmarks/aliases.py` needs no data: the labels are in label_pairs.toml beside it. Odd lines chose the
thresholds of agents/portraitist/labels.py, even ones tested them. A workspace seldom has every wording of a thing, and
a label without its translation may find a wrong one, so the same is measured on random halves of the labels.
"""

from __future__ import annotations

import argparse
import json
import random
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

from limner.agents.portraitist.labels import propose
from limner.evidence.labels import canonical
from limner.evidence.names import Label, names_of
from limner.histories.language import detect
from limner.retrieval.embedder import Embedder
from limner.retrieval.space import Space


@dataclass(frozen=True, slots=True)
class Score:
    """Pairs of labels under one name.

    Attributes:
        joined: Pairs that were brought under one name; `wrong` of them mean different things.
        same: Pairs that mean the same; `found` of them were brought under one name.
        offered: Pairs proposed to a person besides, `offered_right` of them meaning the same.
    """

    part: str
    languages: str
    joined: int
    wrong: int
    same: int
    found: int
    offered: int
    offered_right: int


def measure(part: str, concepts: Sequence[Sequence[str]], space: Space) -> list[Score]:
    """Scores within each language and across."""
    owner = {text: number for number, texts in enumerate(concepts) for text in texts}
    texts = sorted({canonical(text): text for text in owner}.values())
    rows = propose([Label(text) for text in texts], (), None, space.passages)
    names = names_of(rows)
    offered = {frozenset((row.label, row.name)) for row in rows if not row.applied}
    tallies: dict[str, list[int]] = {}
    for one, other in combinations(texts, 2):
        chinese = (detect(one) == "zh", detect(other) == "zh")
        kind = "across" if chinese[0] != chinese[1] else "zh" if chinese[0] else "en"
        tally = tallies.setdefault(kind, [0] * 6)
        same, joined = owner[one] == owner[other], names.key(one) == names.key(other)
        asked = frozenset((one, other)) in offered
        for place, hit in enumerate((joined, joined and not same, same, same and joined, asked, asked and same)):
            tally[place] += hit
        if joined and not same:
            print(f"wrong, {part}: {one} = {other}")
    return [Score(part, kind, *tally) for kind, tally in sorted(tallies.items())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--halves", type=int, default=10, help="random halves of the labels")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    concepts = tomllib.loads(Path(__file__).with_name("label_pairs.toml").read_text(encoding="utf-8"))["concepts"]
    space = Space(Embedder())
    vectors = {}
    texts = [text for concept in concepts for text in concept]
    vectors.update(zip(texts, space.passages(texts), strict=True))

    class Known:
        def passages(self, wanted: Sequence[str]) -> object:
            import numpy as np

            return np.stack([vectors[text] for text in wanted])

    known = Known()
    scores = [score for first, part in ((0, "odd"), (1, "even")) for score in measure(part, concepts[first::2], known)]
    rng = random.Random(7)
    for number in range(options.halves):
        half = [[text for text in concept if rng.random() < 0.5] for concept in concepts[number % 2 :: 2]]
        scores += measure("half of the wordings", [texts for texts in half if texts], known)
    summed: dict[tuple[str, str], list[int]] = {}
    for score in scores:
        values = list(asdict(score).values())
        total = summed.setdefault((values[0], values[1]), [0] * 6)
        summed[values[0], values[1]] = [a + b for a, b in zip(total, values[2:], strict=True)]
    if options.json:
        print(json.dumps([asdict(Score(*key, *total)) for key, total in summed.items()]))
        return
    print(f"{'part':22}{'languages':11}{'joined':>8}{'wrong':>7}{'recall':>8}{'offered':>9}{'right':>7}")
    for (part, kind), (joined, wrong, same, found, offered, right) in summed.items():
        print(f"{part:22}{kind:11}{joined:8}{wrong:7}{found / max(same, 1):8.2f}{offered:9}{right:7}")


if __name__ == "__main__":
    main()
