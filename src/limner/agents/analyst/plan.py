"""From a question to a checked plan: the model proposes, code keeps only what the question really says.

Nothing a model writes here can widen a query: facts, operators and segments come from closed lists, a threshold's
number must stand in the question, and a filter the question has no word for is dropped with a remark.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

from limner.agents.analyst import cues
from limner.agents.analyst.schema import (
    FACT_COLUMNS,
    FactColumn,
    FactName,
    GroupBy,
    KindFilter,
    Operator,
    Plan,
    PolarityFilter,
    Threshold,
)
from limner.agents.quantities import Quantity, fold, quantities

Order = Literal["none", "highest", "lowest"]


@dataclass(frozen=True, slots=True)
class CheckedPlan:
    """A plan that says nothing the question does not, and remarks on what was dropped or added."""

    plan: Plan
    remarks: tuple[str, ...]


def check_plan(
    answer: str | None, question: str, segments: Sequence[str] = (), users: Sequence[str] = ()
) -> CheckedPlan:
    """Checks a model's plan against the question.

    Args:
        answer: The model's JSON; None or malformed JSON leaves the reading to code alone.
        question: As asked.
        segments: Names of the segments there are.
        users: Ids of users that the question names.
    """
    remarks: list[str] = []
    proposed = _parse(answer, remarks)
    text = fold(question)
    thresholds = _thresholds(proposed, text, remarks)
    bare = _bare(text, (*segments, *users))
    order_fact, order = _order(proposed, bare, thresholds, remarks)
    languages = cues.language_asked(text)
    compare = cues.COMPARE.found(text)
    named = _segments_named(text, segments)
    segment = named[0] if len(named) == 1 else _segment_meant(proposed.segment, text, segments, remarks)
    plan = Plan(
        topic=_topic(proposed.topic, bare, thresholds, order_fact, remarks),
        measure=cues.measure_of(text) or ("list" if proposed.measure == "list" else "describe"),
        polarity=_polarity(proposed.polarity, bare, remarks),
        kind=_kind(proposed.kind, bare, remarks),
        language=languages[0] if len(languages) == 1 and not compare else "any",
        segment=segment,
        group_by=_group_by(compare, len(languages), len(named), text),
        order_fact=order_fact,
        order=order,
        thresholds=thresholds,
    )
    return CheckedPlan(plan, tuple(remarks))


def _parse(answer: str | None, remarks: list[str]) -> Plan:
    try:
        return Plan.model_validate(json.loads(answer)) if answer else Plan()
    except (ValueError, ValidationError, RecursionError):
        remarks.append("the model's plan was malformed; the question was read by code alone")
        return Plan()


def _thresholds(proposed: Plan, text: str, remarks: list[str]) -> tuple[Threshold, ...]:
    numbers = quantities(text)
    kept: dict[FactName, Threshold] = {}
    for threshold in proposed.thresholds:
        number = _number_asked(threshold, numbers)
        if number is None:
            remarks.append(
                f"dropped {threshold.fact} {threshold.op} {threshold.value:g}: the question has no such number"
            )
        elif not _fact_asked(threshold.fact, text):
            remarks.append(
                f"dropped {threshold.fact} {threshold.op} {threshold.value:g}: the question has no word for it"
            )
        else:
            kept[threshold.fact] = _threshold(threshold.fact, threshold.op, number, text)
    for number in numbers:
        fact = _fact_counted(number, text)
        if fact is not None and fact not in kept:
            kept[fact] = _threshold(fact, ">=", number, text)
            remarks.append(f"added {fact} from the question's own words")
    return tuple(kept.values())


def _fact_counted(number: Quantity, text: str) -> FactName | None:
    """The fact that a number in the question is a condition on: the one whose word stands nearest to it.

    A number is a condition only if a comparison stands by it ("more than 5"), or if it is how long somebody was away.
    """
    away = number.unit == "day" and cues.INACTIVE.found(text)
    if away:
        return "recency_days"
    if cues.operator_near(text, number.start, number.end) is None:
        return None
    nearest: list[tuple[int, FactName]] = []
    for column in FACT_COLUMNS.values():
        if _can_mean(number, column):
            distances = [
                min(abs(match.end() - number.start), abs(match.start() - number.end))
                for match in cues.FACT_CUES[column.name].pattern.finditer(text)
            ]
            if distances:
                nearest.append((min(distances), column.name))
    return min(nearest)[1] if nearest else None


def _can_mean(number: Quantity, column: FactColumn) -> bool:
    """Whether a number with its unit can be a value of a fact."""
    if column.unit == "percent":
        return number.unit == "percent" or (not number.unit and number.value <= 1)
    return number.unit in ("", column.unit) and column.unit != "day"


def _number_asked(threshold: Threshold, numbers: Sequence[Quantity]) -> Quantity | None:
    """The question's number that a threshold can mean: its value as written or scaled, in a unit the fact has."""
    unit = FACT_COLUMNS[threshold.fact].unit
    for number in numbers:
        same = any(abs(threshold.value - v) < 1e-9 + 0.02 * abs(v) for v in (number.value, number.scaled))
        if same and (number.unit in ("", unit)):
            return number
    return None


def _fact_asked(fact: FactName, text: str) -> bool:
    return cues.FACT_CUES[fact].found(text) or (fact == "recency_days" and cues.INACTIVE.found(text))


def _threshold(fact: FactName, proposed: Operator, number: Quantity, text: str) -> Threshold:
    """The threshold in the fact's own units, with the comparison that the question's words ask for."""
    value = number.scaled
    if FACT_COLUMNS[fact].unit == "percent" and number.unit == "" and number.value > 1:
        value = number.value / 100
    asked = cues.operator_near(text, number.start, number.end)
    if asked is None and fact == "recency_days" and cues.INACTIVE.found(text):
        asked = ">="
    return Threshold(fact=fact, op=asked or proposed, value=value)


def _order(
    proposed: Plan, text: str, thresholds: Sequence[Threshold], remarks: list[str]
) -> tuple[FactName | Literal["none"], Order]:
    """The fact to rank by and the end that comes first; a fact with order `none` asks for its average."""
    if cues.LEAVING.found(text):
        remarks.append("who may leave is read as: who was away longest")
        return "recency_days", "highest"
    high, low = cues.HIGHEST.found(text), cues.LOWEST.found(text)
    average = cues.AVERAGE.found(text) and not thresholds
    fact = proposed.order_fact
    if fact != "none" and not _fact_asked(fact, text):
        remarks.append(f"dropped the order by {fact}: the question has no word for it")
        fact = "none"
    feeling = cues.POSITIVE.found(text) or cues.NEGATIVE.found(text)
    if fact == "none" and (average or ((high or low) and not feeling)):
        fact = next((column.name for column in FACT_COLUMNS.values() if _fact_asked(column.name, text)), "none")
    if fact == "none" or not (high or low or average):
        return "none", "none"
    return fact, "none" if average else "lowest" if low and not high else "highest"


def _polarity(proposed: PolarityFilter, text: str, remarks: list[str]) -> PolarityFilter:
    negative = cues.NEGATIVE.found(text)
    positive = cues.POSITIVE.found(cues.NEGATIVE.removed(text))
    if negative and positive:
        return "any"
    asked: PolarityFilter = "negative" if negative else "positive" if positive else "any"
    if proposed not in ("any", asked):
        remarks.append(f"dropped polarity {proposed}: the question does not ask for it")
    return asked


def _kind(proposed: KindFilter, text: str, remarks: list[str]) -> KindFilter:
    """Only intents and needs are told apart by words; likes and dislikes are stored under several kinds."""
    if cues.INTENT.found(text):
        return "intent"
    if cues.NEED.found(text):
        return "need"
    if proposed != "any":
        remarks.append(f"dropped kind {proposed}: the question does not ask for it")
    return "any"


def _segments_named(text: str, segments: Sequence[str]) -> list[str]:
    """Segments whose whole name stands in the question; a name inside a longer one found is not counted."""
    lowered = text.lower()
    found = [name for name in segments if name and fold(name).lower() in lowered]
    return [name for name in found if not any(name != other and name in other for other in found)]


def _segment_meant(proposed: str, text: str, segments: Sequence[str], remarks: list[str]) -> str:
    """The segment the model chose, if the question shares a word with its name and speaks of segments."""
    if not proposed:
        return ""
    words = {word.lower() for word in cues.content_words(fold(proposed))}
    said = {word.lower() for word in cues.content_words(text)}
    if proposed in segments and cues.SEGMENTS.found(text) and words & said:
        return proposed
    remarks.append(f"dropped segment {proposed!r}: the question does not name it")
    return ""


def _group_by(compare: bool, languages: int, named: int, text: str) -> GroupBy:
    if not compare:
        return "none"
    if languages:
        return "language"
    return "segment" if named > 1 or cues.SEGMENTS.found(text) else "none"


def _topic(
    proposed: str,
    bare: str,
    thresholds: Sequence[Threshold],
    order_fact: FactName | Literal["none"],
    remarks: list[str],
) -> str:
    """The subject of the question in its own words; empty if it has none beyond facts, segments and grammar."""
    rest = cues.AVERAGE.removed(cues.LEAVING.removed(bare))
    facts: list[FactName] = [t.fact for t in thresholds]
    if order_fact != "none":
        facts.append(order_fact)
    if facts:
        rest = cues.INACTIVE.removed(rest)
        for number in reversed(quantities(rest)):
            rest = rest[: number.start] + " " + rest[number.end :]
        for fact in facts:
            rest = cues.FACT_CUES[fact].removed(rest)
        rest = cues.LOWEST.removed(cues.HIGHEST.removed(cues.COMPARISON.removed(rest)))
    words = cues.content_words(rest)
    if not words:
        return ""
    said = {word.lower() for word in words}
    meant = fold(proposed).strip()
    if meant and _grounded(meant, bare) and any(word in meant.lower() for word in said):
        return meant
    if meant:
        remarks.append("replaced the topic: it is not in the question's words")
    return (" " if all(word.isascii() for word in words) else "").join(words)


def _bare(text: str, names: Sequence[str]) -> str:
    """The question without the names of segments and users: what they are called says nothing about what is asked."""
    for name in sorted(names, key=len, reverse=True):
        if name:
            text = re.sub(re.escape(fold(name)), " ", text, flags=re.IGNORECASE)
    return text


def _grounded(topic: str, question: str) -> bool:
    """Whether each word of a topic stands in the question (so that a model cannot bring in another subject)."""
    lowered = fold(question).lower()
    return all(word.lower() in lowered for word in cues.content_words(topic))
