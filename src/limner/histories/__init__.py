"""Histories: reading, mapping and cleaning sources, the workspace's tables, and what they add up to for each user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from limner.histories.load import IngestSummary as IngestSummary
    from limner.histories.load import ingest as ingest
    from limner.histories.mapping import Mapping as Mapping

__all__ = ["IngestSummary", "Mapping", "ingest"]

_HOMES = {"IngestSummary": "load", "Mapping": "mapping", "ingest": "load"}
"""The module of each name offered here; it is imported on first use, because DuckDB and Arrow are slow to load."""


def __getattr__(name: str) -> Any:
    """Loads what is offered here on first use."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"limner.histories.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'limner.histories' has no attribute {name!r}")
