"""Questions carried by hand: written into a batch file, run elsewhere, answered from the file that comes back.

The file is the one that OpenAI's batch service takes, and vLLM's `run_batch` (`vllm.entrypoints.openai.run_batch`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from limner.errors import PendingError, UsageError
from limner.serving.batch.lines import Result, request_line, results_in
from limner.serving.completions import outcome
from limner.serving.dialect import Dialect
from limner.serving.request import ChatFailure, ChatRequest, Outcome


class FileEngine:
    """Answers from a file of results, and writes what it has no answer to into a file of requests.

    Attributes:
        model: The model's name in the cache key.
    """

    def __init__(
        self, model: str, name: str, dialect: Dialect, *, out: Path | None = None, results: Path | None = None
    ) -> None:
        """Reads the results.

        Args:
            model: The model's name in the cache key.
            name: What the requests call it.
            dialect: The form of the requests.
            out: Where open questions are written.
            results: What came back for those of an earlier file.

        Raises:
            UsageError: The results cannot be read, or are none.
        """
        self.model = model
        self._name = name
        self._dialect = dialect
        self._out = out
        self._results = {} if results is None else _read(results)

    def run(self, requests: Iterable[ChatRequest]) -> Iterator[tuple[int, Outcome]]:
        """Answers what the results answer.

        Raises:
            PendingError: There are open questions; they are in the file.
        """
        lines = []
        for index, request in enumerate(requests):
            key = request.key(self.model)
            result = self._results.pop(key, None)
            if result is not None and result.body is not None:
                yield index, outcome(request, result.body, 0.0)
            elif result is not None and not result.passing:
                yield index, ChatFailure(f"the batch answered {result.status}: {result.error}")
            else:
                lines.append(request_line(key, self._dialect.body(request, self._name)))
        if lines:
            raise PendingError(self._written(lines))

    def _written(self, lines: list[str]) -> str:
        """Writes the open questions; what to tell the person."""
        one = len(lines) == 1
        if self._out is None:
            return (
                f"{'1 question has' if one else f'{len(lines):,} questions have'} no answer in that file. Add "
                "--batch-file OUT.jsonl to go on by files, or leave --batch-results out to ask the model itself."
            )
        try:
            self._out.parent.mkdir(parents=True, exist_ok=True)
            self._out.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"Cannot write {self._out}: {error.strerror}. Check the path.") from error
        return (
            f"{'1 question is' if one else f'{len(lines):,} questions are'} in {self._out}. Run it, then go on with "
            "--batch-results and the file that comes back."
        )

    def wind_down(self, seconds: float) -> None:
        """Nothing to do: nothing is ever under way."""

    def close(self) -> None:
        """Nothing to free."""


def _read(file: Path) -> dict[str, Result]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is no batch result file: it is not text in UTF-8.") from error
    except OSError as error:
        raise UsageError(f"Cannot read {file}: {error.strerror}. Check the path.") from error
    found = {result.key: result for result in results_in(lines)}
    if not found:
        raise UsageError(f"{file} holds no batch results: JSON lines with custom_id and response.")
    return found
