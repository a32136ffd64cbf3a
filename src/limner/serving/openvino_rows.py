"""The model of a GGUF file as it is computed with fastest: whole numbers of 8 bits, with one scale for each row.

GGUF's matrices have a scale for every 16 or 32 numbers, and the engine computes with them group by group. With one
scale a row it reads and writes about 1.6 times as many tokens a second (docs/decisions/0002-embedded-engine.md), at 1
to 3 % of a row's norm of rounding, where the 4 bits of the file have rounded off more. What is made is kept in the
models folder in the engine's own form, which also loads in 2 seconds. It is derived: if it is missing or not whole, it
is made anew, and where it cannot be made or kept, the file itself is read.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from limner.serving.machine import memory_gb
from limner.serving.weights import Progress, models_folder, remembered_sha256

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Rows = npt.NDArray[np.float32]

FORM = 1
"""Number of the form that is made here: another one gets folders of its own."""

MODEL, NUMBERS, SIZES = "openvino_model.xml", "openvino_model.bin", "sizes.json"

MEMORY_GB = 6.0
"""Memory of a machine from which it is made: that takes three times the size of the file."""

_ROWS = 4096
"""Rows of a matrix worked on at a time: 150 MB of the widest."""

_GROUP = 256
"""The engine rounds what it multiplies a matrix by to 8 bits too, so many numbers with one scale at most. In 32, its
default, it read 165 tokens a second, in 64 to 512 about 225 to 245, in whole rows 120."""

_KNOWN = ("Constant", "Convert", "Multiply", "Subtract")
"""The operations that grouped numbers are made with."""


def prepared(path: Path, progress: Progress | None = None) -> Path:
    """The folder of the model as it is computed with fastest, made the first time; the file itself if it cannot be.

    Args:
        path: A GGUF file that the engine reads.
        progress: Told about bytes as they are turned.

    Raises:
        RuntimeError: The engine cannot read the file.
    """
    folder = models_folder() / f"{path.stem[:80]}.{remembered_sha256(path)[:12]}.rows-{FORM}"
    if _whole(folder):
        return folder
    if memory_gb() < MEMORY_GB:
        return path
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            return folder if _whole(folder) or _made(path, folder, progress or (lambda *_: None)) else path
    except OSError:  # A folder that cannot be written.
        return path


def _whole(folder: Path) -> bool:
    """Whether what is kept is all there: given half a file, the engine would end the process."""
    try:
        sizes = json.loads((folder / SIZES).read_text(encoding="utf-8"))
        return bool({name: (folder / name).stat().st_size for name in (MODEL, NUMBERS)} == sizes)
    except (OSError, ValueError):
        return False


def _made(path: Path, folder: Path, progress: Progress) -> bool:
    """Makes the folder, whole or not at all; whether it was made.

    Raises:
        OSError: It cannot be kept.
        RuntimeError: The engine cannot read the file.
    """
    import openvino as ov

    shutil.rmtree(folder, ignore_errors=True)
    if shutil.disk_usage(folder.parent).free < 3.5 * path.stat().st_size:
        return False
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".rows-", ignore_cleanup_errors=True) as name:
        made = Path(name) / "made"
        made.mkdir()
        model = ov.Core().read_model(_as_the_engine_reads_it(path, Path(name)))
        if not _turn(model, progress):
            return False
        ov.save_model(model, made / MODEL, compress_to_fp16=False)
        del model  # It has the engine's own file open.
        sizes = {name: (made / name).stat().st_size for name in (MODEL, NUMBERS)}
        (made / SIZES).write_text(json.dumps(sizes), encoding="utf-8")
        made.rename(folder)
    return True


def _as_the_engine_reads_it(path: Path, folder: Path) -> Path:
    """The model in the engine's own form, with the file's own groups. It is written beside the file that is read."""
    import openvino_genai as genai

    link = folder / "model.gguf"
    try:
        link.symlink_to(path.resolve())
    except OSError:  # Where links need a privilege that files do not.
        os.link(path, link)
    genai.LLMPipeline(str(link), "CPU", enable_save_ov_model=True)
    return folder / MODEL


def _turn(model: Any, progress: Progress) -> bool:
    """Gives the matrices that are stored in groups one scale for each row; whether there are any."""
    import numpy as np
    from openvino import opset13 as op

    matrices = [(node, found) for node in model.get_ordered_ops() if (found := _grouped(node)) is not None]
    total, done = sum(math.prod(found.get_shape()) for _, found in matrices), 0
    for node, found in matrices:
        rows, columns = found.get_shape()
        numbers, scales = np.empty((rows, columns), np.int8), np.empty((rows, 1), np.float16)
        for start in range(0, rows, _ROWS):
            part = slice(start, start + _ROWS)
            grouped = _values(found.get_node().input_value(0).get_node(), rows, part)
            numbers[part], scales[part] = rounded(grouped.reshape(len(grouped), columns))
            done += numbers[part].size
            progress("turning", done, total)
        turned = op.multiply(op.convert(op.constant(numbers), "f16"), op.constant(scales))
        node.input(1).replace_source_output(op.convert(turned, "f32").output(0))
    if matrices:
        group = math.gcd(_GROUP, *(found.get_shape()[1] for _, found in matrices))
        model.set_rt_info(str(group), ["runtime_options", "DYNAMIC_QUANTIZATION_GROUP_SIZE"])
    return bool(matrices)


def _grouped(node: Any) -> Any:
    """What a matrix product multiplies by, of shape (rows, columns), if that is stored in groups; else None."""
    if node.get_type_name() != "MatMul" or not node.get_attributes().get("transpose_b"):
        return None
    found = node.input_value(1)
    while found.get_node().get_type_name() == "Convert":
        found = found.get_node().input_value(0)
    shape = found.get_partial_shape()
    if found.get_node().get_type_name() != "Reshape" or not shape.is_static or len(shape) != 2:
        return None
    return found if _is_known(found.get_node().input_value(0).get_node()) else None


def _is_known(node: Any) -> bool:
    """Whether `_values` can tell the numbers."""
    return node.get_type_name() in _KNOWN and all(_is_known(value.get_node()) for value in node.input_values())


def _values(node: Any, rows: int, part: slice) -> Rows:
    """Some rows of a stored matrix as numbers."""
    import numpy as np

    kind = node.get_type_name()
    if kind == "Constant":
        return _stored(node, rows, part)
    values = [_values(value.get_node(), rows, part) for value in node.input_values()]
    if kind == "Multiply":
        return np.multiply(*values)
    return np.subtract(*values) if kind == "Subtract" else values[0]


def _stored(node: Any, rows: int, part: slice) -> Rows:
    """Rows of a constant; one that has no rows is for all of them."""
    import numpy as np

    shape = tuple(node.output(0).get_shape())
    numbers = np.asarray(node.data)
    if str(node.get_element_type().get_type_name()) == "u4":  # Two in a byte, the first in the lower half.
        of_a_row = math.prod(shape[1:])
        part = slice(part.start * of_a_row // 2, min(part.stop, rows) * of_a_row // 2)
        pairs = numbers.reshape(-1)[part]
        numbers = np.stack([pairs & 15, pairs >> 4], axis=-1).reshape(-1, *shape[1:])
    else:
        numbers = numbers.reshape(shape)
        if shape and shape[0] == rows:
            numbers = numbers[part]
    found: Rows = numbers.astype(np.float32)
    return found


def rounded(values: Rows) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float16]]:
    """Rows of numbers as whole numbers from -127 to 127, and what to multiply each row by, of shape (rows, 1)."""
    import numpy as np

    scales = (np.abs(values).max(axis=1, keepdims=True) / 127).astype(np.float16)
    scales[scales == 0] = 1
    whole = np.rint(values / scales.astype(np.float32))
    return np.clip(whole, -127, 127).astype(np.int8), scales
