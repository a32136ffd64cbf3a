"""Writes the sample's files from its plan: `python -m limner.sample.make`.

The same plan gives the same bytes, on any system and any supported Python; a test compares them with what is committed.
Each file has the form in which some system would hand it over, so that loading the sample exercises ingest.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from limner.sample.behaviour import Catalogue, Row, rows_of
from limner.sample.folder import sample_folder
from limner.sample.plan import Plan, read_plan
from limner.sample.planted import truth_of

PROFILE_COLUMNS = ("city", "member_level", "signup_date", "household", "declared_interests")

ZH_KINDS = {
    "view": "浏览",
    "search": "搜索",
    "cart": "加购",
    "order": "下单",
    "return": "退货",
    "review": "评价",
    "rating": "打分",
}
"""What the Chinese storefront's system calls each kind of event."""

MADE_BY = "# Written by limner.sample.make from the plan folder; change the plan, not this file.\n"


@dataclass(frozen=True, slots=True)
class SampleFile:
    """One file of the sample and how its bytes are made."""

    name: str
    write: Callable[[Plan, list[Row]], bytes]


def make(folder: Path | None = None) -> list[Path]:
    """Writes all files of the sample.

    Args:
        folder: Where to; the package's own sample folder if None.

    Returns:
        The paths written.
    """
    target = folder or sample_folder()
    plan = read_plan()
    rows = rows_of(plan)
    written = []
    for file in FILES:
        path = target / file.name
        path.write_bytes(file.write(plan, rows))
        written.append(path)
    return written


def _csv(header: Iterable[str], lines: Iterable[Iterable[Any]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return out.getvalue().encode("utf-8")


def _jsonl(records: Iterable[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode("utf-8")


def _money(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _amount(row: Row) -> float | None:
    paid = row.kind in ("order", "return") and row.price is not None and row.quantity is not None
    return round((row.price or 0) * (row.quantity or 0), 2) if paid else None


def _utc(ts: datetime) -> str:
    return ts.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _items(plan: Plan, rows: list[Row]) -> bytes:
    articles = Catalogue.of(plan.shop).articles.values()
    header = ("item_id", "title", "category", "price", "currency", "description")
    return _csv(header, ((a.item_id, a.title, a.category, _money(a.price), a.currency, a.text) for a in articles))


def _users(plan: Plan, rows: list[Row]) -> bytes:
    """The users file, with a byte order mark as spreadsheets write it; a user without a profile is not in it."""
    header = ("user_id", "language", *PROFILE_COLUMNS)
    known = (user for user in plan.users if user.profile)
    lines = ((u.id, u.language, *(u.profile.get(c, "") for c in PROFILE_COLUMNS)) for u in known)
    return b"\xef\xbb\xbf" + _csv(header, lines)


def _ties(plan: Plan, rows: list[Row]) -> bytes:
    ties = sorted((t for part in plan.parts for t in part.ties), key=lambda t: (t.day, t.user_id))
    return _csv(("user_id", "other_id", "type", "date"), ((t.user_id, t.other_id, t.type, t.day) for t in ties))


def _events_en(plan: Plan, rows: list[Row]) -> bytes:
    """The English storefront's export: UTC, one column for each thing, empty where it does not apply."""
    header = (
        *("user_id", "ts", "type", "item_id", "title", "category", "rating", "price", "quantity", "amount"),
        *("text_title", "text", "session_id", "device", "place", "channel"),
    )
    lines = []
    for row in rows:
        if row.user.language == "en" and row.kind != "chat":
            item = row.article
            what = (item.item_id, item.title, item.category) if item else ("", "", "")
            numbers = (row.stars, _money(row.price), row.quantity, _money(_amount(row)))
            words = (row.text_title, row.text)
            where = (row.session, row.device, row.user.profile.get("city", ""), row.channel)
            lines.append((row.user.id, _utc(row.ts), row.kind, *what, *numbers, *words, *where))
    return _csv(header, lines)


def _events_zh(plan: Plan, rows: list[Row]) -> bytes:
    """The Chinese storefront's log: local time without a zone, Chinese keys and kinds, keys left out where empty."""
    records = []
    for row in rows:
        if row.user.language == "zh" and row.kind != "chat":
            item = row.article
            record = {
                "用户": row.user.id,
                "时间": row.ts.strftime("%Y-%m-%d %H:%M:%S"),
                "行为": ZH_KINDS[row.kind],
                "商品编号": item.item_id if item else None,
                "商品名称": item.title if item else None,
                "类目": item.category if item else None,
                "评分": row.stars,
                "单价": row.price,
                "数量": row.quantity,
                "金额": _amount(row),
                "搜索词": row.text if row.kind == "search" else None,
                "评价标题": row.text_title or None,
                "评价内容": row.text if row.kind == "review" else None,
                "会话": row.session,
                "设备": row.device,
                "城市": row.user.profile.get("city"),
                "渠道": row.channel,
            }
            records.append({key: value for key, value in record.items() if value is not None})
    return _jsonl(records)


def _chats(plan: Plan, rows: list[Row]) -> bytes:
    """The help desk's export, both languages: local time with its offset, one message a line."""
    return _jsonl(
        {
            "session_id": row.session,
            "user_id": row.user.id,
            "ts": row.ts.isoformat(timespec="seconds"),
            "type": "chat",
            "channel": row.channel,
            "role": row.role,
            "text": row.text,
        }
        for row in rows
        if row.kind == "chat"
    )


def _truth(plan: Plan, rows: list[Row]) -> bytes:
    truth = truth_of(plan, rows).model_dump(mode="json")
    dumped: str = yaml.safe_dump(truth, allow_unicode=True, default_flow_style=None, sort_keys=False, width=100_000)
    return (MADE_BY + dumped).encode("utf-8")


FILES = (
    SampleFile("items.csv", _items),
    SampleFile("users.csv", _users),
    SampleFile("ties.csv", _ties),
    SampleFile("events_en.csv", _events_en),
    SampleFile("events_zh.jsonl", _events_zh),
    SampleFile("chats.jsonl", _chats),
    SampleFile("truth.yaml", _truth),
)
"""Every file that `make` writes."""


if __name__ == "__main__":
    make()
