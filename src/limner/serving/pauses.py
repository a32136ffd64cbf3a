"""What the headers of a response say about waiting: Retry-After, and the rate limits that hosted services report."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_UNITS: Mapping[str, float] = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PIECE = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")

LIMITS = ("requests", "tokens")
"""What services count: `x-ratelimit-remaining-requests` and `x-ratelimit-reset-requests`, and the same for tokens."""


def asked_pause(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds that a refusal asks to wait, None if it does not say.

    Read are `retry-after-ms`, `Retry-After` in seconds or as a date (RFC 9110, 10.2.3), and else the time at which a
    limit that is used up is lifted.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after", "").strip()
    seconds = _number(value)
    if seconds is not None:
        return seconds
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return used_up(headers)
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())


def used_up(headers: Mapping[str, str]) -> float | None:
    """Seconds until a limit that has nothing left is lifted; None if something is left of all, or nothing is said."""
    pauses = [
        duration(headers.get(f"x-ratelimit-reset-{limit}", ""))
        for limit in LIMITS
        if _number(headers.get(f"x-ratelimit-remaining-{limit}", "")) == 0
    ]
    return max((pause for pause in pauses if pause is not None), default=None)


def duration(text: str) -> float | None:
    """Seconds in `1m30s`, `20ms`, `6.5` and the like; None if it is nothing of that kind."""
    text = text.strip()
    plain = _number(text)
    if plain is not None:
        return plain
    if not text or _PIECE.sub("", text):
        return None
    return sum(float(count) * _UNITS[unit] for count, unit in _PIECE.findall(text))


def _number(text: str) -> float | None:
    """A finite number of 0 or more."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
