"""The personas task: how much of what was planted in the bundled sample is found, and how much else is said.

A trait counts as planted if both have the same side (for, against) and either its label shares words with a name of
the planted trait in either language, or its evidence stands where the planted trait's proof stands. What is said
beside what was planted need not be wrong: precision is a lower bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from limner.evals.sample_reading import read_sample, written_words
from limner.evals.score import Counts, Tally, ratio, shares
from limner.evals.task import EvalCase, Loaded, Setting, Task, Unscored
from limner.evidence.overlap import shares_words
from limner.evidence.records import Polarity, Trait
from limner.sample.truth import TrueTrait, TrueUser, Truth, read_truth


class UserCase(EvalCase):
    """A user of the sample with planted traits, and the planted proofs as (text, quote)."""

    user: TrueUser
    proofs: tuple[tuple[tuple[str, str], ...], ...]


@dataclass(frozen=True, slots=True)
class Found:
    """One user's traits: which planted ones were found, and which of those said were planted.

    Attributes:
        planted: Of each planted trait, whether it was found.
        said: Of each trait that holds, whether it was planted.
    """

    planted: tuple[bool, ...]
    said: tuple[bool, ...]


class Personas(Task[UserCase, Found]):
    """The bundled sample's planted truth."""

    name = "personas"
    version = 1
    about = "planted truth of the bundled sample: precision and recall of traits, users covered"
    measure = "F1 of traits"

    def load(self, setting: Setting) -> Loaded[UserCase]:
        """The users with planted traits."""
        cases = user_cases()
        return Loaded(tuple(setting.draw(cases, setting.limit or len(cases), lambda case: case.user.user_id)))

    def solve(self, cases: Sequence[UserCase], setting: Setting) -> Sequence[Found | Unscored]:
        """Reads the users and compares their traits."""
        reading = read_sample(setting, [case.user.user_id for case in cases])
        words = written_words(reading.store)
        traits = {persona.user_id: persona.present for persona in reading.personas}
        return [
            Unscored("reading failed")
            if case.user.user_id in reading.failed
            else compared(case, traits.get(case.user.user_id, ()), words)
            for case in cases
        ]

    def score(self, cases: Sequence[UserCase], answers: Sequence[Found]) -> list[Tally]:
        """F1, precision and recall over traits (users are the cases), and users of whom anything planted is found."""
        rows = np.array([row_of(answer) for answer in answers], dtype=np.float64).reshape(-1, 4)
        kinds = sorted({trait.kind for case in cases for trait in case.user.traits})
        return [
            Tally("F1 of traits", rows, f1_of_traits),
            Tally("precision, at least", rows[:, [2, 3]], ratio),
            Tally("recall", rows[:, [0, 1]], ratio),
            shares("coverage: users with a planted trait found", [any(answer.planted) for answer in answers]),
            *(Tally(f"recall of {kind}", _of_kind(cases, answers, kind), ratio) for kind in kinds),
        ]


def user_cases() -> list[UserCase]:
    """The users of the sample with planted traits."""
    truth = read_truth()
    return [UserCase(user=user, proofs=_proofs(user, truth)) for user in truth.users if user.traits]


def compared(case: UserCase, traits: Sequence[Trait], words: dict[str, str]) -> Found:
    """Compares one user's traits with the planted ones.

    Args:
        case: The user.
        traits: The traits that hold.
        words: The words of events, by event id.
    """
    planted = list(zip(case.user.traits, case.proofs, strict=True))
    hits = [[_same(true, proofs, trait, words) for trait in traits] for true, proofs in planted]
    return Found(
        planted=tuple(any(row) for row in hits),
        said=tuple(any(row[at] for row in hits) for at in range(len(traits))),
    )


def _same(true: TrueTrait, proofs: tuple[tuple[str, str], ...], trait: Trait, words: dict[str, str]) -> bool:
    if _side(true.polarity) != _side(trait.polarity):
        return False
    named = any(shares_words(trait.label, name) or shares_words(name, trait.label) for name in true.label.names)
    return named or any(_stands_in(proof, trait, words) for proof in proofs)


def _side(polarity: Polarity) -> str:
    """Needs are planted as neutral and read as positive: both are for something."""
    return {"negative": "against", "mixed": "both"}.get(polarity, "for")


def _stands_in(proof: tuple[str, str], trait: Trait, words: dict[str, str]) -> bool:
    """Whether a piece of the trait's evidence overlaps the proof's place in the same text.

    A whole text proves what it is about as a whole, not each thing in it, unless the proof is most of it.
    """
    text, quote = proof
    start = text.find(quote)
    end = start + len(quote)
    return any(
        words.get(span.event_id) == text
        and span.field == "text"
        and span.start < end
        and start < span.end
        and (span.end - span.start < len(text) or len(text) <= 2 * len(quote))
        for span in trait.evidence
    )


def _proofs(user: TrueUser, truth: Truth) -> tuple[tuple[tuple[str, str], ...], ...]:
    return tuple(tuple((truth.text(p.ref).text, p.quote) for p in trait.proofs) for trait in user.traits)


def row_of(found: Found) -> tuple[float, float, float, float]:
    """Counts for `f1_of_traits`: planted traits found, all planted, traits said that were planted, all said."""
    return float(sum(found.planted)), float(len(found.planted)), float(sum(found.said)), float(len(found.said))


def f1_of_traits(sums: Counts) -> Counts:
    """Harmonic mean of precision and recall, which count different things; 0 if nothing was found."""
    recall, precision = ratio(sums[..., :2]), np.nan_to_num(ratio(sums[..., 2:]))
    both = np.stack([2 * recall * precision, recall + precision], axis=-1)
    return np.where(both[..., 1] > 0, ratio(both), np.where(np.isnan(recall), np.nan, 0.0))


def _of_kind(cases: Sequence[UserCase], answers: Sequence[Found], kind: str) -> Counts:
    rows = []
    for case, answer in zip(cases, answers, strict=True):
        hits = [hit for trait, hit in zip(case.user.traits, answer.planted, strict=True) if trait.kind == kind]
        if hits:
            rows.append((float(sum(hits)), float(len(hits))))
    return np.array(rows, dtype=np.float64).reshape(-1, 2)
