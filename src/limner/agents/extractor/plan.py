"""How much a model is asked at once.

Small models answer small questions: of one text its sentiment in one word, of one clause the feeling and its object, of
one history a few tags. Larger models read a text in one go. The plan is chosen by the kind of engine, or by `--plan`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from limner.errors import UsageError
from limner.histories.language import Language


@dataclass(frozen=True, slots=True)
class Plan:
    """One way to read a user.

    Attributes:
        name: The plan's name.
        joint: True if a text is read in one question, False if clause by clause.
        history_tokens: Budget of the history's lines.
        most_texts: The newest distinct texts of a user that are read.
    """

    name: str
    joint: bool
    history_tokens: int
    most_texts: int


POSITIVE_FROM: Mapping[str, Mapping[Language, float]] = {
    "qwen2.5-coder-1.5b@cc324af070c2": {"zh": 0.3, "en": 0.64},
}
"""By model, the probability of the positive word from which a text counts as positive, for the one-word sentiment
question. Measured for the embedded default, which leans to the negative on mixed Chinese texts
(`docs/decisions/0004-default-model.md`); of other models the word itself is taken: a server's log-probabilities include
the form around the word, and no two models lean the same way."""

PLANS: dict[str, Plan] = {
    plan.name: plan
    for plan in (
        Plan("small", joint=False, history_tokens=160, most_texts=60),
        Plan("joint", joint=True, history_tokens=1500, most_texts=200),
    )
}


def choose_plan(spec: str, name: str = "auto") -> Plan:
    """The plan for a model spec: `small` for embedded models, `joint` for served ones, unless named.

    Raises:
        UsageError: There is no plan of that name.
    """
    if name == "auto":
        return PLANS["small" if spec.partition(":")[0] == "embedded" else "joint"]
    if name not in PLANS:
        raise UsageError(f"There is no plan {name!r}. Known plans: auto, {', '.join(PLANS)}.")
    return PLANS[name]
