"""Copies of GGUF files in tensor types that the embedded engine reads, without changing a number.

The engine has no reader for Q5_0, which the official 4-bit files of small models use where a row is no multiple of 256.
Each number of Q5_0 is a whole one of 5 bits times the scale of its block of 32; Q8_0 is the same with 8 bits. So the
copy has the same numbers and takes more room, and the model is the same model. Block layouts:
https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from limner.errors import ModelError
from limner.histories.replacing import replacing
from limner.serving.gguf import TYPES, Contents, Tensor, contents_of
from limner.serving.weights import Progress, models_folder, remembered_sha256

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

NARROW, WIDE = 6, 8
"""The types' numbers: Q5_0 and Q8_0."""

_BLOCKS = 1 << 20
"""Blocks widened at a time: 22 and 34 MB."""


def readable(path: Path, progress: Progress | None = None) -> Path:
    """The file itself if it has no tensor of Q5_0, else its copy in the models folder, which is made the first time.

    Args:
        path: The GGUF file.
        progress: Told about bytes as they are written.

    Raises:
        ModelError: The file is no whole GGUF file, or the copy cannot be kept.
    """
    contents = contents_of(path)
    if all(tensor.kind != NARROW for tensor in contents.tensors):
        return path
    from filelock import FileLock

    copy = models_folder() / f"{path.stem[:80]}.{remembered_sha256(path)[:12]}.wide.gguf"
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{copy}.lock"):
            if not copy.is_file():
                with replacing(copy) as temporary, temporary.open("wb") as out:
                    _write(path, contents, out, progress or (lambda *_: None))
    except OSError as error:
        raise ModelError(
            f"Cannot keep a copy of {path} that the engine can read in {copy.parent}: {error.strerror or error}."
        ) from error
    return copy


def _write(path: Path, contents: Contents, out: BinaryIO, progress: Progress) -> None:
    """Writes the copy: what stands before the table of tensors as it is, the table anew, the numbers in its order."""
    wide = [replace(tensor, kind=WIDE) if tensor.kind == NARROW else tensor for tensor in contents.tensors]
    end = 0
    for number, tensor in enumerate(wide):
        wide[number] = replace(tensor, offset=end)
        end += _aligned(tensor.bytes, contents.alignment)
    with path.open("rb") as source:
        out.write(source.read(contents.table))
        for tensor in wide:
            out.write(_line(tensor))
        out.write(b"\0" * (_aligned(out.tell(), contents.alignment) - out.tell()))
        start = out.tell()
        for old, new in zip(contents.tensors, wide, strict=True):
            source.seek(contents.start + old.offset)
            for piece in _numbers(source, old):
                out.write(piece)
                progress("turning", out.tell() - start, end)
            out.write(b"\0" * (start + new.offset + _aligned(new.bytes, contents.alignment) - out.tell()))
    out.flush()
    os.fsync(out.fileno())


def _aligned(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def _line(tensor: Tensor) -> bytes:
    """A tensor's line in the table."""
    shape = struct.pack(f"<{len(tensor.shape)}Q", *tensor.shape)
    head = struct.pack("<Q", len(tensor.name)) + tensor.name + struct.pack("<I", len(tensor.shape))
    return head + shape + struct.pack("<IQ", tensor.kind, tensor.offset)


def _numbers(source: BinaryIO, tensor: Tensor) -> Iterator[bytes]:
    """A tensor's numbers in pieces, as the copy has them."""
    import numpy as np

    step = TYPES[NARROW].bytes * _BLOCKS
    for begin in range(0, tensor.bytes, step):
        piece = source.read(min(step, tensor.bytes - begin))
        yield widened(np.frombuffer(piece, np.uint8)).tobytes() if tensor.kind == NARROW else piece


def widened(blocks: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Blocks of Q5_0, one after the other in bytes, as blocks of Q8_0.

    A block of Q5_0 is its scale (2 bytes), the fifth bits of its 32 numbers (4 bytes) and their low four bits (16
    bytes, number `i` in the low half of byte `i`, number `i + 16` in the high half); 16 stands for zero. A block of
    Q8_0 is the scale and 32 signed bytes.
    """
    import numpy as np

    narrow = blocks.reshape(-1, TYPES[NARROW].bytes)
    high = np.unpackbits(narrow[:, 2:6], axis=1, bitorder="little")
    low = np.concatenate([narrow[:, 6:] & 15, narrow[:, 6:] >> 4], axis=1)
    wide = np.empty((len(narrow), TYPES[WIDE].bytes), np.uint8)
    wide[:, :2] = narrow[:, :2]
    wide[:, 2:] = (low | high << 4) - np.uint8(16)  # Below zero it wraps round, as signed bytes do.
    return wide.reshape(-1)
