"""Where the bundled sample lies."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def sample_folder() -> Path:
    """The folder that holds the sample's files. limner is installed unpacked, so it is a real folder."""
    return Path(str(files("limner.sample")))
