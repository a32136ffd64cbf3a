"""What an engine is: something that answers chat requests, several at once if it can."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
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

    def run(self, requests: Sequence[ChatRequest]) -> Iterator[tuple[int, Outcome]]:
        """Answers the requests, in the order in which they finish, as pairs of index and outcome.

        A request that fails gives a `ChatFailure`; the others go on.

        Raises:
            ModelError: The engine as a whole is unusable (it cannot be loaded, the address is dead).
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
