"""Writing a file in one step: a reader sees the old one or the new one, and a write that fails leaves the old one."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LONGEST = 100
"""Characters of a file's name that its temporary one takes over: names have a limit."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside a file's to write to, which takes the file's name at the end of the block.

    Nothing is left of it if the block or the renaming fails. Several processes and threads may write at once: the last
    one counts.

    Args:
        path: The file; its folder must exist.

    Raises:
        OSError: The file cannot be replaced.
    """
    temporary = path.with_name(f".{path.name[:_LONGEST]}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
