r"""Grammars that hold a model to one of some labels, to a regular expression, or to a JSON schema without white space.

The engines' own JSON-schema grammars allow white space, and small models then indent: several times the tokens for the
same answer, and written tokens are the bill. So the part of JSON Schema that limner uses is turned into an EBNF grammar
(the dialect of xgrammar, which is that of llama.cpp's GBNF): objects, whose properties are all written, in the order
given, required or not; arrays with a minimum and maximum of items; strings with a minimum and maximum length;
integers; numbers; booleans; null; `enum`, `const`, `anyOf`, lists of types; `$ref` to `$defs`.

Strings hold any language but no control characters and no escapes other than `\"` and `\\`: a model has no line breaks
to write into a label or a sentence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from limner.errors import LimnerError

MAX_LISTED = 1000
"""Up to how many values an integer's range is written out, so that nothing outside it can be written."""

MAX_DIGITS = 9
"""Digits of an integer without such a range; the schema check after the answer knows the exact limits."""

MAX_COUNTED = 40
"""Up to which maximum length a string's characters are counted by the grammar. Each character that is counted costs
xgrammar 40 ms once (measured: 1.5 s for 40, 4.7 s for 120, nothing uncounted), so a longer string may be of any length
in the grammar, and the schema check after the answer counts."""

_CHARACTER = r'[^"\\\x00-\x1f\x7f] | "\\" ["\\]'
"""What a string may hold: no quotation mark or backslash unless escaped, no control characters. Only ASCII may stand
in a negated class of xgrammar; everything else, Chinese first of all, is allowed."""


def grammar_of_choices(choices: Sequence[str]) -> str:
    """A grammar that admits exactly the given labels.

    Raises:
        LimnerError: There is no label, or an empty one.
    """
    if not choices or not all(choices):
        raise LimnerError("A question with choices needs at least one label, and none of them empty.")
    return f"root ::= {' | '.join(map(_literal, choices))}\n"


_PIECE = re.compile(r"\[(?:[^\]\\]|\\.)*\]|\{\d+(?:,\d*)?\}|\(\?|[()|*+?]|\\.|[^\\]", re.DOTALL)
"""A piece of a regular expression: a class, a count, a sign, an escaped character or a plain one."""


def grammar_of_pattern(pattern: str) -> str:
    """A grammar that admits what a regular expression matches as a whole.

    Known are plain and escaped characters, classes, groups, `|` and counts: what `ChatRequest.pattern` may hold.

    Raises:
        LimnerError: The expression uses something else.
    """
    parts: list[str] = []
    for piece in _PIECE.findall(pattern):
        if piece in (".", "^", "$", "(?") or re.fullmatch(r"\\[A-Za-mo-z0-9]", piece):
            raise LimnerError(f"No grammar is written for {piece!r} in the answer's form {pattern!r}.")
        if piece[0] == "[":
            parts.append(piece.replace("\n", "\\n"))
        elif piece in "()|*+?" or re.fullmatch(r"\{.+\}", piece):
            parts.append(piece)
        else:
            parts.append(_literal("\n" if piece == "\\n" else piece[-1]))
    return f"root ::= {' '.join(parts)}\n"


def grammar_of_schema(schema: Mapping[str, Any]) -> str:
    """A grammar that admits the minified JSON texts of a schema.

    Raises:
        LimnerError: The schema uses something that is not supported; the message says what.
    """
    writer = _Writer(schema)
    root = writer.expression(schema, "root")
    lines = [f"root ::= {root}"]
    lines += [f"{name} ::= {body}" for name, body in writer.rules.items()]
    return "\n".join(lines) + "\n"


def _literal(text: str) -> str:
    """Text as a grammar literal."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


def _json_literal(value: Any) -> str:
    """A value's minified JSON as a grammar literal."""
    return _literal(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _times(low: int, high: int | None) -> str:
    """A repetition mark."""
    return f"{{{low},}}" if high is None else f"{{{low},{high}}}"


@dataclass
class _Writer:
    """Collects the rules of one schema. Every sub-schema that needs a name gets a rule of its own."""

    schema: Mapping[str, Any]
    rules: dict[str, str] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)

    def rule(self, name: str, body: str) -> str:
        """Adds a rule under a free name and returns the name; an equal rule is used again."""
        for known, existing in self.rules.items():
            if existing == body:
                return known
        free, number = name, 1
        while free in self.rules or free == "root":
            number += 1
            free = f"{name}-{number}"
        self.rules[free] = body
        return free

    def expression(self, schema: Any, name: str) -> str:
        """The expression of a schema; `name` is where it stands, for the names of rules and for errors."""
        if not isinstance(schema, Mapping):
            raise LimnerError(
                f"The answer's schema at {name} is not an object, so no grammar can hold the model to it."
            )
        if "$ref" in schema:
            return self._reference(str(schema["$ref"]), name)
        if "const" in schema:
            return _json_literal(schema["const"])
        if "enum" in schema:
            return f"({' | '.join(_json_literal(value) for value in schema['enum'])})"
        if "anyOf" in schema:
            return f"({' | '.join(self.expression(part, name) for part in schema['anyOf'])})"
        kinds = schema.get("type")
        if isinstance(kinds, list):
            return f"({' | '.join(self.expression({**schema, 'type': kind}, name) for kind in kinds)})"
        write = _KINDS.get(str(kinds))
        if write is None:
            raise LimnerError(f"The answer's schema at {name} has type {kinds!r}, which no grammar is written for.")
        return write(self, schema, name)

    def _reference(self, target: str, name: str) -> str:
        if target in self.references:
            return self.references[target]
        found: Any = self.schema
        for part in target.removeprefix("#/").split("/"):
            if not target.startswith("#/") or not isinstance(found, Mapping) or part not in found:
                raise LimnerError(f"The answer's schema at {name} refers to {target}, which is not in it.")
            found = found[part]
        rule = f"ref{len(self.references)}"
        self.references[target] = rule
        self.rules[rule] = ""
        self.rules[rule] = self.expression(found, rule)
        return rule

    def object(self, schema: Mapping[str, Any], name: str) -> str:
        properties: Mapping[str, Any] = schema.get("properties", {})
        if not properties:
            raise LimnerError(f"The answer's schema at {name} is an object without properties; say which it has.")
        parts = []
        for position, (key, value) in enumerate(properties.items()):
            start = ("{" if position == 0 else ",") + json.dumps(key, ensure_ascii=False) + ":"
            parts += [_literal(start), self.expression(value, f"{name}-{position}")]
        return " ".join([*parts, '"}"'])

    def array(self, schema: Mapping[str, Any], name: str) -> str:
        low, high = int(schema.get("minItems", 0)), schema.get("maxItems")
        if high is not None and int(high) < max(low, 1):
            return '"[]"'
        item = self.rule(f"{name}-item", self.expression(schema.get("items"), f"{name}-item"))
        more = _times(max(low - 1, 0), None if high is None else int(high) - 1)
        some = f'"[" {item} ("," {item}){more} "]"'
        return some if low > 0 else f'("[]" | {some})'

    def string(self, schema: Mapping[str, Any], name: str) -> str:
        character = self.rule("character", _CHARACTER)
        low, high = int(schema.get("minLength", 0)), schema.get("maxLength")
        if high is not None and int(high) <= MAX_COUNTED:
            return f'"\\"" {character}{_times(low, int(high))} "\\""'
        return f'"\\"" {character}{_times(low, None) if 0 < low <= MAX_COUNTED else "*"} "\\""'

    def integer(self, schema: Mapping[str, Any], name: str) -> str:
        low, high = schema.get("minimum"), schema.get("maximum")
        if low is not None and high is not None and int(high) - int(low) < MAX_LISTED:
            if high < low:
                raise LimnerError(f"The answer's schema at {name} has a maximum below its minimum.")
            return f"({' | '.join(_literal(str(n)) for n in range(int(low), int(high) + 1))})"
        sign = "" if low is not None and low >= 0 else '"-"? '
        return f'{sign}("0" | [1-9] [0-9]{{0,{MAX_DIGITS - 1}}})'

    def number(self, schema: Mapping[str, Any], name: str) -> str:
        return f'{self.integer({"minimum": schema.get("minimum")}, name)} ("." [0-9]{{1,{MAX_DIGITS}}})?'

    def boolean(self, schema: Mapping[str, Any], name: str) -> str:
        return '("true" | "false")'

    def null(self, schema: Mapping[str, Any], name: str) -> str:
        return '"null"'


_KINDS: Mapping[str, Callable[[_Writer, Mapping[str, Any], str], str]] = {
    "object": _Writer.object,
    "array": _Writer.array,
    "string": _Writer.string,
    "integer": _Writer.integer,
    "number": _Writer.number,
    "boolean": _Writer.boolean,
    "null": _Writer.null,
}
