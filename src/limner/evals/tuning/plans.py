"""What a plan reaches with a model: users read for real, and held against what is known of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from limner.agents.extractor import Plan, extract
from limner.evals.meter import Metered
from limner.evals.sample_reading import written_words
from limner.evals.score import Counts, Figure, Tally, macro_f1, measured
from limner.evals.tasks.personas import compared, f1_of_traits, row_of
from limner.evals.tasks.sentiment import two_classes
from limner.evals.tuning.suite import KnownText, Suite
from limner.evidence.reading import read_evidence
from limner.evidence.records import HOLDING
from limner.evidence.traits import merge
from limner.histories.store import Store, new_run_id
from limner.serving.client import Client
from limner.serving.request import ChatRequest, Outcome


class Recording(Metered):
    """A meter that also keeps what was asked.

    Attributes:
        asked: The distinct requests.
    """

    def __init__(self, inner: Client) -> None:
        super().__init__(inner)
        self.asked: dict[str, ChatRequest] = {}

    def each(self, requests: Sequence[ChatRequest], *, recall: bool = False) -> Iterator[tuple[int, Outcome]]:
        """Answers as the wrapped client does, keeping the requests."""
        for request in requests:
            self.asked.setdefault(request.key(self.model), request)
        yield from super().each(requests, recall=recall)


@dataclass(frozen=True, slots=True)
class Reached:
    """What one plan reached.

    Attributes:
        plan: The plan.
        score: Mean of the sentiments' macro F1 and, where traits are known, their F1; with its interval.
        sentiment: Macro F1 of sentiments; a text of which nothing was said, or whose user failed, counts as wrong.
        traits: F1 of traits, None where none are known.
        failed: Users that could not be read.
        calls, tokens: Distinct questions, and tokens read and written for them, whenever they were paid for.
        seconds: Wall time.
        fresh: Whether most of it was asked now, so that the seconds are those of the model.
        asked: The questions.
    """

    plan: Plan
    score: Figure
    sentiment: float
    traits: float | None
    failed: int
    calls: int
    tokens: int
    seconds: float
    fresh: bool
    asked: tuple[ChatRequest, ...]


def read_with(
    suite: Suite, client: Client, plan: Plan, *, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> Reached:
    """Reads the suite's users under a plan and scores what was read.

    Args:
        suite: What is read.
        client: The model.
        plan: The plan.
        seed: Of the bootstrap.
        progress: Told how many of how many users are read.

    Raises:
        BudgetError: A limit of the run is reached. What was answered is kept.
        ModelError: The model as a whole is unusable.
    """
    recording = Recording(client)
    started = time.perf_counter()
    summary = extract(
        suite.store,
        recording,
        plan,
        users=suite.users,
        run=new_run_id("tune"),
        progress=None if progress is None else (lambda told: progress(told.done, told.users)),
    )
    seconds = time.perf_counter() - started
    said = _said(suite.store)
    read = {key: positive for key, positive in said.items() if key[0] not in summary.failed}
    pairs = [(text, read.get((text.user_id, text.text))) for text in suite.texts]
    tally = _tally(suite, pairs, _traits(suite, summary.failed))
    sums = tally.rows.sum(axis=0)
    spent = recording.reading
    return Reached(
        plan=plan,
        score=measured(tally, seed),
        sentiment=float(np.nan_to_num(macro_f1(sums[:6]))),
        traits=float(np.nan_to_num(f1_of_traits(sums[6:]))) if suite.planted else None,
        failed=len(summary.failed),
        calls=spent.calls,
        tokens=spent.input_tokens + spent.output_tokens,
        seconds=seconds,
        fresh=2 * spent.cached_calls < spent.calls,
        asked=tuple(recording.asked.values()),
    )


def _said(store: Store) -> dict[tuple[str, str], bool]:
    """What was read of whole texts: whether their writer was pleased, by user and text."""
    rows = store.rows(
        "SELECT s.user_id, s.quote, s.polarity FROM signals s JOIN events e USING (event_id)"
        " WHERE s.kind = 'sentiment' AND s.field = 'text' AND s.status = 'accepted' AND s.quote = e.text"
        " AND s.polarity IN ('positive', 'negative')"
    )
    return {(row["user_id"], row["quote"]): row["polarity"] == "positive" for row in rows}


def _traits(suite: Suite, failed: Mapping[str, str]) -> dict[str, tuple[float, float, float, float]]:
    """The counts of traits of each user of whom any are planted."""
    if not suite.planted:
        return {}
    words = written_words(suite.store)
    found = {user.user_id: user for user in read_evidence(suite.store, suite.users)}
    counts = {}
    for case in suite.planted:
        user = found.get(case.user.user_id)
        gone = user is None or case.user.user_id in failed
        traits = [] if gone or user is None else [t for t in merge(user.signals, at=user.at) if t.status in HOLDING]
        counts[case.user.user_id] = row_of(compared(case, traits, words))
    return counts


def _tally(
    suite: Suite,
    pairs: Sequence[tuple[KnownText, bool | None]],
    traits: dict[str, tuple[float, float, float, float]],
) -> Tally:
    """Counts by user where traits are known, else by text: what is independent of the rest."""
    rows = two_classes([(text.positive, said) for text, said in pairs])
    if not suite.planted:
        return Tally("macro F1 of sentiment", rows, macro_f1)
    by_user = []
    for user in suite.users:
        mine = [row for row, (text, _) in zip(rows, pairs, strict=True) if text.user_id == user]
        sentiment = np.sum(mine, axis=0) if mine else np.zeros(6)
        by_user.append(np.concatenate([sentiment, traits[user]]))
    return Tally("mean of sentiment and traits", np.array(by_user), _both)


def _both(sums: Counts) -> Counts:
    """Mean of the sentiments' macro F1 and the traits' F1."""
    return np.asarray((np.nan_to_num(macro_f1(sums[..., :6])) + np.nan_to_num(f1_of_traits(sums[..., 6:]))) / 2)


def better(first: Reached, second: Reached) -> Reached:
    """The plan with the better score; of two with the same one (to the second decimal) that with fewer tokens."""
    one, other = (round(found.score.value or 0.0, 2) for found in (first, second))
    if one != other:
        return first if one > other else second
    return first if first.tokens <= second.tokens else second
