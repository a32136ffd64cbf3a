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
    from limner.serving.batch.mode import BatchMode
    from limner.serving.budget import Budget
    from limner.serving.client import Client
    from limner.serving.engine import Engine
    from limner.serving.ledger import Ledger
    from limner.serving.spec import Spec

__all__ = ["LEDGER_FILE", "connect", "engine_of", "kept_up", "open_ledger"]

LEDGER_FILE = "ledger.sqlite"
"""The ledger's file name inside a workspace."""

LOGS = "logs"
"""The folder inside a workspace for what started servers write."""


@contextmanager
def connect(
    store_path: Path | str,
    spec: str,
    *,
    run: str | None = None,
    concurrency: int | None = None,
    budget: Budget | None = None,
    batch: BatchMode | None = None,
) -> Iterator[Client]:
    """A client for a model spec, writing the ledger of a workspace.

    Nothing is loaded, downloaded or contacted until a question is asked that the ledger cannot answer.

    Args:
        store_path: The workspace folder, which must exist.
        spec: The model spec, see `limner.serving.spec`.
        run: Id of the run, as the ledger records it.
        concurrency: Calls at once; if None, what was measured of the model (`profiles`), else the engine's own choice.
        budget: Limits of the run; a call that would go out beyond them raises `BudgetError`.
        batch: Ask in batches, and how.

    Raises:
        UsageError: The spec cannot be understood, money is limited and the model's price is unknown, or the model takes
            no batches.
        WorkspaceError: The ledger cannot be opened.
    """
    from limner.histories.store import new_run_id
    from limner.serving.client import Client
    from limner.serving.ledger import Ledger
    from limner.serving.prices import read_prices
    from limner.serving.profiles import profile_of
    from limner.serving.spec import parse_spec

    folder = Path(store_path).expanduser()
    if batch is not None:
        engine: Engine = batch.engine(parse_spec(spec), folder)
    else:
        at_once = concurrency if concurrency is not None else profile_of(spec, folder).concurrency
        engine = engine_of(spec, folder / LOGS, concurrency=at_once)
    prices = read_prices(folder)
    price = prices.required(spec) if budget is not None and budget.money is not None else prices.find(spec)
    if price is not None and batch is not None and batch.by_service:
        price = price.in_batches()
    ledger = Ledger(folder / LEDGER_FILE)
    with Client(engine, ledger, run or new_run_id("ask"), budget=budget, price=price) as client:
        attach = getattr(engine, "attach", None)
        if attach is not None:
            attach(ledger, client.meter)
        yield client


@contextmanager
def open_ledger(store_path: Path | str) -> Iterator[Ledger | None]:
    """The ledger of a workspace; None, and nothing is made, where there is none.

    Raises:
        WorkspaceError: The ledger is damaged.
    """
    from limner.serving.ledger import Ledger

    path = Path(store_path).expanduser() / LEDGER_FILE
    if not path.is_file():
        yield None
        return
    with Ledger(path) as ledger:
        yield ledger


@contextmanager
def kept_up() -> Iterator[None]:
    """Within it, a server that a spec starts stays up from one client to the next instead of ending with each."""
    from limner.serving.vllm.engine import kept_up as servers_kept_up

    with servers_kept_up():
        yield


def engine_of(spec: str, logs: Path | str = LOGS, *, concurrency: int | None = None) -> Engine:
    """The engine of a model spec. Nothing is loaded, downloaded or contacted before its first request.

    Args:
        spec: The model spec, see `limner.serving.spec`.
        logs: The folder for what a started server writes.
        concurrency: Calls at once, if not the engine's own choice.

    Raises:
        UsageError: The spec cannot be understood, or there is no such model or file.
    """
    from limner.serving.spec import parse_spec

    return _engine(parse_spec(spec), concurrency, Path(logs))


def _engine(spec: Spec, concurrency: int | None, logs: Path) -> Engine:
    from limner.errors import UsageError
    from limner.serving.spec import HttpSpec, VllmSpec

    if concurrency is not None and concurrency < 1:
        raise UsageError(f"The concurrency must be 1 or more, not {concurrency}.")
    if isinstance(spec, HttpSpec):
        from limner.serving.http import HttpEngine

        return HttpEngine(spec, concurrency=concurrency)
    if isinstance(spec, VllmSpec):
        from limner.serving.vllm.engine import VllmEngine

        return VllmEngine(spec, logs, concurrency=concurrency)
    from limner.serving.embedded import EmbeddedEngine

    return EmbeddedEngine(spec, concurrency=concurrency)
