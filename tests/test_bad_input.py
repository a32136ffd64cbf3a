"""Every command, given something impossible, says so in one or two lines and leaves the workspace as it was.

The table names each command with what it needs to get as far as the fault. A command that has no line here fails
`test_every_command_has_a_line`.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

import small_workspace
from limner.cli import app
from limner.histories.store import Store
from limner.serving import LEDGER_FILE

pytestmark = pytest.mark.slow

DEAD = "http://127.0.0.1:9/v1#x"
BINARY = bytes(range(256)) * 64
EVENTS = """user_id,ts,kind,item_id,title,category,rating,amount,text
u1,2025-01-03 10:00:00,review,i1,Kettle,Kitchen,5,,The kettle boils fast and I love the quiet lid.
u1,2025-02-03 10:00:00,order,i2,Mug,Kitchen,,12.5,
u2,2025-01-05 11:00:00,review,i1,电热水壶,厨房,1,,烧水很慢，盖子还漏水，非常失望。
u2,2025-03-05 11:00:00,review,i3,茶叶,食品,5,,茶叶很香，包装也好看，会再买。
u3,2025-01-07 12:00:00,review,i2,Mug,Kitchen,2,,The handle broke after one week and support never answered.
"""
COUNT = "SELECT (SELECT count(*) FROM events) AS events, (SELECT count(*) FROM traits) AS traits"
PRODUCT = "name: Quiet Kettle\nprice: 39 EUR\nfacts:\n  - boils one litre in three minutes\n  - lid closes silently\n"


@dataclass(frozen=True, slots=True)
class Command:
    """One command and how to bring it to each fault.

    Attributes:
        name: The words after `limner`.
        needs: Arguments of a call that is in order, `{product}` and the like standing for paths.
        files: For each way to name an input file, the arguments with `{file}` in its place.
        unknown: Arguments that name something the workspace does not hold.
        outputs: Arguments with a file to write, `{file}`, below what is not a folder.
        asks: True if the command asks a model, so that a dead address must be noticed.
        tells: True if the command tells its steps on standard error before it comes to the model.
        workspace: True if the command works on a workspace.
    """

    name: str
    needs: str = ""
    files: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    asks: bool = False
    tells: bool = False
    workspace: bool = True

    @property
    def words(self) -> list[str]:
        return self.name.split()


COMMANDS = (
    Command(
        "ingest",
        "{events}",
        (
            "{file}.csv",
            "{file}.tsv",
            "{file}.json",
            "{file}.jsonl",
            "{file}.parquet",
            "{file}.csv.gz",
            "{events} --map {file}.toml",
        ),
        outputs=("{events} --save-map {file}.toml",),
    ),
    Command("profile", "", outputs=("--html {file}.html",)),
    Command("identity merge", "--key email", ("--ties {file}.csv",), ("--key nothing", "--key email --as nothing")),
    Command("identity list"),
    Command("identity split", "u-1", unknown=("nothing",)),
    Command(
        "impute",
        "events.rating=median",
        unknown=("rating", "events.rating=nothing", "events.text=median", "nothing.x=median"),
    ),
    Command("flags check"),
    Command("flags list"),
    Command("flags clear", "u-1", unknown=("nobody",)),
    Command("sources list", "--sources {sources}", ("--sources {file}.toml",), ("--sources {sources} nothing",)),
    Command("sources check", "--sources {sources}", ("--sources {file}.toml",), ("--sources {sources} nothing",)),
    Command(
        "extract",
        "",
        ("--users-file {file}", "--model embedded:{file}.gguf", "--model vllm:m --batch-results {file}.jsonl"),
        ("--users nobody", "--users u-1,nobody", "--model embedded:nothing", "--model nothing", "--plan nothing"),
        asks=True,
    ),
    Command("update", "", ("{file}.csv",), ("--unread --model nothing", "--unread --plan nothing")),
    Command("watch", "--times 1", ("{file}.csv --times 1",)),
    Command("persona show", "u-1", unknown=("nobody",), outputs=("u-1 --format html --out {file}.html",)),
    Command("persona export", "--out {out}.jsonl", outputs=("--out {file}.jsonl", "--format html --out {file}.html")),
    Command("persona history", "u-1", unknown=("nobody",)),
    Command("persona conflicts"),
    Command("persona aliases", "", ("--taxonomy {file}.toml",)),
    Command("segment discover", "", asks=True),
    Command("segment list"),
    Command("segment show", "s1", unknown=("nothing",)),
    Command("ask", "WHO", asks=True),
    Command(
        "copy",
        "--segment {segment} --product {product} --channel email --variants 1",
        ("--segment {segment} --product {file}.yaml --channel email --variants 1",),
        (
            "--segment nothing --product {product} --channel email --variants 1",
            "--segment s1 --product {product} --channel pigeon --variants 1",
        ),
        asks=True,
    ),
    Command(
        "export",
        "events --format csv --out {out}.csv",
        unknown=("nothing --format csv --out {out}.csv", "events --format nothing --out {out}.csv"),
        outputs=("events --format csv --out {file}.csv", "users --format parquet --out {file}.parquet"),
    ),
    Command("status"),
    Command("ledger summary"),
    Command("ledger calls", "", unknown=("--outcome nothing", "--since nothing")),
    Command("ledger prune", "--old-prompts"),
    Command("runs list"),
    Command("runs show", "last", unknown=("nothing",)),
    Command("runs undo", unknown=("nothing",)),
    Command("runs redo"),
    Command("runs compact"),
    Command("models prices", workspace=False),
    Command("models profiles", unknown=("nothing", "embedded:nothing", "vllm:/no/folder"), workspace=False),
    Command(
        "models tune",
        f"{DEAD} --limit 2 --quote",
        (f"{DEAD} --labelled {{file}}.csv",),
        (
            f"{DEAD} --limit 2",
            "nothing",
            "embedded:nothing",
            f"{DEAD} --text nothing",
            f"{DEAD} --labelled {{events}} --text nothing --label rating",
            f"{DEAD} --labelled {{events}} --text text --label nothing",
        ),
        tells=True,
        workspace=False,
    ),
    Command("eval list", workspace=False),
    Command("eval run", "sentiment", unknown=("nothing", "sentiment --model nothing"), workspace=False),
    Command("eval compare", "", ("{file}.json {file}.json",), workspace=False),
    Command("models list", workspace=False),
    Command("models show", "embedded", unknown=("nothing",), workspace=False),
    Command(
        "models serve",
        "embedded",
        ("embedded:{file}.gguf", "vllm:{file}.gguf"),
        ("nothing", "embedded:nothing", "vllm:/no/folder", "http://127.0.0.1:9/v1#x"),
        workspace=False,
    ),
    Command("models pull", "embedded", unknown=("nothing",), workspace=False),
    Command(
        "eval sentiment",
        "--data {events} --text text --label rating --limit 2",
        ("--data {file}.csv --text text --label label --limit 2",),
        (
            "--data {events} --text text --label nothing --limit 2",
            "--data {events} --text nothing --label rating --limit 2",
        ),
        asks=True,
        workspace=False,
    ),
    Command(
        "demo",
        "",
        unknown=("--model embedded:nothing",),
        outputs=("--dir {file}",),
        asks=True,
        tells=True,
        workspace=False,
    ),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One call that cannot succeed."""

    command: Command
    what: str
    arguments: str

    def __str__(self) -> str:
        return f"{self.command.name.replace(' ', '-')}: {self.what}: {self.arguments}".rstrip(": ")


def faults() -> Iterator[Fault]:
    """Every command with every fault that it can meet."""
    for command in COMMANDS:
        for what in ("missing", "empty", "binary"):
            for arguments in command.files:
                yield Fault(command, f"{what} file", arguments.replace("{file}", "{" + what + "}"))
        for arguments in command.unknown:
            yield Fault(command, "unknown name", arguments)
        for arguments in command.outputs:
            yield Fault(command, "output below a file", arguments.replace("{file}", "{plain}/below/out"))
            if "--dir" not in arguments:
                yield Fault(command, "output is a folder", arguments.replace("{file}", "{folder}/out"))
        if command.asks:
            yield Fault(command, "dead model", f"{command.needs} --model {DEAD}")
            if command.workspace:
                yield Fault(command, "damaged ledger", f"{command.needs} --model {DEAD} --workspace {{ledger}}")
        if command.workspace:
            for place in ("{plain}", "{plain}/below", "{damaged}"):
                yield Fault(command, "unusable workspace", f"{command.needs} --workspace {place}")
            if command.name not in {"ingest", "update", "watch", "sources list", "sources check"}:
                yield Fault(command, "no workspace", f"{command.needs} --workspace {{missing}}")


@cache
def leaf_commands() -> dict[str, Any]:
    """Every command that is there now, by its words."""
    found: dict[str, Any] = {}

    def walk(group: Any, words: tuple[str, ...]) -> None:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                walk(command, (*words, name))
            else:
                found[" ".join((*words, name))] = command

    walk(typer.main.get_command(app), ())
    return found


@dataclass(frozen=True, slots=True)
class Called:
    """How a call ended."""

    code: int
    out: str
    err: str


def limner(*arguments: str, cwd: Path) -> Called:
    """Runs the command line as a person does, with none of limner's variables set."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LIMNER_", "OPENAI_"))}
    done = subprocess.run(
        [sys.executable, "-m", "limner", *arguments],
        cwd=cwd,
        env={**clean, "OPENAI_API_KEY": "none", "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
    )
    return Called(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with events, traits, personas and segments."""
    return small_workspace.build(tmp_path_factory.mktemp("filled") / "workspace").path


@pytest.fixture
def place(filled: Path, tmp_path: Path) -> Path:
    """A folder with a workspace and every sort of unusable input."""
    shutil.copytree(filled, tmp_path / ".limner")
    (tmp_path / "events.csv").write_text(EVENTS, encoding="utf-8")
    (tmp_path / "product.yaml").write_text(PRODUCT, encoding="utf-8")
    (tmp_path / "sources.toml").write_text('[events]\nfrom = "events.csv"\n', encoding="utf-8")
    (tmp_path / "plain").write_text("a file where a folder should be", encoding="utf-8")
    damaged = tmp_path / "damaged"
    shutil.copytree(filled, damaged)
    (damaged / "manifest.json").write_bytes(BINARY)
    shutil.copytree(filled, tmp_path / "ledger")
    (tmp_path / "ledger" / LEDGER_FILE).write_bytes(BINARY)
    for suffix in (".toml", ".html", ".jsonl", ".csv", ".parquet", ""):
        (tmp_path / "folder" / f"out{suffix}" / "below").mkdir(parents=True)
    for suffix in ("", ".gguf", ".csv", ".tsv", ".json", ".jsonl", ".parquet", ".csv.gz", ".toml", ".yaml"):
        (tmp_path / f"empty{suffix}").write_bytes(gzip.compress(b"") if suffix.endswith(".gz") else b"")
        (tmp_path / f"binary{suffix}").write_bytes(BINARY)
    return tmp_path


NAMES = ("missing", "empty", "binary", "plain", "damaged", "ledger", "folder", "out")


def arguments_of(fault: Fault, place: Path) -> list[str]:
    """The words of the call, paths filled in."""
    paths = {name: str(place / name) for name in NAMES}
    paths |= {"events": str(place / "events.csv"), "product": str(place / "product.yaml"), "segment": "s1"}
    paths["sources"] = str(place / "sources.toml")
    question = "Who is unhappy with the kettle?"
    words = [question if word == "WHO" else word.format(**paths) for word in fault.arguments.split()]
    return [*fault.command.words, *words]


@pytest.mark.parametrize("fault", list(faults()), ids=str)
def test_says_what_is_wrong_and_keeps_the_workspace(fault: Fault, filled: Path, place: Path) -> None:
    if fault.command.name not in leaf_commands():
        pytest.skip(f"limner {fault.command.name} is not there yet")
    before = (place / ".limner" / "manifest.json").read_bytes()
    called = limner(*arguments_of(fault, place), cwd=place)
    said = [line for line in called.err.splitlines() if line.strip()]
    if fault.command.tells:
        said = said[next((at for at, line in enumerate(said) if line.startswith("Error")), 0) :]
    assert called.code in {1, 2}, f"exit code {called.code}\n{called.out}\n{called.err}"
    assert 1 <= len(said) <= 2, f"{len(said)} lines on standard error:\n{called.err}"
    assert "Traceback" not in called.err + called.out
    assert "defect in limner" not in called.err, called.err
    assert "Error" in called.err, called.err
    assert called.err.isprintable() or all(line.isprintable() for line in said), called.err
    assert (place / ".limner" / "manifest.json").read_bytes() == before
    assert Store.open(place / ".limner").rows(COUNT) == Store.open(filled).rows(COUNT)


def test_every_command_has_a_line() -> None:
    assert set(leaf_commands()) <= {command.name for command in COMMANDS}


def test_a_call_in_order_succeeds(place: Path) -> None:
    """The same calls without the fault end with 0, so that the test above sees the fault and nothing else."""
    paths = {name: str(place / name) for name in NAMES}
    for command in COMMANDS:
        if command.name in leaf_commands() and command.name in {
            "ingest",
            "status",
            "persona show",
            "export",
            "models list",
        }:
            words = command.needs.format(events=place / "events.csv", **paths).split()
            called = limner(*command.words, *words, cwd=place)
            assert called.code == 0, f"{command.name}: {called.err}"
