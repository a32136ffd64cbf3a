"""Small wording that every report shares: amounts of money, and customers' words made fit for one line."""

from __future__ import annotations

import re
import unicodedata

_SYMBOLS_EN = {"USD": "US$", "EUR": "€", "GBP": "£", "CNY": "CN¥", "JPY": "JP¥", "HKD": "HK$", "TWD": "NT$",
               "KRW": "₩", "INR": "₹", "AUD": "A$", "CAD": "C$", "SGD": "S$", "BRL": "R$", "MXN": "MX$"}  # fmt: skip
_SYMBOLS_ZH = {**_SYMBOLS_EN, "CNY": "¥"}

_WITHOUT_CENTS = frozenset({"JPY", "KRW", "VND", "CLP", "ISK"})
"""Currencies whose smallest unit is the unit itself (ISO 4217, exponent 0)."""

_CENTS_UP_TO = 100_000
"""From here on the cents are noise and are rounded away."""


def money(amount: float, currency: object, lang: str) -> str:
    """An amount with its currency: US$1,204.50, ¥1,204.50; the bare number if the currency is not known.

    Args:
        amount: The amount in whole units of the currency.
        currency: ISO 4217 code, or None.
        lang: `zh` or `en`; in Chinese the renminbi needs no country before its sign.
    """
    code = str(currency).strip().upper() if currency else ""
    digits = 0 if code in _WITHOUT_CENTS or abs(amount) >= _CENTS_UP_TO else 2
    number = f"{abs(amount):,.{digits}f}"
    sign = "-" if amount < 0 and float(number.replace(",", "")) != 0 else ""
    symbol = (_SYMBOLS_ZH if lang == "zh" else _SYMBOLS_EN).get(code)
    if symbol:
        return f"{sign}{symbol}{number}"
    return f"{sign}{number} {clean(code, 8)}".strip()


_SPACES = re.compile(r"\s+")


def visible(text: str) -> str:
    """Text without control, bidirectional and other invisible characters, which could rewrite a screen.

    Line ends and tabs stay; emoji joiners (U+200D) and variation selectors stay.
    """
    return "".join(c for c in text if c in "\n\t\u200d" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co"))


def clean(text: str, limit: int) -> str:
    """Text from the data as one line of at most `limit` characters, cut with an ellipsis."""
    line = _SPACES.sub(" ", visible(text)).strip()
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"
