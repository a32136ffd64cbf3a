"""When work under way is committed: often at first, seldom in a long run.

A commit writes a file for each bucket of each table and the manifest anew, and every later reader opens those files. A
commit for every few users would leave hundreds of thousands of them after a run over many.
"""

from __future__ import annotations

import time
from collections.abc import Callable

SECONDS = 5.0
"""Between two commits, at least."""

SHARE = 0.02
"""Of the time the work has taken so far, which a killed run repeats at most; its answers are in the ledger."""


class Due:
    """Says when the next commit is due: with these figures 50 in the first four minutes, 300 in a day."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun = self._last = clock()

    def now(self) -> bool:
        """Whether it is; then it is taken as done."""
        now = self._clock()
        if now - self._last < max(SECONDS, SHARE * (now - self._begun)):
            return False
        self._last = now
        return True
