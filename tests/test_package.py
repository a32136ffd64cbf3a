"""What is built and handed out: the wheel holds all it needs under one name, and the sdist passes its own tests."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import shutil
import site
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

import limner

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "limner"
LINKS = ("agents", "prompts", "retrieval", "evals")

pytestmark = [
    pytest.mark.timeout(1500),
    pytest.mark.skipif(not SOURCE.is_dir(), reason="the source is away: this is the suite run against what was built"),
]


@dataclass(frozen=True, slots=True)
class Built:
    """Paths of the copied tree and the two distributions; the wheel is built from the sdist, as an installer would."""

    tree: Path
    sdist: Path
    wheel: Path


def run(*command: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end, its output kept."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sdist and the wheel, built from a copy so that nothing is left in the working tree."""
    place = tmp_path_factory.mktemp("build")
    skipped = shutil.ignore_patterns(
        ".venv", ".git", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".limner"
    )
    shutil.copytree(ROOT, place / "tree", ignore=skipped, symlinks=True)
    result = run(sys.executable, "-m", "build", "--outdir", place / "dist", place / "tree", cwd=place)
    assert result.returncode == 0, (result.stdout + result.stderr)[-4000:]
    (sdist,) = (place / "dist").glob("*.tar.gz")
    (wheel,) = (place / "dist").glob("*.whl")
    return Built(place / "tree", sdist, wheel)


def wheel_files(wheel: Path) -> set[str]:
    """Names of the files in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def package_files(tree: Path) -> set[str]:
    """What a source tree has of the package, as the wheel should name it."""
    files = (path for path in (tree / "src" / "limner").rglob("*") if path.is_file())
    return {path.relative_to(tree / "src").as_posix() for path in files}


def test_wheel_has_one_top_level_name(built: Built) -> None:
    tops = {PurePosixPath(name).parts[0] for name in wheel_files(built.wheel)}
    assert tops == {"limner", f"limner-{limner.__version__}.dist-info"}


def test_wheel_has_every_file_of_the_package(built: Built) -> None:
    """Templates, page assets, the sample and the type marker too: a missing data file is found only by users."""
    packed = {name for name in wheel_files(built.wheel) if name.startswith("limner/")}
    assert packed == package_files(built.tree)
    assert "limner/py.typed" in packed


@pytest.mark.parametrize("suffix", [".jinja", ".css", ".js", ".py"])
def test_wheel_has_files_of_each_sort(built: Built, suffix: str) -> None:
    assert [name for name in wheel_files(built.wheel) if name.endswith(suffix)]


def test_wheel_has_the_sample(built: Built) -> None:
    packed = wheel_files(built.wheel)
    assert [n for n in packed if n.startswith("limner/sample/") and PurePosixPath(n).suffix not in {".py", ".toml"}]


def test_wheel_names_the_command_and_the_licence(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        (entry_points,) = (n for n in archive.namelist() if n.endswith("entry_points.txt"))
        assert "limner = limner.cli:main" in archive.read(entry_points).decode()
        (metadata,) = (n for n in archive.namelist() if n.endswith("/METADATA"))
        text = archive.read(metadata).decode()
    assert f"Version: {limner.__version__}" in text
    assert "License-Expression: Apache-2.0" in text
    assert "Requires-Python: <3.14,>=3.11" in text


def test_links_lead_into_the_package() -> None:
    """The root shows four folders of the package; they must never become packages of their own."""
    for name in LINKS:
        link = ROOT / name
        assert link.is_symlink(), f"{name} should be a link"
        assert link.resolve() == SOURCE / name


def test_sdist_has_all_it_needs_and_no_second_copy(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {PurePosixPath(m.name).relative_to(f"limner-{limner.__version__}") for m in archive if m.isfile()}
    tops = {name.parts[0] for name in names}
    assert {"README.md", "LICENSE", "CHANGELOG.md", "Makefile", "pyproject.toml", "src", "tests", "docs"} <= tops
    assert not tops & set(LINKS)
    packed = {name.relative_to("src").as_posix() for name in names if name.parts[:2] == ("src", "limner")}
    assert packed == package_files(built.tree)


def test_sdist_passes_its_own_tests_with_the_source_away(built: Built, tmp_path: Path) -> None:
    """Unpacks the sdist, installs what was built from it, takes its `src` away and runs the first tests of each
    file: what is asked here is whether anything that they need is missing, not whether they are right."""
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    tree = tmp_path / f"limner-{limner.__version__}"
    shutil.rmtree(tree / "src")
    python = environment(tmp_path / "venv")
    installed = run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", built.wheel, cwd=tmp_path)
    assert installed.returncode == 0, installed.stderr
    where = run(python, "-c", "import limner; print(limner.__file__)", cwd=tmp_path, PYTHONPATH="")
    assert Path(where.stdout.strip()).is_relative_to(tmp_path / "venv"), where.stdout + where.stderr
    chosen = "not model and not data and not slow"
    options = ("--once", "--durations=10", "-p", "no:cacheprovider")
    result = run(python, "-m", "pytest", "-m", chosen, *options, cwd=tree, PYTHONPATH="")
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
    assert " passed" in result.stdout


def imported_names() -> set[str]:
    """Top-level names of everything the package imports, the standard library and itself left out."""
    names: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"limner"}


def declared() -> dict[str, set[str]]:
    """Distributions that pyproject.toml asks for: under "" the plain ones, then those of each extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    return {name: {re.split(r"[^\w.-]", line)[0].lower() for line in lines} for name, lines in groups.items()}


def test_what_is_imported_is_asked_for_and_the_reverse() -> None:
    """A library that another one happens to bring may be gone with its next release."""
    groups = declared()
    users = set().union(*(lines for name, lines in groups.items() if name != "dev"))
    distributions = importlib.metadata.packages_distributions()
    imported = {
        name: {d.lower() for d in distributions.get(name, [name.replace("_", "-")])} for name in imported_names()
    }
    assert {name for name, owners in imported.items() if not owners & users} == set()
    assert groups[""] - set().union(*imported.values()) == set()


def test_extras_named_in_messages_exist() -> None:
    named: set[str] = set()
    for path in [*SOURCE.rglob("*.py"), *ROOT.glob("*.md")]:
        text = path.read_text(encoding="utf-8")
        named |= set(re.findall(r"limner\[([a-z]+)\]", text))
        named |= set(re.findall(r"MissingExtra\([^()]*,\s*\"([a-z]+)\"\)", text))
    assert named <= set(declared())


def environment(folder: Path) -> Path:
    """A new virtual environment that borrows this one's libraries and commands, but not its limner; returns its Python.

    A `.pth` line makes the libraries importable. Nested `.pth` files are not read, so an editable limner stays out of
    sight, and one installed as a copy comes after the new environment's own.
    """
    venv.create(folder, symlinks=os.name == "posix", with_pip=False)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    place = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).stdout.strip()
    borrowed = [path for path in site.getsitepackages() if Path(path).is_dir()]
    Path(place, "borrowed.pth").write_text("\n".join(borrowed) + "\n", encoding="utf-8")
    for command in Path(sys.executable).parent.iterdir():
        here = python.parent / command.name
        if os.name == "posix" and not here.exists() and not command.name.startswith(("limner", "python", "pip")):
            here.symlink_to(command)
    return python
