"""The quarantine file: every row that could not be used, with its file, its number and the reason.

One JSON object a line: `{"file", "row", "reason", "raw"}`. `raw` is the row as it was read, so that it can be mended
and loaded again.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import IO, Any

RAW = 100_000
"""Characters kept of one raw row; a broken file may be one endless line."""


class Quarantine:
    """Bad rows of one run, written as they are found.

    Attributes:
        path: The file. It exists only if there was a bad row.
        count: Number of bad rows.
        reasons: How often each sort of reason came up.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self.reasons: Counter[str] = Counter()
        self._file: IO[str] | None = None

    def add(self, file: str, row: int, reason: str, raw: Any) -> None:
        """Records one bad row. `raw` is its text, or what it held by column."""
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n")
        if isinstance(raw, str) and len(raw) > RAW:
            raw = raw[:RAW] + " ... (cut)"
        record = {"file": file, "row": row, "reason": reason, "raw": raw}
        self._file.write(json.dumps(record, ensure_ascii=False) + "\n")
        self.count += 1
        self.reasons[reason.split(":", 1)[0]] += 1

    def close(self) -> None:
        """Makes what was recorded durable."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None

    def discard(self) -> None:
        """Removes the file of a load that failed as a whole."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self.path.unlink(missing_ok=True)
