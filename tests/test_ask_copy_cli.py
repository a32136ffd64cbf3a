"""`limner ask` and `limner copy` as a person runs them: the real index, and a model behind a real address."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import small_workspace
from serving_stub import Reply, completion, serve

pytestmark = pytest.mark.slow

SHEET = """name: Hush Keyboard
language: en
price: $79
facts:
  - The keys make 40 decibels.
  - The battery lasts 3 months.
"""
COPY = {
    "uses": [1],
    "headline": "Quiet keyboards for your evenings",
    "body": "The keys make 40 decibels.",
    "cta": "See it",
}


def limner(*arguments: str, workspace: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "limner", *arguments, "--workspace", str(workspace)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=200, check=False)


def replies(number: int, body: dict[str, Any]) -> Reply:
    system = body["messages"][0]["content"]
    if "search fields" in system or "查询字段" in system:
        return completion("{}")
    if "marketing copy" in system:
        return completion(json.dumps(COPY))
    return completion(json.dumps({"marks": [1], "text": "2 users like quiet keyboards."}))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_workspace.build(tmp_path_factory.mktemp("cli") / "workspace").path


@pytest.fixture(scope="module")
def model() -> Iterator[str]:
    with serve(replies) as server:
        yield f"{server.url}#m"


def test_ask_finds_by_meaning_and_prints_json(workspace: Path, model: str) -> None:
    done = limner("ask", "Who likes quiet keyboards?", "--json", "--model", model, workspace=workspace)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert list(answer) == ["question", "language", "answer", "citations", "n", "abstained"]
    assert answer["answer"].startswith("2 users like quiet keyboards. 2 users like")
    assert {c["id"] for c in answer["citations"] if c["type"] == "user"} == {"u-1", "u-2"}


def test_a_chinese_question_finds_english_and_chinese_complaints(workspace: Path, model: str) -> None:
    done = limner("ask", "谁抱怨物流慢？", "--json", "--model", model, workspace=workspace)
    users = {c["id"] for c in json.loads(done.stdout)["citations"] if c["type"] == "user"}
    assert users == {"客户6", "u-2", "u-3"}


@pytest.mark.parametrize("question", ["What is the capital of France?", "明天上海的天气怎么样？"])
def test_ask_abstains(workspace: Path, model: str, question: str) -> None:
    done = limner("ask", question, "--json", "--model", model, workspace=workspace)
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["abstained"], answer["citations"], answer["n"]) == (0, True, [], 0)


def test_ask_prints_for_people(workspace: Path, model: str) -> None:
    done = limner("ask", "谁打算买茶杯？", "--model", model, workspace=workspace)
    assert done.returncode == 0, done.stderr
    assert "客户7" in done.stdout


def test_copy_prints_json(workspace: Path, model: str, tmp_path: Path) -> None:
    sheet = tmp_path / "hush.yaml"
    sheet.write_text(SHEET, encoding="utf-8")
    arguments = (
        "copy",
        "--segment",
        "Keyboard people",
        "--product",
        str(sheet),
        "--channel",
        "push",
        "--variants",
        "2",
    )
    done = limner(*arguments, "--json", "--model", model, workspace=workspace)
    assert done.returncode == 0, done.stderr
    given = json.loads(done.stdout)
    assert given["variants"][0]["body"] == COPY["body"]
    assert len(given["variants"]) == 2
    assert all(check["ok"] for v in given["variants"] for check in v["checks"])
    shown = limner(*arguments, "--model", model, workspace=workspace)
    assert "Quiet keyboards for your evenings" in shown.stdout


def test_copy_for_an_unknown_segment_lists_the_known(workspace: Path, model: str, tmp_path: Path) -> None:
    sheet = tmp_path / "hush.yaml"
    sheet.write_text(SHEET, encoding="utf-8")
    done = limner("copy", "-s", "nobody", "-p", str(sheet), "--model", model, workspace=workspace)
    assert done.returncode == 2
    assert "Keyboard people" in done.stderr
    assert "Traceback" not in done.stderr
