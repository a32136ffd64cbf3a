"""Which way questions go when they go in batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from limner.errors import UsageError
from limner.serving.batch.pending import FOLDER
from limner.serving.dialect import Dialect
from limner.serving.spec import SERVICES, EmbeddedSpec, HttpSpec, Spec

if TYPE_CHECKING:
    from limner.serving.batch.engine import BatchEngine
    from limner.serving.batch.files import FileEngine
    from limner.serving.batch.service import BatchState

USERS = 5_000
"""Users whose questions go out together. They are in memory together; a batch holds up to 50,000 questions."""


@dataclass(frozen=True, slots=True)
class BatchMode:
    """Asking in batches: through the service's batches, or through files if one is named.

    Attributes:
        file: Where questions are written that have no answer yet.
        results: What came back for the questions of an earlier file.
        told: Given how far a batch of the service is.
    """

    file: Path | None = None
    results: Path | None = None
    told: Callable[[BatchState], None] | None = None

    @property
    def by_service(self) -> bool:
        """Whether the service itself is asked, which often costs less than single calls."""
        return self.file is None and self.results is None

    def engine(self, spec: Spec, workspace: Path) -> BatchEngine | FileEngine:
        """The engine for a model.

        Raises:
            UsageError: The model takes no batches, or the results cannot be read.
        """
        if isinstance(spec, EmbeddedSpec):
            raise UsageError("The embedded model takes no batches: it answers at once. Leave --batch out.")
        if self.by_service:
            from limner.serving.batch.engine import BatchEngine

            if not isinstance(spec, HttpSpec):
                raise UsageError(
                    "--batch needs a service with /v1/files and /v1/batches: openai:NAME or an address. For vLLM, "
                    "carry the questions with --batch-file to its run_batch."
                )
            return BatchEngine(spec, workspace / FOLDER, self.told)
        from limner.serving.batch.files import FileEngine

        if isinstance(spec, HttpSpec):
            identity, name, service = spec.identity, spec.model, spec.service
        else:
            from limner.serving.vllm.weights import named_model

            named = named_model(spec.model)
            identity, name, service = named.identity, named.name, SERVICES["vllm"]
        return FileEngine(identity, name, Dialect.of(service), out=self.file, results=self.results)
