"""`limner extract` as a person runs it: what it prints, whom it reads, how it ends."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import plausible
from limner.agents.extractor import Progress
from limner.cli import main
from limner.cli.progress import user_progress
from limner.histories.store import Store
from limner.serving import endpoint
from reading_workspace import event, load, signals
from serving_stub import Reply, Stub, completion, error, serve

KEYS = [
    "run",
    "users",
    "failed_users",
    "calls",
    "cached_calls",
    "input_tokens",
    "output_tokens",
    "seconds",
    "signals",
    "reasons",
    "sentences",
    "quote",
    "stopped",
]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_PAUSE_SECONDS", 0.01)
    for name in ("LIMNER_API_KEY", "LIMNER_NO_MODEL", "LIMNER_WORKSPACE", "LIMNER_MODEL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return load(
        tmp_path / "w",
        event("ann", "The strap broke after two days. I like the colour!", title="Watch"),
        event("客户", "龙井很香，每年都买。就是物流太慢了！", title="龙井茶"),
        event("quiet", kind="view", title="Watch"),
    )


@pytest.fixture
def model() -> Iterator[Stub]:
    with serve(plausible.reply) as stub:
        yield stub


@pytest.fixture
def run(store: Store, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs `limner extract` in this process; gives its exit code, standard output and standard error."""

    def extract(url: str, *options: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["extract", "--workspace", str(store.path), "--model", f"{url}#m", *options])
        said = capfd.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return extract


def test_json_has_exactly_the_keys_that_are_promised(run: Run, model: Stub, store: Store) -> None:
    code, out, err = run(model.url, "--json")
    told = json.loads(out)
    assert (code, err) == (0, "")
    assert list(told) == KEYS
    assert list(told["signals"]) == ["accepted", "rejected"]
    assert told["run"].startswith("extract-")
    assert (told["users"], told["failed_users"]) == (3, 0)
    assert told["calls"] == len(model.bodies)
    assert (told["input_tokens"], told["output_tokens"]) == (11 * told["calls"], 3 * told["calls"])
    accepted = len(signals(store, "status = 'accepted'"))
    assert told["signals"] == {"accepted": accepted, "rejected": len(signals(store)) - accepted}
    assert store.manifest().runs[-1].run == told["run"]


def test_again_asks_nothing_and_says_the_same(run: Run, model: Stub) -> None:
    first = json.loads(run(model.url, "--json")[1])
    asked = len(model.bodies)
    second = json.loads(run(model.url, "--json")[1])
    assert len(model.bodies) == asked
    assert (second["calls"], second["input_tokens"], second["output_tokens"]) == (0, 0, 0)
    assert second["signals"] == first["signals"]


def test_a_person_reads_what_was_done(run: Run, model: Stub) -> None:
    code, out, err = run(model.url)
    assert (code, err) == (0, "")
    assert "3 users read" in out
    assert "signals accepted" in out
    assert f"{len(model.bodies)} model calls (0 answered before)" in out


def refusing(number: int, body: dict[str, Any]) -> Reply:
    """A server whose answers about the strap are of no use."""
    said = body["messages"][1]["content"]
    return completion("no idea") if "strap" in said else plausible.reply(number, body)


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_failed_user_is_reported_at_the_end_and_the_code_is_1(form: tuple[str, ...], run: Run, store: Store) -> None:
    with serve(refusing) as stub:
        code, out, err = run(stub.url, *form)
    assert code == 1
    assert err.count("\n") == 1
    assert err.startswith("failed: ann: repair.v1.en: malformed:")
    if form:
        assert json.loads(out)["failed_users"] == 1
    else:
        assert "2 users read" in out
    assert {s["user_id"] for s in signals(store, "status = 'accepted'")} == {"客户", "quiet"}
    assert {row["user_id"] for row in store.rows("SELECT user_id FROM personas")} == {"客户", "quiet"}


def test_users_by_name_by_file_and_by_number(run: Run, model: Stub, store: Store, tmp_path: Path) -> None:
    assert json.loads(run(model.url, "--json", "--users", " ann , quiet,")[1])["users"] == 2
    named = tmp_path / "users.txt"
    named.write_text("\ufeff客户\r\n\r\n  ann \n客户\n", encoding="utf-8")
    assert json.loads(run(model.url, "--json", "--users-file", str(named))[1])["users"] == 2
    assert json.loads(run(model.url, "--json", "--limit", "1")[1])["users"] == 1
    assert {s["user_id"] for s in signals(store)} == {"ann", "quiet", "客户"}


def bad_files(folder: Path) -> dict[str, Path]:
    files = {"missing": folder / "none.txt", "empty": folder / "empty.txt", "binary": folder / "binary", "dir": folder}
    files["empty"].write_text("\n \n", encoding="utf-8")
    files["binary"].write_bytes(b"\xff\xfe\x00\x81u1\x00")
    return files


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--users", "ann,nobody"], "No user nobody in"),
        (["--users", ","], "--users names no user"),
        (["--users", "ann", "--users-file", "{empty}"], "not both"),
        (["--users-file", "{missing}"], "Cannot read"),
        (["--users-file", "{dir}"], "Cannot read"),
        (["--users-file", "{empty}"], "names no user"),
        (["--users-file", "{binary}"], "not a text file"),
        (["--plan", "huge"], "There is no plan 'huge'"),
        (["--limit", "0"], "--limit"),
        (["--concurrency", "0"], "--concurrency"),
    ],
)
def test_what_cannot_be_done_is_said_and_asks_nothing(
    options: list[str], says: str, run: Run, model: Stub, tmp_path: Path
) -> None:
    files = {name: str(path) for name, path in bad_files(tmp_path).items()}
    code, out, err = run(model.url, *(option.format(**files) for option in options))
    assert code == 2
    assert says in err
    assert "Traceback" not in err
    assert out == ""
    assert model.bodies == []


def test_a_dead_address_a_wrong_key_and_no_workspace(
    run: Run, store: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with serve(lambda n, b: error(401, "no")) as stub:
        code, _, err = run(stub.url)
        dead = stub.url
    assert (code, err.count("\n")) == (1, 1), err
    assert "LIMNER_API_KEY" in err
    code, _, err = run(dead)
    assert (code, err.count("\n")) == (1, 1), err
    assert f"Nothing answers at {dead}" in err
    assert Store.open(store.path).rows("SELECT count(*) AS n FROM events") == [{"n": 3}]
    with pytest.raises(SystemExit) as ended:
        main(["extract", "--workspace", str(tmp_path / "nowhere"), "--model", f"{dead}#m"])
    assert ended.value.code == 1
    assert "limner ingest" in capfd.readouterr().err


def test_the_bar_tells_users_rate_signals_and_time_left(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "150")
    with user_progress("Reading") as told:
        told(Progress(users=10, done=4, failed=0, accepted=21, rejected=3))
        sys.stderr.flush()
    shown = capfd.readouterr()
    assert shown.out == ""
    for part in ("Reading", "4/10", "21 accepted", "3 rejected", "left"):
        assert part in shown.err.replace("\x1b[32m", "").replace("\x1b[0m", ""), part
