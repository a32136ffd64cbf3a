"""Fixtures that many tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The evaluation data folder, which is not part of the project."""
    named = os.environ.get("LIMNER_TEST_DATA")
    if not named or not Path(named).is_dir():
        pytest.skip("LIMNER_TEST_DATA does not name the evaluation data folder")
    return Path(named)
