"""Reading a GGUF file's table of contents, to refuse what the engine would crash on or cannot read.

The engine's own reader ends the whole process on a file that is cut short or no GGUF at all. Format:
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from limner.errors import ModelError


@dataclass(frozen=True, slots=True)
class TensorType:
    """How a kind of tensor is stored.

    Attributes:
        name: Its name.
        block: Numbers in one block.
        bytes: Bytes of one block.
        readable: Whether the embedded engine can read it.
    """

    name: str
    block: int
    bytes: int
    readable: bool = False


TYPES: Mapping[int, TensorType] = {
    0: TensorType("F32", 1, 4, readable=True),
    1: TensorType("F16", 1, 2, readable=True),
    2: TensorType("Q4_0", 32, 18, readable=True),
    3: TensorType("Q4_1", 32, 20, readable=True),
    6: TensorType("Q5_0", 32, 22),
    7: TensorType("Q5_1", 32, 24),
    8: TensorType("Q8_0", 32, 34, readable=True),
    10: TensorType("Q2_K", 256, 84),
    11: TensorType("Q3_K", 256, 110),
    12: TensorType("Q4_K", 256, 144, readable=True),
    13: TensorType("Q5_K", 256, 176),
    14: TensorType("Q6_K", 256, 210, readable=True),
    30: TensorType("BF16", 1, 2, readable=True),
}

_NUMBERS: Mapping[int, str] = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True, slots=True)
class Tensor:
    """A line of the file's table of tensors.

    Attributes:
        name: The tensor's name, as the bytes that stand there.
        shape: Its extents, the fastest running one first.
        kind: The number of its type, see `TYPES`.
        offset: Where its numbers begin, in bytes from where the first tensor's do.
    """

    name: bytes
    shape: tuple[int, ...]
    kind: int
    offset: int

    @property
    def bytes(self) -> int:
        """How many bytes its numbers take; 1 if the type is unknown."""
        kind = TYPES.get(self.kind)
        return math.prod(self.shape) // kind.block * kind.bytes if kind else 1

    @property
    def type_name(self) -> str:
        """The name of its type."""
        kind = TYPES.get(self.kind)
        return kind.name if kind else f"type {self.kind}"


@dataclass(frozen=True, slots=True)
class Contents:
    """What a GGUF file holds.

    Attributes:
        architecture: The kind of model, `qwen2`.
        context: Tokens of prompt and answer that the model was made for; None if the file does not say.
        chat_template: Whether the file says how to write a conversation.
        tensors: Its tensors, in the order of the table.
        table: At which byte the table of tensors begins.
        start: At which byte the tensors' numbers begin.
        alignment: Bytes of which each tensor's beginning is a multiple.
    """

    architecture: str
    context: int | None
    chat_template: bool
    tensors: tuple[Tensor, ...]
    table: int
    start: int
    alignment: int

    @property
    def unreadable(self) -> tuple[str, ...]:
        """Names of tensor types that the embedded engine cannot read."""
        kinds = ((TYPES.get(tensor.kind), tensor.type_name) for tensor in self.tensors)
        return tuple(sorted({name for kind, name in kinds if kind is None or not kind.readable}))


def contents_of(path: Path) -> Contents:
    """Reads the table of contents of a GGUF file, once for each state of it: it takes a third of a second.

    Raises:
        ModelError: The file is no GGUF file, is damaged or is cut short.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise ModelError(f"Cannot load {path}: {error.strerror}.") from error
    return _contents_of(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=8)
def _contents_of(path: Path, _changed: int, _size: int) -> Contents:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data).contents()
    except (ValueError, struct.error, IndexError, UnicodeDecodeError, OverflowError) as error:
        raise ModelError(f"Cannot load {path}: it is not a whole GGUF file ({error}). Fetch it again.") from error
    except OSError as error:
        raise ModelError(f"Cannot load {path}: {error.strerror}.") from error


class _Reader:
    """Walks through the file; every step checks that it stays inside."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 0

    def contents(self) -> Contents:
        if self._bytes(4) != b"GGUF":
            raise ValueError("it does not begin as one")
        if self._number("<I") not in (2, 3):
            raise ValueError("of an unknown version")
        tensors, entries = int(self._number("<Q")), int(self._number("<Q"))
        facts: dict[str, Any] = {}
        for _ in range(entries):
            key = self._string()
            facts[key] = self._value(int(self._number("<I")))
        table = self._at
        listed = tuple(self._tensor() for _ in range(tensors))
        alignment = int(facts.get("general.alignment") or 32)
        start = -(-self._at // alignment) * alignment
        end = max((tensor.offset + tensor.bytes for tensor in listed), default=0)
        if start + end > len(self._data):
            raise ValueError(f"{start + end - len(self._data):,} bytes are missing at its end")
        architecture = str(facts.get("general.architecture", ""))
        context = facts.get(f"{architecture}.context_length")
        return Contents(architecture, context, "tokenizer.chat_template" in facts, listed, table, start, alignment)

    def _tensor(self) -> Tensor:
        name = self._bytes(int(self._number("<Q")))
        shape = tuple(int(self._number("<Q")) for _ in range(int(self._number("<I"))))
        return Tensor(name, shape, int(self._number("<I")), int(self._number("<Q")))

    def _bytes(self, count: int) -> bytes:
        if count > len(self._data) - self._at:
            raise ValueError("it ends in the middle of its contents")
        self._at += count
        return self._data[self._at - count : self._at]

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._bytes(struct.calcsize(form)))[0]

    def _string(self) -> str:
        return self._bytes(int(self._number("<Q"))).decode("utf-8", "replace")

    def _value(self, kind: int) -> Any:
        """A value; an array is stepped over and given as None."""
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY:
            return self._number(_number_form(kind))
        inner, count = int(self._number("<I")), int(self._number("<Q"))
        if inner in _NUMBERS:
            self._bytes(count * struct.calcsize(_NUMBERS[inner]))
            return None
        step: Callable[[], Any] = self._string if inner == _STRING else lambda: self._value(inner)
        for _ in range(count):
            step()
        return None


def _number_form(kind: int) -> str:
    form = _NUMBERS.get(kind)
    if form is None:
        raise ValueError(f"it has a value of the unknown type {kind}")
    return form
