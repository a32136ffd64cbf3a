"""A scorecard as one HTML file that loads nothing and runs nothing; every value in it is escaped."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from limner.evals.scorecard import Scorecard, model_columns, table

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color:#1c1c1a}"
    "table{border-collapse:collapse;width:100%;margin:1rem 0}"
    "th,td{border-bottom:1px solid #dcdad2;padding:.3rem .6rem;text-align:left;vertical-align:top}"
    "tr.main td{font-weight:600;border-top:2px solid #8a877c}"
    "@media(prefers-color-scheme:dark){body{background:#1c1c1a;color:#eceae3}th,td{border-color:#45443f}}"
)


def scorecard_html(card: Scorecard) -> str:
    """The page's text."""
    source = files("limner.evals").joinpath("scorecard.html").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode("ascii")
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(source)
    return template.render(
        card=card, models=model_columns(card), lines=table(card), style=STYLE, style_hash=f"sha256-{digest}"
    )


def write_scorecard_page(card: Scorecard, path: Path) -> Path:
    """Writes the page and returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(scorecard_html(card), encoding="utf-8")
    return path
