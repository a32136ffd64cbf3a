"""Tuning: every plan measured on the same users, thresholds and calls at once found, a profile written."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from limner.agents.extractor.plan import PLANS
from limner.agents.extractor.prompt import sentiment_request
from limner.agents.extractor.quote import WRITTEN
from limner.agents.extractor.run import planned_questions
from limner.agents.extractor.schema import WORDINGS
from limner.errors import DataError
from limner.evals.tuning.plans import Reached, better, read_with
from limner.evals.tuning.rate import Rates, marked, planned_rate_calls, rates
from limner.evals.tuning.suite import TEXTS, USERS, Suite, labelled_suite, sample_suite
from limner.evals.tuning.threshold import Answered, fitted, probability_of
from limner.histories.store import new_run_id
from limner.serving import connect, engine_of, kept_up
from limner.serving.budget import Budget, Meter
from limner.serving.client import Client
from limner.serving.context import context_of
from limner.serving.prices import settings_folder
from limner.serving.profile_file import write_profile
from limner.serving.profiles import FILE, Measured, Profile, profile_of
from limner.serving.quote import Quote, Quoter
from limner.serving.request import ChatAnswer
from limner.serving.spec import parse_spec
from limner.serving.tokens import counter_for
from limner.serving.weights import models_folder

Connect = Callable[..., AbstractContextManager[Client]]
"""As `limner.serving.connect`."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A person's own labelled texts: the file, the columns of the text, that of the label."""

    file: Path
    text: tuple[str, ...]
    label: str


@dataclass(frozen=True, slots=True)
class Tuned:
    """What was measured and written.

    Attributes:
        profile: The profile.
        before: The copy of the file as it was; None if there was none.
        reached: What each plan reached.
        texts, users: How many were measured on.
        seconds: Wall time of all.
        spent: What it took, all calls together.
    """

    profile: Profile
    before: Path | None
    reached: tuple[Reached, ...]
    texts: int
    users: int
    seconds: float
    spent: Spent

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object."""
        plans = [
            {
                "plan": one.plan.name,
                "score": one.score.model_dump(),
                "sentiment": round(one.sentiment, 4),
                "traits": None if one.traits is None else round(one.traits, 4),
                "failed_users": one.failed,
                "calls": one.calls,
                "tokens": one.tokens,
                "seconds": round(one.seconds, 2) if one.fresh else None,
            }
            for one in self.reached
        ]
        return {
            "profile": self.profile.to_dict(),
            "before": self.before and str(self.before),
            "plans": plans,
            "texts": self.texts,
            "users": self.users,
            "seconds": round(self.seconds, 2),
            "calls": self.spent.calls,
            "tokens": self.spent.tokens,
            "money": self.spent.money,
        }


@dataclass
class Spent:
    """What a tuning has taken so far; what is left of its limits is the next client's."""

    budget: Budget
    started: float
    calls: int = 0
    tokens: int = 0
    money: float | None = 0.0

    def add(self, meter: Meter) -> None:
        """Adds what one client took."""
        self.calls += meter.calls
        self.tokens += meter.tokens
        self.money = None if self.money is None or meter.price is None else self.money + meter.money

    def left(self) -> Budget:
        """What the next client may take."""
        limit = self.budget
        return Budget(
            None if limit.money is None else max(0.0, limit.money - (self.money or 0.0)),
            None if limit.tokens is None else max(0, limit.tokens - self.tokens),
            None if limit.seconds is None else max(0.0, limit.seconds - (time.monotonic() - self.started)),
        )


def tuning_folder() -> Path:
    """Where the ledger of measurements lies that are for no workspace: beside the models."""
    return models_folder().parent / "tuning"


def tune(
    spec: str,
    *,
    workspace: Path | None = None,
    labelled: Labelled | None = None,
    limit: int | None = None,
    seed: int = 0,
    budget: Budget | None = None,
    connected: Connect = connect,
    progress: Callable[[str], None] | None = None,
) -> Tuned:
    """Measures a model and writes its profile.

    Args:
        spec: The model spec.
        workspace: Write the profile for this workspace only, and its ledger; else for everything of this person.
        labelled: A person's own texts; the bundled sample if None.
        limit: Users of the sample, or texts of the file.
        seed: Seed of all draws.
        budget: Limits of all of it together.
        connected: Makes clients.
        progress: Told what is being done, in a line.

    Raises:
        UsageError: The spec cannot be understood, or a file cannot be read or written.
        DataError: No text got a usable answer under any plan.
        BudgetError: A limit is reached. What was answered is kept, nothing is written.
        ModelError: The model as a whole is unusable.
    """
    engine_of(spec)  # What cannot be read with is said before anything is made.
    tell = progress or (lambda _: None)
    place = _place(workspace)
    spent = Spent(budget or Budget(), time.monotonic())
    present = profile_of(spec, workspace)
    run = new_run_id("tune")

    @contextmanager
    def client_at(level: int | None) -> Iterator[Client]:
        with connected(place, spec, run=run, concurrency=level, budget=spent.left()) as client:
            try:
                yield client
            finally:
                spent.add(client.meter)

    with TemporaryDirectory(prefix="limner-tune-") as folder, kept_up():
        suite = _suite(Path(folder) / "workspace", labelled, limit, seed)
        with client_at(None) as client:
            thresholds = _thresholds(suite, client, present, tell)
            reached = [_reached(suite, client, name, thresholds, seed, tell) for name in PLANS]
            model = client.model
        chosen = better(*reached)
        if not chosen.score.value:
            raise DataError(f"No text got a usable answer from {spec} under any plan; nothing was written.")
        tell(f"{chosen.plan.name} is better; trying calls at once")
        found = rates(client_at, chosen.asked, run[-6:], progress=lambda n, rate: tell(f"{n} at once: {rate:.2f}/s"))
        context = context_of(spec) or present.context
    profile = _profile(spec, model, suite, chosen, reached, thresholds, found, context, seed)
    file = (settings_folder() if workspace is None else workspace.expanduser()) / FILE
    before = write_profile(file, profile)
    users, texts = len(suite.users), len(suite.texts)
    seconds = time.monotonic() - spent.started
    return Tuned(replace(profile, file=file), before, tuple(reached), texts, users, seconds, spent)


def quote_tuning(
    spec: str,
    *,
    workspace: Path | None = None,
    labelled: Labelled | None = None,
    limit: int | None = None,
    seed: int = 0,
    connected: Connect = connect,
) -> Quote:
    """What `tune` with the same arguments would take at most. No model is asked."""
    engine_of(spec)
    parsed = parse_spec(spec)
    with TemporaryDirectory(prefix="limner-tune-") as folder:
        suite = _suite(Path(folder) / "workspace", labelled, limit, seed)
        with connected(_place(workspace), spec) as client:
            counter = lambda: counter_for(parsed)  # noqa: E731
            quoter = Quoter(client.ledger, client.model, counter, client.meter.price, WRITTEN)
            quoter.users = quoter.asked_users = len(suite.users)
            longest: list[Any] = []
            for plan in PLANS.values():
                planned = planned_questions(suite.store, client.model, plan, suite.users, client.known)
                asked = [request for chunk in planned for user in chunk for request in user.requests]
                quoter.add(asked)
                longest = max(longest, asked[:20], key=lambda some: sum(len(r.messages[-1].content) for r in some))
            for request in marked(longest, "quote", planned_rate_calls()):
                quoter.expect(request, 1.0)
            return quoter.quote()


def _place(workspace: Path | None) -> Path:
    """The folder of the ledger."""
    place = tuning_folder() if workspace is None else workspace.expanduser()
    if workspace is None:
        place.mkdir(parents=True, exist_ok=True)
    return place


def _suite(folder: Path, labelled: Labelled | None, limit: int | None, seed: int) -> Suite:
    if labelled is None:
        return sample_suite(folder, limit or USERS, seed)
    return labelled_suite(folder, labelled.file, labelled.text, labelled.label, limit or TEXTS, seed)


def _thresholds(suite: Suite, client: Client, present: Profile, tell: Callable[[str], None]) -> dict[str, float]:
    """From where the positive word counts, by language; empty where the engine tells no probabilities.

    The questions are those of the small plan, which finds them answered.
    """
    texts = sorted((t for t in suite.texts if not t.message), key=lambda t: hashlib.sha256(t.text.encode()).digest())
    tell(f"asking for the sentiment of {len(texts)} texts")
    outcomes = client.ask([sentiment_request(text.text, text.lang) for text in texts])
    answers: dict[str, list[Answered]] = {}
    for text, outcome in zip(texts, outcomes, strict=True):
        if isinstance(outcome, ChatAnswer):
            probability = probability_of(outcome, WORDINGS[text.lang].positive)
            if probability is not None:
                answers.setdefault(text.lang, []).append(Answered(text.positive, probability))
    found = {lang: fitted(some, present.positive_from.get(lang)) for lang, some in answers.items()}
    kept = {lang: limit for lang, limit in present.positive_from.items() if lang not in found}
    return {**kept, **{lang: limit for lang, limit in found.items() if limit is not None}}


def _reached(
    suite: Suite, client: Client, name: str, thresholds: dict[str, float], seed: int, tell: Callable[[str], None]
) -> Reached:
    tell(f"reading {len(suite.users)} users with the {name} plan")
    plan = replace(PLANS[name], positive_from=thresholds)
    return read_with(suite, client, plan, seed=seed)


def _profile(
    spec: str,
    model: str,
    suite: Suite,
    chosen: Reached,
    reached: Sequence[Reached],
    thresholds: dict[str, float],
    found: Rates,
    context: int | None,
    seed: int,
) -> Profile:
    scores = tuple(
        Measured(
            one.plan.name, one.score.value or 0.0, one.score.low or 0.0, one.score.high or 0.0, one.tokens, one.calls
        )
        for one in reached
    )
    return Profile(
        model=model,
        plan=chosen.plan.name,
        spec=spec,
        context=context,
        concurrency=found.best,
        positive_from=thresholds,
        measured=datetime.now(UTC).strftime("%Y-%m-%d"),
        suite=suite.fingerprint,
        by=f"limner {version('limner')}: {suite.source}, {len(suite.users)} users, {len(suite.texts)} texts",
        scores=scores,
        rates={str(level): rate for level, rate in found.of.items()},
    )
