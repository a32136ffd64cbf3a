"""Finding, loading and rendering prompt templates.

A template has two blocks, `system` and `user`, and may have a third, `examples`, whose pairs of lines

    <<< what a customer wrote
    >>> what to answer

stand between them as earlier turns of the conversation (backslash n in a line is a line break). Every value printed in
a template is first made harmless by `neutralise`: what customers write cannot open or close a chat turn.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import BaseLoader, Environment, StrictUndefined, Template

from limner.errors import LimnerError
from limner.serving.request import Message, PromptId

LANGUAGES = ("en", "zh")

_NAME = re.compile(r"^(?P<name>[a-z_]+)\.v(?P<version>\d+)\.(?P<lang>[a-z]{2})\.jinja$")

_CONTROL_TOKEN = re.compile(
    r"(?<=<)(?=[|｜][^\s<>|｜]{1,40}[|｜]>)"
    r"|(?<=<)(?=/?(?:s|sys|bos|eos|pad|unk|think|tool_call|tool_response|start_of_turn|end_of_turn)\s*>)"
    r"|(?<=<)(?=/?(?:text|history|customer|product|data)\s*/?>)"
    r"|(?<=\[)(?=/?INST\])",
    re.IGNORECASE,
)
"""Inside the control tokens of chat templates (`<|im_end|>` and other families' like), and inside the tags that our
prompts delimit customer text with."""

_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Zero-width, bidirectional, tag and control characters and fillers (Unicode's Default_Ignorable_Code_Point, except the
selector that makes a sign an emoji): they can hide an instruction from a reader but not from a model. Half characters,
which no request can carry, go with them."""


def neutralise(text: str) -> str:
    """Makes a customer's text safe to stand in a prompt, changing as little as possible.

    Control tokens and our own delimiting tags get a space inside (`< |im_end|>`), invisible characters are left out.
    Stored text is never changed; only what a model reads.
    """
    return _CONTROL_TOKEN.sub(" ", _INVISIBLE.sub("", text))


def _finalize(value: Any) -> Any:
    return neutralise(value) if isinstance(value, str) else value


@cache
def _environment() -> Environment:
    return Environment(
        loader=BaseLoader(),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701  (prompts are plain text, not pages; `_finalize` guards them instead)
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )


_EXAMPLE = re.compile(r"^<<< (.+)\n>>> (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Example:
    """One worked example of a prompt: a customer's text and its right answer."""

    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """One version of one prompt in one language."""

    id: PromptId
    template: Template

    def render(self, **values: Any) -> tuple[Message, ...]:
        """The messages with the values filled in.

        Raises:
            jinja2.UndefinedError: A value the template names was not given.
        """
        examples = []
        for pair in self.examples():
            examples += [Message("user", pair.text), Message("assistant", pair.answer)]
        system, user = self._block("system", values), self._block("user", values)
        return (Message("system", system), *examples, Message("user", user))

    def examples(self) -> tuple[Example, ...]:
        """The worked examples, in order."""
        source = self._block("examples", {}) if "examples" in self.template.blocks else ""
        return tuple(
            Example(text.replace("\\n", "\n"), answer.replace("\\n", "\n")) for text, answer in _EXAMPLE.findall(source)
        )

    def _block(self, name: str, values: dict[str, Any]) -> str:
        return "".join(self.template.blocks[name](self.template.new_context(values))).strip()


@cache
def _catalogue() -> dict[tuple[str, str], dict[int, str]]:
    """File names of all templates by name and language, then version."""
    found: dict[tuple[str, str], dict[int, str]] = {}
    for entry in files("limner.prompts").iterdir():
        match = _NAME.match(entry.name)
        if match:
            versions = found.setdefault((match["name"], match["lang"]), {})
            versions[int(match["version"])] = entry.name
    return found


def latest_version(name: str, lang: str) -> int:
    """The newest version number of a prompt in a language."""
    versions = _catalogue().get((name, lang))
    if not versions:
        raise LimnerError(f"There is no prompt {name} in language {lang}.")
    return max(versions)


@cache
def load(name: str, lang: str, version: int | None = None) -> Prompt:
    """Loads a prompt, the newest version if none is named.

    Raises:
        LimnerError: There is no such prompt.
    """
    chosen = version or latest_version(name, lang)
    file = _catalogue().get((name, lang), {}).get(chosen)
    if file is None:
        raise LimnerError(f"There is no prompt {name}.v{chosen}.{lang}.")
    source = files("limner.prompts").joinpath(file).read_text(encoding="utf-8")
    return Prompt(PromptId(name, chosen, lang), _environment().from_string(source))
