"""The evidence task: does the check refuse altered claims and keep true ones? No model takes part."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from limner.evals.altered import SUITE_VERSION, Case, make_suite
from limner.evals.altered.make import SEED
from limner.evals.altered.material import missing
from limner.evals.score import Tally, shares
from limner.evals.task import AbsentData, Loaded, Setting, Task, Unscored

Accepts = Callable[[Case], bool]
"""Whether a check accepts a case's claim."""


def accepted(case: Case) -> bool:
    """Whether limner's own check finds the claim supported."""
    from limner.evidence import check

    return check(case.text, case.quote, case.claim, polarity=case.polarity, lang=case.lang).status == "supported"


class Evidence(Task[Case, bool]):
    """Altered and true claims from real texts and by hand."""

    name = "evidence"
    version = SUITE_VERSION
    about = "altered and true claims against the evidence check; no model"
    measure = "judged rightly"
    needs_model = False

    def __init__(self, accepts: Accepts = accepted) -> None:
        """Takes another check to be measured in the place of limner's."""
        self.accepts = accepts

    def load(self, setting: Setting) -> Loaded[Case]:
        """The suite; without data its hand-written part. Another seed makes other cases by the same rules."""
        cases = make_suite(setting.data, seed=SEED + setting.seed)
        gone = missing(setting.data) if setting.data else []
        wanting = f"claims from real texts: {gone[0]} is not in the data folder" if gone else ""
        if setting.data is None:
            wanting = "claims from real texts: no evaluation data folder (--data-folder)"
        if not cases:
            raise AbsentData("there are no cases")
        if setting.limit is not None:
            cases = setting.draw(cases, setting.limit, lambda case: case.case_id)
        return Loaded(tuple(cases), (wanting,) if wanting else ())

    def solve(self, cases: Sequence[Case], setting: Setting) -> Sequence[bool | Unscored]:
        """Whether each claim is accepted."""
        return [self.accepts(case) for case in cases]

    def score(self, cases: Sequence[Case], answers: Sequence[bool]) -> list[Tally]:
        """Judged rightly; altered accepted and true kept, together and by language."""
        pairs = list(zip(cases, answers, strict=True))
        tallies = [shares("judged rightly", [said is (case.truth == "true") for case, said in pairs])]
        for lang in ("", "en", "zh"):
            for truth, name in (("altered", "altered accepted"), ("true", "true kept")):
                hits = [said for case, said in pairs if case.truth == truth and lang in ("", case.lang)]
                tallies.append(shares(f"{name}, {lang}" if lang else name, hits))
        return tallies
