"""Two hundred bad files, made from seeds: what each is, and which of its rows are whole and must not be lost."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import sqlite3
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq

EACH = 20
"""Files of each family."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class BadFile:
    """One bad source.

    Attributes:
        place: What is given to the load: a path or an address.
        whole: Users whose rows are whole: each must be stored.
        refused: Whether the source as a whole may be refused with an error.
        hidden: Words that must not come into the workspace.
    """

    place: str | Path
    whole: frozenset[str] = frozenset()
    refused: bool = True
    hidden: tuple[str, ...] = field(default=())


def rows_of(rng: random.Random, count: int = 12) -> list[Row]:
    """Good rows, a user each, in both languages."""
    texts = ("the lid closes quietly", "水壶烧水很快", "arrived late, box torn", "味道不错，会再买")
    return [
        {
            "user_id": f"u{rng.randrange(10**6):06d}-{i}",
            "ts": f"2024-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d} 10:00:00",
            "kind": "review",
            "item_id": f"i{rng.randrange(9)}",
            "rating": rng.randrange(1, 6),
            "text": f"{rng.choice(texts)} {i}",
        }
        for i in range(count)
    ]


def users(rows: list[Row]) -> frozenset[str]:
    return frozenset(str(row["user_id"]) for row in rows)


def as_csv(rows: list[Row], delimiter: str = ",") -> str:
    lines = [delimiter.join(rows[0]), *(delimiter.join(f'"{v}"' for v in row.values()) for row in rows)]
    return "\n".join(lines) + "\n"


def as_lines(rows: list[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def as_array(rows: list[Row]) -> str:
    return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n"


def as_xml(rows: list[Row]) -> str:
    inner = "".join("<row>" + "".join(f"<{k}>{v}</{k}>" for k, v in row.items()) + "</row>\n" for row in rows)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<rows>\n{inner}</rows>\n'


def as_parquet(rows: list[Row]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


def as_book(rows: list[Row]) -> bytes:
    book = openpyxl.Workbook()
    book.active.append(list(rows[0]))
    for row in rows:
        book.active.append(list(row.values()))
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


TEXT_FORMS: dict[str, Callable[[list[Row]], str]] = {
    "csv": as_csv,
    "tsv": lambda rows: as_csv(rows, "\t"),
    "jsonl": as_lines,
    "json": as_array,
    "xml": as_xml,
}
BINARY_FORMS: dict[str, Callable[[list[Row]], bytes]] = {"parquet": as_parquet, "xlsx": as_book}


def in_form(form: str, rows: list[Row]) -> bytes:
    return TEXT_FORMS[form](rows).encode() if form in TEXT_FORMS else BINARY_FORMS[form](rows)


def truncated(rng: random.Random, folder: Path, number: int) -> BadFile:
    """A file that ends somewhere, in every form, also gzipped."""
    forms = [*TEXT_FORMS, *BINARY_FORMS]
    form = forms[number % len(forms)]
    rows = rows_of(rng)
    content = in_form(form, rows)
    cut = rng.randrange(len(content) // 4, len(content) - 2)
    name = f"cut.{form}"
    if number >= 14 and form in TEXT_FORMS:
        packed = gzip.compress(content)
        (folder / f"{name}.gz").write_bytes(packed[: rng.randrange(30, len(packed) - 1)])
        return BadFile(folder / f"{name}.gz")
    (folder / name).write_bytes(content[:cut])
    if form in BINARY_FORMS:
        return BadFile(folder / name)
    before = content[:cut].decode("utf-8", "ignore")
    ends = {"csv": "\n", "tsv": "\n", "jsonl": "\n", "json": "}", "xml": "</row>"}
    whole = before[: before.rfind(ends[form]) + 1]
    kept = [row for row in rows if str(row["text"]) in whole]
    return BadFile(folder / name, users(kept[: -1 if form == "xml" else None]), refused=len(kept) < 2)


def encoded(rng: random.Random, folder: Path, number: int) -> BadFile:
    """Lines in another encoding, odd bytes, marks that are not true."""
    form = ["csv", "jsonl", "tsv"][number % 3]
    rows = rows_of(rng)
    content = TEXT_FORMS[form](rows).encode()
    path = folder / f"encoded.{form}"
    if number % 4 == 0:  # some lines are GBK in a UTF-8 file
        lines = content.split(b"\n")
        at = rng.sample(range(1, 12), 2)
        for i in at:
            lines[i] = lines[i].decode().replace("\u3000", "").encode("gbk", "replace")
        path.write_bytes(b"\n".join(lines))
        good = [row for row in rows if not any(row["text"].encode("gbk") in lines[i] for i in at)]
        return BadFile(path, users(good), refused=False)
    if number % 4 == 1:  # single bytes are not UTF-8
        lines = content.split(b"\n")
        at = rng.randrange(1, 12)
        lines[at] = lines[at][:-2] + bytes([rng.randrange(0x80, 0xC0)]) + lines[at][-2:]
        path.write_bytes(b"\n".join(lines))
        return BadFile(path, users([row for i, row in enumerate(rows, int(form != "jsonl")) if i != at]), refused=False)
    if number % 4 == 2:  # UTF-16 with a byte missing at the end, or said to be the other way round
        wide = content.decode().encode("utf-16")
        path.write_bytes(wide[:-1] if number % 8 == 2 else b"\xfe\xff" + wide[2:])
        return BadFile(path, users(rows[:-1]) if number % 8 == 2 else frozenset())
    declared = as_xml(rows).replace("UTF-8", rng.choice(["GBK", "UTF-16", "nothing", "ascii", "cp1252"]))
    (folder / "encoded.xml").write_bytes(declared.encode())
    return BadFile(folder / "encoded.xml")


WRONG: tuple[Any, ...] = (
    *("many", "", "NaN", "1e999", "-", "12,34,56", "2024-13-45", "yesterday", "９９", "0x1F", "true", " ", "\x00"),
    *(
        10**30,
        -1,
        1.5,
        True,
        None,
        [],
        {},
        [1, [2, [3]]],
        {"a": {"b": None}},
        float("inf"),
        "🙂" * 50,
        "'; DROP TABLE x",
    ),
)


def typed(rng: random.Random, folder: Path, number: int) -> BadFile:
    """Values of wrong types in any column of some rows."""
    rows = rows_of(rng)
    hurt = rng.sample(range(len(rows)), 4)
    for i in hurt:
        rows[i] = {**rows[i], rng.choice(list(rows[i])): rng.choice(WRONG)}
    good = users([row for i, row in enumerate(rows) if i not in hurt])
    if number % 3 == 0:
        (folder / "typed.jsonl").write_text(as_lines(rows), encoding="utf-8", errors="replace")
        return BadFile(folder / "typed.jsonl", good, refused=False)
    if number % 3 == 1:
        plain = [{k: str(v).replace('"', "") for k, v in row.items()} for row in rows]
        (folder / "typed.csv").write_text(as_csv(plain), encoding="utf-8")
        return BadFile(folder / "typed.csv", good, refused=False)
    connection = sqlite3.connect(folder / "typed.db")
    connection.execute("CREATE TABLE t (user_id, ts, kind, item_id, rating INTEGER, text)")
    for row in rows:
        values = [v if isinstance(v, str | float | None) else str(v) for v in row.values()]
        connection.execute("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", values)
    connection.commit()
    connection.close()
    return BadFile(f"sqlite:///{folder}/typed.db?table=t", good, refused=False)


def huge(rng: random.Random, folder: Path, number: int) -> BadFile:
    """Fields, lines, depths and widths beyond all measure."""
    rows = rows_of(rng)
    long = "長い words " * rng.choice([20_000, 200_000])
    at = rng.randrange(len(rows))
    form = ["csv", "jsonl", "xml", "xlsx"][number % 4]
    path = folder / f"huge.{form}"
    kind = number % 5
    if kind == 0:
        rows[at]["text"] = long[:30_000] if form == "xlsx" else long
        path.write_bytes(in_form(form, rows))
        return BadFile(path, users(rows), refused=False)
    if kind == 1:
        rows[at]["user_id"] = "u" * (30_000 if form == "xlsx" else 1_000_000)
        path.write_bytes(in_form(form, rows))
        return BadFile(path, users(rows) - {rows[at]["user_id"]}, refused=False)
    if kind == 2:
        width = rng.choice([300, 2_500])
        wide = [{**row, **{f"extra{i}": "x" for i in range(width)}} for row in rows[:3]]
        (folder / "wide.csv").write_text(as_csv(wide), encoding="utf-8")
        return BadFile(folder / "wide.csv", users(wide), refused=width > 2_000)
    if kind == 3:
        deep = "[" * 20_000 + "]" * 20_000 if number % 2 else '{"a":' * 20_000 + "1" + "}" * 20_000
        lines = as_lines(rows).splitlines()
        lines.insert(at, '{"user_id": "deep", "ts": "2024-01-01", "text": ' + deep + "}")
        (folder / "deep.jsonl").write_text("\n".join(lines), encoding="utf-8")
        return BadFile(folder / "deep.jsonl", users(rows), refused=False)
    (folder / "line.csv").write_text(as_csv(rows) + "x" * 5_000_000 + "\n" + '"open ' * 1_000, encoding="utf-8")
    return BadFile(folder / "line.csv", users(rows), refused=False)


NAMES = (
    *('a"b', "a'b", "x; DROP TABLE events; --", "c0", "_row", "rowid", "seq", "run", "bucket", "", " ", "user id", "*"),
    *(
        "$.a",
        "a.b",
        "a/b~c",
        "{{7*7}}",
        "{% raw %}",
        "select",
        "列\n名",
        "\x00name",
        "🙂",
        "n" * 500,
        "__proto__",
        "%s",
        "?",
    ),
    *(
        "<script>alert(1)</script>",
        "\u202eevil",
        "_reason",
        "_said_attrs",
        "user_id_said",
        "raw",
        "\\",
        "j",
        "=1+1",
        "@x",
    ),
)


def named(rng: random.Random, folder: Path, number: int) -> BadFile:
    """Column names that are code, keywords, limner's own or nothing."""
    chosen = rng.sample(NAMES, 8)
    rows = [{**row, **{name: f"v{i}" for i, name in enumerate(chosen)}} for row in rows_of(rng)]
    if number % 4 == 0:
        names = [f'"{name.replace(chr(34), chr(34) * 2)}"' for name in rows[0]]
        body = as_csv(rows).split("\n", 1)[1] if "\n" not in "".join(rows[0]) else None
        body = body or "".join(",".join(f'"{v}"' for v in row.values()) + "\n" for row in rows)
        (folder / "named.csv").write_text(",".join(names) + "\n" + body, encoding="utf-8")
        return BadFile(folder / "named.csv", users(rows), refused=False)
    if number % 4 == 1:
        (folder / "named.jsonl").write_text(as_lines(rows), encoding="utf-8")
        return BadFile(folder / "named.jsonl", users(rows), refused=False)
    if number % 4 == 2:
        (folder / "named.parquet").write_bytes(as_parquet(rows))
        return BadFile(folder / "named.parquet", users(rows), refused=False)
    path = folder / "named.db"
    connection = sqlite3.connect(path)
    clean = [name.replace("\x00", "") or f"e{i}" for i, name in enumerate(rows[0])]
    listed = ", ".join('"' + name.replace('"', '""') + '"' for name in dict.fromkeys(clean))
    connection.execute(f'CREATE TABLE "a""b; DROP" ({listed})')
    for row in rows:
        values = list(dict(zip(clean, row.values(), strict=True)).values())
        connection.execute(f'INSERT INTO "a""b; DROP" VALUES ({", ".join("?" * len(values))})', values)
    connection.commit()
    connection.close()
    return BadFile(f'sqlite:///{path}?table=a"b; DROP', users(rows), refused=False)


def bombs(rng: random.Random, folder: Path, number: int) -> BadFile:
    """Small files that become large ones."""
    size = rng.randrange(70, 90) << 20
    kind = number % 5
    if kind == 0:
        with zipfile.ZipFile(folder / "bomb.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("xl/worksheets/sheet1.xml", b"0" * size)
        content = (folder / "bomb.xlsx").read_bytes()
        if number % 2:
            content = content.replace(size.to_bytes(4, "little"), (99).to_bytes(4, "little"))
        (folder / "bomb.xlsx").write_bytes(content)
        return BadFile(folder / "bomb.xlsx")
    if kind == 1:
        content = b"user_id,ts,kind,item_id,rating,text\nu1,2024-01-01,post,i,5,x\n" + b"0" * (size // 8)
        (folder / "bomb.csv.gz").write_bytes(gzip.compress(content, 1))
        return BadFile(folder / "bomb.csv.gz", frozenset({"u1"}), refused=False)
    if kind == 2:
        (folder / "bomb.jsonl.gz").write_bytes(gzip.compress(b'{"user_id": "u1", "text": "' + b"a" * (size // 8), 1))
        return BadFile(folder / "bomb.jsonl.gz")
    if kind == 3:
        levels = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10 if i else "lol" * 10}">' for i in range(10))
        text = f"<!DOCTYPE r [{levels}]><r><row><user_id>&e9;</user_id></row></r>"
        (folder / "bomb.xml").write_text(text, encoding="utf-8")
        return BadFile(folder / "bomb.xml")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.zip", as_book(rows_of(rng)) * 50)
    (folder / rng.choice(["inner.csv", "inner.xlsx", "inner.json"])).write_bytes(buffer.getvalue())
    return BadFile(next(folder.glob("inner.*")))


def linked(rng: random.Random, folder: Path, number: int) -> BadFile:
    """Folders with links out of them, links to nothing, pipes, and names that are patterns or code."""
    inside, outside = folder / "inside", folder / "outside"
    inside.mkdir()
    outside.mkdir()
    rows, secret = rows_of(rng), rows_of(rng)
    for row in secret:
        row["user_id"] = "secret-" + str(row["user_id"])
    (outside / "secret.csv").write_text(as_csv(secret), encoding="utf-8")
    odd = rng.choice(
        ["a.csv", "[a]*?.csv", "a\nb.csv", "'; DROP.csv", "%s {x}.csv", "名 字.csv", "a#b.csv", "--help.csv"]
    )
    (inside / odd).write_text(as_csv(rows), encoding="utf-8")
    kind = number % 5
    if kind == 0:
        (inside / "link.csv").symlink_to(outside / "secret.csv")
    elif kind == 1:
        (inside / "folder.csv").symlink_to(outside, target_is_directory=True)
        (inside / "dir").symlink_to(outside, target_is_directory=True)
    elif kind == 2:
        (inside / "nothing.csv").symlink_to(outside / "none.csv")
        (inside / "loop.csv").symlink_to(inside / "loop.csv")
    elif kind == 3:
        os.mkfifo(inside / "pipe.csv")
        (inside / "empty.csv").mkdir()
    else:
        (inside / "up.csv").symlink_to(Path("..") / "outside" / "secret.csv")
        (inside / ".hidden.csv").write_text(as_csv(secret), encoding="utf-8")
    return BadFile(inside, users(rows), refused=False, hidden=("secret-",))


def flipped(rng: random.Random, folder: Path, number: int) -> BadFile:
    """Any form with bytes changed at random."""
    form = [*TEXT_FORMS, *BINARY_FORMS, "db"][number % 8]
    rows = rows_of(rng)
    path = folder / f"flipped.{form}"
    if form == "db":
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE t (user_id, ts, kind, item_id, rating, text)")
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", [tuple(row.values()) for row in rows])
        connection.commit()
        connection.close()
        content = bytearray(path.read_bytes())
    else:
        content = bytearray(in_form(form, rows))
    for _ in range(rng.randrange(1, 40)):
        content[rng.randrange(len(content))] = rng.randrange(256)
    path.write_bytes(bytes(content))
    return BadFile(f"sqlite:///{path}?table=t" if form == "db" else path)


def ragged(rng: random.Random, folder: Path, number: int) -> BadFile:
    """Delimited text and JSON lines with stray quotes, too few and too many fields, control characters, junk lines."""
    rows = rows_of(rng)
    form = ["csv", "jsonl", "tsv"][number % 3]
    lines = TEXT_FORMS[form](rows).rstrip("\n").split("\n")
    junk = [
        '"',
        '""',
        "a,b",
        ",,,,,,,,,",
        '"open',
        "\x01\x02",
        '{"user_id": }',
        "}{",
        "null",
        "[1,2]",
        "\t\t",
        "x" * 500,
    ]
    whole = users(rows)
    for _ in range(5):
        lines.insert(rng.randrange(1, len(lines) + 1), rng.choice(junk))
    end = rng.choice(["\n", "\r\n", "\r"]) if form != "jsonl" else rng.choice(["\n", "\r\n"])
    (folder / f"ragged.{form}").write_bytes(end.join(lines).encode())
    return BadFile(folder / f"ragged.{form}", whole, refused=False)


FAMILIES: dict[str, Callable[[random.Random, Path, int], BadFile]] = {
    make.__name__: make for make in (truncated, encoded, typed, huge, named, bombs, linked, flipped, ragged)
}


def empty(rng: random.Random, folder: Path, number: int) -> BadFile:
    """Next to nothing: marks, brackets, headers, one sign."""
    contents = [
        b"",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"{}",
        b"[]",
        b"[[]]",
        b"null",
        b'"',
        b"\n\n",
        b"\x00",
        b"user_id",
        b"<a/>",
    ]
    content = contents[number % len(contents)]
    path = folder / f"empty.{rng.choice(['csv', 'json', 'jsonl', 'xml', 'xlsx', 'parquet', 'tsv.gz', 'dat'])}"
    path.write_bytes(content)
    return BadFile(path)


FAMILIES["empty"] = empty

CASES = [(family, number) for family in FAMILIES for number in range(EACH)]


def make(family: str, number: int, folder: Path) -> BadFile:
    """One bad file, always the same for the same family and number."""
    return FAMILIES[family](random.Random(f"{family} {number}"), folder, number)
