"""Which findings answer a plan: on facts, on a topic, on a segment, on everything, side by side for a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from limner.agents.analyst import cues, findings, tables
from limner.agents.analyst.retrieve import Bearing
from limner.agents.analyst.schema import FactName, Finding, Language, Plan
from limner.agents.quantities import quantities

if TYPE_CHECKING:
    import duckdb

TOLD = 6
"""Findings that a model is given and an answer rests on."""

QUOTES = 3
"""Quotes told where no trait answers."""

MOST_RANKED = 20
"""The longest ranking a question gets."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One question on one version of the workspace, with all that is needed to look for findings.

    Attributes:
        db: A connection on which `tables.restrict` was run for the plan.
        question: As asked.
        language: The question's.
        plan: Checked against the question.
        segments: All segments there are.
        segment: The one the question names, if any.
        named: Ids of the users the question names.
        eligible: How many users the plan's filters leave.
    """

    db: duckdb.DuckDBPyConnection
    question: str
    language: Language
    plan: Plan
    segments: list[tables.SegmentRow]
    segment: tables.SegmentRow | None
    named: list[str]
    eligible: int


def gather(scene: Scene, found: Bearing | None) -> list[Finding]:
    """The findings for a plan, the most direct first, at most `TOLD`.

    Args:
        scene: The question.
        found: What bears on the plan's topic; None if it has none.

    Returns:
        Nothing if the workspace does not say: a topic that nothing bears on is not answered by facts alone.
    """
    facts = _fact_findings(scene)
    if not scene.eligible:
        return facts
    if found is not None:
        on_topic = _topic_findings(scene, found)
        return (facts + on_topic)[:TOLD] if on_topic else []
    if scene.segment is not None:
        facts.append(findings.segment_finding(scene.db, scene.segment, scene.language))
    elif not facts and scene.plan.group_by == "none" and cues.SEGMENTS.found(scene.question):
        return [findings.segment_finding(scene.db, segment, scene.language) for segment in scene.segments[:TOLD]]
    if facts and scene.segment is None and not _asks_why(scene):
        return facts
    rows = tables.traits(scene.db, scene.plan)
    if cues.LEAVING.found(scene.question) and facts:
        leaving = set(facts[-1].users)
        rows = [row for row in rows if row.user_id in leaving]
    return (facts + _grouped(scene, rows, broad=True))[:TOLD]


def _asks_why(scene: Scene) -> bool:
    """Whether a question with facts also asks what these users think."""
    return cues.LEAVING.found(scene.question) or scene.plan.polarity != "any"


def _fact_findings(scene: Scene) -> list[Finding]:
    plan, told = scene.plan, []
    if plan.thresholds:
        alone = plan.language == "any" and scene.segment is None and not scene.named
        told.append(findings.threshold_finding(scene.db, plan.thresholds, scene.eligible, scene.language, alone=alone))
    if plan.order_fact != "none" and scene.eligible:
        fact: FactName = plan.order_fact
        if plan.order == "none":
            told.append(findings.spread_finding(scene.db, fact, scene.language))
        else:
            limit = _limit(scene.question)
            told.append(findings.ranking_finding(scene.db, fact, plan.order == "highest", limit, scene.language))
    found = [finding for finding in told if finding is not None]
    if _period_asked(scene):
        found = [findings.over_all_time(finding, scene.language) for finding in found]
    return found


def _period_asked(scene: Scene) -> bool:
    """Whether the question has a length of time that no condition is about: facts cover the whole history."""
    asked = [q.scaled for q in quantities(scene.question) if q.unit == "day"]
    met = [t.value for t in scene.plan.thresholds if t.fact in ("recency_days", "events_30d", "events_90d")]
    recent = any(t.fact in ("events_30d", "events_90d") for t in scene.plan.thresholds)
    return not recent and any(days not in met for days in asked)


def _limit(question: str) -> int:
    """How many users a ranking shows: the question's own small whole number, or `findings.RANKED`."""
    asked = [q.value for q in quantities(question) if not q.unit and q.value == int(q.value)]
    return int(asked[0]) if asked and 1 <= asked[0] <= MOST_RANKED else findings.RANKED


def _topic_findings(scene: Scene, found: Bearing) -> list[Finding]:
    """Findings on traits; what customers wrote where no trait bears on the topic and no feeling was asked for."""
    labels = list(dict.fromkeys(tables.labels_of(scene.db, found.traits).values()))
    rows = tables.traits(scene.db, scene.plan, labels) if labels else []
    told = _grouped(scene, rows, broad=False)
    if not rows and scene.plan.polarity == "any" and scene.plan.kind == "any":
        users = set(tables.eligible_users(scene.db))
        quotes = {(q.user_id, q.event_id): q for q in found.quotes if q.user_id in users}
        told = [findings.quote_finding(q, scene.language) for q in list(quotes.values())[:QUOTES]]
    asked = cues.SEGMENTS.found(scene.question) and scene.segment is None
    near = [s for s in scene.segments if s.segment_id in found.segments] if asked else []
    return told + [findings.segment_finding(scene.db, segment, scene.language) for segment in near[:2]]


def _grouped(scene: Scene, rows: Sequence[tables.TraitRow], *, broad: bool) -> list[Finding]:
    """Findings over traits, side by side for a comparison."""
    tell = findings.broad_findings if broad else findings.topic_findings
    if scene.plan.group_by == "none":
        return tell(rows, scene.language)
    told: list[list[Finding]] = []
    for group in findings.groups(scene.plan, scene.language, scene.segments, scene.question):
        users = set(tables.eligible_users(scene.db, group.language, group.segment_id))
        told.append(tell([row for row in rows if row.user_id in users], scene.language, group.name))
    longest = max((len(side) for side in told), default=0)
    return [side[at] for at in range(longest) for side in told if at < len(side)]


NO_USERS = {
    "en": "The workspace has no users yet, so nothing can be said; load data with `limner ingest FILE`.",
    "zh": "工作区里还没有用户，因此无法回答；请先用 `limner ingest 文件` 载入数据。",
}
_NO_TRAITS = {
    "en": "The workspace has no traits that bear on this; read the histories first with `limner extract`.",
    "zh": "工作区里没有与此有关的特征；请先用 `limner extract` 读取历史。",
}
_NOTHING_ON_TOPIC = {
    "en": "Nothing found in the customers' histories bears on this question, so it is not answered.",
    "zh": "在客户历史中没有找到与这个问题有关的内容，因此不作回答。",
}
_NOBODY = {
    "en": "No user meets the question's conditions, or the data does not say, so it is not answered.",
    "zh": "没有用户符合问题的条件，或者数据没有说明，因此不作回答。",
}


def why_nothing(scene: Scene) -> str:
    """Why a question got no finding, in its language."""
    if not tables.count(scene.db, "SELECT count(*) FROM present_traits"):
        return _NO_TRAITS[scene.language]
    return (_NOTHING_ON_TOPIC if scene.eligible else _NOBODY)[scene.language]
