"""How much a model is asked at once.

Small models answer small questions: of one text its sentiment in one word, of one clause the feeling and its object, of
one history a few tags. Larger models read a text in one go. The plan is the one that was measured to be better with the
model (`limner.serving.profiles`), of a model that nobody measured that of its kind, or what `--plan` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from limner.errors import UsageError
from limner.serving.profiles import profile_of, read_profiles

CONTEXT_PER_TEXT = 4
"""Tokens of context for each token of texts that share a question: instructions and the answer need the others."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One way to read a user.

    Attributes:
        name: The plan's name.
        joint: True if a text is read in one question, False if clause by clause.
        history_tokens: Budget of the history's lines.
        most_texts: The newest distinct texts of a user that are read.
        pack_tokens: Estimated tokens of the texts that share a question, unless it is one text.
        positive_from: As in `Profile`, where a person's own file has the model; else what is shipped holds.
    """

    name: str
    joint: bool
    history_tokens: int
    most_texts: int
    pack_tokens: int = 1000
    positive_from: Mapping[str, float] | None = None

    @property
    def way(self) -> str:
        """What else than the questions decides what comes of the answers: a person's own thresholds, empty if none."""
        return "" if self.joint or not self.positive_from else repr(sorted(self.positive_from.items()))


PLANS: dict[str, Plan] = {
    plan.name: plan
    for plan in (
        Plan("small", joint=False, history_tokens=160, most_texts=60),
        Plan("joint", joint=True, history_tokens=400, most_texts=200),
    )
}


def choose_plan(spec: str, name: str = "auto", workspace: Path | None = None) -> Plan:
    """The plan for a model spec: as its profile says, unless named.

    Args:
        spec: The model spec.
        name: A plan's name, or `auto`.
        workspace: The workspace folder, which may have profiles of its own.

    Raises:
        UsageError: There is no plan of that name, or a file of profiles cannot be read.
    """
    if name not in ("auto", *PLANS):
        raise UsageError(f"There is no plan {name!r}. Known plans: auto, {', '.join(PLANS)}.")
    profile = profile_of(spec, workspace)
    plan = PLANS[profile.plan if name == "auto" else name]
    if profile.context:
        plan = replace(plan, pack_tokens=min(plan.pack_tokens, profile.context // CONTEXT_PER_TEXT))
    return replace(plan, positive_from=profile.positive_from) if profile.own else plan


def positive_from(model: str, lang: str, plan: Plan | None = None) -> float | None:
    """The probability of the positive word from which a text counts as positive, for the one-word sentiment question.

    No two models lean the same way, and a server's log-probabilities may include the form around the word: of a model
    of which none was measured the word itself is taken.

    Args:
        model: The model's name in the cache key.
        lang: The language of the question.
        plan: Says it where it has any threshold; else the table of profiles does.

    Returns:
        The threshold, None if there is none.
    """
    if plan is not None and plan.positive_from is not None:
        return plan.positive_from.get(lang)
    profile = read_profiles().find(model)
    return profile.positive_from.get(lang) if profile else None
