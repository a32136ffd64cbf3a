"""`limner ingest` as a person and as a program meet it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

KEYS = ["source", "rows", "stored", "duplicates", "repeats", "quarantined", "users", "quarantine_file"]

ROWS = ["007,2024-01-05,comment,音质很好", "u2,2024-01-06,comment,fine words", ",2024-01-07,comment,x"]
CSV = "\n".join(["user_id,time,type,text", *ROWS, ""])


def limner(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LIMNER_WORKSPACE": str(folder / "workspace"), "NO_COLOR": "1", "COLUMNS": "100"}
    command = [sys.executable, "-m", "limner", "ingest", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", check=False, timeout=120
    )


def test_json_has_exactly_these_keys(tmp_path):
    (tmp_path / "log.csv").write_text(CSV, encoding="utf-8")
    done = limner(tmp_path, "log.csv", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert list(answer) == KEYS
    assert {k: answer[k] for k in KEYS[:-1]} == dict(zip(KEYS, ["log.csv", 3, 2, 0, 0, 1, 2], strict=False))
    bad = json.loads(Path(answer["quarantine_file"]).read_text(encoding="utf-8"))
    assert (bad["file"], bad["row"], bad["reason"]) == ("log.csv", 4, "no user")
    again = json.loads(limner(tmp_path, "log.csv", "--json").stdout)
    assert (again["stored"], again["duplicates"]) == (0, 2)


def test_people_see_the_guess_and_the_account(tmp_path):
    (tmp_path / "log.csv").write_text(CSV, encoding="utf-8")
    done = limner(tmp_path, "log.csv", "--save-map", "map.toml")
    assert done.returncode == 0, done.stderr
    for said in ("log.csv: events, guessed", "user_id", "音质很好", "rows", "quarantined", "1 no user", "Bad rows"):
        assert said in done.stdout
    assert "map.toml" in done.stderr
    assert 'comment = "review"' in (tmp_path / "map.toml").read_text(encoding="utf-8")
    assert "as mapped" in limner(tmp_path, "log.csv", "--map", "map.toml").stdout


def test_one_object_for_several_sources(tmp_path):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(CSV.replace("2024", "2023" if name == "a.csv" else "2024"), encoding="utf-8")
    answer = json.loads(limner(tmp_path, "a.csv", "b.csv", "--json").stdout)
    assert (answer["source"], answer["rows"]) == ("a.csv, b.csv", 6)


@pytest.mark.parametrize(
    ("name", "content", "code", "said"),
    [
        ("none.csv", None, 2, "There is no file none.csv"),
        ("empty.csv", b"", 1, "empty.csv is empty"),
        ("binary.csv", bytes(range(256)) * 20, 1, "binary.csv is a binary file"),
        ("sheet.xlsx", b"PK\x03\x04" + bytes(64), 1, "damaged Excel workbook"),
        ("folder", "folder", 2, "holds no data file"),
        ("nobody.csv", b"a,b\n1,2\n", 2, "looks like user_id"),
    ],
)
def test_what_cannot_be_loaded_is_said_in_two_lines(tmp_path, name, content, code, said):
    if content == "folder":
        (tmp_path / name).mkdir()
    elif content is not None:
        (tmp_path / name).write_bytes(content)
    done = limner(tmp_path, name, "--json")
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


@pytest.mark.parametrize(
    "arguments", [("--map", "none.toml"), ("--kind", "things"), ("--repeats", "maybe"), ("--map", "bad.toml")]
)
def test_wrong_options(tmp_path, arguments):
    (tmp_path / "log.csv").write_text(CSV, encoding="utf-8")
    (tmp_path / "bad.toml").write_text("colums = 1", encoding="utf-8")
    done = limner(tmp_path, "log.csv", *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_workspace_that_cannot_be_made(tmp_path):
    (tmp_path / "log.csv").write_text(CSV, encoding="utf-8")
    (tmp_path / "workspace").write_text("a file is in the way", encoding="utf-8")
    done = limner(tmp_path, "log.csv")
    assert done.returncode == 1
    assert "Cannot create a workspace" in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


def test_a_load_without_one_good_row_fails_and_says_where_to_look(tmp_path):
    (tmp_path / "log.csv").write_text("user_id,ts,text\nu1,soon,a b\n", encoding="utf-8")
    (tmp_path / "map.toml").write_text('[columns]\nuser_id = "user_id"\nts = "ts"\n', encoding="utf-8")
    done = limner(tmp_path, "log.csv", "--map", "map.toml", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["quarantined"] == 1
    assert "No row could be used" in done.stderr
