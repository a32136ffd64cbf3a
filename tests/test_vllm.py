"""The real vLLM, as `make test-vllm` installs it: one server, started by the spec, for all tests of this file."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from limner import Workspace
from limner.errors import PendingError
from limner.serving import connect
from limner.serving.batch.mode import BatchMode
from limner.serving.request import ChatAnswer, ChatRequest, Message, PromptId
from limner.serving.vllm import engine as engines
from limner.serving.vllm import flags
from limner.serving.vllm.engine import kept_up
from limner.serving.vllm.interpreter import PYTHON, interpreter, survey
from limner.serving.vllm.server import models_at
from limner.serving.vllm.weights import loadable, named_model
from reading_workspace import event, load, not_slices

SPEC = os.environ.get("LIMNER_TEST_VLLM", "vllm:qwen2.5-coder-0.5b")
USERS = 30
MAP = Path(__file__).parents[1] / "docs" / "maps" / "amazon_musical_instruments.toml"

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(5400),
    pytest.mark.skipif(
        importlib.util.find_spec("vllm") is None and not os.environ.get(PYTHON),
        reason=f"vLLM is not installed, and {PYTHON} names no Python that has it; make test-vllm installs it",
    ),
]

ITEMS = {
    "type": "object",
    "properties": {
        "items": {
            "type": "array",
            "maxItems": 3,
            "items": {
                "type": "object",
                "properties": {"label": {"type": "string", "maxLength": 40}, "sure": {"type": "boolean"}},
                "required": ["label", "sure"],
            },
        }
    },
    "required": ["items"],
}


@pytest.fixture(scope="module", autouse=True)
def one_server() -> Iterator[None]:
    with kept_up():
        yield


def question(text: str, system: str = "You read customer reviews. Answer briefly.", **options: object) -> ChatRequest:
    return ChatRequest((Message("system", system), Message("user", text)), PromptId("test", 1, "en"), **options)


def test_answers_are_held_to_their_form(tmp_path: Path) -> None:
    labels, pattern = ("好评", "差评"), r"[a-z]{3,12}(, [a-z]{3,12}){1,3}"
    requests = [
        question("物流太慢了，茶叶却很香，会再买。好评还是差评？", choices=labels, max_tokens=8),
        question("Name the colours of a rainbow.", pattern=pattern, max_tokens=40),
        question("The strap broke after two days. What is this about?", schema=ITEMS, max_tokens=120),
    ]
    with connect(tmp_path, SPEC) as client:
        label, colours, items = client.ask(requests)
    assert isinstance(label, ChatAnswer)
    assert label.text in labels
    assert label.logprob is not None
    assert isinstance(colours, ChatAnswer)
    assert re.fullmatch(pattern, colours.text)
    assert isinstance(items, ChatAnswer)
    assert set(json.loads(items.text)) == {"items"}
    assert not re.search(r"[{,:\[]\s", re.sub(r'"[^"]*"', '""', items.text)), "white space is written tokens"


def test_thirty_users_are_read(data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = Workspace(tmp_path / "w", model=SPEC)
    workspace.ingest(data_folder / "amazon_musical_instruments" / "events.parquet", mapping=MAP)
    with connect(workspace.path, SPEC) as client:  # The start of the server is not the rate of reading.
        client.ask([question("Are you up?", max_tokens=4)])
    begun = time.monotonic()
    summary = workspace.extract(limit=USERS)
    seconds = time.monotonic() - begun
    with capsys.disabled():
        print(
            f"\n{SPEC}: {summary.users} users in {seconds:.0f} s, {60 * summary.users / seconds:.1f} a minute; "
            f"{summary.calls} calls, {summary.input_tokens:,} tokens read, {summary.output_tokens:,} written, "
            f"{(summary.input_tokens + summary.output_tokens) / seconds:,.0f} a second; {summary.accepted} signals "
            f"accepted, {summary.rejected} rejected; {len(summary.failed)} users failed"
        )
    assert summary.users == USERS
    assert all(reason.strip() for reason in summary.failed.values())
    assert len(summary.failed) <= USERS // 5
    read = set(workspace.frame("extractions")["user_id"])
    assert len(read | set(summary.failed)) == USERS
    assert {persona.user_id for persona in workspace.personas()} >= read - set(summary.failed)
    signals = workspace.frame("signals").to_dict("records")
    assert sum(row["status"] == "accepted" for row in signals) == summary.accepted > 0
    assert not_slices(signals, workspace.frame("events").to_dict("records")) == []


def test_the_same_again_asks_nothing(data_folder: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w", model=SPEC)
    workspace.ingest(data_folder / "amazon_musical_instruments" / "events.parquet", mapping=MAP)
    first = workspace.extract(limit=2)
    again = workspace.extract(limit=2)
    assert first.calls > 0
    assert again.calls == 0


def test_the_server_listens_on_this_machine_only_and_ends_with_the_process() -> None:
    ups = list(engines._up.values())
    if SPEC.startswith("vllm:") and not os.environ.get("LIMNER_VLLM_URL"):
        assert len(ups) == 1
    for up in ups:
        assert up.address.startswith("http://127.0.0.1:")
        assert models_at(up.address)
        assert up.own is not None
        own = up.own
        up.users = 0
        engines._end(up)
        assert not own.running
        assert models_at(up.address) == ()


def test_a_batch_file_goes_through_run_batch(tmp_path: Path) -> None:
    """Questions, narratives and repairs, a file each, until nothing is left; the server has ended before."""
    review = "The strings arrived broken, and the box was wet. Sound is lovely though!"
    store = load(tmp_path / "w", event("u1", review, title="Strings"), event("客户", "龙井很香，就是物流太慢了！"))
    out, back = tmp_path / "ask.jsonl", tmp_path / "back.jsonl"
    workspace, mode = Workspace(tmp_path / "w", model=SPEC), BatchMode(file=out)
    named = named_model(SPEC.partition(":")[2])
    source = loadable(named, print)
    machine = survey(source.model, size=source.bytes)
    command = [interpreter(), "-m", "vllm.entrypoints.openai.run_batch", "--model", source.model]
    command += ["--served-model-name", named.name, "--max-model-len", "4096", "--dtype", flags.dtype(machine)]
    command += ["--generation-config", "vllm", "-i", str(out), "-o", str(back)]
    rounds = 0
    while True:
        try:
            summary = workspace.extract(batch=mode)
            break
        except PendingError:
            rounds += 1
            assert rounds <= 4
            environment = flags.environment(machine, local=source.local)
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr[-2000:]
            mode = BatchMode(file=out, results=back)
    assert summary.failed == {}
    assert rounds >= 1
    assert {row["user_id"] for row in store.rows("SELECT user_id FROM personas")} == {"u1", "客户"}
