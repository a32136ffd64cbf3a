"""The sample's plan: what each fictional customer bought, looked for and wrote, by hand, as typed records.

`make` turns the plan into the files a shop would have. Texts, labels and their proofs live here and nowhere else.
"""

from __future__ import annotations

from datetime import date
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from limner.errors import DataError
from limner.evidence.records import Polarity, SignalKind

Oddity = Literal["mostly_returns", "one_view", "repeated_reviews", "spam"]
"""What makes a planted user hard: most orders sent back, a single view, one review sent many times, a bot."""

PARTS = ("coffee", "camping", "kids", "others")
"""Files of the plan folder that hold users: one for each segment, and one for those who belong to none."""


def _texts_of_days(values: dict[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}


class Strict(BaseModel):
    """A record that cannot be changed and that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ProofPlan(Strict):
    """Where a label is proved: a text of the same user, and an exact slice of it."""

    ref: str
    quote: str


class TraitPlan(Strict):
    """A trait that a careful reader would find, with other wordings that are right too."""

    kind: SignalKind
    en: str
    zh: str
    also: tuple[str, ...] = ()
    polarity: Polarity
    proofs: tuple[ProofPlan, ...]


class OrderPlan(Strict):
    """One order: the day, and how many of each item."""

    day: date
    items: dict[str, int]


class ReturnPlan(Strict):
    """An item sent back."""

    day: date
    item: str


class SearchPlan(Strict):
    """A search query, as typed."""

    id: str
    day: date
    text: str


class RatingPlan(Strict):
    """Stars without words."""

    day: date
    item: str
    stars: int


class ReviewPlan(Strict):
    """A review, and whether it speaks well or ill of what it is about."""

    id: str
    day: date
    item: str
    stars: int
    polarity: Polarity
    title: str = ""
    text: str


class TurnPlan(Strict):
    """One message of a chat: the customer's (id, polarity, text) or the agent's (agent)."""

    id: str = ""
    polarity: Polarity | None = None
    text: str = ""
    agent: str = ""


class ChatPlan(Strict):
    """A conversation with the shop."""

    day: date
    channel: str
    turns: tuple[TurnPlan, ...]


class BurstPlan(Strict):
    """A run of views, a few seconds apart, as no person makes them."""

    day: date
    views: int
    seconds: int


class ChangePlan(Strict):
    """A changed mind: about what, and the words before and after."""

    about: dict[Literal["en", "zh"], str]
    before: ProofPlan
    after: ProofPlan


class DeclaredPlan(Strict):
    """A declared attribute that behaviour contradicts."""

    field: str
    proof: ProofPlan


class InjectionPlan(Strict):
    """A text that tries to steer a model, and what must never appear because of it."""

    ref: str
    must_not_appear: tuple[str, ...]


class UserPlan(Strict):
    """One fictional customer.

    Attributes:
        profile: Columns of the users file; empty for a user whom that file lacks.
        utc_offset: Hours that local time is ahead of UTC, all year.
        hours: Local hours at which the user is active; repeated ones are likelier.
        devices: Devices in use; repeated ones are likelier.
        browses: Number of views outside any purchase, by category.
        personal: Details that redaction has to find (fictional addresses and numbers).
    """

    id: str
    language: Literal["en", "zh"]
    profile: Annotated[dict[str, str], BeforeValidator(_texts_of_days)] = {}
    utc_offset: int
    hours: tuple[int, ...]
    devices: tuple[str, ...]
    browses: dict[str, int]
    burst: BurstPlan | None = None
    orders: tuple[OrderPlan, ...] = ()
    returns: tuple[ReturnPlan, ...] = ()
    searches: tuple[SearchPlan, ...] = ()
    ratings: tuple[RatingPlan, ...] = ()
    reviews: tuple[ReviewPlan, ...] = ()
    chats: tuple[ChatPlan, ...] = ()
    traits: tuple[TraitPlan, ...] = ()
    changed_mind: ChangePlan | None = None
    contradicts_profile: DeclaredPlan | None = None
    injection: InjectionPlan | None = None
    personal: tuple[ProofPlan, ...] = ()
    oddities: tuple[Oddity, ...] = ()


class SegmentPlan(Strict):
    """One of the real groups: its name in both languages, and the category it buys."""

    id: str
    category: str
    en: str
    zh: str
    also: tuple[str, ...] = ()


class TiePlan(Strict):
    """A link between two users."""

    user_id: str
    other_id: str
    type: str
    day: date


class PartPlan(Strict):
    """One file of users."""

    segment: SegmentPlan | None = None
    users: tuple[UserPlan, ...]
    ties: tuple[TiePlan, ...] = ()


class Storefront(Strict):
    """One language's shop: its currency and its sales channel."""

    currency: str
    channel: str


class Sale(Strict):
    """Days with lower prices: a share off, or an amount off, of all items or of those named."""

    storefront: str
    first: date
    last: date
    share: float = 0.0
    minus: float = 0.0
    items: tuple[str, ...] = ()


class ShopPlan(Strict):
    """The catalogue: `items[language][category][item_id]` is title, price and description."""

    categories: dict[str, str]
    storefronts: dict[str, Storefront]
    items: dict[str, dict[str, dict[str, tuple[str, float, str]]]]
    sales: tuple[Sale, ...] = ()


class Plan(Strict):
    """The whole plan."""

    shop: ShopPlan
    parts: tuple[PartPlan, ...]

    @property
    def users(self) -> tuple[UserPlan, ...]:
        """All users, by id."""
        return tuple(sorted((user for part in self.parts for user in part.users), key=lambda user: user.id))


@cache
def read_plan() -> Plan:
    """Reads the plan that is part of the package.

    Raises:
        DataError: A file of the plan is damaged.
    """
    folder = files("limner.sample") / "plan"
    name = "shop.yaml"
    try:
        shop = ShopPlan.model_validate(yaml.safe_load((folder / name).read_text(encoding="utf-8")))
        parts = []
        for part in PARTS:
            name = f"{part}.yaml"
            parts.append(PartPlan.model_validate(yaml.safe_load((folder / name).read_text(encoding="utf-8"))))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise DataError(f"The sample's plan {name} cannot be read: {error}. Install limner again.") from error
    return Plan(shop=shop, parts=tuple(parts))
