"""The batches of an OpenAI-compatible service: `/v1/files` and `/v1/batches`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from limner.errors import ModelError
from limner.serving.batch.lines import URL, Result, results_in
from limner.serving.batch.pending import Pending
from limner.serving.endpoint import CONNECT_SECONDS, key_of, without_key
from limner.serving.spec import HttpSpec

WINDOW: Final = "24h"
"""By when the service promises to be done; OpenAI knows no other."""

TRIES = 5
"""Tries of one call; the SDK pauses between them as the service asks."""

LISTED = 100
"""Batches that are looked through for one whose name was not written down."""

ENDED = frozenset({"completed", "failed", "expired", "cancelled"})

MARK = "limner"
"""Under this name the service is told our own id of a batch."""


@dataclass(frozen=True, slots=True)
class BatchState:
    """How far a batch is.

    Attributes:
        batch: What the service calls it.
        status: Its word for it: `validating`, `in_progress`, `finalizing`, or one of `ENDED`.
        total: Requests in it.
        done: Requests answered.
        failed: Requests that failed.
        error: Why it failed as a whole, if it did.
        files: The files with what came back.
    """

    batch: str
    status: str
    total: int = 0
    done: int = 0
    failed: int = 0
    error: str = ""
    files: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.status in ENDED


class BatchService:
    """Submits batches to an address and fetches what came back."""

    def __init__(self, spec: HttpSpec, timeout: float = 120.0) -> None:
        """Prepares the connection.

        Raises:
            ModelError: The service needs a key and the environment has none.
        """
        import openai

        self._openai = openai
        self._spec = spec
        self._key = key_of(spec)
        self._client = openai.OpenAI(
            base_url=spec.address,
            api_key=self._key,
            max_retries=TRIES - 1,
            timeout=openai.Timeout(timeout, connect=CONNECT_SECONDS),
        )

    def submit(self, pending: Pending, lines: Sequence[str]) -> str:
        """Makes a batch and says what the service calls it.

        Args:
            pending: Its record, which is kept already.
            lines: Its requests.

        Raises:
            ModelError: The service cannot be reached, or takes no batches.
        """
        content = "".join(f"{line}\n" for line in lines).encode()
        with self._explained():
            file = self._client.files.create(file=(f"{pending.id}.jsonl", content), purpose="batch")
            for _ in range(TRIES):
                try:
                    # Not tried again blindly: an answer that was lost on its way may have made the batch.
                    return self._made(pending, file.id)
                except (self._openai.APIConnectionError, self._openai.InternalServerError):
                    found = self.find(pending)
                    if found is not None:
                        return found
            return self._made(pending, file.id)

    def _made(self, pending: Pending, file: str) -> str:
        made = self._client.with_options(max_retries=0).batches.create(
            input_file_id=file, endpoint=URL, completion_window=WINDOW, metadata={MARK: pending.id}
        )
        return made.id

    def find(self, pending: Pending) -> str | None:
        """What the service calls a batch that was told our id; None if it has none, or cannot say.

        Raises:
            ModelError: The service cannot be reached.
        """
        with self._explained():
            try:
                page = self._client.batches.list(limit=LISTED)
            except (self._openai.NotFoundError, self._openai.APIStatusError):
                return None
            named = [b.id for b in page.data if (b.metadata or {}).get(MARK) == pending.id]
        return named[0] if named else None

    def state(self, batch: str) -> BatchState | None:
        """How far a batch is; None if the service does not know it (any more).

        Raises:
            ModelError: The service cannot be reached.
        """
        with self._explained():
            try:
                told = self._client.batches.retrieve(batch)
            except self._openai.NotFoundError:
                return None
            counts = told.request_counts
            errors = (told.errors.data if told.errors else None) or []
            files = tuple(name for name in (told.output_file_id, told.error_file_id) if name)
            numbers = (counts.total, counts.completed, counts.failed) if counts else (0, 0, 0)
            error = "; ".join(str(e.message or e.code) for e in errors[:3])
            return BatchState(told.id, str(told.status), *numbers, without_key(error, self._key)[:300], files)

    def results(self, state: BatchState) -> Iterator[Result]:
        """What came back, in any order.

        Raises:
            ModelError: The service cannot be reached, or has dropped the files.
        """
        for name in state.files:
            with self._explained():
                content = self._client.files.content(name).content
            yield from results_in(content.decode("utf-8", "replace").splitlines())

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns the SDK's errors into ones that say what to do."""
        openai, address = self._openai, self._spec.address
        kept = "What was answered is kept, and a batch that was submitted goes on there: run the same command again."
        try:
            yield
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            variables = " or ".join(self._spec.service.key_variables)
            raise ModelError(f"{address} refused the key. Set {variables} to a valid one.") from error
        except openai.NotFoundError as error:
            raise ModelError(
                f"{address} has no such files or batches. Leave --batch out, or carry the questions with --batch-file."
            ) from error
        except openai.APIStatusError as error:
            said = " ".join(without_key(str(error.message), self._key).split())[:200]
            raise ModelError(f"{address} answered {error.status_code}: {said}. {kept}") from error
        except openai.OpenAIError as error:
            raise ModelError(f"{address} cannot be reached. {kept}") from error

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()
