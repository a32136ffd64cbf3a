"""What limner does not answer: things it does not infer about people, and questions about its own inner texts.

Read by code before any model sees the question, from the expressions in `refused.toml`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from limner.agents.analyst.cues import Cue, cue, word_list
from limner.agents.analyst.schema import Language
from limner.agents.quantities import fold


@dataclass(frozen=True, slots=True)
class RefusedTopic:
    """A topic that is not answered: how it is found in a question, and how the answer calls it."""

    found: Cue
    en: str
    zh: str


REFUSED_TOPICS: dict[str, RefusedTopic] = {
    name: RefusedTopic(cue(topic["en"], topic["zh"]), topic["name_en"], topic["name_zh"])
    for name, topic in word_list("refused.toml")["topic"].items()
}
_INNER = re.compile("|".join(word_list("refused.toml")["inner"]["anywhere"]), re.IGNORECASE | re.DOTALL)

_REASON = {
    "en": "limner does not infer {what} from customer histories, so this question is not answered.",
    "zh": "limner 不从客户历史中推断{what}，因此不回答这个问题。",
}
_INNER_REASON = {
    "en": "This asks about limner's own instructions or queries, not about customers; ask about the customers instead.",
    "zh": "这个问题问的是 limner 自身的指令或查询，而不是客户；请改问与客户有关的问题。",
}


def refusal(question: str, language: Language) -> str | None:
    """The reason why a question is not answered, in the question's language; None if it may be."""
    folded = fold(question)
    for topic in REFUSED_TOPICS.values():
        if topic.found.found(folded):
            return _REASON[language].format(what=topic.en if language == "en" else topic.zh)
    return _INNER_REASON[language] if _INNER.search(folded) else None
