"""How much a model is asked at once.

Small models answer small questions: of one text its sentiment in one word, of one clause the feeling and its object, of
one history a few tags. Larger models read a text in one go. The plan is chosen by the kind of engine, or by `--plan`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
        positive_from: For the one-word sentiment question: the model's probability of the positive word from which a
            text counts as positive. Measured, see `docs/decisions/0004-default-model.md`: the default model leans to
            the negative on mixed Chinese texts.
    """

    name: str
    joint: bool
    history_tokens: int
    most_texts: int
    positive_from: Mapping[Language, float] = field(default_factory=dict)


PLANS: dict[str, Plan] = {
    plan.name: plan
    for plan in (
        Plan("small", joint=False, history_tokens=220, most_texts=60, positive_from={"zh": 0.18, "en": 0.64}),
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
