"""Loading: what is stored, what is set aside, and that every row is accounted for."""

from __future__ import annotations

import csv
import gzip
import io
import json
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limner.errors import DataError, LimnerError, UsageError
from limner.histories import IngestSummary, Mapping, ingest
from limner.histories.store import Store


@pytest.fixture
def store(tmp_path) -> Store:
    return Store.open(tmp_path / "workspace", create=True)


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def balanced(summary: IngestSummary) -> bool:
    return summary.rows == summary.stored + summary.duplicates + summary.repeats_dropped + summary.quarantined


def quarantined(summary: IngestSummary) -> list[dict]:
    if summary.quarantine_file is None:
        return []
    return [json.loads(line) for line in summary.quarantine_file.read_text(encoding="utf-8").splitlines()]


def events(store: Store, columns: str = "*") -> list[dict]:
    return store.rows(f"SELECT {columns} FROM events ORDER BY ts, item_id, event_id")


CSV = """user_id,time,event,sku,product_name,price,comment
007,2024-01-05 10:00:00,buy,s1,耳机,"1,299.00",
007,2024-01-06 10:00:00,review,s1,耳机,,音质很好
u2,2024-01-07 10:00:00,click,s2,Lamp,,
"""


def test_guesses_an_english_csv(store, tmp_path):
    summary = ingest(store, write(tmp_path, "log.csv", CSV))
    assert (summary.rows, summary.stored, summary.users, summary.quarantine_file) == (3, 3, 2, None)
    first = events(store, "user_id, ts, kind, item_id, title, price, lang, attrs, source")[0]
    assert first == {
        "user_id": "007",
        "ts": datetime(2024, 1, 5, 10),
        "kind": "order",
        "item_id": "s1",
        "title": "耳机",
        "price": 1299.0,
        "lang": "zh",
        "attrs": "{}",
        "source": "log.csv",
    }
    assert [e["kind"] for e in events(store, "kind, ts, item_id, event_id")] == ["order", "review", "click"]
    assert store.rows("SELECT count(*) AS n FROM facts")[0]["n"] == 2


def test_guesses_a_chinese_csv_in_gb18030(store, tmp_path):
    text = (
        "会员编号,下单时间,订单号,商品编号,商品名称,数量,实付金额(元),收货地址,备注\n"
        "0001,2024年1月5日 13时05分,D1,P1,耳机,2件,￥1,299,上海,送人\n".replace("￥1,299", '"￥1,299"')
        + "0002,2024/1/6 8:00,D2,P2,雨伞,１,35元,北京,\n"
    )
    summary = ingest(store, write(tmp_path, "订单.csv", text.encode("gb18030")))
    assert summary.stored == 2, quarantined(summary)
    rows = events(store, "user_id, ts, kind, item_id, title, quantity, amount, currency, place, session_id, event_id")
    first, second = ({k: v for k, v in row.items() if k != "event_id"} for row in rows)
    assert first == {
        "user_id": "0001",
        "ts": datetime(2024, 1, 5, 13, 5),
        "kind": "order",
        "item_id": "P1",
        "title": "耳机",
        "quantity": 2.0,
        "amount": 1299.0,
        "currency": "CNY",
        "place": "上海",
        "session_id": "D1",
    }
    assert (second["quantity"], second["amount"]) == (1.0, 35.0)
    assert json.loads(store.rows("SELECT attrs FROM events WHERE user_id = '0001'")[0]["attrs"]) == {"备注": "送人"}


SAME = [("u1", "2024-01-05 10:00:00", "review", "好"), ("u2", "2024-02-05 10:00:00", "order", "")]


def _csv(encoding: str, end: str = "\n", delimiter: str = ",") -> bytes:
    rows = [("user_id", "ts", "kind", "text"), *SAME]
    return end.join(delimiter.join(row) for row in rows).encode(encoding)


def _json_rows() -> list[dict]:
    return [dict(zip(("user_id", "ts", "kind", "text"), row, strict=True)) for row in SAME]


def _parquet() -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame(_json_rows()).to_parquet(buffer)
    return buffer.getvalue()


FORMS = {
    "a.csv": _csv("utf-8"),
    "bom.csv": _csv("utf-8-sig"),
    "crlf.csv": _csv("utf-8", "\r\n"),
    "cr.csv": _csv("utf-8", "\r"),
    "utf16.csv": _csv("utf-16"),
    "gb.csv": _csv("gb18030"),
    "a.tsv": _csv("utf-8", delimiter="\t"),
    "semicolon.csv": _csv("utf-8", delimiter=";"),
    "bar.txt": _csv("utf-8", delimiter="|"),
    "zipped.csv.gz": gzip.compress(_csv("utf-8")),
    "zipped-gb.csv.gz": gzip.compress(_csv("gb18030")),
    "unnamed": _csv("utf-8"),
    "odd [name]*.csv": _csv("utf-8"),
    "quote's.csv": _csv("utf-8"),
    "lines.jsonl": "\n".join(json.dumps(r) for r in _json_rows()).encode(),
    "lines.json": "\n".join(json.dumps(r) for r in _json_rows()).encode(),
    "bom.jsonl": b"\xef\xbb\xbf" + "\n".join(json.dumps(r, ensure_ascii=False) for r in _json_rows()).encode(),
    "array.json": json.dumps(_json_rows()).encode(),
    "pretty.json": json.dumps(_json_rows(), indent=2).encode(),
    "wrapped.json": json.dumps({"code": 0, "data": _json_rows()}).encode(),
    "wrapped-pretty.json": json.dumps({"code": 0, "data": _json_rows()}, indent=2).encode(),
    "objects.json": "\n".join(json.dumps(r, indent=1) for r in _json_rows()).encode(),
    "zipped.jsonl.gz": gzip.compress("\n".join(json.dumps(r) for r in _json_rows()).encode()),
    "a.parquet": _parquet(),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_events(name, store, tmp_path):
    summary = ingest(store, write(tmp_path, name, FORMS[name]))
    assert (summary.rows, summary.stored, summary.quarantined) == (2, 2, 0), quarantined(summary)
    assert [(e["user_id"], str(e["ts"]), e["kind"], e["text"] or "") for e in events(store)] == SAME
    assert all(len(e["event_id"]) == 24 for e in events(store))


@pytest.mark.slow
def test_the_form_of_a_file_does_not_change_ids(store, tmp_path):
    for name, content in FORMS.items():
        summary = ingest(store, write(tmp_path, name, content))
        assert balanced(summary), name
    assert len(events(store)) == 2
    ingest(store, write(tmp_path, "n.csv", "user_id,ts,kind,floor,vip\nu3,2024-01-05,order,3,true\n"))
    row = {"user_id": "u3", "ts": "2024-01-05", "kind": "order", "floor": 3, "vip": True}
    typed = write(tmp_path, "n.jsonl", json.dumps(row))
    assert ingest(store, typed).duplicates == 1


def test_loading_twice_adds_nothing(store, tmp_path):
    path = write(tmp_path, "log.csv", CSV)
    ingest(store, path)
    before = store.manifest().tables
    again = ingest(store, path)
    assert (again.stored, again.duplicates, again.facts) == (0, 3, 0)
    assert store.manifest().tables == before


REPEATED = """user_id,ts,kind,item_id,text
u1,2024-01-05,order,a,
u1,2024-01-05,order,a,
u1,2024-01-05,order,a,
u1,2024-01-05,review,a,fine
u1,2024-01-05,review,a,fine
"""


@pytest.mark.parametrize(
    ("policy", "stored", "dropped"), [(None, 4, 1), ("keep", 5, 0), ("drop", 2, 3)], ids=["kinds", "keep", "drop"]
)
def test_repeats(store, tmp_path, policy, stored, dropped):
    path = write(tmp_path, "log.csv", REPEATED)
    summary = ingest(store, path, repeats=policy)
    assert (summary.stored, summary.repeats, summary.repeats_dropped) == (stored, 3, dropped)
    assert balanced(summary)
    assert len({e["event_id"] for e in events(store)}) == stored
    again = ingest(store, path, repeats=policy)
    assert again.stored == 0
    assert balanced(again)


def test_volatile_columns_are_kept_but_do_not_identify(store, tmp_path):
    head = "user_id,ts,kind,text,likes,tag\n"
    ingest(store, write(tmp_path, "a.csv", head + "u1,2024-01-05,review,fine,3,x\n"))
    again = ingest(store, write(tmp_path, "b.csv", head + "u1,2024-01-05,review,fine,9,x\n"))
    assert again.duplicates == 1
    assert json.loads(events(store)[0]["attrs"]) == {"tag": "x", "likes": "3"}
    other = ingest(store, write(tmp_path, "c.csv", head + "u1,2024-01-05,review,fine,9,y\n"))
    assert other.stored == 1


BAD_ROWS = {
    "no user": ",2024-01-05,5,x",
    "no user ": "NULL,2024-01-05,5,x",
    "no user  ": "\\N,2024-01-05,5,x",
    "no time": "u1,,5,x",
    "no time ": "u1,N/A,5,x",
    "unreadable time: soon": "u1,soon,5,x",
    "unreadable time: 2024-02-30": "u1,2024-02-30,5,x",
    "unreadable time: 0001-01-01": "u1,0001-01-01,5,x",
    "rating is not a number: great": "u1,2024-01-05,great,x",
    "rating is not a number: inf": "u1,2024-01-05,inf,x",
    "2 fields where 4 are expected": "u1,2024-01-05",
    "6 fields where 4 are expected": "u1,2024-01-05,5,x,y,z",
}


@pytest.mark.parametrize("reason", BAD_ROWS)
def test_a_bad_row_is_quarantined_with_its_reason(reason, store, tmp_path):
    good = [f"u{i},2024-01-{i + 1:02},5,t{i}" for i in range(20)]
    lines = ["user_id,ts,rating,text", *good[:3], BAD_ROWS[reason], *good[3:]]
    path = write(tmp_path, "log.csv", "\n".join(lines) + "\n")
    summary = ingest(store, path)
    assert (summary.rows, summary.stored, summary.quarantined) == (21, 20, 1)
    (bad,) = quarantined(summary)
    assert (bad["file"], bad["row"], bad["reason"]) == ("log.csv", 5, reason.strip())
    assert "u1" in json.dumps(bad["raw"]) or reason.startswith("no user")
    assert summary.quarantine_file == store.path / "quarantine" / f"{summary.run}.jsonl"
    assert summary.to_json()["quarantine_file"] == str(summary.quarantine_file)


def test_all_reasons_of_a_row_are_given(store, tmp_path):
    path = write(tmp_path, "log.csv", "user_id,ts,rating,text\nu1,2024-01-01,5,a\n,never,bad,b\n")
    (bad,) = quarantined(ingest(store, path, mapping=_mapped("user_id", "ts", "rating", "text")))
    assert bad["reason"] == "no user; unreadable time: never; rating is not a number: bad"
    assert bad["raw"] == {"ts": "never", "rating": "bad", "text": "b"}


def _mapped(*fields: str, **more) -> dict:
    return {"kind": "events", "columns": {f: f for f in fields}, "constants": {"kind": "review"}, **more}


def test_undated_events_are_kept_if_the_mapping_says_so(store, tmp_path):
    path = write(tmp_path, "log.csv", "user_id,ts,text\nu1,,a\nu1,soon,b\nu1,2024-01-01,c\n")
    summary = ingest(store, path, mapping=_mapped("user_id", "ts", "text", undated="keep"))
    assert summary.stored == 3
    kept = {e["text"]: (e["ts"], json.loads(e["attrs"])) for e in events(store)}
    assert kept == {"a": (None, {}), "b": (None, {"ts": "soon"}), "c": (datetime(2024, 1, 1), {})}


def test_broken_encoding_costs_one_line(store, tmp_path):
    good = ["user_id,ts,text\nu1,2024-01-01,音质很好\n".encode(), "u3,2024-01-03,不错\n".encode()]
    summary = ingest(store, write(tmp_path, "log.csv", b"u2,2024-01-02,\xff\xfe\x80bad\n".join(good)))
    assert (summary.stored, summary.quarantined) == (2, 1)
    (bad,) = quarantined(summary)
    assert bad["row"] == 3
    assert "not valid UTF-8" in bad["reason"]
    assert "\\xff" in bad["raw"]


def test_gb18030_below_an_ascii_megabyte(store, tmp_path):
    """The head says UTF-8; the whole file says otherwise."""
    lines = [f"u{i},2024-01-01,{'plain ascii text ' * 6}{i}" for i in range(10_000)]
    text = "\n".join(["user_id,ts,text", *lines, "u1,2024-01-02,音质很好，会回购", "u2,2024-01-02,物流太慢"])
    summary = ingest(store, write(tmp_path, "log.csv", text.encode("gb18030")))
    assert (summary.rows, summary.stored) == (10_002, 10_002)
    assert store.rows("SELECT text FROM events WHERE ts = '2024-01-02' ORDER BY 1")[0]["text"] == "物流太慢"


def test_western_letters_are_not_taken_for_chinese(store, tmp_path):
    text = "user_id,ts,text\nu1,2024-01-01,café très bon\nu2,2024-01-02,Müller würde kaufen\nu3,2024-01-03,plain\n"
    path = write(tmp_path, "log.csv", text.encode("cp1252"))
    summary = ingest(store, path)
    assert (summary.stored, summary.quarantined) == (1, 2)
    assert "set `encoding`" in quarantined(summary)[0]["reason"]
    mended = ingest(store, path, mapping=_mapped("user_id", "ts", "text", encoding="cp1252"))
    assert mended.quarantined == 0
    assert "café très bon" in {e["text"] for e in events(store)}


def test_nul_bytes_and_embedded_newlines(store, tmp_path):
    content = b'user_id,ts,text\r\nu1,2024-01-01,"two\r\nlines, ""quoted"""\r\nu2,2024-01-02,nul\x00byte\r\n'
    summary = ingest(store, write(tmp_path, "log.csv", content))
    assert summary.stored == 2
    assert [e["text"] for e in events(store)] == ['two\nlines, "quoted"', "nulbyte"]


def test_a_stray_quote_costs_one_row_at_most(store, tmp_path):
    rows = [f"u{i},2024-01-{i:02},fine {i}" for i in range(1, 29)]
    rows[4] = 'u5,2024-01-05,"never closed'
    summary = ingest(store, write(tmp_path, "log.csv", "\n".join(["user_id,ts,text", *rows]) + "\n"))
    assert summary.rows == 28
    assert summary.stored >= 27
    assert balanced(summary)


def test_backslash_escapes(store, tmp_path):
    content = 'user_id,ts,text\nu1,2024-01-01,"he said \\"hi\\", twice"\nu2,2024-01-02,"fine"\n'
    ingest(store, write(tmp_path, "log.csv", content))
    assert events(store)[0]["text"] == 'he said "hi", twice'


def test_no_header(store, tmp_path):
    content = "".join(f"{i},{i * 7},3,88125{i:04}\n" for i in range(100, 140))
    columns = {"user_id": "column1", "item_id": "column2", "rating": "column3", "ts": "column4"}
    mapping = {"columns": columns, "constants": {"kind": "rating"}}
    summary = ingest(store, write(tmp_path, "u.data.csv", content), mapping=mapping)
    assert (summary.rows, summary.stored) == (40, 40)
    assert events(store)[0]["user_id"] == "100"


def test_awkward_columns(store, tmp_path):
    """Duplicate names, SQL keywords, quotes, a trailing comma, names that differ in case only."""
    content = 'user_id,ts,select,"a ""b""\';DROP TABLE x",x,x,X,text,\nu1,2024-01-01,s,q,1,2,3,words here,\n'
    ingest(store, write(tmp_path, "log.csv", content), mapping=_mapped("user_id", "ts", "text"))
    assert json.loads(events(store)[0]["attrs"]) == {
        "select": "s",
        'a "b"\';DROP TABLE x': "q",
        "x": "1",
        "x_2": "2",
        "X": "3",
    }


@pytest.mark.slow
def test_hundreds_of_columns(store, tmp_path):
    """Once a column cost a join; 300 of them took a minute and 1,500 all memory."""
    names = [f"c{i}" for i in range(400)]
    content = ",".join(["user_id", "ts", *names]) + "\nu1,2024-01-01," + ",".join(names) + "\n"
    summary = ingest(store, write(tmp_path, "log.csv", content))
    assert json.loads(events(store)[0]["attrs"]) == {name: name for name in names}
    assert summary.seconds < 60


@pytest.mark.parametrize("content", ["[]", "5", "null\nnull\n", '"text"'])
def test_json_without_objects(store, tmp_path, content):
    with pytest.raises(DataError, match="holds no JSON objects"):
        ingest(store, write(tmp_path, "log.json", content))


def test_nested_json_and_types(store, tmp_path):
    row = {
        "user": {"id": "007", "city": {"name": "上海"}},
        "time": 1704448800000,
        "event": "purchase",
        "product": {"sku": "s1", "tags": ["a", "b"]},
        "amount": 12.5,
        "vip": True,
        "none": None,
    }
    ingest(store, write(tmp_path, "log.jsonl", json.dumps(row) + "\n"))
    (event,) = events(store)
    assert (event["user_id"], event["ts"], event["kind"]) == ("007", datetime(2024, 1, 5, 10), "order")
    assert event["amount"] == 12.5
    attrs = json.loads(event["attrs"])
    assert attrs["vip"] is True
    assert attrs["product"] == row["product"]
    assert "none" not in attrs


def test_damaged_json(store, tmp_path):
    first, last = '{"user_id": "u1", "ts": "2024-01-01", "text": "a b"}', '{"user_id": "u2", "ts": "2024-01-02"}'
    lines = [first, "{broken", "[1]", "5", last]
    summary = ingest(store, write(tmp_path, "log.jsonl", "\n".join(lines)))
    assert (summary.rows, summary.stored) == (5, 2)
    assert [(b["row"], b["reason"].split(":")[0]) for b in quarantined(summary)] == [
        (2, "not JSON"),
        (3, "not a JSON object"),
        (4, "not a JSON object"),
    ]
    array = '[{"user_id": "u3", "ts": "2024-01-01"}, {"user_id": "u4", "ts": "2024-01-01"}, {"user_id": "u5", "t'
    summary = ingest(store, write(tmp_path, "cut.json", array))
    assert (summary.rows, summary.stored, summary.quarantined) == (3, 2, 1)


def test_half_a_surrogate_pair_is_quarantined(store, tmp_path):
    line = '{"user_id": "u1", "ts": "2024-01-01", "text": "%s"}'
    lines = [line % "bad \\ud83d end", line % "ok"]
    summary = ingest(store, write(tmp_path, "log.jsonl", "\n".join(lines)))
    assert (summary.stored, summary.quarantined) == (1, 1)


def test_cut_gzip_keeps_what_is_there(store, tmp_path):
    rows = "".join(f"u{i},2024-01-01,text number {i * i * 7919 % 10007}\n" for i in range(20_000))
    whole = gzip.compress(("user_id,ts,text\n" + rows).encode())
    summary = ingest(store, write(tmp_path, "log.csv.gz", whole[: len(whole) * 2 // 3]))
    assert 5_000 < summary.stored < 20_000
    assert summary.quarantined == 1
    assert "cut off" in quarantined(summary)[0]["reason"]
    assert balanced(summary)


TIMES = {
    "epoch seconds": ("1704448800", datetime(2024, 1, 5, 10)),
    "epoch milliseconds": ("1704448800000", datetime(2024, 1, 5, 10)),
    "zone": ("2024-01-05T18:00:00+08:00", datetime(2024, 1, 5, 10)),
    "Z": ("2024-01-05T10:00:00.000Z", datetime(2024, 1, 5, 10)),
    "slashes": ("2024/1/5 10:00", datetime(2024, 1, 5, 10)),
    "Chinese": ("2024年1月5日 10时0分", datetime(2024, 1, 5, 10)),
    "Chinese afternoon": ("2024年1月5日 下午3:05", datetime(2024, 1, 5, 15, 5)),
    "compact": ("20240105", datetime(2024, 1, 5)),
    "compact with time": ("20240105100000", datetime(2024, 1, 5, 10)),
    "full width": ("２０２４－０１－０５ １０：００", datetime(2024, 1, 5, 10)),
    "month name": ("Jan 5, 2024", datetime(2024, 1, 5)),
    "mail": ("Fri, 05 Jan 2024 11:00:00 +0100", datetime(2024, 1, 5, 10)),
    "dots": ("5.1.2024", datetime(2024, 1, 5)),
}


def test_mixed_time_formats_in_one_column(store, tmp_path):
    rows = "".join(f'u1,"{text}",{name}\n' for name, (text, _) in TIMES.items())
    summary = ingest(store, write(tmp_path, "log.csv", "user_id,ts,text\n" + rows))
    assert summary.quarantined == 0
    assert {e["text"]: e["ts"] for e in events(store)} == {name: when for name, (_, when) in TIMES.items()}


def test_time_zone_of_times_that_name_none(store, tmp_path):
    rows = "u1,2024-01-05 10:00,a\nu1,2024-01-05T10:00:00Z,b\nu1,1704448800,c\n"
    path = write(tmp_path, "log.csv", "user_id,ts,text\n" + rows)
    ingest(store, path, mapping=_mapped("user_id", "ts", "text", timezone="Asia/Shanghai"))
    assert {e["text"]: e["ts"].hour for e in events(store)} == {"a": 2, "b": 10, "c": 10}


@pytest.mark.parametrize(
    ("dates", "first"),
    [
        (["03/04/2024", "25/04/2024"], datetime(2024, 4, 3)),
        (["03/04/2024", "04/25/2024"], datetime(2024, 3, 4)),
        (["03/04/2024", "05/06/2024"], datetime(2024, 3, 4)),
        (["3-4-24 10:00", "25-4-24 10:00"], datetime(2024, 4, 3, 10)),
    ],
)
def test_day_and_month_are_told_apart_by_the_column(store, tmp_path, dates, first):
    rows = "".join(f"u{i},{date},text {i}\n" for i, date in enumerate(dates))
    summary = ingest(store, write(tmp_path, "log.csv", "user_id,date,text\n" + rows))
    assert summary.stored == len(dates)
    assert store.rows("SELECT ts FROM events WHERE user_id = 'u0'")[0]["ts"] == first
    assert any("day or month" in d for d in summary.readings[0].doubts) == (dates[-1] == "05/06/2024")


def test_dates_of_both_sorts_leave_doubtful_ones_in_quarantine(store, tmp_path):
    rows = "u1,25/04/2024,a\nu2,04/25/2024,b\nu3,03/04/2024,c\nu4,04/04/2024,d\n"
    summary = ingest(store, write(tmp_path, "log.csv", "user_id,date,text\n" + rows))
    assert (summary.stored, summary.quarantined) == (3, 1)
    assert "day and month cannot be told apart" in quarantined(summary)[0]["reason"]
    mapping = {"columns": {"user_id": "user_id", "ts": "date"}, "dates": "DMY"}
    chosen = ingest(store, tmp_path / "log.csv", mapping=mapping)
    assert chosen.quarantined == 1  # 04/25 is no date with the day first


RATINGS = {"5星": 5.0, "4.5": 4.5, "４": 4.0, "★★★☆☆": 3.0, "五星": 5.0, "4/5": 4.0, "3 out of 5": 3.0, "4分": 4.0}


def test_ratings(store, tmp_path):
    rows = "".join(f"u{i},2024-01-01,{text}\n" for i, text in enumerate(RATINGS))
    ingest(store, write(tmp_path, "log.csv", "user_id,ts,rating\n" + rows))
    found = store.rows("SELECT rating FROM events ORDER BY user_id")
    assert [row["rating"] for row in found] == list(RATINGS.values())


AMOUNTS = {
    "1,299.00": 1299.0,
    "￥35": 35.0,
    "$12.50": 12.5,
    "35元": 35.0,
    "１２．５": 12.5,
    "(3.50)": -3.5,
    "1.2万": 12000.0,
    "": None,
    "N/A": None,
}


def test_amounts(store, tmp_path):
    rows = "".join(f'u{i},2024-01-01,"{text}"\n' for i, text in enumerate(AMOUNTS))
    ingest(store, write(tmp_path, "log.csv", "user_id,ts,amount\n" + rows))
    found = store.rows("SELECT amount, currency FROM events ORDER BY user_id")
    assert [row["amount"] for row in found] == list(AMOUNTS.values())
    assert [row["currency"] for row in found[:4]] == [None, "CNY", "USD", "CNY"]


def test_constants_joined_columns_kinds_and_negative(store, tmp_path):
    content = (
        "shop,no,day,clock,what,n\nA,007,2024-01-05,10:30,卖出,2\nA,007,2024-01-06,11:00,卖出,-1\n"
        "B,,2024-01-06,11:00,卖出,1\nB,8,2024-01-07,,看,\n"
    )
    mapping = {
        "columns": {"user_id": ["shop", "no"], "ts": ["day", "clock"], "kind": "what", "quantity": "n"},
        "kinds": {"卖出": "order"},
        "constants": {"channel": "store"},
        "negative": "return",
        "currency": "CNY",
    }
    summary = ingest(store, write(tmp_path, "log.csv", content), mapping=mapping)
    assert quarantined(summary)[0]["reason"] == "no user"
    found = events(store)
    assert [(e["user_id"], str(e["ts"]), e["kind"], e["channel"]) for e in found] == [
        ("A:007", "2024-01-05 10:30:00", "order", "store"),
        ("A:007", "2024-01-06 11:00:00", "return", "store"),
        ("B:8", "2024-01-07 00:00:00", "other", "store"),
    ]
    assert json.loads(found[2]["attrs"]) == {"what": "看"}
    assert "看" in summary.readings[0].doubts[0]


def test_mapping_that_does_not_fit(store, tmp_path):
    path = write(tmp_path, "log.csv", CSV)
    with pytest.raises(UsageError, match="takes user_id from column 'nobody', which log"):
        ingest(store, path, mapping={"columns": {"user_id": "nobody"}})
    with pytest.raises(UsageError, match="looks like user_id"):
        ingest(store, write(tmp_path, "x.csv", "a,b\n1,2\n"))
    assert not (store.path / "quarantine").exists()
    assert not list((store.path / "tmp").glob("*"))


def test_save_map_gives_the_same_load(store, tmp_path):
    path = write(tmp_path, "log.csv", CSV)
    saved = tmp_path / "map.toml"
    first = ingest(store, path, save_map=saved)
    assert Mapping.load(saved) == first.readings[0].mapping
    assert ingest(store, path, mapping=saved).duplicates == 3


def test_a_folder_of_all_kinds(store, tmp_path):
    folder = tmp_path / "export"
    write(folder, "orders/2024-01.csv", CSV)
    write(folder, "orders/2024-02.csv", CSV.replace("2024-01", "2024-02"))
    write(folder, "products.csv", "sku,name,category,price\ns1,耳机,电子,1299\ns2,Lamp,Home,20\n")
    people = ['{"customer_id": "007", "city": "上海", "age": 30}', '{"customer_id": "u9", "city": "北京"}']
    write(folder, "customers.jsonl", "\n".join(people))
    write(folder, "friends.csv", "user_id,friend_id,since\n007,u2,2020-01-01\n")
    write(folder, "empty.csv", "")
    write(folder, "README.md", "not data")
    write(folder, ".hidden.csv", "x")
    summary = ingest(store, folder)
    assert summary.tables == {"events": 6, "items": 2, "users": 2, "ties": 1}
    assert (summary.rows, summary.stored, summary.users) == (11, 11, 3)
    assert summary.empty_files == ("empty.csv",)
    assert len(summary.readings) == 4
    assert store.rows("SELECT attrs FROM users WHERE user_id = '007'")[0]["attrs"] == '{"city":"上海","age":30}'
    assert {r["user_id"] for r in store.rows("SELECT user_id FROM facts")} == {"007", "u2", "u9"}
    assert len(store.manifest().runs) == 2  # the load and its facts


NAMED = {
    "product_reviews.csv": ("user_id,item_id,ts,text\nu1,a,2024-01-01,fine words\n", "events", "review"),
    "customer_orders.csv": ("user_id,ts,price\nu1,2024-01-01,5\nu2,2024-01-01,6\n", "events", "order"),
    "coupon_redemptions.csv": ("user_id,ts,x\nu1,2024-01-01,5\n", "events", "coupon"),
    "退货.csv": ("会员编号,日期,商品编号\nu1,2024-01-01,5\n", "events", "return"),
    "reviews.csv": ("user_id,ts,quantity\nu1,2024-01-01,5\n", "events", "order"),
    "customers.csv": ("customer_id,date\nu1,2024-01-01\nu2,2024-01-01\n", "users", None),
    "data.csv": ("customer_id,age\nu1,20\nu2,30\n", "users", None),
    "catalogue.csv": ("sku,name\na,Lamp\n", "items", None),
    "x.csv": ("src_user,friend_id,user_id\na,b,c\n", "ties", None),
}


@pytest.mark.parametrize("name", NAMED)
def test_names_of_files_tell_what_they_hold(name, store, tmp_path):
    content, kind, events_kind = NAMED[name]
    (reading,) = ingest(store, write(tmp_path, name, content)).readings
    assert (reading.mapping.kind, reading.mapping.constants.get("kind")) == (kind, events_kind)


def test_alike_files_of_other_names_are_guessed_anew(store, tmp_path):
    for name in ("orders-1.csv", "orders-2.csv", "returns-1.csv"):
        write(tmp_path / "d", name, f"user_id,ts,sku,note\nu1,2024-01-01,a,{name}\n")
    assert len(ingest(store, tmp_path / "d").readings) == 2
    assert [e["kind"] for e in store.rows("SELECT kind FROM events ORDER BY source")] == ["order", "order", "return"]


def test_things_are_replaced_and_counted(store, tmp_path):
    first = ingest(store, write(tmp_path, "items.csv", "item_id,title\na,Old\na,New\nb,B\nb,B\n"), kind="items")
    assert (first.stored, first.repeats_dropped) == (2, 2)
    second = ingest(store, write(tmp_path, "items.csv", "item_id,title\na,Newer\nb,B\n,none\n"), kind="items")
    assert (second.stored, second.duplicates, second.quarantined) == (1, 1, 1)
    assert {r["item_id"]: r["title"] for r in store.rows("SELECT * FROM items")} == {"a": "Newer", "b": "B"}


def test_new_items_refresh_the_facts_of_those_who_bought_them(store, tmp_path):
    ingest(store, write(tmp_path, "log.csv", CSV))
    ingest(store, write(tmp_path, "items.csv", "item_id,title,category\ns1,耳机,电子\n"), kind="items")
    facts = store.rows("SELECT top_categories FROM facts WHERE user_id = '007'")[0]["top_categories"]
    assert [c["value"] for c in facts] == ["电子"]


def test_facts_missing_after_a_crash_are_made_up_for(store, tmp_path, monkeypatch):
    path = write(tmp_path, "log.csv", CSV)
    monkeypatch.setattr("limner.histories.refresh.aggregate", _die)
    with pytest.raises(KeyboardInterrupt):
        ingest(store, path)
    monkeypatch.undo()
    assert store.rows("SELECT count(*) AS n FROM facts")[0]["n"] == 0
    assert ingest(store, path).facts == 2


def _die(*_args, **_kwargs):
    raise KeyboardInterrupt


def test_frames(store):
    frame = pd.DataFrame(
        {
            "user_id": [1.0, 2.0, None],
            "ts": pd.to_datetime(["2024-01-05 10:00", "2024-01-06 00:00", "2024-01-07 00:00"]),
            "rating": [5, "4星", 3],
            "text": ["good one", None, float("nan")],
            "when": pd.to_datetime(["2024-01-05", None, None]).tz_localize("Asia/Shanghai"),
        }
    )
    summary = ingest(store, frame=frame)
    assert (summary.source, summary.rows, summary.stored, summary.quarantined) == ("frame", 3, 2, 1)
    assert [(e["user_id"], e["rating"], e["text"]) for e in events(store)] == [("1", 5.0, "good one"), ("2", 4.0, None)]
    assert quarantined(summary)[0]["row"] == 3


def test_arrow_tables_and_what_is_no_frame(store):
    table = pd.DataFrame({"user_id": ["u1"], "ts": ["2024-01-01"], "text": ["fine words"]})
    import pyarrow as pa

    assert ingest(store, frame=pa.Table.from_pandas(table)).stored == 1
    with pytest.raises(DataError, match="dict is no source"):
        ingest(store, frame={"user_id": []})


UNREADABLE = {
    "empty.csv": (b"", DataError, "is empty"),
    "blank.csv": (b"\n \n", DataError, "is empty"),
    "book.xlsx": (b"PK\x03\x04" + bytes(100), DataError, "damaged Excel workbook"),
    "book.csv": (b"PK\x03\x04" + bytes(100), DataError, "ZIP archive"),
    "text.xlsx": (b"user_id,ts\n", DataError, "named as an Excel workbook but is not"),
    "picture.csv": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), DataError, "picture"),
    "noise.csv": (bytes(range(256)) * 50, DataError, "binary"),
    "fake.parquet": (b"user_id,ts\n", DataError, "named as Parquet but is not"),
    "broken.parquet": (b"PAR1" + b"\0" * 100 + b"PAR1", DataError, "cannot be read as Parquet"),
    "broken.csv.gz": (b"\x1f\x8b\x08\x00" + b"\xff" * 50, DataError, "damaged gzip"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_unreadable_files(name, store, tmp_path):
    content, error, said = UNREADABLE[name]
    path = write(tmp_path, name, content)
    with pytest.raises(error, match=said) as raised:
        ingest(store, path)
    assert str(path) in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_paths_that_are_not_there(store, tmp_path):
    with pytest.raises(UsageError, match="There is no file"):
        ingest(store, tmp_path / "none.csv")
    with pytest.raises(UsageError, match="No file matches"):
        ingest(store, str(tmp_path / "*.csv"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="holds no data file"):
        ingest(store, tmp_path / "folder")


def test_globs_and_several_paths(store, tmp_path):
    for month in ("01", "02", "03"):
        write(tmp_path, f"log-{month}.csv", CSV.replace("2024-01", f"2024-{month}"))
    summary = ingest(store, [str(tmp_path / "log-0[12].csv"), tmp_path / "log-03.csv", tmp_path / "log-01.csv"])
    assert (summary.rows, summary.stored) == (9, 9)
    assert summary.source.count(", ") == 2


def test_header_only_is_a_load_of_nothing(store, tmp_path):
    summary = ingest(store, write(tmp_path, "log.csv", "user_id,ts,text\n"))
    assert (summary.rows, summary.stored, summary.users) == (0, 0, 0)


cells = st.text(st.sampled_from("ab1 ,\"'\n\r\t;|\\你好，。\0\u3000é\ufeff"), max_size=8)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["u1", "u2", "", "007", "null"]),
            st.sampled_from(["2024-01-05", "1704448800", "soon", "", "2024年1月5日"]),
            st.sampled_from(["order", "review", "喜欢", ""]),
            cells,
            st.sampled_from(["5", "", "x", "4.5"]),
        ),
        max_size=25,
    ),
    st.lists(st.tuples(st.integers(0, 30), st.binary(max_size=12)), max_size=3),
)
def test_every_row_is_accounted_for(tmp_path_factory, rows, damage):
    """Whatever the cells and wherever bytes are broken: no traceback, and no row is lost."""
    folder = tmp_path_factory.mktemp("accounted")
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(["user_id", "ts", "kind", "text", "rating"])
    writer.writerows(rows)
    content = bytearray(buffer.getvalue().encode())
    for place, noise in damage:
        at = min(len(content), 40 + place * 7)
        content[at:at] = noise
    store = Store.open(folder / "w", create=True)
    mapping = {"columns": {f: f for f in ("user_id", "ts", "kind", "text", "rating")}}
    try:
        summary = ingest(store, write(folder, "log.csv", bytes(content)), mapping=mapping)
    except LimnerError:
        assert damage
        return
    assert balanced(summary)
    assert summary.quarantined == len(quarantined(summary))
    if not damage:
        assert summary.rows == len(rows)
        good = [r for r in rows if r[0] in {"u1", "u2", "007"} and r[1] not in {"soon", ""} and r[4] != "x"]
        assert summary.quarantined == len(rows) - len(good)
    again = ingest(store, folder / "log.csv", mapping=mapping)
    assert again.stored == 0
    assert (again.rows, again.quarantined) == (summary.rows, summary.quarantined)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=15))
def test_careful_reading_agrees_with_duckdb(rows):
    """The slow reader gives what the fast one gives on a clean file."""
    from limner.histories.delimited import Dialect, careful_records
    from limner.histories.encodings import Line

    buffer = io.StringIO(newline="")
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    dialect = Dialect(",", '"', True, ("a", "b"))
    records = list(careful_records(map(Line, io.StringIO(buffer.getvalue(), newline="")), dialect))
    assert [r.cells for r in records] == rows
    assert not any(r.problem for r in records)


def test_ids_are_a_hash_of_what_is_said(store, tmp_path):
    """The rule is written down: another program must be able to compute the same id."""
    import hashlib

    ingest(store, write(tmp_path, "log.csv", "user_id,ts,kind,text\nu1,2024-01-05,review,fine\n"))
    said = "\x1f".join(["u1", "2024-01-05 00:00:00", "review", "", "", "", "", "fine", *[""] * 10, ""])
    assert events(store)[0]["event_id"] == hashlib.md5(said.encode()).hexdigest()[:24]


def test_another_process_that_commits_meanwhile_is_noticed(store, tmp_path):
    path = write(tmp_path, "log.csv", CSV)

    def intrude(name: str, done: int, total: int) -> None:
        if done == total:
            ingest(Store.open(store.path), path)

    with pytest.raises(LimnerError, match="Another limner process"):
        ingest(store, path, progress=intrude)
    assert len(events(store)) == 3
