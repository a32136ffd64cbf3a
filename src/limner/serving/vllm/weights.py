"""What `vllm:MODEL` names: a model that limner knows, a GGUF file, a folder of weights, or a name on the hub.

vLLM reads folders as they lie on the hub. A GGUF file is turned into one once, and the folder kept with other models.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from limner.errors import ModelError, UsageError
from limner.serving.models import MODELS, KnownModel
from limner.serving.vllm.interpreter import last_line, script
from limner.serving.weights import (
    MODELS_DIR,
    models_folder,
    progress_on_stderr,
    pull,
    remembered_sha256,
    sha256_of,
)

UNPACKED = 4.5
"""A folder in bfloat16 is so many times as large as a GGUF file in four bits, at most."""

_LARGE = 64_000_000
_PARTS = frozenset({".safetensors", ".bin", ".json", ".txt", ".model", ".jinja"})

Told = Callable[[str], None]
"""Told in a few words what is being done."""


@dataclass(frozen=True, slots=True)
class NamedModel:
    """What a spec names.

    Attributes:
        name: What requests call it.
        identity: Its name in the cache key: what determines its answers.
        known: The known model, if it is one.
        file: The GGUF file, if it is one.
        folder: The folder, if it is one.
    """

    name: str
    identity: str
    known: KnownModel | None = None
    file: Path | None = None
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Loadable:
    """What vLLM is told to load.

    Attributes:
        model: A folder or a hub id.
        local: Whether it is a folder.
        bytes: Bytes of the weights, if they are here.
    """

    model: str
    local: bool
    bytes: int | None = None


def named_model(model: str) -> NamedModel:
    """What a name after `vllm:` means. Nothing is fetched.

    Raises:
        UsageError: It is a path, and there is no such file or folder.
    """
    known = MODELS.get(model.lower())
    if known is not None:
        return NamedModel(known.name, f"vllm:{known.name}", known=known)
    path = Path(model).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UsageError(f"{path} holds no config.json, so it is no folder of weights.")
        folder = path.resolve()
        return NamedModel(str(folder), f"vllm:{folder.name}@{_sha256_of_folder(folder)[:12]}", folder=folder)
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise UsageError(f"There is no model file {path}. Known models: limner models list.")
        file = path.resolve()
        return NamedModel(str(file), f"vllm:{file.stem}@{remembered_sha256(file)[:12]}", file=file)
    if model.startswith(("/", ".", "~")) or "\\" in model:
        raise UsageError(f"There is no folder {path}. Write vllm:FOLDER, vllm:FILE.gguf or a name on the model hub.")
    return NamedModel(model, f"vllm:{model}")


def _sha256_of_folder(folder: Path) -> str:
    """One hash over all files that determine the answers."""
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.suffix in _PARTS and file.is_file() and not file.name.endswith(".sha256.json"):
            found = remembered_sha256(file) if file.stat().st_size > _LARGE else sha256_of(file)
            digest.update(f"{file.name} {found}\n".encode())
    return digest.hexdigest()


def loadable(named: NamedModel, told: Told) -> Loadable:
    """Brings a model into the form that vLLM loads: fetched, and turned into a folder, if it has to be.

    Raises:
        ModelError: It cannot be had, or cannot be turned into a folder.
    """
    folder = named.folder
    if named.known is not None:
        with progress_on_stderr(f"Fetching {named.known.name}") as progress:
            folder = folder_of_gguf(pull(named.known, progress), named.known.sha256, told)
    elif named.file is not None:
        folder = folder_of_gguf(named.file, remembered_sha256(named.file), told)
    if folder is None:
        return Loadable(named.name, local=False)
    size = sum(file.stat().st_size for file in folder.iterdir() if file.suffix in (".safetensors", ".bin"))
    return Loadable(str(folder), local=True, bytes=size)


def folder_of_gguf(file: Path, sha256: str, told: Told) -> Path:
    """The folder with the weights of a GGUF file, made if it is not there yet. Of several processes, one makes it.

    Raises:
        ModelError: It cannot be made: no room, no such reader, a kind of model that cannot be unpacked.
    """
    from filelock import FileLock

    target = models_folder() / f"{file.stem}-{sha256[:12]}"
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if not target.is_dir():
                told(f"turning {file.name} into a folder that vLLM reads, once")
                _convert(file, target)
    except OSError as error:
        raise ModelError(
            f"Cannot write {target}: {error.strerror or error}. Name a folder that can be written with {MODELS_DIR}."
        ) from error
    return target


def _convert(file: Path, target: Path) -> None:
    needed, free = int(file.stat().st_size * UNPACKED), shutil.disk_usage(target.parent).free
    if free < needed:
        raise ModelError(
            f"{file.name} as a folder needs {needed / 1e9:.1f} GB in {target.parent}, and {free / 1e9:.1f} GB are "
            f"free. Make room, or name another folder with {MODELS_DIR}."
        )
    making = target.with_name(f"{target.name}.tmp")
    shutil.rmtree(making, ignore_errors=True)  # Of an attempt that was cut short.
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    command = script("gguf_to_folder.py", str(file), str(making))
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=environment)
    if done.returncode:
        shutil.rmtree(making, ignore_errors=True)
        reason = last_line(done.stderr)
        if "gguf" in reason and "install" in reason.lower():
            reason += ". Install what reads the file: pip install gguf accelerate"
        raise ModelError(f"{file} cannot be turned into a folder that vLLM reads: {reason}")
    os.replace(making, target)
