"""The bundled sample: a small bilingual shop of our own making, with known truth. README.md is its data card."""

from __future__ import annotations

from limner.sample.folder import sample_folder
from limner.sample.load import load_sample
from limner.sample.truth import Truth, read_truth

__all__ = ["Truth", "load_sample", "read_truth", "sample_folder"]
