"""The cost task: what reading and portraying one user costs, from the ledger's own counts.

The sample is read in one go (which fills the ledger), then once more user by user into an empty workspace: every answer
comes from the ledger, with the tokens it cost when it was paid for. A question that two users share is paid for once,
by the first of them.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from limner.agents.portraitist import portray
from limner.evals.sample_reading import read_sample, read_users, sample_store
from limner.evals.score import Counts, Tally, ratio
from limner.evals.task import EvalCase, Loaded, Setting, Task, Unscored
from limner.histories.language import estimate_tokens
from limner.histories.store import Store
from limner.sample.truth import read_truth


class Customer(EvalCase):
    """A user of the sample."""

    user_id: str


@dataclass(frozen=True, slots=True)
class Bill:
    """What one user cost.

    Attributes:
        calls: Distinct questions.
        input_tokens, output_tokens: Of their answers.
        raw_tokens: About how many tokens the user's distinct texts and item titles have.
    """

    calls: int
    input_tokens: int
    output_tokens: int
    raw_tokens: int


class Cost(Task[Customer, Bill]):
    """Calls and tokens per user of the bundled sample."""

    name = "cost"
    version = 1
    about = "calls and tokens per user of the bundled sample, and prompt tokens over raw tokens"
    measure = "input tokens over raw tokens"

    def load(self, setting: Setting) -> Loaded[Customer]:
        """Users of the sample."""
        users = [Customer(user_id=user.user_id) for user in read_truth().users]
        return Loaded(tuple(setting.draw(users, setting.limit or len(users), lambda case: case.user_id)))

    def solve(self, cases: Sequence[Customer], setting: Setting) -> Sequence[Bill | Unscored]:
        """Pays once for all, then adds up user by user."""
        users = [case.user_id for case in cases]
        reading = read_sample(setting, users)
        portray(reading.store, setting.model, users=[user for user in users if user not in reading.failed])
        folder = setting.folder / "cost"
        shutil.rmtree(folder, ignore_errors=True)
        store = sample_store(folder)
        setting.model.reset()
        return [Unscored("reading failed") if user in reading.failed else _bill(store, setting, user) for user in users]

    def score(self, cases: Sequence[Customer], answers: Sequence[Bill]) -> list[Tally]:
        """Input amplification; calls and tokens per user."""
        rows = np.array(
            [(a.calls, a.input_tokens, a.output_tokens, a.raw_tokens, 1) for a in answers], dtype=np.float64
        ).reshape(-1, 5)

        def over(name: str, top: int, bottom: int) -> Tally:
            chosen: Counts = rows[:, [top, bottom]]
            return Tally(name, chosen, ratio)

        return [
            over("input tokens over raw tokens", 1, 3),
            over("calls per user", 0, 4),
            over("input tokens per user", 1, 4),
            over("output tokens per user", 2, 4),
            over("raw tokens per user", 3, 4),
        ]


def _bill(store: Store, setting: Setting, user: str) -> Bill:
    client = setting.model
    before = replace(client.reading)
    calls = before.calls
    read_users(store, setting, [user])
    portray(store, client, users=[user])
    after = client.reading
    return Bill(
        after.calls - calls,
        after.input_tokens - before.input_tokens,
        after.output_tokens - before.output_tokens,
        raw_tokens(store, user),
    )


def raw_tokens(store: Store, user: str) -> int:
    """About how many tokens a user's distinct texts and titles of items have: what there is to read."""
    query = "SELECT DISTINCT unnest([text_title, text, title]) AS words FROM titled_events WHERE user_id = $1"
    with store.read() as db:
        rows = db.execute(query, [user]).fetchall()
    return sum(estimate_tokens(words) for (words,) in rows if words)
