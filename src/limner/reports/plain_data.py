"""Results of other parts as plain data: reports show them from objects, from JSON or from a table's rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Jsonable(Protocol):
    """A result that knows its JSON form."""

    def to_json(self) -> dict[str, Any]:
        """The result as the commands print it with `--json`."""
        ...


Given = Mapping[str, Any] | Jsonable | Any
"""A mapping in the shape that the command prints with `--json`, an object with `to_json()`, or a dataclass."""


def plain_data(given: Given) -> dict[str, Any]:
    """The mapping form of a result.

    Raises:
        TypeError: It is none of the forms `Given` names.
    """
    if isinstance(given, Mapping):
        return dict(given)
    if isinstance(given, Jsonable):
        return given.to_json()
    if dataclasses.is_dataclass(given) and not isinstance(given, type):
        return dataclasses.asdict(given)
    raise TypeError(f"Cannot show a {type(given).__name__}: give a mapping, a dataclass or an object with to_json().")
