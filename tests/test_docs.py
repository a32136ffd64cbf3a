"""What the pages say is so: commands and options exist, links lead somewhere, examples run, versions agree."""

from __future__ import annotations

import ast
import doctest
import importlib
import importlib.util
import pkgutil
import re
import shlex
import subprocess
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import limner
import plausible
from limner import serving
from limner.cli import app
from limner.serving import LEDGER_FILE
from limner.serving.client import Client
from limner.serving.ledger import Ledger
from limner.serving.scripted import ScriptedEngine

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")])
LIVING = [p for p in PAGES if "decisions" not in p.parts and p.name != "CHANGELOG.md"]
"""Pages that must say what is so today; notes of decisions and the list of changes say what was so."""

FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w-]*)[^\n]*\n(?P<text>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL
)
INLINE = re.compile(r"`(limner [^`\n]+)`")
SHELL = {"", "sh", "bash", "shell", "console"}


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page."""

    page: Path
    language: str
    text: str


def page_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    found = FENCE.finditer(page.read_text(encoding="utf-8"))
    return [Block(page, match["language"], match["text"]) for match in found]


def shell_lines(page: Path) -> Iterator[str]:
    """Commands of a page's shell blocks, continued lines joined and prompts taken off."""
    for block in blocks(page):
        if block.language in SHELL:
            for line in block.text.replace("\\\n", " ").splitlines():
                yield line.strip().removeprefix("$ ").strip()


def limner_commands(page: Path) -> list[str]:
    """Every `limner ...` of a page, in blocks and in running text."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return [line for line in shell_lines(page) if re.match(r"limner\s", line)] + INLINE.findall(text)


@cache
def root_command() -> Any:
    return typer.main.get_command(app)


def problem(line: str) -> str | None:
    """Why a `limner ...` line cannot be run as it stands; None if its command and options exist."""
    line = re.split(r"\s#\s|\s(?:\||>|>>|&&|;)\s", line)[0]
    words = shlex.split(re.sub(r"[\[\]]", " ", line))[1:]
    command = root_command()
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        name = words.pop(0)
        for alternative in name.split("|"):
            if alternative not in command.commands:
                return f"`{line}`: there is no command {alternative!r}"
        command = command.commands[name.split("|")[0]]
    known = {"--help", "-h"} | {opt for p in command.params for opt in (*p.opts, *p.secondary_opts)}
    for word in words:
        option = word.split("=")[0]
        if re.match(r"--?[a-zA-Z]", option) and option not in known:
            return f"`{line}`: there is no option {option}"
    return None


def test_the_check_of_commands_can_fail() -> None:
    assert problem("limner status --json") is None
    assert problem("limner no-such-command") is not None
    assert problem("limner status --no-such-option") is not None


@pytest.mark.parametrize("page", LIVING, ids=page_name)
def test_commands_on_a_page_exist(page: Path) -> None:
    assert [found for line in limner_commands(page) if (found := problem(line))] == []


def test_commands_named_in_messages_exist() -> None:
    """Errors and help that tell a person to run `limner ...` name commands that are there."""
    package = Path(limner.__file__).parent
    found = []
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                wrong = [p for line in INLINE.findall(node.value) if (p := problem(line))]
                found += [f"{path.relative_to(package)}: {p}" for p in wrong]
    assert found == []


def test_pages_named_in_the_code_exist() -> None:
    package = Path(limner.__file__).parent
    named = {
        name
        for path in package.rglob("*.py")
        for name in re.findall(r"(?<![\w/])docs/[\w/-]+\.md", path.read_text("utf-8"))
    }
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("page", LIVING, ids=page_name)
def test_make_targets_on_a_page_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = page.read_text(encoding="utf-8")
    named = {target for line in re.findall(r"^\s*(?:\$ )?make ([a-z]+)", text, re.MULTILINE) for target in [line]}
    named |= set(re.findall(r"`make ([a-z]+)", text))
    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_to_files(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", text)
    assert [t for t in targets if not (page.parent / t).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_python_on_a_page_compiles(page: Path) -> None:
    for block in blocks(page):
        if block.language in {"python", "py"}:
            ast.parse(block.text, filename=page_name(page))


REVIEWS = """user_id,ts,kind,title,category,rating,text
u1,2025-01-03 10:00:00,review,Kettle,Kitchen,5,The kettle boils fast. I love the quiet lid!
u2,2025-01-05 11:00:00,review,电热水壶,厨房,1,烧水很慢，盖子还漏水，非常失望。
"""


@contextmanager
def scripted(path: Path, spec: str, *, run: str | None = None, **_limits: Any) -> Iterator[Client]:
    """Stands where `limner.serving.connect` stands, with a model made of rules."""
    with Ledger(Path(path) / LEDGER_FILE) as ledger:
        yield Client(ScriptedEngine(plausible.answer), ledger, run=run or "")


def examples() -> dict[str, str]:
    """The Python examples that a reader meets first."""
    pages = {page.name: page for page in (ROOT / "README.md", ROOT / "README.zh-CN.md")}
    shown = {name: "".join(b.text for b in blocks(page) if b.language == "python") for name, page in pages.items()}
    return {**shown, "limner.__doc__": textwrap.dedent((limner.__doc__ or "").partition("Example:\n")[2])}


@pytest.mark.parametrize("name", examples())
def test_the_first_examples_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As they stand, in a folder with the file they name; only the model is a scripted one."""
    monkeypatch.setattr(serving, "connect", scripted)
    monkeypatch.chdir(tmp_path)
    Path("reviews.csv").write_text(REVIEWS, encoding="utf-8")
    exec(compile(examples()[name], name, "exec"), {})
    assert "kettle" in capsys.readouterr().out.lower()


def test_examples_in_docstrings_run() -> None:
    """Every `>>>` of the package gives what it says, but for prompts' own `<<<` and `>>>`."""
    runner = doctest.DocTestRunner()
    for info in pkgutil.walk_packages(limner.__path__, "limner."):
        if not info.name.endswith("__main__"):
            for found in doctest.DocTestFinder().find(importlib.import_module(info.name)):
                if "<<<" not in (found.docstring or ""):
                    runner.run(found)
    assert runner.summarize(verbose=False).attempted > 0
    assert runner.summarize(verbose=False).failed == 0


def test_the_command_page_is_current() -> None:
    spec = importlib.util.spec_from_file_location("write_cli_page", ROOT / "docs" / "write_cli_page.py")
    assert spec is not None
    assert spec.loader is not None
    writer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(writer)
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == writer.page(), "docs/cli.md is out of date. Run `make docs`."


def test_both_readmes_show_the_same_commands() -> None:
    commands = [
        [line for line in shell_lines(ROOT / name) if re.match(r"(limner|make|git|pip)\s", line)]
        for name in ("README.md", "README.zh-CN.md")
    ]
    english, chinese = ([shlex.split(line, comments=True)[:2] for line in lines] for lines in commands)
    assert english == chinese
    assert ["make", "demo"] in english
    assert ["make", "test"] in english


def test_the_list_of_changes_knows_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{limner.__version__}]" in text


def test_the_version_is_said_once() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{limner.__version__}"' in project


MACHINE_PATH = re.compile(r"(?<![\w.~$}\"'<-])/(?:work|tmp|home|root|Users)/|(?<=[\"'])/(?:work|tmp|home|root|Users)/")


def tracked_files() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    paths = (ROOT / name for name in listed.decode().split("\0") if name)
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def test_no_path_of_one_machine_is_in_a_tracked_file() -> None:
    found = []
    for path in tracked_files():
        if path.relative_to(ROOT).parts[0] == "tests":
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if MACHINE_PATH.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert found == []


@pytest.mark.parametrize("line", ["see /work/x", 'Path("/tmp/a")', "cd /home/me"])
def test_the_check_of_paths_can_fail(line: str) -> None:
    assert MACHINE_PATH.search(line)


def test_the_benchmarks_page_names_every_script() -> None:
    page = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in (ROOT / "benchmarks").glob("*.py") if f"`{path.name}`" not in page] == []


def test_the_page_on_copy_names_every_key_channel_and_rule() -> None:
    from limner.agents.copywriter.channels import CHANNELS
    from limner.agents.copywriter.check import RULES
    from limner.agents.copywriter.schema import ProductSheet

    page = ROOT / "docs" / "copy.md"
    rows = re.findall(r"^\| `(\w+)` \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted([*ProductSheet.model_fields, *CHANNELS, *RULES])
    (sheet,) = (block for block in blocks(page) if block.language == "yaml")
    assert ProductSheet.model_validate(yaml.safe_load(sheet.text)).name


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = [p.relative_to(ROOT / "docs").as_posix() for p in PAGES if p.is_relative_to(ROOT / "docs")]
    assert [page for page in pages if page != "README.md" and f"]({page})" not in index] == []
