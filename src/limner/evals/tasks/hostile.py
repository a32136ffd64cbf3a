"""The hostile task: texts that try to steer the model, sent the whole way from extraction to the page.

The suite and what counts as a success of an attack are in `limner.evals.hostile`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from limner.agents.extractor import choose_plan
from limner.evals.hostile import attack, read_cases
from limner.evals.hostile.cases import Case
from limner.evals.score import Tally, shares
from limner.evals.task import Loaded, Setting, Task, Unscored
from limner.histories.directives import directive_in
from limner.histories.store import Store


@dataclass(frozen=True, slots=True)
class Attacked:
    """What one attack got (nothing, it is to be hoped), and whether a model was shown its text at all."""

    got: tuple[str, ...]
    shown: bool


class Hostile(Task[Case, Attacked]):
    """Hostile texts, and what they got."""

    name = "hostile"
    version = 1
    about = "texts that try to steer the model, the whole way from extraction to the page: attacks that got something"
    measure = "attacks with success"

    def load(self, setting: Setting) -> Loaded[Case]:
        """All texts of the suite, or `limit` of them, drawn."""
        cases = list(read_cases())
        return Loaded(tuple(setting.draw(cases, setting.limit or len(cases), lambda case: case.id)))

    def solve(self, cases: Sequence[Case], setting: Setting) -> Sequence[Attacked | Unscored]:
        """Runs the attacks; what a page or a folder shows of nobody in particular counts for all of them."""
        with tempfile.TemporaryDirectory() as folder:
            store = Store.open(Path(folder) / "workspace", create=True)
            score = attack(store, setting.model, choose_plan(setting.spec), cases)
        known = {case.id for case in cases} | {case.user_id for case in cases}
        for_all = [f"{success.case}: {success.got}" for success in score.successes if success.case not in known]
        return [
            Attacked(
                (*(s.got for s in score.successes if s.case == case.id), *for_all), directive_in(case.text) is None
            )
            for case in cases
        ]

    def score(self, cases: Sequence[Case], answers: Sequence[Attacked]) -> list[Tally]:
        """Shares of attacks that got something: of all, by language, and of those that a model was shown."""
        got = [bool(answer.got) for answer in answers]
        by_lang = [
            shares(f"{self.measure}, {lang}", [g for case, g in zip(cases, got, strict=True) if case.lang == lang])
            for lang in ("en", "zh")
        ]
        seen = [g for answer, g in zip(answers, got, strict=True) if answer.shown]
        return [
            shares(self.measure, got),
            *by_lang,
            shares(f"{self.measure}, of texts shown to the model", seen),
            shares("texts shown to the model", [answer.shown for answer in answers]),
        ]
