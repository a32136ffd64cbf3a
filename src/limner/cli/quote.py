"""The tables of a quote, and of a quote against what the run took."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limner.serving.quote import Comparison, Quote, QuoteLine

UNKNOWN = "unknown"


def print_quote(quote: Quote) -> None:
    """Prints a quote, a line for each prompt and one for all."""
    from rich.table import Table

    from limner.cli.output import console

    out = console()
    out.print(
        f"{quote.users:,} users, {quote.asked_users:,} of them with something to ask of {quote.model}", markup=False
    )
    table = Table(box=None, pad_edge=False)
    for number, name in enumerate(("", "calls", "cached", "tokens read", "written", "money", "time")):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    for line in (*quote.lines, quote.total):
        table.add_row(
            line.prompt or "in all",
            f"{line.calls:,}",
            f"{line.cached_calls:,}",
            f"{line.input_tokens:,}",
            f"{line.output_tokens:,}",
            _money(line.cost, quote.currency),
            _time(line.seconds),
            style=None if line.prompt else "bold",
        )
    out.print(table)
    if quote.total.calls and not quote.exact:
        out.print("Tokens are estimated: the model's tokenizer is not on this machine.", markup=False)
    if quote.total.cost is None:
        out.print("The price of this model is unknown; `limner models prices` shows where to write it.", markup=False)
    if quote.total.seconds is None:
        out.print("The time is unknown: this model has not answered these prompts here yet.", markup=False)


def print_comparison(comparison: Comparison) -> None:
    """Prints what was quoted and what it took, prompt by prompt."""
    from rich.table import Table

    from limner.cli.output import console

    quote, out = comparison.quote, console()
    table = Table(box=None, pad_edge=False)
    for number, name in enumerate(("quoted / taken", "calls", "tokens read", "written", "money", "time")):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    rows = [*comparison.pairs(), ("in all", quote.total, comparison.total)]
    for name, quoted, taken in rows:
        if not any(line and line.calls for line in (quoted, taken)):
            continue
        table.add_row(
            name,
            _both(quoted, taken, lambda line: f"{line.calls:,}"),
            _both(quoted, taken, lambda line: f"{line.input_tokens:,}"),
            _both(quoted, taken, lambda line: f"{line.output_tokens:,}"),
            _both(quoted, taken, lambda line: _money(line.cost, quote.currency)),
            _both(quoted, taken, lambda line: _time(line.seconds)) if name == "in all" else "",
            style="bold" if name == "in all" else None,
        )
    out.print(table)


def _both(quoted: QuoteLine | None, taken: QuoteLine | None, shown: Callable[[QuoteLine], str]) -> str:
    left, right = (shown(line) if line else "-" for line in (quoted, taken))
    return left if left == right == UNKNOWN else f"{left} / {right}"


def _money(cost: float | None, currency: str) -> str:
    if cost is None:
        return UNKNOWN
    return f"{cost:,.2f} {currency}" if cost == 0 or cost >= 1 else f"{cost:.4f} {currency}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return UNKNOWN
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
