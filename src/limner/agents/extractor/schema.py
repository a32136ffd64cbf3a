"""What the extractor's questions may be answered with, and what it hands on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from limner.evidence.records import Polarity, SignalKind
from limner.serving.quote import Comparison
from limner.serving.request import Usage


@dataclass(frozen=True, slots=True)
class Feeling:
    """What a one-word feeling about a clause means as a signal."""

    kind: SignalKind
    polarity: Polarity


FEELINGS: Mapping[str, Feeling] = {
    "like": Feeling("preference", "positive"),
    "dislike": Feeling("objection", "negative"),
    "want": Feeling("intent", "positive"),
    "need": Feeling("need", "positive"),
}


HISTORY_TOKENS = 190
"""Tokens a small model may write about a history: six of the longest lines, Chinese at up to two tokens a character.
An answer cut short would be malformed, and the user would fail for it."""


@dataclass(frozen=True, slots=True)
class Wording:
    """The words in which a small model answers in one language.

    Attributes:
        positive, negative: Answers to the sentiment question, asked of reviews and posts.
        moods: Answers to the mood question, asked of messages, which are often neither.
        feelings: The word for each feeling.
        nothing: The answer for a clause that says no feeling.
        unnamed: What stands for an object that the clause does not name.
        colon: Between feeling and object.
        interest, intent: What a line of the history answer begins with.
        overall: Label of a text's own sentiment when it is about nothing that has a name.
        longest_tag: Characters of a tag in the history answer: six full lines must fit into `HISTORY_TOKENS`.
    """

    positive: str
    negative: str
    moods: Mapping[str, Polarity]
    feelings: Mapping[str, str]
    nothing: str
    unnamed: str
    colon: str
    interest: str
    intent: str
    overall: str
    longest_tag: int

    @property
    def feeling_pattern(self) -> str:
        """Regular expression of the answer to the feeling question."""
        words = "|".join(self.feelings.values())
        return f"{self.nothing}|({words}){self.colon}[^\\n]{{1,40}}"

    @property
    def history_pattern(self) -> str:
        """Regular expression of the answer to the history question.

        A tag may hold a full-width colon: titles of films do, and the engine's grammar forbids only ASCII characters.
        """
        tag = f"[^\\n:0-9]{{2,{self.longest_tag}}}"
        line = f"({self.interest}|{self.intent}) {tag}{self.colon}[0-9]{{1,2}}(,[0-9]{{1,2}}){{0,2}}"
        return f"{line}(\\n{line}){{0,5}}"


WORDINGS: Mapping[str, Wording] = {
    "en": Wording(
        "positive",
        "negative",
        {"pleased": "positive", "upset": "negative", "neutral": "neutral"},
        {w: w for w in FEELINGS},
        "none",
        "it",
        ": ",
        "interest",
        "intent",
        "overall",
        longest_tag=24,
    ),
    "zh": Wording(
        "正面",
        "负面",
        {"满意": "positive", "不满": "negative", "平静": "neutral"},
        {"like": "喜欢", "dislike": "讨厌", "want": "想要", "need": "需要"},
        "无",
        "它",
        "：",
        "兴趣",
        "打算",
        "总体评价",
        longest_tag=10,
    ),
}

FIRST = "1"
"""The number of a text that is asked about alone."""

_SAID: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "sentiment": {"type": "string", "enum": ["positive", "negative", "mixed", "neutral"]},
        "said": {
            "type": "array",
            "maxItems": 6,
            "items": {
                "type": "object",
                "properties": {
                    "feeling": {"type": "string", "enum": [*FEELINGS]},
                    "about": {"type": "string", "maxLength": 60},
                    "quote": {"type": "string", "maxLength": 300},
                },
                "required": ["feeling", "about", "quote"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["sentiment", "said"],
    "additionalProperties": False,
}
"""What a larger model says of one text."""


def reading_schema(texts: int) -> Mapping[str, Any]:
    """The answer of a larger model to some numbered texts: an object with one entry under each number, from 1."""
    numbers = [str(number) for number in range(1, texts + 1)]
    return {
        "type": "object",
        "properties": {number: {"$ref": "#/$defs/said"} for number in numbers},
        "required": numbers,
        "additionalProperties": False,
        "$defs": {"said": _SAID},
    }


_TAGS: Mapping[str, Any] = {
    "type": "array",
    "maxItems": 6,
    "items": {
        "type": "object",
        "properties": {
            "tag": {"type": "string", "maxLength": 40},
            "lines": {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 6},
        },
        "required": ["tag", "lines"],
        "additionalProperties": False,
    },
}

HISTORY_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"interests": _TAGS, "intents": _TAGS},
    "required": ["interests", "intents"],
    "additionalProperties": False,
}
"""The answer of a larger model to one history."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an extraction stands."""

    users: int
    done: int
    failed: int
    accepted: int
    rejected: int


@dataclass(frozen=True, slots=True)
class ExtractSummary:
    """What one extraction did.

    Attributes:
        run: The run's id.
        users: Users whose history was read, failed ones included.
        failed: Why each failed user failed, by user id.
        reasons: How many signals were rejected for each reason.
        unread_texts: Older texts beyond the plan's limit, not read.
        sentences: Of the narratives written: sentences of the model that were `kept`, its lines that were `refused`,
            kept ones that came from a repair question (`repaired`), plain ones in place of refused ones (`replaced`).
        quote: What was expected against what it took.
    """

    run: str
    users: int
    failed: Mapping[str, str]
    calls: int
    cached_calls: int
    input_tokens: int
    output_tokens: int
    seconds: float
    accepted: int
    rejected: int
    reasons: Mapping[str, int] = field(default_factory=dict)
    unread_texts: int = 0
    sentences: Mapping[str, int] = field(default_factory=dict)
    quote: Comparison | None = None

    def counted(self, usage: Usage, quote: Comparison) -> ExtractSummary:
        """The summary with all that the run took, narratives included, and its quote."""
        return replace(
            self,
            calls=usage.calls,
            cached_calls=usage.cached_calls,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            seconds=usage.seconds,
            quote=quote,
        )

    def to_json(self) -> dict[str, Any]:
        """The summary as `limner extract --json` prints it."""
        return {
            "run": self.run,
            "users": self.users,
            "failed_users": len(self.failed),
            "calls": self.calls,
            "cached_calls": self.cached_calls,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "seconds": round(self.seconds, 3),
            "signals": {"accepted": self.accepted, "rejected": self.rejected},
            "reasons": dict(sorted(self.reasons.items(), key=lambda pair: (-pair[1], pair[0]))),
            "sentences": dict(self.sentences),
            "quote": self.quote and self.quote.to_dict(),
        }
