"""The analyst's requests to a model: one for the plan, one for the answer's sentences, one more to repair them."""

from __future__ import annotations

from collections.abc import Sequence

from limner.agents.analyst.schema import FACT_COLUMNS, Finding, Language, answer_schema, plan_schema
from limner.prompts import load
from limner.serving.request import ChatRequest

PLAN = "ask_plan"
ANSWER = "ask_answer"

PLAN_TOKENS = 220
"""A plan with three conditions is about 120 tokens of JSON."""

ANSWER_TOKENS = 320


def plan_request(question: str, language: Language, segments: Sequence[str]) -> ChatRequest:
    """Asks how a question reads as a plan. The names of segments stand in the schema only: a choice, not text."""
    prompt = load(PLAN, language)
    return ChatRequest(
        messages=prompt.render(question=question, facts=list(FACT_COLUMNS.values())),
        prompt=prompt.id,
        schema=plan_schema(tuple(segments)),
        max_tokens=PLAN_TOKENS,
    )


def answer_request(
    question: str, language: Language, findings: Sequence[Finding], problems: Sequence[str] = ()
) -> ChatRequest:
    """Asks for sentences over findings.

    Args:
        question: As asked.
        language: The language to answer in.
        findings: What code found, in the order of their numbers.
        problems: What was wrong with the first answer; empty for the first.
    """
    prompt = load(ANSWER, language)
    return ChatRequest(
        messages=prompt.render(
            question=question, findings=[finding.text for finding in findings], problems=list(problems)
        ),
        prompt=prompt.id,
        schema=answer_schema(len(findings)),
        max_tokens=ANSWER_TOKENS,
    )
