"""Whether the words a signal quotes prove it: the evidence check, put to what each kind of signal claims.

A preference says that the writer likes what they write about; a need or an intent says that they want it, so that a
wish, a question or a condition is no objection to it, and its polarity says nothing about the words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from limner.agents.extractor.schema import FEELINGS, WORDINGS
from limner.errors import LimnerError
from limner.evidence.judgement import check, check_place
from limner.evidence.records import Polarity, SignalKind
from limner.evidence.stance import HYPOTHETICAL, QUESTION, WISHED
from limner.evidence.verdict import Verdict
from limner.prompts import load

PROMPT = "feeling"
"""The prompt whose worked examples are feelings about clauses."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a kind of signal claims.

    Attributes:
        feels: Whether its polarity is a feeling that the words must have.
        stances: Ways of not stating a thing that are no objection to it.
    """

    feels: bool
    stances: frozenset[str] = frozenset()


_UNREAL = frozenset([QUESTION, HYPOTHETICAL, WISHED])

CLAIMED: Mapping[SignalKind, Claimed] = {
    "preference": Claimed(feels=True),
    "objection": Claimed(feels=True),
    "sentiment": Claimed(feels=True),
    "interest": Claimed(feels=False, stances=_UNREAL),
    "intent": Claimed(feels=False, stances=_UNREAL),
    "need": Claimed(feels=False, stances=_UNREAL),
}


def judged(text: str, start: int, end: int, kind: SignalKind, label: str, polarity: Polarity) -> Verdict:
    """Whether a slice of a stored text proves a signal.

    Args:
        text: The stored text.
        start: First character of the proof.
        end: Character behind its last.
        kind: What sort of signal.
        label: What it is about; empty if the proof names it by a pronoun or not at all, so that only what is said about
            it, and by whom, can be judged.
        polarity: How the user is said to feel about it.
    """
    claimed = CLAIMED[kind]
    return check_place(
        text, start, end, label or None, polarity=polarity if claimed.feels else None, allowed=claimed.stances
    )


def judged_quote(text: str, quote: str, kind: SignalKind, label: str, polarity: Polarity) -> Verdict:
    """As `judged`, for a quote that a model gave: found first, exactly or but for width, case, space and marks."""
    claimed = CLAIMED[kind]
    return check(text, quote, label or None, polarity=polarity if claimed.feels else None, allowed=claimed.stances)


@cache
def check_examples() -> None:
    """Checks the worked examples of the prompts by the rules that the model's answers are checked by.

    Raises:
        LimnerError: An example claims what its own text does not prove: a defect of the prompt.
    """
    for lang, wording in WORDINGS.items():
        for example in load(PROMPT, lang).examples():
            if example.answer == wording.nothing:
                continue
            word, _, named = example.answer.partition(wording.colon.strip())
            feeling = next(FEELINGS[name] for name, said in wording.feelings.items() if said == word)
            label = "" if named.strip() == wording.unnamed else named.strip()
            verdict = judged(example.text, 0, len(example.text), feeling.kind, label, feeling.polarity)
            if not verdict.supported:
                raise LimnerError(
                    f"The example {example.text!r} of prompt {PROMPT} ({lang}) does not prove its answer "
                    f"{example.answer!r}: {verdict.words} This is a defect of the prompt."
                )
