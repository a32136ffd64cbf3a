"""Grammars: what they admit, told by translating them to regular expressions, which Python then judges."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.agents.extractor.schema import WORDINGS
from limner.agents.portraitist.schema import narrative_pattern
from limner.errors import LimnerError
from limner.serving.grammar import MAX_COUNTED, grammar_of_choices, grammar_of_pattern, grammar_of_schema

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\[(?:[^\]\\]|\\.)*\]|[a-z][a-z0-9-]*|\{\d+(?:,\d*)?\}|[()|*+?]')


def pattern(grammar: str) -> re.Pattern[str]:
    """The grammar's language as a regular expression (its rules do not call themselves)."""
    rules = dict(line.split(" ::= ", 1) for line in grammar.strip().splitlines())

    def translated(body: str) -> str:
        parts = []
        assert not _TOKEN.sub("", body).strip(), f"unknown syntax in {body}"
        for token in _TOKEN.findall(body):
            if token[0] == '"':
                text = re.sub(r"\\(.)", lambda m: {"n": "\n", "r": "\r"}.get(m[1], m[1]), token[1:-1])
                parts.append(f"(?:{re.escape(text)})")
            elif token[0].isalpha():
                parts.append(f"(?:{translated(rules[token])})")
            else:
                parts.append(token)
        return "".join(parts)

    return re.compile(translated(rules["root"]), re.DOTALL)


def admits(schema: dict[str, Any], text: str) -> bool:
    return pattern(grammar_of_schema(schema)).fullmatch(text) is not None


def minified(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


READING = {
    "type": "object",
    "properties": {
        "traits": {
            "type": "array",
            "minItems": 1,
            "maxItems": 3,
            "items": {
                "type": "object",
                "properties": {
                    "label": {"type": "string", "minLength": 1, "maxLength": 12},
                    "line": {"type": "integer", "minimum": 1, "maximum": 12},
                    "polarity": {"enum": ["positive", "negative", "中性"]},
                },
                "required": ["label", "line", "polarity"],
            },
        },
        "summary": {"type": "string", "maxLength": 300},
        "sure": {"type": "boolean"},
        "score": {"type": "integer"},
        "rest": {"type": "array", "maxItems": 2, "items": {"type": "string", "maxLength": 5}},
    },
    "required": ["traits", "summary", "sure", "score", "rest"],
}


def _ordered(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with their properties in the order given."""
    return st.tuples(*parts.values()).map(lambda values: dict(zip(parts, values, strict=True)))


_TEXT = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=12)
_TRAIT = _ordered(
    label=_TEXT.filter(bool), line=st.integers(1, 12), polarity=st.sampled_from(["positive", "negative", "中性"])
)
_READING = _ordered(
    traits=st.lists(_TRAIT, min_size=1, max_size=3),
    summary=_TEXT,
    sure=st.booleans(),
    score=st.integers(-999_999_999, 999_999_999),
    rest=st.lists(_TEXT.map(lambda t: t[:5]), max_size=2),
)
GOOD = {
    "traits": [{"label": "吉他", "line": 12, "polarity": "中性"}],
    "summary": "",
    "sure": True,
    "score": -3,
    "rest": [],
}


@given(_READING)
@settings(max_examples=60, deadline=None)
def test_every_value_of_the_schema_is_admitted_minified_and_only_so(value: dict[str, Any]) -> None:
    jsonschema.validate(value, READING)
    assert admits(READING, minified(value))
    assert not admits(READING, json.dumps(value, ensure_ascii=False))
    assert not admits(READING, json.dumps(value, ensure_ascii=False, indent=1))


@pytest.mark.parametrize(
    "change",
    [
        {"traits": []},
        {"traits": GOOD["traits"] * 4},
        {"traits": [{"label": "", "line": 1, "polarity": "中性"}]},
        {"traits": [{"label": "x" * 13, "line": 1, "polarity": "中性"}]},
        {"traits": [{"label": "x", "line": 13, "polarity": "中性"}]},
        {"traits": [{"label": "x", "line": 0, "polarity": "中性"}]},
        {"traits": [{"label": "x", "line": 1, "polarity": "neutral"}]},
        {"traits": [{"label": "x", "line": 1}]},
        {"sure": "true"},
        {"score": 1.5},
        {"score": 12_345_678_901},
        {"rest": ["a", "b", "c"]},
        {"rest": ["a" * 6]},
        {"rest": [1]},
        {"summary": "two\nlines"},
        {"summary": "tab\t"},
        {"summary": "\x00"},
        {"more": 1},
    ],
)
def test_what_is_not_in_the_schema_is_not_admitted(change: dict[str, Any]) -> None:
    assert admits(READING, minified(GOOD))
    assert not admits(READING, minified({**GOOD, **change}))


def test_order_is_the_schemas() -> None:
    assert not admits(READING, minified(dict(reversed(GOOD.items()))))


def test_escapes_are_the_two_that_are_needed() -> None:
    schema = {"type": "string"}
    assert admits(schema, r'"say \"hi\" \\ 😀 ，。"')
    assert not admits(schema, r'"\u0041"')
    assert not admits(schema, r'"\n"')
    assert not admits(schema, '"a"b"')


def test_a_long_string_is_left_to_the_check_after_the_answer() -> None:
    short, long = ({"type": "string", "maxLength": n} for n in (MAX_COUNTED, MAX_COUNTED + 1))
    assert admits(short, minified("x" * MAX_COUNTED))
    assert not admits(short, minified("x" * (MAX_COUNTED + 1)))
    assert admits(long, minified("x" * 1000))
    assert "{" not in grammar_of_schema(long)


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (
            {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "boolean"}},
            [[True, False]],
            [[], [True], [True] * 3],
        ),
        ({"type": "array", "items": {"type": "null"}}, [[], [None] * 9], [[1]]),
        ({"type": "array", "maxItems": 0, "items": {"type": "null"}}, [[]], [[None]]),
        ({"type": "integer", "minimum": -2, "maximum": 2}, [-2, 0, 2], [-3, 3, 22]),
        ({"type": "integer", "minimum": 0}, [0, 7, 123_456_789], [-1]),
        ({"type": "number"}, [0, -1.5, 3.25], ["1"]),
        ({"type": ["string", "null"], "maxLength": 3}, ["abc", None], [1]),
        ({"const": {"a": [1, "ü"]}}, [{"a": [1, "ü"]}], [{"a": [1]}]),
        ({"enum": [1, "1", None, 'q"\\']}, [1, "1", None, 'q"\\'], [2, "2"]),
        ({"anyOf": [{"const": 1}, {"type": "boolean"}]}, [1, True], [2]),
    ],
)
def test_kinds(schema: dict[str, Any], good: list[Any], bad: list[Any]) -> None:
    assert [value for value in good if not admits(schema, minified(value))] == []
    assert [value for value in bad if admits(schema, minified(value))] == []


def test_a_pydantic_schema_with_references_and_defaults() -> None:
    from pydantic import BaseModel

    class Mark(BaseModel):
        line: int
        why: str = ""

    class Answer(BaseModel):
        first: Mark
        others: list[Mark]

    schema = Answer.model_json_schema()
    value = Answer(first=Mark(line=1), others=[Mark(line=2, why="二")])
    assert admits(schema, value.model_dump_json())


def test_choices_admit_exactly_the_labels() -> None:
    labels = ("正面", "负面", 'a "b"', "back\\slash", "two\nlines", "neg", "negative")
    rule = pattern(grammar_of_choices(labels))
    assert all(rule.fullmatch(label) for label in labels)
    assert not any(rule.fullmatch(text) for text in ("", "正", "正面 ", "negativ"))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {"a": {"type": "mystery"}}},
        {"type": "array"},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"$ref": "#/$defs/absent"},
        {"$ref": "http://elsewhere/schema"},
    ],
)
def test_what_cannot_be_held_to_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(LimnerError, match="schema"):
        grammar_of_schema(schema)


@pytest.mark.parametrize("labels", [(), ("a", "")])
def test_choices_need_labels(labels: tuple[str, ...]) -> None:
    with pytest.raises(LimnerError, match="label"):
        grammar_of_choices(labels)


ASKED = {
    **{f"feeling {lang}": wording.feeling_pattern for lang, wording in WORDINGS.items()},
    **{f"history {lang}": wording.history_pattern for lang, wording in WORDINGS.items()},
    **{f"narrative {lang}": narrative_pattern(lang, ["interest", "preference", "objection"]) for lang in WORDINGS},
}
"""Every form that limner asks an answer to have."""


@pytest.mark.parametrize("form", ASKED.values(), ids=ASKED.keys())
def test_a_pattern_admits_what_it_matches(form: str) -> None:
    admitted = pattern(grammar_of_pattern(form))

    @given(st.from_regex(re.compile(form), fullmatch=True))
    @settings(max_examples=40, deadline=None)
    def matches(text: str) -> None:
        assert admitted.fullmatch(text)

    @given(st.from_regex(re.compile(form), fullmatch=True), st.data())
    @settings(max_examples=80, deadline=None)
    def changed(text: str, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(text)))
        other = text[:place] + data.draw(st.sampled_from(["\n", "x", "1", "：", ""])) + text[place + 1 :]
        assert bool(admitted.fullmatch(other)) == bool(re.fullmatch(form, other))

    matches()
    changed()
    assert all(kept.isascii() for kept in re.findall(r"\[\^([^]]*)\]", form)), "xgrammar forbids ASCII characters only"


@pytest.mark.parametrize("form", ["a.b", "^a", "a$", r"\d+", r"\bword", "(?:a|b)", "(?=a)"])
def test_what_a_pattern_cannot_be_held_to_is_refused(form: str) -> None:
    with pytest.raises(LimnerError, match="No grammar is written for"):
        grammar_of_pattern(form)


def test_a_tag_may_hold_the_colon_that_films_have_in_their_titles() -> None:
    assert re.fullmatch(WORDINGS["zh"].history_pattern, "兴趣 喜剧：3,4\n打算 看《速度与激情：特：28,3,43")
    assert re.fullmatch(WORDINGS["en"].history_pattern, "interest alien：covenant: 3")
