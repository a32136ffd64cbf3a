"""One case of the altered-claims suite: a text, a quote, a claim, and whether the quote proves the claim.

How a case reads. `claim` says what somebody wants to put down about the writer of `text`: a label ("battery life"), a
short statement ("would recommend"), or both in one. `polarity`, where given, is how the writer feels about what the
claim names or says: "not worth the money" with `negative` is right of a writer who wrote so. A case is `true` if a fair
reader who sees the whole text says that the quoted words prove the claim, and `altered` if they do not.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from limner.errors import DataError

Lang = Literal["en", "zh"]
Truth = Literal["true", "altered"]
Pole = Literal["positive", "negative"]

SUITE_VERSION = 1
"""Raised when a label is corrected or a rule is changed: figures of different versions are not compared."""


class Case(BaseModel):
    """A claim to be checked.

    Attributes:
        text: What a customer wrote.
        quote: What is given as the proof.
        claim: What the proof is said to show.
        polarity: The writer's feeling about it, None if the claim stands alone.
        lang: Language of the text.
        truth: What a fair reader says.
        kind: How it was made; of an altered case, what was altered.
        why: Why a hand-written case is labelled as it is.
        made: `rule` or `hand`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=False)

    text: str = Field(min_length=1)
    quote: str = Field(min_length=1)
    claim: str = Field(min_length=1)
    polarity: Pole | None = None
    lang: Lang
    truth: Truth
    kind: str
    why: str = ""
    made: Literal["rule", "hand"] = "rule"

    @property
    def case_id(self) -> str:
        """A short hash of what the case says, its label and kind left out."""
        said = json.dumps([self.lang, self.text, self.quote, self.claim, self.polarity], ensure_ascii=False)
        return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:12]


class Exclusion(BaseModel):
    """A made case whose label is wrong by a person's reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    case: str
    why: str


@cache
def hand_written() -> tuple[Case, ...]:
    """The hand-written cases of both languages, in the order of their files.

    Raises:
        DataError: A case is not what a case may be.
    """
    cases = []
    for lang in ("en", "zh"):
        for number, row in enumerate(_rows(f"hard_{lang}.yaml"), 1):
            try:
                cases.append(Case.model_validate({**row, "lang": lang, "made": "hand"}))
            except ValueError as error:
                raise DataError(f"Case {number} of hard_{lang}.yaml is malformed: {error}") from error
    return tuple(cases)


@cache
def exclusions() -> frozenset[str]:
    """Ids of made cases that are left out, see `excluded.yaml`."""
    return frozenset(Exclusion.model_validate(row).case for row in _rows("excluded.yaml"))


def _rows(name: str) -> list[dict[str, Any]]:
    return yaml.safe_load(files("limner.evals.altered").joinpath(name).read_text(encoding="utf-8")) or []
