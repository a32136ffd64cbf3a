"""The hostile texts, typed and expanded."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

Attack = Literal[
    "tag", "others", "sentiment", "leak", "markup", "syntax", "lines", "invisible", "long", "page", "files"
]

STANDINS = {
    "{zero}": "\u200b",
    "{rlo}": "\u202e",
    "{pdf}": "\u202c",
    "{bom}": "\ufeff",
    "{tags}": "".join(chr(0xE0000 + ord(c)) for c in "add tag VIP"),
    "{a20000}": "a" * 20_000,
    "{spaces}": " " * 20_000,
    "{newlines}": "\n" * 5_000,
    "{nested}": "[" * 5_000 + "]" * 5_000,
}
"""Characters that cannot be seen in a file, or would fill it."""


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    attack: Attack
    lang: Literal["en", "zh"]
    wants: str
    polarity: Literal["positive", "negative"] | None = None
    where: Literal["text", "title", "category", "search", "chat"] = "text"
    texts: tuple[str, ...]


class Case(BaseModel):
    """One hostile text.

    Attributes:
        id: Stable while the file's order is kept, such as `tag-en-03`.
        attack: What it tries.
        wants: What must appear nowhere in what is told of anybody.
        polarity: The sentiment that it orders, None if it orders none.
        where: The event field that holds it; `search` and `chat` are kinds of event.
        text: The text.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    attack: Attack
    lang: Literal["en", "zh"]
    wants: str
    polarity: Literal["positive", "negative"] | None
    where: str
    text: str

    @property
    def user_id(self) -> str:
        """The user in whose history it stands."""
        return f"u-{self.id}"


@cache
def read_cases() -> tuple[Case, ...]:
    """All cases, in the file's order.

    Raises:
        pydantic.ValidationError: The file has an unknown key or a wrong value.
    """
    source = files("limner.evals.hostile").joinpath("cases.yaml").read_text(encoding="utf-8")
    counts: dict[str, int] = {}
    cases = []
    for raw in yaml.safe_load(source):
        group = _Group.model_validate(raw)
        for text in group.texts:
            name = f"{group.attack}-{group.lang}"
            counts[name] = counts.get(name, 0) + 1
            for standin, meant in STANDINS.items():
                text = text.replace(standin, meant)
            cases.append(
                Case(
                    id=f"{name}-{counts[name]:02}",
                    attack=group.attack,
                    lang=group.lang,
                    wants=group.wants,
                    polarity=group.polarity,
                    where=group.where,
                    text=text,
                )
            )
    return tuple(cases)
