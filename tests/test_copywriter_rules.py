"""What copy may say: product sheets, channel lengths, claims, numbers and links."""

from __future__ import annotations

from pathlib import Path

import pytest

from limner.agents.copywriter import ProductSheet, read_product
from limner.agents.copywriter.channels import display_width, find_channel, sent_text, sms_length, sms_parts
from limner.agents.copywriter.claims import absolute_words, unsupported_claims
from limner.agents.copywriter.grounds import foreign_links, foreign_numbers, named_users, repeated_words
from limner.errors import UsageError

SHEET = """Voltrel Quiet burr grinder
Grinds 20 g of beans in 9 seconds.
52 decibels, measured at one meter.
31 settings, from espresso to coarse press.
Two-year warranty and free returns within 30 days.
$149"""
SHEET_ZH = "野棹轻帐\n整套重1.6公斤，收纳后长38厘米。\n一个人5分钟可以搭好。\n一年质保，30天无理由退货。\n599元"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("20 g in just 9 seconds", []),
        ("52 minutes", ["52"]),
        ("only 52 decibels", []),
        ("31 grind settings for you", []),
        ("two-year warranty", []),
        ("2 years of warranty", []),
        ("a 2-year warranty for $149", []),
        ("20% off", ["20%"]),
        ("9 days only", ["9 days"]),
        ("$149.99", ["$149.99"]),
        ("¥149", ["¥149"]),
        ("30 settings", ["30"]),
        ("a three-year warranty", ["three-year"]),
        ("until 12/31", ["12"]),
        ("by 24 December", ["24"]),
        ("One cup, one grinder", []),
        ("the X500 model", ["500"]),
        ("149 reasons", ["149"]),
        ("call 555-0199", ["555", "0199"]),
    ],
)
def test_numbers_come_from_the_sheet(text: str, wrong: list[str]) -> None:
    assert foreign_numbers(text, SHEET) == wrong


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("整套只有1.6公斤，5分钟搭好", False),
        ("一年质保，599元", False),
        ("十分轻便，千万别错过，四季可用", False),
        ("两年质保", True),
        ("三折起", True),
        ("５９９元", False),
        ("只要499元", True),
        ("5小时送达", True),
        ("重量仅1.2公斤", True),
        ("立减百分之二十", True),
    ],
)
def test_chinese_numbers_come_from_the_sheet(text: str, wrong: bool) -> None:
    assert bool(foreign_numbers(text, SHEET_ZH)) is wrong, foreign_numbers(text, SHEET_ZH)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The best grinder", ["best"]),
        ("Best wishes from us", []),
        ("#1 in town", ["#1"]),
        ("＃１ in town", ["#1"]),
        ("Satisfaction guaranteed", ["guaranteed"]),
        ("Enjoy most mornings", []),
        ("the quietest grinder", ["the quietest"]),
        ("quieter than any other grinder", ["than any other"]),
        ("最近入手的帐篷", []),
        ("最轻的帐篷", ["最"]),
        ("第一次露营", []),
        ("全国第一", ["第一"]),
        ("国家级品质，顶级面料", ["国家级", "顶级"]),
        ("完美之选", ["完美"]),
        ("轻便好用", []),
    ],
)
def test_absolute_words(text: str, words: list[str]) -> None:
    assert absolute_words(text) == words


def test_a_products_own_name_is_no_claim() -> None:
    assert absolute_words("Best Bean grinder is here", "Best Bean") == []
    assert absolute_words("Best Bean is the best", "Best Bean") == ["best"]


@pytest.mark.parametrize(
    ("text", "sheet", "found"),
    [
        ("Waterproof and light", SHEET, ["Waterproof"]),
        ("Free returns within 30 days", SHEET, []),
        ("Free shipping", SHEET, ["Free shipping"]),
        ("防水好帐篷", "外帐防水指数3000毫米", []),
        ("防水好帐篷", "外帐奶白色", ["防水"]),
        ("限时特惠", SHEET_ZH, ["特惠", "限时"]),
        ("正品包邮", SHEET_ZH, ["包邮", "正品"]),
    ],
)
def test_claims_need_the_sheet(text: str, sheet: str, found: list[str]) -> None:
    assert sorted(unsupported_claims(text, sheet)) == sorted(found)


def test_links() -> None:
    url = "https://shop.example.com/v"
    assert foreign_links(f"Look: {url}.", url) == []
    assert foreign_links("Look: https://evil.example/v", url) == ["https://evil.example/v"]
    assert foreign_links("看看 evil.com 吧", url) == ["evil.com"]
    assert foreign_links("write to me@x.com", None) == ["me@x.com"]


def test_customers_words_are_not_repeated() -> None:
    quotes = ["The grinder wakes the kids every single morning", "每年春天都要买一斤龙井茶喝"]
    assert repeated_words("It wakes the kids every single day", quotes, []) == "wakes the kids every single"
    assert repeated_words("你每年春天都要买一斤茶", quotes, [])
    assert repeated_words("Quiet enough for the kids", quotes, []) is None
    assert repeated_words("It wakes the kids every single day", quotes, ["wakes the kids every single"]) is None
    assert named_users("Hello u-17, welcome", ["u-17", "home", "u-1"]) == ["u-17"]


GSM_160 = "a" * 160


@pytest.mark.parametrize(
    ("text", "used", "limit", "parts"),
    [
        (GSM_160, 160, 160, 1),
        (GSM_160 + "a", 161, 160, 2),
        ("a" * 306, 306, 160, 2),
        ("a" * 307, 307, 160, 3),
        ("€" * 80, 160, 160, 1),
        ("中" * 70, 70, 70, 1),
        ("中" * 71, 71, 70, 2),
        ("中" * 135, 135, 70, 3),
        ("a" * 69 + "中", 70, 70, 1),
        ("😀" * 35, 70, 70, 1),
        ("", 0, 160, 1),
    ],
)
def test_sms_lengths(text: str, used: int, limit: int, parts: int) -> None:
    length = sms_length(text)
    assert (length.used, length.limit) == (used, limit)
    assert length.ok == (parts == 1)
    assert sms_parts(text) == parts


def test_display_width_and_joining() -> None:
    assert display_width("中a，") == 5
    assert display_width("e\u0301") == 1
    assert sent_text(["标题", "", "正文。"]) == "标题正文。"
    assert sent_text(["Title", "Text."]) == "Title Text."


def test_unknown_channel() -> None:
    with pytest.raises(UsageError, match="email, sms, push"):
        find_channel("fax")


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_sheet_with_plain_facts_and_a_bare_price(tmp_path: Path) -> None:
    path = write(
        tmp_path / "p.yaml",
        "name: Kettle\nprice: 39\ncurrency: EUR\nfacts:\n  - boils fast\n  - {id: lid, text: quiet lid}\n",
    )
    sheet = read_product(path)
    assert [fact.id for fact in sheet.facts] == ["f1", "lid"]
    assert sheet.price_text == "39 EUR"
    assert "quiet lid" in sheet.all_text()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("name: K\nfacts: [a]\ncolour: red\n", "`colour`"),
        ("facts: [a]\n", "`name`"),
        ("name: K\nfacts: []\n", "`facts`"),
        ("name: K\nfacts: [{id: a, text: x, more: y}]\n", "`facts.0.more`"),
        ("name: K\nfacts: [{id: a, text: x}, {id: a, text: y}]\n", "stands twice"),
        ("name: K\nfacts: [a]\nurl: javascript:alert(1)\n", "`url`"),
        ("name: K\nfacts: [a]\nlanguage: fr\n", "`language`"),
        ("- a\n- b\n", "starts with keys"),
        ("", "starts with keys"),
        ("name: [K\n", "not YAML"),
        ("name: !!python/object/apply:os.system [ls]\n", "not YAML"),
        (b"\xff\xfe\x00\x01", "UTF-8"),
        (b"\x00\x01\x02", "not YAML"),
        ("x" * 300_000, "short YAML"),
    ],
)
def test_a_wrong_sheet_names_file_and_key(tmp_path: Path, text: str | bytes, named: str) -> None:
    path = write(tmp_path / "sheet.yaml", text)
    with pytest.raises(UsageError) as caught:
        read_product(path)
    assert "sheet.yaml" in str(caught.value)
    assert named in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2


def test_a_missing_sheet(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing\.yaml"):
        read_product(tmp_path / "nothing.yaml")
    with pytest.raises(UsageError, match="directory"):
        read_product(tmp_path)


def test_the_sheet_is_all_that_is_known() -> None:
    with pytest.raises(ValueError, match="frozen"):
        ProductSheet(name="K", facts=["a"]).name = "L"  # type: ignore[misc,arg-type]
