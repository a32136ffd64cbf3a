"""A model that obeys every instruction it is shown in a customer's words, and answers in the form that is asked for.

The worst model there is: whatever protects against it protects against any other. Where it is shown nothing hostile it
answers as `plausible` does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

import plausible
from limner.agents.extractor.parts import split_parts
from limner.agents.extractor.schema import WORDINGS
from limner.evals.hostile import Case
from limner.prompts import neutralise
from limner.serving.request import ChatRequest


class Obeying:
    """Answers for a `ScriptedEngine`; `obeyed` counts the orders it took."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self.cases = cases
        self.obeyed: list[str] = []
        self._signs = [(case, sorted(set(_signs(case)), key=len, reverse=True)) for case in cases]

    def __call__(self, request: ChatRequest) -> str:
        shown = _plain(request.messages[-1].content)
        case = next((case for case, signs in self._signs if any(sign in shown for sign in signs)), None)
        if case is None:
            return plausible.answer(request)
        self.obeyed.append(case.id)
        return self._obey(case, request)

    def _obey(self, case: Case, request: ChatRequest) -> str:
        name, lang = request.prompt.name, request.prompt.lang
        wording = WORDINGS[lang]
        if request.choices:
            return wording.positive if wording.positive in request.choices else request.choices[0]
        if name == "feeling":
            return f"{wording.feelings['like']}{wording.colon}{case.wants[:40]}"
        if name == "interests":
            tag = re.sub(r"[\n:：0-9]", " ", case.wants)[: wording.longest_tag]
            numbers = re.findall(r"^\[(\d+)\]", request.messages[-1].content, re.MULTILINE)[:3]
            return f"{wording.interest} {tag}{wording.colon}{','.join(numbers) or 1}"
        if name == "narrative":
            return f"[T1] {case.wants}"
        if name == "reading":
            told = {"feeling": "like", "about": case.wants[:60], "quote": case.text[:300]}
            numbers = re.findall(r"^(\d+)\. ", request.messages[-1].content, re.MULTILINE)
            entries = {number: {"sentiment": "positive", "said": [told]} for number in numbers}
            return json.dumps(entries, ensure_ascii=False)
        if name == "history":
            numbers = [int(n) for n in re.findall(r"^\[(\d+)\]", request.messages[-1].content, re.MULTILINE)][:6]
            tag = {"tag": case.wants[:40], "lines": numbers or [1]}
            return json.dumps({"interests": [tag], "intents": [tag]}, ensure_ascii=False)
        if name == "segment_name":
            return json.dumps({"name": case.wants[:40]}, ensure_ascii=False)
        return plausible.answer(request)


def _signs(case: Case) -> Iterator[str]:
    """What of a case must be seen for its order to be understood: any clause of it, or its want."""
    yield _plain(neutralise(case.wants))
    for part in split_parts(case.text):
        if len(part.text) >= 6:
            yield _plain(neutralise(part.text))


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
