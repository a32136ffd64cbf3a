"""Asking models: specs, engines, the one client, and the ledger of every call.

```python
with connect(workspace, "embedded") as client:
    outcomes = client.ask(requests)
```
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limner.serving.client import Client
    from limner.serving.engine import Engine
    from limner.serving.ledger import LedgerSummary
    from limner.serving.spec import Spec

__all__ = ["LEDGER_FILE", "connect", "read_ledger"]

LEDGER_FILE = "ledger.sqlite"
"""The ledger's file name inside a workspace."""


@contextmanager
def connect(
    store_path: Path | str, spec: str, *, run: str | None = None, concurrency: int | None = None
) -> Iterator[Client]:
    """A client for a model spec, writing the ledger of a workspace.

    Nothing is loaded, downloaded or contacted until a question is asked that the ledger cannot answer.

    Args:
        store_path: The workspace folder, which must exist.
        spec: The model spec, see `limner.serving.spec`.
        run: Id of the run, as the ledger records it.
        concurrency: Calls at once, if not the engine's own choice.

    Raises:
        UsageError: The spec cannot be understood.
        WorkspaceError: The ledger cannot be opened.
    """
    from limner.histories.store import new_run_id
    from limner.serving.client import Client
    from limner.serving.ledger import Ledger
    from limner.serving.spec import parse_spec

    engine = _engine(parse_spec(spec), concurrency)
    with Client(engine, Ledger(Path(store_path).expanduser() / LEDGER_FILE), run or new_run_id("ask")) as client:
        yield client


def read_ledger(store_path: Path | str) -> LedgerSummary:
    """What the ledger of a workspace holds; nothing is made where there is none.

    Raises:
        WorkspaceError: The ledger is damaged.
    """
    from limner.serving.ledger import Ledger, LedgerSummary

    path = Path(store_path).expanduser() / LEDGER_FILE
    if not path.is_file():
        return LedgerSummary(0, ())
    with Ledger(path) as ledger:
        return ledger.summary()


def _engine(spec: Spec, concurrency: int | None) -> Engine:
    from limner.errors import UsageError
    from limner.serving.spec import HttpSpec

    if concurrency is not None and concurrency < 1:
        raise UsageError(f"The concurrency must be 1 or more, not {concurrency}.")
    if isinstance(spec, HttpSpec):
        from limner.serving.http import HttpEngine

        return HttpEngine(spec, concurrency=concurrency)
    from limner.serving.embedded import EmbeddedEngine

    return EmbeddedEngine(spec, concurrency=concurrency)
