"""Writes `docs/cli.md` from the commands themselves, so that the page cannot say what the program does not do.

python docs/write_cli_page.py docs/cli.md
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import typer

from limner.cli import app

INTRODUCTION = """\
# Commands

Every command, with its arguments and options. This page is written by `make docs` from the commands themselves;
change the command, not the page.

Results go to standard output, progress and remarks to standard error. The exit code is 0 when all is done, 1 when
something failed (or some users did), 2 when what was asked is impossible, 130 after Ctrl-C. Where an environment
variable is named, it stands for the option.
"""


def commands(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below a group, with the words that call it, in the order of `--help`."""
    for name, command in group.commands.items():
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name), command


def page() -> str:
    """The whole page as Markdown."""
    root = typer.main.get_command(app)
    parts = [INTRODUCTION, *(_section(words, command) for words, command in commands(root))]
    return "\n".join(parts)


def _section(words: tuple[str, ...], command: Any) -> str:
    types = get_type_hints(command.callback)
    shown = [p for p in command.params if not p.hidden and p.name != "help"]
    arguments = [p for p in shown if p.param_type_name == "argument"]
    options = [p for p in shown if p.param_type_name == "option"]
    usage = " ".join(["limner", *words, *(_argument_usage(a) for a in arguments), *(["[OPTIONS]"] if options else [])])
    lines = [f"## limner {' '.join(words)}", "", inspect.cleandoc(command.help or ""), "", f"    {usage}", ""]
    if arguments:
        lines += ["| argument | what |", "|---|---|"]
        lines += [f"| `{_argument_usage(a)}` | {_cell(a.help)}{_choices(a, types)} |" for a in arguments]
        lines.append("")
    if options:
        lines += ["| option | what | default | variable |", "|---|---|---|---|"]
        lines += [
            f"| {_names(o)} | {_cell(o.help)}{_choices(o, types)} | {_default(o)} | {_variable(o)} |" for o in options
        ]
        lines.append("")
    return "\n".join(lines)


def _argument_usage(argument: Any) -> str:
    name = (argument.metavar or argument.name).strip("[].").upper()
    name += "..." if argument.nargs == -1 else ""
    return name if argument.required else f"[{name}]"


def _names(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in option.opts)
    return f"{names} / " + ", ".join(f"`{n}`" for n in option.secondary_opts) if option.secondary_opts else names


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def _choices(parameter: Any, types: Mapping[str, Any]) -> str:
    """` (a, b or c)` for a parameter that takes one of a few words."""
    kind = types.get(parameter.name)
    kinds = [kind, *get_args(kind)]
    for one in kinds:
        if isinstance(one, type) and issubclass(one, Enum):
            names = [str(member.value) for member in one]
        elif get_origin(one) is Literal:
            names = [str(value) for value in get_args(one)]
        else:
            continue
        shown = [f"`{name}`" for name in names]
        return " (" + " or ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown) + ")"
    return ""


def _default(option: Any) -> str:
    if option.required:
        return "required"
    if option.is_flag and option.secondary_opts and isinstance(option.default, bool):
        return f"`{(option.opts if option.default else option.secondary_opts)[0]}`"
    if option.is_flag or not isinstance(option.default, str | int | float | Path) or option.default == "":
        return ""
    return f"`{option.default.value if isinstance(option.default, Enum) else option.default}`"


def _variable(option: Any) -> str:
    named = [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or ())
    return ", ".join(f"`{name}`" for name in named)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
