"""Writes personas: traits merged from signals, and a short narrative that says nothing they do not."""

from limner.agents.portraitist.run import PortraySummary, portray

__all__ = ["PortraySummary", "portray"]
