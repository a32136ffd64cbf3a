"""The sample's planted truth: who its customers are, which texts speak well or ill, and where the traps are.

`truth.yaml` is written by `make` from the plan. A text's `ref` is its user's id and its number, such as `u-en-01/r2`;
`ts` is UTC. An event of a workspace belongs to a text if user, time and words are equal.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import yaml
from pydantic import ValidationError

from limner.errors import DataError
from limner.evidence.records import Polarity, SignalKind
from limner.sample.folder import sample_folder
from limner.sample.plan import Oddity, Strict


class Label(Strict):
    """A name in both languages, and other wordings in either that mean the same."""

    en: str
    zh: str
    also: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every accepted wording."""
        return (self.en, self.zh, *self.also)


class Proof(Strict):
    """An exact slice of the text named by `ref`."""

    ref: str
    quote: str


class TrueTrait(Strict):
    """A trait that the user's own words prove."""

    kind: SignalKind
    label: Label
    polarity: Polarity
    proofs: tuple[Proof, ...]


class TrueText(Strict):
    """One text that a customer wrote.

    Attributes:
        polarity: How the writer feels about what the text is about; None for a search, which is not labelled.
    """

    ref: str
    user_id: str
    kind: Literal["review", "chat", "search"]
    ts: datetime
    text: str
    polarity: Polarity | None


class TrueUser(Strict):
    """What is true of one user. `segment` is None for a user who belongs to none of the real ones."""

    user_id: str
    language: Literal["en", "zh"]
    segment: str | None
    oddities: tuple[Oddity, ...]
    traits: tuple[TrueTrait, ...]


class TrueSegment(Strict):
    """A real segment, and the category that its members buy far more than others."""

    segment_id: str
    label: Label
    category: str


class ChangedMind(Strict):
    """A user who said one thing and later the opposite."""

    user_id: str
    about: Label
    before: Proof
    after: Proof


class FalseDeclaration(Strict):
    """A declared attribute (a column of users.csv) that the user's words contradict."""

    user_id: str
    field: str
    declared: str
    proof: Proof


class Injection(Strict):
    """A text that tries to steer a model. None of `must_not_appear` may be in anything made from it but its quotes."""

    ref: str
    must_not_appear: tuple[str, ...]


class Truth(Strict):
    """All that was planted in the sample."""

    segments: tuple[TrueSegment, ...]
    users: tuple[TrueUser, ...]
    texts: tuple[TrueText, ...]
    changed_minds: tuple[ChangedMind, ...]
    false_declarations: tuple[FalseDeclaration, ...]
    injections: tuple[Injection, ...]
    personal: tuple[Proof, ...]

    def user(self, user_id: str) -> TrueUser:
        """What is true of one user.

        Raises:
            KeyError: The sample has no such user.
        """
        return {user.user_id: user for user in self.users}[user_id]

    def text(self, ref: str) -> TrueText:
        """The text with this ref.

        Raises:
            KeyError: The sample has no such text.
        """
        return {text.ref: text for text in self.texts}[ref]


def read_truth() -> Truth:
    """Reads the planted truth that is part of the package.

    Raises:
        DataError: The file is damaged.
    """
    path = sample_folder() / "truth.yaml"
    try:
        return Truth.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise DataError(f"The sample's truth {path} cannot be read: {error}. Install limner again.") from error
