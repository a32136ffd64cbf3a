"""What models cost: a table in files that a person edits.

Three files, the first entry that fits counts: `prices.toml` in the workspace, the one in the user's settings, and the
shipped one, which knows that models on one's own machines cost nothing, and invents no price for others.
"""

from __future__ import annotations

import fnmatch
import math
import os
import tomllib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from limner.errors import UsageError

FILE = "prices.toml"
"""The file's name, in a workspace and in the user's settings."""

_FIELDS = ("model", "currency", "input", "cached_input", "output", "batch")


@dataclass(frozen=True, slots=True)
class Price:
    """What one model costs, per million tokens.

    Attributes:
        model: The pattern of model specs that the price is for.
        currency: As the person wrote it.
        input: Tokens read.
        cached_input: Tokens read that the service had read before.
        output: Tokens written.
        file: Where it stands.
        batch: The share of these prices that a call in a batch costs.
    """

    model: str
    currency: str
    input: float
    cached_input: float
    output: float
    file: Path
    batch: float = 1.0

    @property
    def costs(self) -> bool:
        """Whether it costs anything at all."""
        return max(self.input, self.cached_input, self.output) > 0

    def in_batches(self) -> Price:
        """What calls in batches cost."""
        read, cached, written = (value * self.batch for value in (self.input, self.cached_input, self.output))
        return replace(self, input=read, cached_input=cached, output=written, batch=1.0)

    def of(self, input_tokens: float, output_tokens: float, reused_tokens: float = 0) -> float:
        """The money for some tokens; the reused ones are among those read."""
        reused = min(reused_tokens, input_tokens)
        read = (input_tokens - reused) * self.input + reused * self.cached_input
        return (read + output_tokens * self.output) / 1e6


@dataclass(frozen=True, slots=True)
class PriceTable:
    """All known prices.

    Attributes:
        prices: In the order in which they are tried.
        files: The files they may stand in, the first looked at first, whether they are there or not.
    """

    prices: tuple[Price, ...]
    files: tuple[Path, ...]

    def find(self, spec: str) -> Price | None:
        """The price of a model, by its spec as typed; None if it is unknown."""
        return next((price for price in self.prices if fnmatch.fnmatchcase(spec.strip(), price.model)), None)

    def required(self, spec: str) -> Price:
        """The price of a model.

        Raises:
            UsageError: It is unknown; the message says how to add it.
        """
        price = self.find(spec)
        if price is None:
            raise UsageError(
                f"The price of {spec} is unknown, so --budget cannot be kept. Add to {self.files[0]}:\n"
                f'[[price]]\nmodel = "{spec}"\ncurrency = "USD"\ninput = ...   # per million tokens read\n'
                "output = ...  # per million tokens written\n"
                "Or limit the run with --max-tokens or --max-seconds."
            )
        return price

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "files": [{"path": str(file), "there": file.is_file()} for file in self.files],
            "prices": [{**asdict(price), "file": str(price.file)} for price in self.prices],
        }


def read_prices(workspace: Path | None = None) -> PriceTable:
    """The price table: the workspace's own entries before the user's before the shipped ones.

    Args:
        workspace: The workspace folder, if there is one.

    Raises:
        UsageError: A file cannot be read, or an entry is not a price.
    """
    files = [settings_folder() / FILE, Path(__file__).with_name(FILE)]
    if workspace is not None:
        files.insert(0, workspace.expanduser() / FILE)
    return PriceTable(tuple(price for file in files for price in _read(file)), tuple(files))


def settings_folder() -> Path:
    """Where a person's own settings lie."""
    named = os.environ.get("XDG_CONFIG_HOME") or (os.environ.get("APPDATA") if os.name == "nt" else None)
    return (Path(named) if named else Path.home() / ".config") / "limner"


def _read(file: Path) -> list[Price]:
    try:
        entries = tomllib.loads(file.read_text(encoding="utf-8-sig")).get("price", [])
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UsageError(f"Cannot read the prices in {file}: {error.strerror}.") from error
    except ValueError as error:  # Not TOML, or not UTF-8.
        raise UsageError(
            f"The prices in {file} cannot be read: {error}. `limner models prices` shows an entry."
        ) from error
    if not isinstance(entries, list):
        entries = [entries]
    return [_price(file, number, entry) for number, entry in enumerate(entries, 1)]


def _price(file: Path, number: int, entry: Any) -> Price:
    """One entry of a file, checked."""
    where = f"Entry {number} of {file}"
    if not isinstance(entry, dict) or not isinstance(entry.get("model"), str) or not entry["model"].strip():
        raise UsageError(f'{where} names no model. Write model = "SPEC".')
    unknown = sorted(set(entry) - set(_FIELDS))
    if unknown:
        raise UsageError(f"{where} has an unknown field {unknown[0]!r}. Known: {', '.join(_FIELDS)}.")
    currency = entry.get("currency")
    if not isinstance(currency, str) or not currency.strip():
        raise UsageError(f'{where} has no currency. Write currency = "USD".')
    defaults = {"cached_input": entry.get("input"), "batch": 1.0}
    amounts: dict[str, Any] = {name: entry.get(name, defaults.get(name)) for name in _FIELDS[2:]}
    for name, amount in amounts.items():
        good = (
            isinstance(amount, int | float) and not isinstance(amount, bool) and math.isfinite(amount) and amount >= 0
        )
        if not good:
            raise UsageError(f"{where}: {name} must be a number of 0 or more, per million tokens, not {amount!r}.")
    if amounts["batch"] > 1:
        raise UsageError(f"{where}: batch is the share of the price that a call in a batch costs, from 0 to 1.")
    read, cached, written, batch = (float(amounts[name]) for name in _FIELDS[2:])
    return Price(entry["model"].strip(), currency.strip(), read, cached, written, file, batch)
