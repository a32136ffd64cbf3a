"""Workspaces written straight into the store for tests of retrieval and segments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from limner.histories.store import Store

DAY = datetime(2025, 3, 1)


def trait(
    user: str, label: str, kind: str = "interest", polarity: str = "positive", quote: str | None = None, event: str = ""
) -> dict[str, Any]:
    """A trait row; with a `quote`, its evidence is the first occurrence of it in the event's text."""
    return {
        "trait_id": f"{user}/{kind}/{label}",
        "user_id": user,
        "kind": kind,
        "label": label,
        "polarity": polarity,
        "confidence": 0.9,
        "mentions": 1,
        "first_seen": DAY,
        "last_confirmed": DAY,
        "evidence": [] if quote is None else [{"event_id": event, "field": "text", "quote": quote}],
    }


def event(user: str, event_id: str, text: str = "", kind: str = "review", **more: Any) -> dict[str, Any]:
    """An event row."""
    return {"event_id": event_id, "user_id": user, "ts": DAY, "kind": kind, "text": text, **more}


def fact(user: str, **values: Any) -> dict[str, Any]:
    """A row of facts; what is not given is unknown."""
    return {"user_id": user, "as_of": DAY, "events": 3, "texts": 1, "frequency": 0, "lang": "en", **values}


def write(
    path: Path,
    *,
    traits: Iterable[Mapping[str, Any]] = (),
    events: Iterable[Mapping[str, Any]] = (),
    facts: Iterable[Mapping[str, Any]] = (),
    personas: Mapping[str, tuple[str, str]] | None = None,
    segments: Iterable[Mapping[str, Any]] = (),
) -> Store:
    """Writes one commit. Every user of a trait gets a persona row; `personas` gives (language, narrative) of some."""
    store = Store.open(path, create=True)
    texts = {row["event_id"]: row["text"] for row in events}
    rows = []
    for row in traits:
        spans = []
        for span in row["evidence"]:
            start = texts[span["event_id"]].index(span["quote"])
            spans.append({**span, "start": start, "end": start + len(span["quote"])})
        rows.append({**row, "evidence": spans})
    told = personas or {}
    heads = [
        {
            "user_id": user,
            "language": told.get(user, ("en", ""))[0],
            "narrative": [{"text": told[user][1], "supports": []}] if user in told else [],
        }
        for user in sorted({row["user_id"] for row in rows} | set(told))
    ]
    with store.commit("test") as commit:
        for name, table in (
            ("events", [dict(row) for row in events]),
            ("facts", [dict(row) for row in facts]),
            ("personas", heads),
            ("traits", rows),
            ("segments", [dict(row) for row in segments]),
        ):
            if table:
                commit.add(name, table)
    return store
