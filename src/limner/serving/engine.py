"""What an engine is: something that answers chat requests, several at once if it can."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Protocol

from limner.errors import ModelError
from limner.serving.request import ChatRequest, Outcome


class Engine(Protocol):
    """An engine behind the client.

    Attributes:
        model: The model's name as the ledger and the cache key know it: what determines its answers (for a local
            file, its name and the head of its SHA-256).
    """

    model: str

    def run(self, requests: Iterable[ChatRequest]) -> Iterator[tuple[int, Outcome]]:
        """Answers the requests, in the order in which they finish, as pairs of index and outcome.

        The next request is taken only when it is about to be sent, and only after the answers given out so far have
        been used: that is where the client looks at its budget and at other processes. When there are no more, those
        under way are answered. A request that fails gives a `ChatFailure`; the others go on.

        Raises:
            ModelError: The engine as a whole is unusable (it cannot be loaded, the address is dead).
        """
        ...

    def wind_down(self, seconds: float) -> None:
        """Sends nothing any more, not even another try; what is not answered after some seconds is given up.

        Called from another thread than the one in `run`.
        """
        ...

    def close(self) -> None:
        """Frees the model or the connection."""
        ...


NO_MODEL = "LIMNER_NO_MODEL"
"""Environment variable that, set to anything but 0 or nothing, makes every real model call impossible."""


def refuse_if_forbidden(model: str) -> None:
    """Called by every real engine before it loads or contacts anything.

    Raises:
        ModelError: `LIMNER_NO_MODEL` is set.
    """
    if os.environ.get(NO_MODEL, "0") not in ("", "0"):
        raise ModelError(f"{NO_MODEL} is set, so {model} was not asked. Unset it to allow model calls.")


def slots_of(engine: Engine) -> int:
    """How many calls an engine has under way at most, if it says so with `slots`; else 1."""
    return int(getattr(engine, "slots", 1))
