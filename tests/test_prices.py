"""What models cost: the person's own files before the shipped one, and nothing invented."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from limner.errors import UsageError
from limner.serving.prices import read_prices

ENTRY = '[[price]]\nmodel = "openai:*"\ncurrency = "USD"\ninput = 2.0\ncached_input = 0.5\noutput = 8\n'


@pytest.fixture(autouse=True)
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))


def test_models_on_ones_own_machine_cost_nothing_and_others_are_unknown() -> None:
    table = read_prices()
    for spec in ("embedded", "embedded:qwen", "vllm:m", "http://127.0.0.1:8000/v1#m", "http://localhost:1/v1#m"):
        price = table.find(spec)
        assert price is not None
        assert not price.costs
    assert table.find("openai:m") is None
    with pytest.raises(UsageError, match=r"unknown, so --budget cannot be kept"):
        table.required("openai:m")


def test_the_workspaces_entry_counts_first(tmp_path: Path) -> None:
    (tmp_path / "settings" / "limner").mkdir(parents=True)
    (tmp_path / "settings" / "limner" / "prices.toml").write_text(ENTRY.replace("2.0", "3.0"))
    assert read_prices(tmp_path).required("openai:m").input == 3.0
    (tmp_path / "prices.toml").write_text(ENTRY)
    price = read_prices(tmp_path).required("openai:m")
    assert price.of(1_000_000, 500_000, reused_tokens=200_000) == pytest.approx(0.8 * 2.0 + 0.2 * 0.5 + 0.5 * 8)


BAD = {
    "no toml": "[[price",
    "no model": '[[price]]\ncurrency = "USD"\ninput = 1\noutput = 1',
    "no currency": '[[price]]\nmodel = "m"\ninput = 1\noutput = 1',
    "negative": '[[price]]\nmodel = "m"\ncurrency = "USD"\ninput = -1\noutput = 1',
    "unknown field": ENTRY + "inptu = 3\n",
    "not a number": '[[price]]\nmodel = "m"\ncurrency = "USD"\ninput = "1"\noutput = 1',
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_one_clear_error(case: str, tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(BAD[case])
    with pytest.raises(UsageError, match=r"prices\.toml"):
        read_prices(tmp_path)


def test_the_command_shows_the_table_and_where_to_add_to_it(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(ENTRY)
    command = [sys.executable, "-m", "limner", "models", "prices", "--workspace", str(tmp_path)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "openai:* " in shown
    assert str(tmp_path / "prices.toml") in shown
    told = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)
    assert told["prices"][0]["model"] == "openai:*"
