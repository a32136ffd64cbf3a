"""What the copywriter takes and gives: the product sheet, and variants with the checks each went through."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from limner.errors import UsageError

Language = Literal["zh", "en"]

SHEET_BYTES = 200_000
"""A product sheet is a page or two; a larger file is something else."""


class ProductFact(BaseModel):
    """One thing that may be said of a product."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1, max_length=40)
    text: str = Field(min_length=1, max_length=500)


class ProductSheet(BaseModel):
    """All that may be said of a product; what is not here is not known.

    Attributes:
        name: The product's name.
        language: The language to write in; the segment's if None.
        facts: What may be said, each with an id that variants name. A plain list of strings gets the ids `f1`, `f2`...
        price: As it is to be written, such as `$149` or `599元`.
        currency: Added to a price that is a bare number.
        url: Where the reader is sent.
        audience: Whom the product is for, in words.
        must_not_say: Words that must not stand in any variant.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=120)
    language: Language | None = None
    facts: tuple[ProductFact, ...] = Field(min_length=1, max_length=40)
    price: str | None = None
    currency: str | None = None
    url: str | None = Field(default=None, pattern=r"^https?://\S+$")
    audience: str | None = None
    must_not_say: tuple[str, ...] = ()

    @field_validator("facts", mode="before")
    @classmethod
    def _number_plain_facts(cls, facts: Any) -> Any:
        if not isinstance(facts, list):
            return facts
        return [{"id": f"f{at}", "text": f} if isinstance(f, str) else f for at, f in enumerate(facts, start=1)]

    @field_validator("price", "name", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("must_not_say", mode="after")
    @classmethod
    def _without_blanks(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(word.strip() for word in words if word.strip())

    @model_validator(mode="after")
    def _distinct_ids(self) -> ProductSheet:
        ids = [fact.id for fact in self.facts]
        twice = sorted({i for i in ids if ids.count(i) > 1})
        if twice:
            raise ValueError(f"facts: the id {twice[0]} stands twice")
        return self

    @property
    def price_text(self) -> str | None:
        """The price as it may be written; None if the sheet has none."""
        if self.price is None:
            return None
        bare = re.fullmatch(r"[\d.,]+", self.price.strip())
        return f"{self.price.strip()} {self.currency}" if bare and self.currency else self.price.strip()

    def all_text(self) -> str:
        """Everything the sheet says, for comparing with what a variant says."""
        parts = [self.name, *(fact.text for fact in self.facts), self.price_text, self.price, self.url, self.audience]
        return "\n".join(part for part in parts if part)


def read_product(path: Path | str) -> ProductSheet:
    """Reads a product sheet from a YAML file.

    Raises:
        UsageError: There is no such file, it is not YAML, or a key is missing, unknown or of the wrong form; the
            message names file and key.
    """
    import yaml

    path = Path(path)
    try:
        size = path.stat().st_size
        if size > SHEET_BYTES:
            raise UsageError(f"{path} has {size:,} bytes; a product sheet is a short YAML file. Name another file.")
        given = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"Cannot read the product sheet {path}: {error.strerror}. Check --product.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text. Save the product sheet as UTF-8.") from error
    except (yaml.YAMLError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise UsageError(f"{path}{line}: this is not YAML. See docs/copy.md for a product sheet.") from error
    if not isinstance(given, dict):
        raise UsageError(f"{path}: a product sheet starts with keys such as `name:` and `facts:`. See docs/copy.md.")
    try:
        return ProductSheet.model_validate(given)
    except ValidationError as error:
        raise UsageError(f"{path}: {_first_problem(error)} See docs/copy.md for the keys.") from error


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"the key `{key}` is not known."
    if first["type"] == "missing":
        return f"the key `{key}` is missing."
    return f"{f'`{key}`: ' if key else ''}{first['msg'].removeprefix('Value error, ')}."


class Draft(BaseModel):
    """One variant as the model wrote it; `uses` are the numbers of the facts it was given, from 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    uses: tuple[int, ...] = ()
    headline: str = Field(max_length=400)
    body: str = Field(max_length=4000)
    cta: str = Field(max_length=400)


def draft_schema(facts: int) -> dict[str, Any]:
    """The JSON schema of a variant, which can only use facts it was given; it chooses them before it writes."""
    properties: dict[str, Any] = {
        "uses": {"type": "array", "items": {"enum": list(range(1, facts + 1))}, "minItems": 1, "maxItems": facts},
        "headline": {"type": "string"},
        "body": {"type": "string"},
        "cta": {"type": "string"},
    }
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


@dataclass(frozen=True, slots=True)
class Check:
    """One rule and how a variant did: `detail` says what was found, in the variant's language."""

    rule: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Variant:
    """One piece of copy.

    Attributes:
        headline, body, cta: The texts; of an SMS they are sent as one, in this order.
        uses: What it rests on: ids of the sheet's facts that it tells, whether the model said so or not, and
            `trait:LABEL` for the segment's trait it speaks to.
        checks: Every rule, kept or broken; a variant that breaks one is shown all the same.
        written_by: `model`, `repair` or `template`; not part of the JSON.
    """

    headline: str
    body: str
    cta: str
    uses: tuple[str, ...]
    checks: tuple[Check, ...]
    written_by: Literal["model", "repair", "template"] = "model"

    @property
    def ok(self) -> bool:
        """Whether every rule is kept."""
        return all(check.ok for check in self.checks)


@dataclass(frozen=True, slots=True)
class CopySet:
    """Variants of one product for one segment on one channel."""

    segment: str
    channel: str
    language: Language
    variants: tuple[Variant, ...]

    def to_json(self) -> dict[str, Any]:
        """The variants as `limner copy --json` prints them."""
        return {
            "segment": self.segment,
            "channel": self.channel,
            "variants": [
                {
                    "headline": v.headline,
                    "body": v.body,
                    "cta": v.cta,
                    "uses": list(v.uses),
                    "checks": [{"rule": c.rule, "ok": c.ok, "detail": c.detail} for c in v.checks],
                }
                for v in self.variants
            ],
        }
