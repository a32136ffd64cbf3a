"""Prompt templates: files named `NAME.vN.LANG.jinja`, each with a `system` and a `user` block."""

from limner.prompts.library import Prompt, latest_version, load, neutralise

__all__ = ["Prompt", "latest_version", "load", "neutralise"]
