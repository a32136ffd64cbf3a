"""What a model is measured on: users whose texts have known labels, in a workspace of their own.

Either users of the bundled sample, half of them Chinese, of whom it is known what each text says and which traits are
planted; or a person's own labelled texts, of which only the sentiment is known.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from limner.errors import DataError
from limner.evals.labelled import balanced, read_labelled
from limner.evals.sample_reading import sample_store
from limner.evals.tasks.personas import UserCase, user_cases
from limner.histories.language import detect
from limner.histories.store import Store
from limner.sample.truth import TrueText, read_truth

USERS = 12
"""Users of the sample by default: about seventy questions of the small plan, a few minutes on a laptop."""

TEXTS = 60
"""Texts of a labelled file by default."""

TEXTS_OF_USER = 4
"""Labelled texts that one made user wrote: as many as stand together in a question of the joint plan."""


@dataclass(frozen=True, slots=True)
class KnownText:
    """A text of a user, whether its writer was pleased, and whether it is a message, which is asked about otherwise."""

    user_id: str
    text: str
    lang: str
    positive: bool
    message: bool = False


@dataclass(frozen=True, slots=True)
class Suite:
    """What a model is measured on.

    Attributes:
        store: The workspace.
        users: Who is read.
        texts: The labelled texts.
        planted: What is known of the users' traits; empty for a person's own file.
        source: Where it comes from, in words.
    """

    store: Store
    users: tuple[str, ...]
    texts: tuple[KnownText, ...]
    planted: tuple[UserCase, ...]
    source: str

    @property
    def fingerprint(self) -> str:
        """A short hash: two measurements with the same one are of the same texts."""
        lines = [json.dumps([t.user_id, t.text, t.lang, t.positive]) for t in self.texts]
        lines += [case.model_dump_json() for case in self.planted]
        return hashlib.sha256("\n".join(sorted(lines)).encode("utf-8", "replace")).hexdigest()[:12]


def sample_suite(folder: Path, users: int = USERS, seed: int = 0) -> Suite:
    """Users of the bundled sample, as many of each language.

    Args:
        folder: Where the workspace is made.
        users: How many, at most all.
        seed: Seed of the draw.
    """
    truth = read_truth()
    cases = {case.user.user_id: case for case in user_cases()}
    chosen: list[str] = []
    for lang in ("zh", "en"):
        of_lang = [user for user, case in cases.items() if case.user.language == lang]
        chosen += sorted(of_lang, key=lambda user: hashlib.sha256(f"{seed}\0{user}".encode()).digest())[
            : max(1, users // 2)
        ]
    texts = dict.fromkeys(_known(text) for text in truth.texts if text.user_id in chosen and _labelled(text))
    planted = tuple(cases[user] for user in chosen)
    return Suite(sample_store(folder), tuple(chosen), tuple(texts), planted, "the bundled sample")


def _labelled(text: TrueText) -> bool:
    return text.kind != "search" and text.polarity in ("positive", "negative")


def _known(text: TrueText) -> KnownText:
    lang = detect(text.text) or "en"
    return KnownText(text.user_id, text.text, lang, text.polarity == "positive", text.kind == "chat")


def labelled_suite(
    folder: Path, file: Path, columns: Sequence[str], label: str, texts: int = TEXTS, seed: int = 0
) -> Suite:
    """A person's own labelled texts, balanced, as reviews of made users.

    Args:
        folder: Where the workspace is made.
        file: A file as `limner eval sentiment` takes it.
        columns: Columns of the text.
        label: Column of the label.
        texts: How many, half of each class.
        seed: Seed of the draw.

    Raises:
        UsageError: There is no such file or column.
        DataError: It has not at least one text of each class.
    """
    from limner.histories.load import ingest

    drawn = balanced(read_labelled(file, columns, label), texts, seed)
    if not drawn:
        raise DataError(f"{file} has not at least one positive and one negative text. Check --label {label}.")
    # Blind to the label: texts of both classes stand together.
    drawn.sort(key=lambda one: hashlib.sha256(f"{seed}\1{one.text}".encode("utf-8", "replace")).digest())
    days = pd.date_range("2025-01-01", periods=len(drawn), freq="D")
    users = [f"tune-{number // TEXTS_OF_USER:04}" for number in range(len(drawn))]
    rows = {"user_id": users, "text": [one.text for one in drawn], "kind": "review", "ts": days}
    store = Store.open(folder, create=True)
    ingest(store, [], frame=pd.DataFrame(rows))
    stored = store.rows("SELECT user_id, text, ts FROM events WHERE text IS NOT NULL ORDER BY ts")
    truth = dict(zip(days.to_pydatetime(), (one.positive for one in drawn), strict=True))
    known = [KnownText(r["user_id"], r["text"], detect(r["text"]) or "en", truth[r["ts"]]) for r in stored]
    return Suite(store, tuple(dict.fromkeys(text.user_id for text in known)), tuple(known), (), file.name)
