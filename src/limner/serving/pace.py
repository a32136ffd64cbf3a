"""How many calls to an address are under way at once: more while it answers, half when it has had too much.

Additive increase, multiplicative decrease, as TCP does it (Chiu and Jain, 1989): senders that share a server without
knowing of each other end with like shares of it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Pace:
    """The number of calls that may be under way. No clock and no threads: times are given.

    It grows by one after as many answers as may be under way, and halves when a call is pushed back. Calls that were
    sent before the last halving say nothing new, so that one refusal of many calls at once halves it once.

    Attributes:
        limit: Calls that may be under way, from 1 to `most`.
        most: It grows no further.
    """

    def __init__(self, start: int, most: int | None = None) -> None:
        self.limit = max(1, start)
        self.most = max(self.limit, most or self.limit)
        self._answers = 0
        self._halved_at = float("-inf")

    def answered(self, sent_at: float) -> None:
        """A call that was sent then was answered."""
        if sent_at <= self._halved_at:
            return
        self._answers += 1
        if self._answers >= self.limit:
            self._answers = 0
            self.limit = min(self.limit + 1, self.most)

    def pushed_back(self, sent_at: float, now: float) -> None:
        """A call that was sent then was refused for want of room, or not answered in time."""
        if sent_at <= self._halved_at:
            return
        self._halved_at = now
        self._answers = 0
        self.limit = max(1, self.limit // 2)


class Gate:
    """Lets calls through as a `Pace` allows, none while the address asked for a pause. Safe to use from threads.

    Attributes:
        pace: How many may be under way.
    """

    def __init__(self, pace: Pace, clock: Callable[[], float] = time.monotonic) -> None:
        self.pace = pace
        self._clock = clock
        self._changed = threading.Condition()
        self._under_way = 0
        self._held_until = float("-inf")
        self._shut = False

    @property
    def limit(self) -> int:
        """Calls that may be under way now."""
        return self.pace.limit

    @property
    def shut(self) -> bool:
        """Whether nothing goes through any more."""
        return self._shut

    def enter(self) -> float | None:
        """Waits until a call may go out; when that was, or None if the gate was shut first. Then call `leave`."""
        with self._changed:
            while not self._shut:
                now = self._clock()
                held = self._held_until - now
                if held <= 0 and self._under_way < self.pace.limit:
                    self._under_way += 1
                    return now
                self._changed.wait(held if held > 0 else None)
            return None

    def leave(self, sent_at: float, *, answered: bool = False, pushed_back: bool = False) -> None:
        """A call has ended.

        Args:
            sent_at: What `enter` gave.
            answered: Whether the address did what it was asked.
            pushed_back: Whether it had no room, or took too long.
        """
        with self._changed:
            self._under_way -= 1
            if answered:
                self.pace.answered(sent_at)
            elif pushed_back:
                self.pace.pushed_back(sent_at, self._clock())
            self._changed.notify_all()

    def hold(self, seconds: float) -> None:
        """Lets nothing through for so long; a longer pause that was asked for before stands."""
        with self._changed:
            self._held_until = max(self._held_until, self._clock() + seconds)
            self._changed.notify_all()

    def shut_down(self) -> None:
        """Lets nothing through any more; those who wait are sent away."""
        with self._changed:
            self._shut = True
            self._changed.notify_all()
