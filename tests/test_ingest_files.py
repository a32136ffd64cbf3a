"""Excel workbooks, XML exports and nested JSON: what becomes of their rows, and of what was made to do harm."""

from __future__ import annotations

import gzip
import json
import zipfile
from datetime import date, datetime
from pathlib import Path

import openpyxl
import pytest

from limner.errors import DataError, UsageError
from limner.histories import Mapping, ingest
from limner.histories.store import Store

pytestmark = pytest.mark.usefixtures("without_facts")

ORDERS = """<?xml version="1.0" encoding="UTF-8"?>
<export made="2024-02-01"><orders>
 <order id="1"><user><id>007</id><name>王</name></user><ts>2024-01-05 10:00:00</ts>
  <price currency="EUR">12.5</price><line><sku>a</sku></line><line><sku>b</sku></line></order>
 <order id="2"><user><id>008</id></user><ts>2024-01-06</ts><line><sku>c</sku></line></order>
</orders></export>"""

LINES = Mapping(
    columns={
        "user_id": ("user.id",),
        "ts": ("ts",),
        "item_id": ("line.sku",),
        "amount": ("price",),
        "currency": ("price.currency",),
    },
    constants={"kind": "order"},
    records="line",
)

NESTED = [
    {
        "no": 1,
        "customer": {"profile": {"id": "007", "address": {"city": "上海"}}},
        "at": "2024-01-05T10:00:00Z",
        "lines": [{"sku": "a", "n": {"q": 2}}, {"sku": "b", "n": {"q": 1}}],
    },
    {"no": 2, "customer": {"profile": {"id": "008"}}, "at": "2024-01-06", "lines": []},
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "workspace", create=True)


def book(path: Path) -> Path:
    """A workbook with a titled sheet of events, a sheet of items, a hidden one and an empty one."""
    workbook = openpyxl.Workbook()
    events = workbook.active
    events.title = "评论"
    events.append(["Report of January"])
    events.append([])
    events.append(["user_id", "time", "type", "sku", "rating", "text", "paid"])
    events.append(["007", datetime(2024, 1, 5, 10), "review", "s1", 5, "音质很好", 12.5])
    events.append([8, date(2024, 1, 6), "order", "s2", None, None, 13])
    events.append([None, date(2024, 1, 7), "order", "s2", None, None, True])
    items = workbook.create_sheet("items")
    items.append(["item_id", "title", "price"])
    items.append(["s1", "耳机", "1,299.00"])
    workbook.create_sheet("hidden").append(["user_id"])
    workbook["hidden"].sheet_state = "hidden"
    workbook.create_sheet("empty")
    workbook.save(path)
    return path


def test_a_workbook_gives_each_sheet_to_its_table(store: Store, tmp_path: Path) -> None:
    summary = ingest(store, book(tmp_path / "shop.xlsx"))
    assert (summary.rows, summary.stored, summary.quarantined) == (4, 3, 1)
    assert [reading.source for reading in summary.readings] == ["shop.xlsx#评论", "shop.xlsx#items"]
    rows = store.rows("SELECT user_id, ts, kind, item_id, rating, text, source FROM events ORDER BY ts")
    assert rows[0] == {
        "user_id": "007",
        "ts": datetime(2024, 1, 5, 10),
        "kind": "review",
        "item_id": "s1",
        "rating": 5.0,
        "text": "音质很好",
        "source": "shop.xlsx#评论",
    }
    assert (rows[1]["user_id"], rows[1]["ts"]) == ("8", datetime(2024, 1, 6))
    assert store.rows("SELECT title, price FROM items") == [{"title": "耳机", "price": 1299.0}]
    assert summary.quarantine_file is not None
    bad = json.loads(summary.quarantine_file.read_text(encoding="utf-8"))
    assert (bad["file"], bad["row"], bad["reason"]) == ("shop.xlsx#评论", 6, "no user")
    assert ingest(store, tmp_path / "shop.xlsx").stored == 0


def test_one_sheet_can_be_named(store: Store, tmp_path: Path) -> None:
    path = book(tmp_path / "shop.xlsx")
    assert ingest(store, f"{path}#items").tables == {"items": 1}
    with pytest.raises(UsageError, match=r"no sheet 'hidden' with rows\. It has: 评论, items"):
        ingest(store, f"{path}#hidden")


def test_a_workbook_says_the_same_as_a_csv(store: Store, tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    rows = [["user_id", "ts", "kind", "amount", "n"], ["1", "2024-01-05 10:00:00", "order", 12.5, 3]]
    for row in rows:
        workbook.active.append(row)
    workbook.save(tmp_path / "a.xlsx")
    (tmp_path / "a.csv").write_text("\n".join(",".join(map(str, row)) for row in rows), encoding="utf-8")
    assert ingest(store, tmp_path / "a.xlsx").stored == 1
    assert ingest(store, tmp_path / "a.csv").duplicates == 1


def test_a_zip_bomb_is_refused_whatever_it_says_of_its_size(store: Store, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"<row/>" * 12_000_000)
    size = (72_000_000).to_bytes(4, "little")
    honest = bomb.read_bytes()
    assert honest.count(size) == 2
    for content in (honest, honest.replace(size, (60).to_bytes(4, "little"))):
        bomb.write_bytes(content)
        with pytest.raises(DataError, match="refused as a zip bomb"):
            ingest(store, bomb)


def test_an_xml_export(store: Store, tmp_path: Path) -> None:
    (tmp_path / "shop.xml").write_text(ORDERS, encoding="utf-8")
    summary = ingest(store, tmp_path / "shop.xml", mapping=LINES)
    assert (summary.rows, summary.stored) == (3, 3)
    rows = store.rows("SELECT user_id, ts, item_id, amount, currency FROM events ORDER BY ts, item_id")
    names = ("user_id", "ts", "item_id", "amount", "currency")
    assert [tuple(row[name] for name in names) for row in rows] == [
        ("007", datetime(2024, 1, 5, 10), "a", 12.5, "EUR"),
        ("007", datetime(2024, 1, 5, 10), "b", 12.5, "EUR"),
        ("008", datetime(2024, 1, 6), "c", None, None),
    ]


@pytest.mark.parametrize("form", ["gbk", "utf-16", "utf-8-sig", "gzip"])
def test_an_xml_export_in_other_forms_is_guessed_alike(form: str, store: Store, tmp_path: Path) -> None:
    text = ORDERS.replace("UTF-8", "GBK" if form == "gbk" else "UTF-16" if form == "utf-16" else "UTF-8")
    content = gzip.compress(text.encode()) if form == "gzip" else text.encode(form)
    (tmp_path / "shop.xml.gz").write_bytes(content)
    assert ingest(store, tmp_path / "shop.xml.gz").stored == 2
    attrs = [json.loads(row["attrs"]) for row in store.rows("SELECT attrs FROM events ORDER BY ts")]
    assert attrs[0]["user"] == {"id": "007", "name": "王"}
    assert (attrs[0]["price.currency"], attrs[1]["id"]) == ("EUR", "2")


@pytest.mark.parametrize("element", ["", "order"])
def test_xml_that_is_cut_off_keeps_what_is_whole(element: str, store: Store, tmp_path: Path) -> None:
    (tmp_path / "cut.xml").write_text(ORDERS[:-60], encoding="utf-8")
    mapping = Mapping(columns={"user_id": ("user.id",), "ts": ("ts",)}, element=element)
    summary = ingest(store, tmp_path / "cut.xml", mapping=mapping)
    assert (summary.rows, summary.stored, summary.quarantined) == (2, 1, 1)
    assert summary.quarantine_file is not None
    bad = json.loads(summary.quarantine_file.read_text(encoding="utf-8"))
    assert bad["reason"].startswith("the XML ends or breaks here")
    assert json.loads(bad["raw"])["user"] == {"id": "008"}


HARMFUL = {
    "entities": '<!DOCTYPE l [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><l><e>&b;</e><e>x</e></l>',
    "outer entity": '<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/hostname">]><l><e>&a;</e><e>x</e></l>',
    "depth": "<l>" + "<e>" * 100_000 + "</e>" * 100_000 + "</l>",
}


@pytest.mark.parametrize("harm", HARMFUL)
def test_harmful_xml_is_refused(harm: str, store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(HARMFUL[harm], encoding="utf-8")
    with pytest.raises(DataError, match=r"declares entities|deep in one another"):
        ingest(store, tmp_path / "a.xml")
    assert store.manifest().seq == 0


WRAPPED = {"made": 1, "data": NESTED}


@pytest.mark.parametrize("form", ["lines", "array", "wrapped", "from the top"])
def test_lists_inside_nested_json_become_rows(form: str, store: Store, tmp_path: Path) -> None:
    contents = {"lines": "\n".join(map(json.dumps, NESTED)), "array": json.dumps(NESTED)}
    (tmp_path / "a.json").write_text(contents.get(form, json.dumps(WRAPPED)), encoding="utf-8")
    top = "data." if form == "from the top" else ""
    columns = {
        "user_id": (f"{top}customer.profile.id",),
        "ts": (f"{top}at",),
        "item_id": (f"{top}lines.sku",),
        "quantity": (f"{top}lines.n.q",),
        "place": (f"{top}customer.profile.address.city",),
    }
    mapping = Mapping(columns=columns, constants={"kind": "order"}, records=f"{top}lines")
    summary = ingest(store, tmp_path / "a.json", mapping=mapping)
    assert (summary.rows, summary.stored) == (3, 3)
    rows = store.rows("SELECT user_id, item_id, quantity, place FROM events ORDER BY ts, item_id")
    assert [tuple(row.values()) for row in rows] == [
        ("007", "a", 2.0, "上海"),
        ("007", "b", 1.0, "上海"),
        ("008", None, None, None),
    ]


def test_a_mapping_reaches_what_few_rows_have_and_places_in_lists(store: Store, tmp_path: Path) -> None:
    rows = [{"u": {"id": n}, "ts": "2024-01-05", "l": [{"sku": f"s{n}"}]} for n in range(1500)]
    rows[1400]["u"]["rare"] = {"city": "上海"}  # type: ignore[index]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    columns = {"user_id": ("u.id",), "ts": ("ts",), "place": ("u.rare.city",), "item_id": ("l.0.sku",)}
    ingest(store, tmp_path / "a.jsonl", mapping=Mapping(columns=columns))
    found = store.rows("SELECT count(place) AS places, max(place) AS place, count(item_id) AS items FROM events")
    assert found == [{"places": 1, "place": "上海", "items": 1500}]
    with pytest.raises(UsageError, match=r"'u\.rare\.town', which a\.jsonl does not have"):
        ingest(store, tmp_path / "a.jsonl", mapping=Mapping(columns={**columns, "place": ("u.rare.town",)}))
    with pytest.raises(DataError, match="no list at 'u'"):
        ingest(store, tmp_path / "a.jsonl", mapping=Mapping(columns=columns, records="u"))


def test_links_out_of_a_folder_are_passed_over_and_told(store: Store, tmp_path: Path) -> None:
    rows = "user_id,ts,text\n{},2024-01-05,words of {}\n"
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text(rows.format("u1", "u1"), encoding="utf-8")
    (tmp_path / "out.csv").write_text(rows.format("u2", "u2"), encoding="utf-8")
    (tmp_path / "in" / "b.csv").symlink_to(tmp_path / "out.csv")
    (tmp_path / "in" / "c.csv").symlink_to(tmp_path / "in" / "a.csv")
    summary = ingest(store, tmp_path / "in")
    assert (summary.rows, summary.linked_files) == (1, ("b.csv",))
    assert ingest(store, tmp_path / "in" / "b.csv").stored == 1  # named, it is meant


def test_a_line_beyond_all_measure_is_not_held(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limner.histories.encodings.LONGEST_LINE", 1_000)
    lines = [
        "user_id,ts,text",
        "u1,2024-01-05,words",
        '"' + "x" * 5_000,
        "u2,2024-01-06,words",
        "u3," + "y" * 2_000,
        "u4,,",
    ]
    (tmp_path / "a.csv").write_text("\n".join(lines), encoding="utf-8")
    summary = ingest(store, tmp_path / "a.csv")
    assert {row["user_id"] for row in store.rows("SELECT user_id FROM events")} == {"u1", "u2"}
    assert summary.quarantined == 3
    assert summary.quarantine_file is not None
    assert summary.quarantine_file.stat().st_size < 4_000


@pytest.mark.parametrize("stray", ['"open', '"', '"x" y,z'])
def test_a_stray_quote_does_not_swallow_the_record_after_it(stray: str, store: Store, tmp_path: Path) -> None:
    """The quote that seems to close it is the one that opens the next record."""
    rows = [f'"u{i}","2024-01-0{i}","words"' for i in range(1, 6)]
    rows.insert(2, stray)
    (tmp_path / "a.csv").write_text("\n".join(["user_id,ts,text", *rows]), encoding="utf-8")
    summary = ingest(store, tmp_path / "a.csv")
    assert (summary.stored, summary.quarantined) == (5, 1)


@pytest.mark.parametrize("said", ["UTF-16", "hex", "idna", "nothing", "cp037"])
def test_an_encoding_that_xml_cannot_be_in_is_not_believed(said: str, store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(ORDERS.replace("UTF-8", said), encoding="utf-8")
    assert ingest(store, tmp_path / "a.xml", mapping=LINES).stored == 3


def test_an_encoding_that_is_none_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user_id,ts\nu1,2024-01-05\n", encoding="utf-8")
    with pytest.raises(UsageError, match="no encoding 'hex'"):
        ingest(store, tmp_path / "a.csv", mapping=Mapping(columns={"user_id": ("user_id",)}, encoding="hex"))
