"""Numbered findings: what code counted for a plan, each one sentence with its users and its citations.

A finding is true by construction: its counts come from the tables, its quotes are stored slices. The model may only
retell findings; if it does not manage that, they are the answer themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from limner.agents.analyst import phrases, tables
from limner.agents.analyst.phrases import Stance
from limner.agents.analyst.retrieve import Quote
from limner.agents.analyst.schema import Citation, FactName, Finding, Language, Plan, Threshold
from limner.agents.analyst.tables import FactValue, SegmentRow, TraitRow

if TYPE_CHECKING:
    import duckdb

LABELS_SHOWN = 3
"""Labels that one finding names: the ones most users have."""

QUOTES_SHOWN = 2
"""Quotes that one finding shows: the surest users'."""

CITED_USERS = 20
CITED_EVENTS = 3
"""How many users and events one finding cites at most; its count is over all its users."""

RANKED = 5
"""Users that a ranking shows where the question names no number."""

BROAD_LABELS = 4
"""Labels that a question without a topic is answered with."""

Polarity = Literal["any", "positive", "negative", "mixed", "neutral"]

_POLARITY_OF: dict[str, Polarity] = {
    "like": "positive",
    "dislike": "negative",
    "mixed": "mixed",
    "mention": "neutral",
    "intend": "positive",
    "need": "neutral",
}


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def threshold_finding(
    db: duckdb.DuckDBPyConnection, thresholds: Sequence[Threshold], eligible: int, language: Language, *, alone: bool
) -> Finding | None:
    """How many users meet the plan's conditions on facts, and which; if none does, who comes nearest.

    None if the facts asked for are known of nobody, or nobody is left and there is no telling which filter did it.

    Args:
        db: A connection with the `eligible` users.
        thresholds: The conditions.
        eligible: How many users meet them and the plan's other filters.
        language: The question's.
        alone: Whether the conditions are the plan's only filter, so that one can say out of how many users.
    """
    known = min(tables.known(db, threshold.fact) for threshold in thresholds)
    if not known:
        return None
    conditions = ("，且" if language == "zh" else " and ").join(phrases.condition_text(t, language) for t in thresholds)
    first = thresholds[0]
    highest = first.op in (">=", ">", "==")
    if not eligible:
        only = alone and len(thresholds) == 1
        return _nobody(db, first, conditions, known, highest, language) if only else None
    users = tables.eligible_users(db)
    shown = [_value_text(v, first.fact, language) for v in tables.ranked(db, first.fact, highest=highest, limit=RANKED)]
    counted = phrases.users_text(len(users), language)
    if language == "zh":
        head = f"{counted}符合：{conditions}" + (f"（有该数据的共 {known} 名）" if alone else "")
    else:
        verb = "meets" if len(users) == 1 else "meet"
        head = f"{counted} {verb} this: {conditions}" + (f" (of {known} with known data)" if alone else "")
    cited = tuple(Citation("user", user) for user in users[:CITED_USERS])
    return Finding(phrases.sentence([head, _listed(shown, language)], language), "any", tuple(users), cited)


def over_all_time(finding: Finding, language: Language) -> Finding:
    """The finding with the remark that it counts the whole history: facts have no other period."""
    note = (
        "（按全部历史计，不限于所问时段）。" if language == "zh" else " (over the whole history, not only that period)."
    )
    return replace(finding, text=finding.text.rstrip("。.") + note)


def _nobody(
    db: duckdb.DuckDBPyConnection, threshold: Threshold, conditions: str, known: int, highest: bool, language: Language
) -> Finding | None:
    nearest = tables.ranked(db, threshold.fact, highest=highest, limit=1, everyone=True)
    if not nearest:
        return None
    value = _value_text(nearest[0], threshold.fact, language)
    if language == "zh":
        text = f"在有该数据的 {known} 名用户中，没有人符合（{conditions}）；最接近的是 {value}。"
    else:
        text = f"None of the {known} users with known data meets this: {conditions}; the nearest is {value}."
    user = nearest[0].user_id
    return Finding(text, "any", (user,), (Citation("user", user),))


def _value_text(value: FactValue, fact: FactName, language: Language) -> str:
    shown = phrases.fact_value(fact, value.value, language)
    return f"{value.user_id}（{shown}）" if language == "zh" else f"{value.user_id} ({shown})"


def _listed(values: Sequence[str], language: Language) -> str:
    return ("、" if language == "zh" else ", ").join(values)


def ranking_finding(
    db: duckdb.DuckDBPyConnection, fact: FactName, highest: bool, limit: int, language: Language
) -> Finding | None:
    """The users at one end of a fact."""
    values = tables.ranked(db, fact, highest=highest, limit=limit)
    if not values:
        return None
    name, users = phrases.fact_name(fact, language), [v.user_id for v in values]
    shown = _listed([_value_text(v, fact, language) for v in values], language)
    if language == "zh":
        text = f"{name}{'最高' if highest else '最低'}的是：{shown}。"
    else:
        text = f"{'Highest' if highest else 'Lowest'} {name}: {shown}."
    return Finding(text, "any", tuple(users), tuple(Citation("user", user) for user in users))


def spread_finding(db: duckdb.DuckDBPyConnection, fact: FactName, language: Language) -> Finding | None:
    """Mean and median of a fact over the users in question; cites the users at both ends."""
    found = tables.spread(db, fact)
    if found is None:
        return None
    mean, median = (phrases.fact_value(fact, value, language) for value in (found.mean, found.median))
    name = phrases.fact_name(fact, language)
    if language == "zh":
        text = f"{name}：平均 {mean}，中位数 {median}，依据 {found.known} 名有该数据的用户。"
    else:
        text = f"{name}: mean {mean}, median {median}, over the {found.known} users with known data."
    users = [v.user_id for v in tables.ranked(db, fact, highest=True, limit=found.known)]
    ends = _distinct([*users[:1], *users[-1:]])
    return Finding(text[0].upper() + text[1:], "any", tuple(users), tuple(Citation("user", user) for user in ends))


def topic_findings(rows: Sequence[TraitRow], language: Language, group: str = "") -> list[Finding]:
    """One finding per stance over traits that all bear on one topic, the stance of most users first.

    Args:
        rows: The traits, the surest first.
        language: The question's.
        group: Words that open the finding, such as a segment's name.
    """
    by_stance: dict[str, list[TraitRow]] = {}
    kinds: dict[str, Stance] = {}
    for row in rows:
        of = phrases.stance(row.kind, row.polarity)
        kinds[of.name] = of
        by_stance.setdefault(of.name, []).append(row)
    ordered = sorted(by_stance, key=lambda name: (-len({r.user_id for r in by_stance[name]}), kinds[name].order))
    return [_trait_finding(kinds[name], by_stance[name], language, group) for name in ordered]


def broad_findings(
    rows: Sequence[TraitRow], language: Language, group: str = "", limit: int = BROAD_LABELS
) -> list[Finding]:
    """The labels that most users share, one finding per label and stance."""
    by_label: dict[str, list[TraitRow]] = {}
    for row in rows:
        key = f"{phrases.stance(row.kind, row.polarity).name}\0{row.label.casefold()}"
        by_label.setdefault(key, []).append(row)
    most = sorted(by_label.values(), key=lambda found: (-len({r.user_id for r in found}), found[0].label.casefold()))
    return [
        _trait_finding(phrases.stance(found[0].kind, found[0].polarity), found, language, group)
        for found in most[:limit]
    ]


def _trait_finding(of: Stance, rows: Sequence[TraitRow], language: Language, group: str) -> Finding:
    users = _distinct(row.user_id for row in rows)
    spread: dict[str, set[str]] = {}
    names: dict[str, str] = {}
    for row in rows:
        names.setdefault(row.label.casefold(), row.label)
        spread.setdefault(row.label.casefold(), set()).add(row.user_id)
    labels = [names[key] for key in sorted(spread, key=lambda key: (-len(spread[key]), list(names).index(key)))]
    quotes = list({row.user_id: row for row in reversed(rows)}.values())[::-1][:QUOTES_SHOWN]
    head = phrases.stance_text(of, users, labels[:LABELS_SHOWN], language)
    said = [phrases.said_text(row.user_id, row.quote, language) for row in quotes]
    events = _distinct(row.event_id for row in (*quotes, *rows))[:CITED_EVENTS]
    citations = (
        *(Citation("user", user) for user in users[:CITED_USERS]),
        *(Citation("event", event) for event in events),
    )
    text = _opened(group, phrases.sentence([head, *said], language), language)
    return Finding(text, _POLARITY_OF[of.name], tuple(users), citations)


def _opened(group: str, text: str, language: Language) -> str:
    if not group:
        return text
    return f"{group}：{text}" if language == "zh" else f"{group}: {text}"


def quote_finding(quote: Quote, language: Language) -> Finding:
    """What one customer wrote, where no trait says it."""
    said, user = phrases.quoted(quote.text, language), quote.user_id
    sentence = f"用户 {user} 写道：{said}。" if language == "zh" else f"User {user} wrote: {said}."
    return Finding(sentence, "any", (user,), (Citation("event", quote.event_id), Citation("user", user)))


def segment_finding(db: duckdb.DuckDBPyConnection, segment: SegmentRow, language: Language) -> Finding:
    """A segment, its size and what sets it apart from everyone else."""
    users = tables.members(db, segment.segment_id)
    apart = [f for f in segment.features if f["label"] and f["lift"] is not None and math.isfinite(f["lift"])]
    head = _listed([_feature(feature, language) for feature in apart[:LABELS_SHOWN]], language)
    name = phrases.quoted(segment.name, language)
    if language == "zh":
        text = f"人群{name}有 {phrases.users_text(len(users), language)}" + (f"，突出特征：{head}。" if head else "。")
    else:
        text = f"Segment {name} has {phrases.users_text(len(users), language)}" + (
            f"; it stands out for {head}." if head else "."
        )
    return Finding(text, "any", tuple(users), (Citation("segment", segment.segment_id),))


def _feature(feature: Mapping[str, Any], language: Language) -> str:
    """One thing that sets a segment apart, with its share of the members and its lift."""
    label, lift = phrases.quoted(feature["label"], language), phrases.number(round(feature["lift"], 1))
    if feature["kind"] == "complaint":
        label = f"抱怨{label}" if language == "zh" else f"complaints about {label}"
    share = "" if feature["share"] is None else f"{phrases.number(round(feature['share'] * 100))}%"
    if language == "zh":
        return f"{label}（{share}{'，' if share else ''}为其他人的 {lift} 倍）"
    return f"{label} ({share}{', ' if share else ''}{lift} times everyone else)"


@dataclass(frozen=True, slots=True)
class Group:
    """One side of a comparison: how findings call it, and the language or segment its users have."""

    name: str
    language: str | None
    segment_id: str | None


def groups(plan: Plan, language: Language, segments: Sequence[SegmentRow], question: str) -> list[Group]:
    """The sides of a comparison: both languages, the segments the question names, or the three largest."""
    if plan.group_by == "language":
        names = (
            ("写中文的用户", "写英文的用户") if language == "zh" else ("Users writing Chinese", "Users writing English")
        )
        return [Group(names[0], "zh", None), Group(names[1], "en", None)]
    named = [s for s in segments if s.name and s.name.lower() in question.lower()] or list(segments[:3])
    return [Group(phrases.quoted(s.name, language), None, s.segment_id) for s in named]
