"""Addresses of sources that are no local files: databases, objects in a store, standard input; and their secrets.

`${NAME}` in an address stands for an environment variable, so that no password is ever written down. An address is
shown without user, password and options, and whatever was filled in is taken out of every message.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from limner.errors import UsageError

_scheme = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_variable = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")

OWN = ("table", "query", "increment", "stream")
"""Parameters of an address that are limner's; all others go to the database's driver."""

HIDDEN = "***"


@dataclass(frozen=True, slots=True)
class Filled:
    """A text with its `${NAME}` filled in, and what was filled in."""

    text: str = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a source is.

    Attributes:
        scheme: The part before `://`, in lower case.
        target: The address for the driver, secrets included.
        shown: The address as it may be printed.
        own: limner's own parameters: `table`, `query`, `increment`, `stream`.
        secrets: What must be in no message.
    """

    scheme: str
    target: str = field(repr=False)
    shown: str
    own: Mapping[str, str]
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def scrub(self, message: object) -> str:
        """The first line of a message, without secrets."""
        return scrub(message, self.secrets)


def is_address(text: str) -> bool:
    """Whether a text is an address and no path."""
    return _scheme.match(text) is not None or _variable.fullmatch(text) is not None


def parse_address(text: str, environment: Mapping[str, str] = os.environ) -> Address:
    """Reads an address.

    Args:
        text: Such as `postgresql://reader:${PASSWORD}@host/shop?table=orders`.
        environment: Where variables are looked up.

    Raises:
        UsageError: A variable is not set, or it is no address.
    """
    filled = fill(text, environment, encode=True)
    found = _scheme.match(filled.text)
    if found is None:
        raise UsageError("The address is none: it has no scheme such as postgresql:// or s3://.")
    base, _, parameters = filled.text.partition("?")
    own: dict[str, str] = {}
    others: list[str] = []
    for parameter in filter(None, parameters.split("&")):
        name, _, value = parameter.partition("=")
        if name in OWN:
            own[name] = unquote(value)
        else:
            others.append(parameter)
    target = base + ("?" + "&".join(others) if others else "")
    try:
        parts = urlsplit(base)
        password, host = parts.password, parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise UsageError("The address is malformed: write special characters of a password as %XX.") from error
    given = tuple(secret for secret in filled.secrets if secret != filled.text)
    secrets = (*given, *((password, unquote(password)) if password else ()))
    secrets += tuple(value for other in others if (value := other.partition("=")[2]) and "pass" in other.lower())
    table = "".join(f"?{name}={own[name]}" for name in ("table", "stream") if name in own)
    shown = f"{found.group(1).lower()}://{scrub(f'{host}{port}{parts.path}{table}', given)}"
    return Address(found.group(1).lower(), target, shown, own, (*secrets, base, target))


def fill(text: str, environment: Mapping[str, str] = os.environ, *, encode: bool = False) -> Filled:
    """Fills in the environment variables of a text.

    Args:
        text: The text, with `${NAME}` for each variable.
        environment: Where variables are looked up.
        encode: Write what is filled in as a part of an address; a text that is one variable alone is taken as it is.

    Raises:
        UsageError: A variable is not set.
    """
    secrets: list[str] = []
    alone = _variable.fullmatch(text) is not None

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if not environment.get(name):
            raise UsageError(f"The environment variable {name} is not set. A source's address or options name it.")
        secrets.extend({environment[name], quote(environment[name], safe="")})
        return quote(environment[name], safe="") if encode and not alone else environment[name]

    return Filled(_variable.sub(value, text), tuple(secrets))


def scrub(message: object, secrets: Iterable[str]) -> str:
    """The first line of a message with every secret in it blotted out."""
    nothing = type(message).__name__ if isinstance(message, Exception) else ""
    line = next((line.strip() for line in str(message).splitlines() if line.strip()), nothing)
    for secret in sorted(filter(None, set(secrets)), key=len, reverse=True):
        line = line.replace(secret, HIDDEN)
    return line.rstrip(".")
