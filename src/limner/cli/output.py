"""Printing: results on standard output, progress and remarks on standard error."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

MOST_FAILED = 20
"""Failed users that are named."""


def print_json(value: Any) -> None:
    """Prints one JSON document on standard output, in UTF-8 whatever the terminal's encoding is."""
    text = json.dumps(value, ensure_ascii=False, default=str) + "\n"
    sys.stdout.buffer.write(text.encode("utf-8", "replace"))
    sys.stdout.buffer.flush()


def console() -> Console:
    """A console on standard output, with colour where the terminal has it."""
    from rich.console import Console

    return Console(highlight=False)


def remarks() -> Console:
    """A console on standard error."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def print_failed(failed: Mapping[str, str]) -> None:
    """Says on standard error which users failed and why."""
    aside = remarks()
    for user, reason in list(failed.items())[:MOST_FAILED]:
        aside.print(f"failed: {user}: {reason}", style="red", markup=False, soft_wrap=True)
    if len(failed) > MOST_FAILED:
        aside.print(f"... and {len(failed) - MOST_FAILED} more users failed.", style="red", markup=False)
