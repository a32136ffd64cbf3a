"""What the ledger tells: what calls took, by prompt, model, day or run; single calls; and what can be thrown away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from limner.errors import UsageError
from limner.serving.ledger import Ledger

_PROMPT = "prompt || '.v' || version || '.' || lang"

GROUPS: Mapping[str, tuple[str, str]] = {
    "prompt": (f"model, {_PROMPT} AS prompt, '' AS day, '' AS run", "count(*) DESC, 1, 2"),
    "model": ("model, '' AS prompt, '' AS day, '' AS run", "count(*) DESC, 1"),
    "day": ("model, '' AS prompt, substr(at, 1, 10) AS day, '' AS run", "3, 1"),
    "run": ("model, '' AS prompt, '' AS day, run", "min(at), 1"),
}
"""What `--by` may name: the columns that are told apart, and the order."""


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """Some calls added up.

    Attributes:
        model: The model's name as in the cache key.
        prompt, day, run: What else is told apart: the prompt with version and language (`sentiment.v1.zh`), the day
            (UTC) or the run; empty where it is not.
        calls: Calls that reached the model.
        answered: Calls that ended in a usable answer.
        input_tokens: Prompt tokens of all calls.
        reused_tokens: Of these, those that the engine says it had read before.
        output_tokens: Tokens written in all calls.
        seconds: The calls' own times added up (calls run side by side, so this is more than the time waited).
        costs: Money by currency, for the calls whose price was known when they were made.
        unpriced: Calls whose price was not known.
    """

    model: str
    prompt: str
    day: str
    run: str
    calls: int
    answered: int
    input_tokens: int
    reused_tokens: int
    output_tokens: int
    seconds: float
    costs: Mapping[str, float] = field(default_factory=dict)
    unpriced: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object, without what is not told apart."""
        return {name: value for name, value in asdict(self).items() if value or name not in ("prompt", "day", "run")}


@dataclass(frozen=True, slots=True)
class LedgerSummary:
    """What a ledger holds: the number of distinct answers kept, and the calls added up."""

    answers: int
    lines: tuple[LedgerLine, ...]

    @property
    def calls(self) -> int:
        """Calls that reached a model."""
        return sum(line.calls for line in self.lines)

    @property
    def costs(self) -> dict[str, float]:
        """Money by currency."""
        total: dict[str, float] = {}
        for line in self.lines:
            for currency, cost in line.costs.items():
                total[currency] = total.get(currency, 0.0) + cost
        return total

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"answers": self.answers, "calls": self.calls, "lines": [line.to_dict() for line in self.lines]}


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Which calls; an empty field takes all.

    Attributes:
        run: The run's id, or its beginning.
        prompt: `sentiment`, `sentiment.v1` or `sentiment.v1.zh`.
        model: The model's name, or its beginning.
        outcome: `answered`, `failed` or `malformed`.
        since: A day or a time in ISO format, UTC.

    Raises:
        UsageError: The outcome is none of the three, or the time is none.
    """

    run: str = ""
    prompt: str = ""
    model: str = ""
    outcome: str = ""
    since: str = ""

    def __post_init__(self) -> None:
        if self.outcome not in ("", "answered", "failed", "malformed"):
            raise UsageError(f"No call ends as {self.outcome!r}. Use answered, failed or malformed.")
        try:
            datetime.fromisoformat(self.since or "2026-01-31")
        except ValueError as error:
            raise UsageError(f"{self.since!r} is no day. Write it as 2026-01-31.") from error

    def sql(self) -> tuple[str, list[str]]:
        """The condition and its parameters."""
        tests = {
            "substr(run, 1, length(?)) = ?": [self.run, self.run] if self.run else [],
            "substr(model, 1, length(?)) = ?": [self.model, self.model] if self.model else [],
            f"(prompt = ? OR prompt || '.v' || version = ? OR {_PROMPT} = ?)": [self.prompt] * 3 * bool(self.prompt),
            "outcome = ?": [self.outcome] if self.outcome else [],
            "at >= ?": [self.since] if self.since else [],
        }
        used = {test: values for test, values in tests.items() if values}
        return " AND ".join(used) or "1", [value for values in used.values() for value in values]


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was, or would be, thrown away.

    Attributes:
        answers: Kept answers, usable or not.
        calls: Records of calls.
        done: Whether it was done.
    """

    answers: int
    calls: int
    done: bool


def summarise(ledger: Ledger, *, by: str = "prompt", among: CallFilter | None = None) -> LedgerSummary:
    """Adds up the calls.

    Args:
        ledger: The ledger.
        by: A key of `GROUPS`.
        among: Which calls; all if None.

    Raises:
        UsageError: `by` is none of the known ones.
    """
    if by not in GROUPS:
        raise UsageError(f"Cannot add up by {by!r}. Use {', '.join(GROUPS)}.")
    columns, order = GROUPS[by]
    where, values = (among or CallFilter()).sql()
    rows = ledger.rows(
        f"SELECT {columns}, count(*), sum(outcome = 'answered'), sum(input_tokens), sum(reused_tokens),"
        f" sum(output_tokens), sum(seconds), sum(cost IS NULL) FROM calls WHERE {where} GROUP BY 1, 2, 3, 4"
        f" ORDER BY {order}",
        values,
    )
    costs: dict[tuple[Any, ...], dict[str, float]] = {}
    for *group, currency, cost in ledger.rows(
        f"SELECT {columns}, currency, sum(cost) FROM calls WHERE {where} AND cost IS NOT NULL GROUP BY 1, 2, 3, 4, 5",
        values,
    ):
        costs.setdefault(tuple(group), {})[currency] = cost
    answers = ledger.rows("SELECT count(*) FROM answers")[0][0]
    lines = [
        LedgerLine(*row[:-1], costs=costs.get(row[:4], {}), unpriced=row[-1])  # type: ignore[misc]
        for row in rows
    ]
    return LedgerSummary(answers, tuple(lines))


def list_calls(ledger: Ledger, among: CallFilter, *, limit: int = 50) -> list[dict[str, Any]]:
    """The newest calls, as JSON objects."""
    columns = (
        *("id", "at", "run", "prompt", "model", "outcome", "input_tokens", "reused_tokens", "output_tokens"),
        *("seconds", "cost", "currency", "error", "key"),
    )
    where, values = among.sql()
    shown = ", ".join(_PROMPT if column == "prompt" else column for column in columns)
    rows = ledger.rows(f"SELECT {shown} FROM calls WHERE {where} ORDER BY id DESC LIMIT ?", [*values, limit])
    return [dict(zip(columns, row, strict=True)) for row in rows]


def prune(
    ledger: Ledger, *, days: float | None = None, prompts: Sequence[str] = (), calls: bool = False, sure: bool = False
) -> Pruned:
    """Throws kept answers away: those older than some days, of some prompts, or both conditions together.

    Personas and signals stay. What was thrown away is asked, and paid for, again when it is needed again.

    Args:
        ledger: The ledger.
        days: Only what is at least so old.
        prompts: Only of these prompts: `sentiment`, `sentiment.v1` or `sentiment.v1.zh`; of all if empty.
        calls: Also the records of the calls, which say what was spent.
        sure: Really do it; else only count.

    Raises:
        UsageError: Neither days nor prompts are given.
    """
    if days is None and not prompts:
        raise UsageError("Say what to throw away: --older-than DAYS, --prompt NAME.vN or --old-prompts.")
    tests, values = [], []
    if days is not None:
        until = datetime.now(UTC) - timedelta(days=days)
        tests.append("at <= ?")
        values.append(until.isoformat(timespec="milliseconds").replace("+00:00", "Z"))
    if prompts:
        marks = ",".join("?" * len(prompts))
        tests.append(f"(prompt IN ({marks}) OR prompt || '.v' || version IN ({marks}) OR {_PROMPT} IN ({marks}))")
        values += [*prompts] * 3
    with ledger.transaction() as run_sql:
        run_sql("CREATE TEMP TABLE gone AS SELECT id, key FROM calls WHERE " + " AND ".join(tests), values)
        run_sql("CREATE TEMP TABLE gone_keys AS SELECT key FROM gone")
        run_sql("INSERT INTO gone_keys SELECT key FROM parts WHERE whole IN (SELECT key FROM gone)")
        keys = "(SELECT key FROM gone_keys)"
        if days is not None:  # An answer may be younger than the first call for it.
            keys = "(SELECT key FROM gone_keys EXCEPT SELECT key FROM answers WHERE at > ?)"
        dated = values[:1] if days is not None else []
        answers = run_sql(f"SELECT count(*) FROM answers WHERE key IN {keys}", dated).fetchone()[0]
        answers += run_sql(f"SELECT count(*) FROM malformed WHERE key IN {keys}", dated).fetchone()[0]
        records = run_sql("SELECT count(*) FROM gone").fetchone()[0] if calls else 0
        if sure:
            run_sql(f"DELETE FROM answers WHERE key IN {keys}", dated)
            run_sql(f"DELETE FROM malformed WHERE key IN {keys}", dated)
            run_sql("DELETE FROM parts WHERE key NOT IN (SELECT key FROM answers)")
            if calls:
                run_sql("DELETE FROM calls WHERE id IN (SELECT id FROM gone)")
        run_sql("DROP TABLE gone")
        run_sql("DROP TABLE gone_keys")
    if sure:
        ledger.compact()
    return Pruned(answers, records, sure)
