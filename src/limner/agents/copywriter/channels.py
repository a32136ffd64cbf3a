"""Channels and their limits, measured as each channel measures: display width, or SMS parts.

Sources: GSM 03.38 and 3GPP TS 23.038 for the SMS alphabet and its 160 and 70 characters (153 and 67 in a message of
several parts); for e-mail and push, what the usual clients and lock screens show before they cut.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from limner.errors import UsageError

Field = Literal["headline", "body", "cta"]

_GSM_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_EXTENDED = frozenset("^{}\\[~]|€\f")
"""Sent as two: an escape and the character."""


@dataclass(frozen=True, slots=True)
class Length:
    """How long a text is on a channel, and how much it may be.

    Attributes:
        used: In the channel's unit.
        limit: The most that is allowed.
        unit: What is counted: `columns`, or `GSM-7 characters` or `UCS-2 characters`.
    """

    used: int
    limit: int
    unit: str

    @property
    def ok(self) -> bool:
        """Whether it fits."""
        return self.used <= self.limit


def display_width(text: str) -> int:
    """Columns on a screen: Chinese, Japanese and Korean characters and emoji take two, combining marks none."""
    width = 0
    for character in text:
        if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Mn", "Me"):
            continue
        width += 2 if unicodedata.east_asian_width(character) in "WF" else 1
    return width


def sms_length(text: str) -> Length:
    """The length of an SMS against one part: 160 in the GSM-7 alphabet, else 70 in UCS-2 (UTF-16 code units)."""
    if all(character in _GSM_BASIC or character in _GSM_EXTENDED for character in text):
        return Length(sum(2 if c in _GSM_EXTENDED else 1 for c in text), 160, "GSM-7 characters")
    return Length(len(text.encode("utf-16-le", "surrogatepass")) // 2, 70, "UCS-2 characters")


def sms_parts(text: str) -> int:
    """How many parts an SMS is sent in: of several, each loses room to the header that joins them."""
    length = sms_length(text)
    if length.ok:
        return 1
    per_part = 153 if length.limit == 160 else 67
    return -(-length.used // per_part)


def _columns(limit: int) -> Callable[[str], Length]:
    return lambda text: Length(display_width(text), limit, "columns")


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit on one field or on several sent as one text."""

    fields: tuple[Field, ...]
    measure: Callable[[str], Length]


@dataclass(frozen=True, slots=True)
class Channel:
    """One way to reach people.

    Attributes:
        name: As `--channel` takes it.
        limits: Every limit that a variant must keep.
        en, zh: What the model is told about length, in words it can follow.
        facts: How many of the product's facts one variant tells.
        link: Whether the sheet's address is shown as text after the call to action (elsewhere it is behind it).
    """

    name: str
    limits: tuple[Limit, ...]
    en: str
    zh: str
    facts: int
    link: bool


CHANNELS: dict[str, Channel] = {
    channel.name: channel
    for channel in (
        Channel(
            "email",
            (Limit(("headline",), _columns(60)), Limit(("body",), _columns(900)), Limit(("cta",), _columns(30))),
            "headline: a subject line of at most 8 words. body: 2 or 3 short sentences. cta: a button of 2 or 3 words.",
            "headline：邮件主题，不超过 20 个字。body：正文，2 到 3 个短句。cta：按钮，不超过 6 个字。",
            3,
            False,
        ),
        Channel(
            "sms",
            (Limit(("headline", "body", "cta"), sms_length),),
            "headline: at most 4 words. body: one sentence of at most 12 words. cta: 2 words.",
            "headline：不超过 10 个字。body：一句话，不超过 30 个字。cta：不超过 4 个字。",
            1,
            True,
        ),
        Channel(
            "push",
            (Limit(("headline",), _columns(50)), Limit(("body",), _columns(150)), Limit(("cta",), _columns(24))),
            "headline: at most 5 words. body: one sentence of at most 15 words. cta: 2 words.",
            "headline：不超过 15 个字。body：一句话，不超过 40 个字。cta：不超过 4 个字。",
            1,
            False,
        ),
    )
}


def find_channel(name: str) -> Channel:
    """The channel of a name.

    Raises:
        UsageError: There is none.
    """
    if name not in CHANNELS:
        raise UsageError(f"There is no channel {name}. Choose one of: {', '.join(CHANNELS)}.")
    return CHANNELS[name]


def sent_text(parts: list[str]) -> str:
    """Fields that are sent as one text, joined as they are sent: a space, none between Chinese texts."""
    text = ""
    for part in (p for p in parts if p):
        glue = "" if not text or (display_width(text[-1]) == 2 and display_width(part[0]) == 2) else " "
        text += glue + part
    return text
