"""What the sample's customers do, from the plan: views, searches, carts, orders, returns, ratings, reviews and chats.

Everything a user does on one day is one visit: one session, one device, one place, minutes apart and in a sensible
order. What the plan leaves open (the hour, what else was looked at) comes from a generator seeded by the user's id, so
that adding a user changes nobody else's rows.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone

from limner.evidence.records import Polarity
from limner.sample.plan import ChatPlan, Plan, ShopPlan, UserPlan

FIRST_DAY = date(2025, 7, 2)
LAST_DAY = date(2026, 6, 28)
"""Between these days the open views fall; with the planned rows the sample
covers July 2025 to June 2026 in any zone."""

CART_SHARE = 0.35
"""Share of orders that show a cart event first."""

SECOND_LOOK_SHARE = 0.5
"""Share of ordered items before which another item of the category was looked at."""


@dataclass(frozen=True, slots=True)
class Article:
    """One item of one storefront. `category` is the name shown, `group` the plan's name for it."""

    item_id: str
    title: str
    group: str
    category: str
    price: float
    currency: str
    text: str
    language: str


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that happened, before it is written in the form of some file. `ref` and `polarity` go to the truth."""

    ts: datetime
    user: UserPlan
    kind: str
    session: str
    article: Article | None = None
    stars: int | None = None
    price: float | None = None
    quantity: int | None = None
    text_title: str = ""
    text: str = ""
    device: str = ""
    channel: str = ""
    role: str = ""
    ref: str = ""
    polarity: Polarity | None = None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All items, and what they cost on a day."""

    shop: ShopPlan
    articles: dict[str, Article] = field(default_factory=dict)

    @classmethod
    def of(cls, shop: ShopPlan) -> Catalogue:
        """The catalogue of a shop's plan."""
        articles = {
            item_id: Article(item_id, title, group, shop.categories[group], price, front.currency, text, language)
            for language, front in shop.storefronts.items()
            for group, items in shop.items[language].items()
            for item_id, (title, price, text) in items.items()
        }
        return cls(shop, articles)

    def group(self, language: str, group: str) -> list[Article]:
        """The items of one storefront and category, in the catalogue's order."""
        return [a for a in self.articles.values() if a.language == language and a.group == group]

    def price(self, article: Article, day: date) -> float:
        """What an item costs on a day, sales included."""
        price = article.price
        for sale in self.shop.sales:
            named = not sale.items or article.item_id in sale.items
            if sale.storefront == article.language and sale.first <= day <= sale.last and named:
                price = price * (1 - sale.share) - sale.minus
        return round(price, 2)


@dataclass(slots=True)
class _Visit:
    """One day of one user, row after row."""

    user: UserPlan
    catalogue: Catalogue
    chance: random.Random
    now: datetime
    session: str
    device: str
    channel: str
    rows: list[Row] = field(default_factory=list)

    def add(self, kind: str, item: str = "", **more: object) -> None:
        """Adds the next thing that happens, half a minute to four minutes after the one before."""
        article = self.catalogue.articles[item] if item else None
        row = Row(self.now, self.user, kind, self.session, article, device=self.device, channel=self.channel)
        if article and kind != "review":
            row = replace(row, price=self.catalogue.price(article, self.now.date()))
        self.rows.append(replace(row, **more))  # type: ignore[arg-type]
        self.now += timedelta(seconds=self.chance.randrange(30, 240))

    def look(self, item: str) -> None:
        """Looks at an item, sometimes at another of its kind first."""
        article = self.catalogue.articles[item]
        others = [a for a in self.catalogue.group(article.language, article.group) if a.item_id != item]
        if self.chance.random() < SECOND_LOOK_SHARE:
            self.add("view", self.chance.choice(others).item_id)
        self.add("view", item)


def rows_of(plan: Plan) -> list[Row]:
    """All rows of all users, by time; those of one user at one time stay in the order they happened."""
    catalogue = Catalogue.of(plan.shop)
    rows = [row for user in plan.users for row in _rows_of_user(user, catalogue)]
    return sorted(rows, key=lambda row: (row.ts, row.user.id))


def _rows_of_user(user: UserPlan, catalogue: Catalogue) -> Iterator[Row]:
    chance = random.Random(f"limner sample {user.id}")  # noqa: S311  (made-up shopping, not a secret)
    looks = _looks(user, catalogue, chance)
    planned = {
        happening.day
        for happenings in (user.orders, user.returns, user.searches, user.ratings, user.reviews, user.chats)
        for happening in happenings
    }
    if user.burst:
        planned.add(user.burst.day)
    for day in sorted(planned | set(looks)):
        visit = _start(user, catalogue, chance, day)
        _shop(visit, day, looks.get(day, []))
        _tell(visit, day)
        yield from visit.rows
        for number, chat in enumerate(chat for chat in user.chats if chat.day == day):
            yield from _chat(visit, chat, number)


def _looks(user: UserPlan, catalogue: Catalogue, chance: random.Random) -> dict[date, list[str]]:
    """Items looked at outside any purchase, by day."""
    joined = user.profile.get("signup_date")
    first = max(FIRST_DAY, date.fromisoformat(joined)) if joined else FIRST_DAY
    looks: dict[date, list[str]] = {}
    for group, number in user.browses.items():
        for _ in range(number):
            day = first + timedelta(days=chance.randrange((LAST_DAY - first).days + 1))
            looks.setdefault(day, []).append(chance.choice(catalogue.group(user.language, group)).item_id)
    return looks


def _start(user: UserPlan, catalogue: Catalogue, chance: random.Random, day: date) -> _Visit:
    zone = timezone(timedelta(hours=user.utc_offset))
    start = datetime(day.year, day.month, day.day, chance.choice(user.hours), chance.randrange(40), tzinfo=zone)
    return _Visit(
        user,
        catalogue,
        chance,
        start + timedelta(seconds=chance.randrange(60)),
        session=f"{chance.getrandbits(32):08x}",
        device=chance.choice(user.devices),
        channel=catalogue.shop.storefronts[user.language].channel,
    )


def _shop(visit: _Visit, day: date, looks: list[str]) -> None:
    user = visit.user
    for search in user.searches:
        if search.day == day:
            visit.add("search", text=search.text, ref=f"{user.id}/{search.id}")
    for item in looks:
        visit.add("view", item)
    for order in user.orders:
        if order.day == day:
            for item in order.items:
                visit.look(item)
            if visit.chance.random() < CART_SHARE:
                visit.add("cart", next(iter(order.items)), quantity=1)
            paid = visit.now
            for item, quantity in order.items.items():
                visit.add("order", item, quantity=quantity, ts=paid)
    for sent_back in user.returns:
        if sent_back.day == day:
            visit.add("return", sent_back.item, quantity=1)
    if user.burst and user.burst.day == day:
        items = [a.item_id for a in visit.catalogue.articles.values() if a.language == user.language]
        for number in range(user.burst.views):
            visit.add("view", items[number % len(items)])
            visit.now = visit.rows[-1].ts + timedelta(seconds=user.burst.seconds)


def _tell(visit: _Visit, day: date) -> None:
    user = visit.user
    for rating in user.ratings:
        if rating.day == day:
            visit.add("rating", rating.item, stars=rating.stars, price=None)
    for review in user.reviews:
        if review.day == day:
            said = {"text_title": review.title, "text": review.text, "polarity": review.polarity}
            visit.add("review", review.item, stars=review.stars, ref=f"{user.id}/{review.id}", **said)


def _chat(visit: _Visit, chat: ChatPlan, number: int) -> Iterator[Row]:
    for turn in chat.turns:
        visit.now += timedelta(seconds=visit.chance.randrange(20, 150))
        spoken = Row(visit.now, visit.user, "chat", f"c-{visit.session}-{number}", channel=chat.channel)
        if turn.agent:
            yield replace(spoken, text=turn.agent, role="agent")
        else:
            ref = f"{visit.user.id}/{turn.id}"
            yield replace(spoken, text=turn.text, role="customer", ref=ref, polarity=turn.polarity)
