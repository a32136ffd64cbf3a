"""The layers of the design hold, and the check that says so can fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import limner

ROOT = Path(__file__).parents[1]
PACKAGE = Path(limner.__file__).parent


def lint(package_parent: Path) -> subprocess.CompletedProcess[str]:
    """Runs import-linter with the project's contracts over the `limner` found in a folder."""
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from importlinter.cli import lint_imports;"
            "sys.exit(lint_imports(config_filename=sys.argv[1], no_cache=True))",
            str(ROOT / "pyproject.toml"),
        ],
        cwd=package_parent,
        env={**os.environ, "PYTHONPATH": str(package_parent), "COLUMNS": "160"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the package that a test may spoil."""
    shutil.copytree(PACKAGE, tmp_path / "limner", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_layers_hold() -> None:
    result = lint(PACKAGE.parent)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("histories/backwards.py", "from limner.cli import main"),
        ("agents/hasty.py", "import openai"),
        ("segments/hasty.py", "import chromadb"),
        ("evidence/hasty.py", "import langchain_core"),
        ("evidence/sideways.py", "from limner import retrieval"),
        ("unlisted.py", "x = 1"),
    ],
)
def test_a_breach_is_found(copied: Path, module: str, line: str) -> None:
    (copied / "limner" / module).write_text(line + "\n", encoding="utf-8")
    result = lint(copied)
    assert result.returncode != 0, f"{module} with {line!r} passed:\n{result.stdout}"
    assert Path(module).stem in result.stdout
