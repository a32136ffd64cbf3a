"""What the analyst takes and gives: the typed plan of a question, numbered findings, and the answer with citations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Language = Literal["zh", "en"]
CitationType = Literal["user", "segment", "event"]
Measure = Literal["count", "list", "describe", "compare"]
Operator = Literal[">=", ">", "<=", "<", "=="]
PolarityFilter = Literal["any", "positive", "negative", "mixed"]
KindFilter = Literal["any", "interest", "intent", "sentiment", "need", "preference", "objection"]
GroupBy = Literal["none", "language", "segment"]


FactName = Literal[
    "recency_days",
    "frequency",
    "monetary",
    "average_order",
    "return_rate",
    "rating_mean",
    "ratings",
    "events",
    "texts",
    "events_30d",
    "events_90d",
]


@dataclass(frozen=True, slots=True)
class FactColumn:
    """A fact that a plan may filter or order by.

    Attributes:
        name: The column of the `facts` table; only these names ever reach a query.
        unit: What a threshold on it is measured in: days, a share of 1, money, or a plain number.
        en, zh: How a finding speaks of it.
    """

    name: FactName
    unit: Literal["day", "percent", "money", ""]
    en: str
    zh: str


FACT_COLUMNS: dict[FactName, FactColumn] = {
    column.name: column
    for column in (
        FactColumn("recency_days", "day", "days since last seen", "距最近一次活动的天数"),
        FactColumn("frequency", "", "number of orders", "下单次数"),
        FactColumn("monetary", "money", "money spent", "消费总额"),
        FactColumn("average_order", "money", "average order value", "平均每单金额"),
        FactColumn("return_rate", "percent", "return rate", "退货率"),
        FactColumn("rating_mean", "", "average rating", "平均评分"),
        FactColumn("ratings", "", "number of ratings", "评分次数"),
        FactColumn("events", "", "number of events", "事件数"),
        FactColumn("texts", "", "number of texts", "文字条数"),
        FactColumn("events_30d", "", "events in the last 30 days", "近30天事件数"),
        FactColumn("events_90d", "", "events in the last 90 days", "近90天事件数"),
    )
}


class Threshold(BaseModel):
    """One condition on a fact: `recency_days >= 90`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fact: FactName
    op: Operator
    value: float


class Plan(BaseModel):
    """A question as the model reads it, before and after code has checked it.

    Attributes:
        topic: What the question is about, in its own words; empty if it is only about facts or about everything.
        measure: What is wanted of the users found.
        polarity, kind: Restrictions on traits.
        language: Restriction to users who mostly write one language.
        segment: Restriction to one segment, by name; empty for none.
        group_by: What to compare by.
        order_fact, order: The fact to rank users by, and which end comes first.
        thresholds: Conditions on facts; all must hold.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    topic: str = Field(default="", max_length=200)
    measure: Measure = "describe"
    polarity: PolarityFilter = "any"
    kind: KindFilter = "any"
    language: Literal["any", "zh", "en"] = "any"
    segment: str = ""
    group_by: GroupBy = "none"
    order_fact: Literal["none"] | FactName = "none"
    order: Literal["none", "highest", "lowest"] = "none"
    thresholds: tuple[Threshold, ...] = Field(default=(), max_length=3)


def plan_schema(segments: tuple[str, ...] = ()) -> dict[str, Any]:
    """The JSON schema the model's plan is held to; a segment can only be one that exists.

    A free string is never the first field: held to JSON without white space, the default model opened such a string
    with a comma. Which languages are asked for is not asked of it: code reads that from the question's words.
    """
    names = list(FACT_COLUMNS)
    threshold = {
        "type": "object",
        "properties": {
            "fact": {"enum": names},
            "op": {"enum": [">=", "<=", ">", "<", "=="]},
            "value": {"type": "number"},
        },
        "required": ["fact", "op", "value"],
        "additionalProperties": False,
    }
    properties: dict[str, Any] = {
        "measure": {"enum": ["count", "list", "describe", "compare"]},
        "topic": {"type": "string"},
        "polarity": {"enum": ["any", "positive", "negative", "mixed"]},
        "kind": {"enum": ["any", "interest", "intent", "sentiment", "need", "preference", "objection"]},
        "segment": {"enum": ["", *segments]},
        "order_fact": {"enum": ["none", *names]},
        "order": {"enum": ["none", "highest", "lowest"]},
        "thresholds": {"type": "array", "items": threshold, "maxItems": 3},
    }
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def answer_schema(findings: int) -> dict[str, Any]:
    """The JSON schema of an answer: one or two sentences and the numbers of the findings they rest on."""
    properties = {
        "marks": {
            "type": "array",
            "items": {"enum": list(range(1, findings + 1))},
            "minItems": 1,
            "maxItems": min(3, findings),
        },
        "text": {"type": "string"},
    }
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


class Lead(BaseModel):
    """What the model says before the findings: the answer in a sentence or two, and the findings it rests on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = Field(min_length=1, max_length=400)
    marks: tuple[int, ...] = Field(min_length=1, max_length=6)


@dataclass(frozen=True, slots=True)
class Citation:
    """A user, segment or event that is in the workspace."""

    type: CitationType
    id: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing code found, in words, with the users it was counted over.

    Attributes:
        text: One sentence in the question's language; its numbers were computed.
        polarity: The feeling it tells of, or `any` if it tells of none.
        users: Ids of all users it rests on.
        citations: What to cite for it, the most telling first.
    """

    text: str
    polarity: Literal["any", "positive", "negative", "mixed", "neutral"]
    users: tuple[str, ...]
    citations: tuple[Citation, ...]


@dataclass(frozen=True, slots=True)
class AskAnswer:
    """The answer to a question.

    Attributes:
        question: As asked.
        language: `zh` or `en`, the question's.
        answer: The model's lead, if it passed the checks, and the findings it rests on with citation marks such as
            `[1]` or `[2-5]`: numbers into `citations`, counted from 1. When abstained, the reason.
        citations: What the answer rests on; each is in the workspace.
        n: Number of users the answer rests on.
        abstained: True if nothing in the workspace bears on the question, or limner does not infer such things.
        remarks: What was left out of the question's plan and why, for the log; not part of the JSON.
    """

    question: str
    language: Language
    answer: str
    citations: tuple[Citation, ...]
    n: int
    abstained: bool
    remarks: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The answer as `limner ask --json` prints it."""
        return {
            "question": self.question,
            "language": self.language,
            "answer": self.answer,
            "citations": [{"type": c.type, "id": c.id} for c in self.citations],
            "n": self.n,
            "abstained": self.abstained,
        }
