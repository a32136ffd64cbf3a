"""What was measured of models: one table, a person's own entries first, and everything that asks goes by it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from limner.agents.extractor.check import sentiment_of
from limner.agents.extractor.plan import choose_plan
from limner.cli import main
from limner.errors import UsageError
from limner.serving import connect
from limner.serving.context import context_of
from limner.serving.engine import slots_of
from limner.serving.models import known_model
from limner.serving.profile_file import with_entry, write_profile
from limner.serving.profiles import Measured, Profile, profile_of, read_profiles
from limner.serving.request import ChatAnswer

SPEC = "http://127.0.0.1:9/v1#m"
MODEL = "m@127.0.0.1:9"
OWN = Profile(
    MODEL,
    "small",
    spec=SPEC,
    context=4096,
    concurrency=6,
    positive_from={"zh": 0.4, "en": 0.7},
    measured="2026-01-31",
    suite="abc",
    by='it "said" 好\n',
    scores=(Measured("small", 0.9, 0.8, 1.0, 1200, 30), Measured("joint", 0.25, 0.0, 0.5, 700, 9)),
    rates={"1": 2.5, "2": 4.0},
)


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    return tmp_path / "settings" / "limner"


def test_the_default_model_is_measured_and_others_go_by_their_kind() -> None:
    default = profile_of("embedded")
    assert default.measured
    assert default.model == known_model("").identity
    assert (default.plan, default.positive_from) == ("small", {"zh": 0.3, "en": 0.64})
    plans = {
        spec: profile_of(spec).plan for spec in ("embedded:smollm2-135m", "embedded:x", "vllm:m", "openai:m", SPEC)
    }
    assert list(plans.values()) == ["small", "small", "joint", "joint", "joint"]
    assert not any(profile_of(spec).measured for spec in plans)


def test_plan_threshold_and_calls_at_once_come_from_a_persons_own_entry(tmp_path: Path, settings: Path) -> None:
    assert choose_plan(SPEC).name == "joint"
    write_profile(settings / "profiles.toml", OWN)
    plan = choose_plan(SPEC)
    assert plan.name == "small"
    answer = ChatAnswer("正面", 9, 1, 0.0, logprob=-0.7)  # 0.497
    assert sentiment_of(answer, "正面", MODEL, "zh", plan)[0]
    assert not sentiment_of(answer, "正面", MODEL, "en", plan)[0]
    with connect(tmp_path, SPEC) as client:
        assert slots_of(client.engine) == 6
    with connect(tmp_path, SPEC, concurrency=2) as client:
        assert slots_of(client.engine) == 2
    write_profile(tmp_path / "profiles.toml", Profile(MODEL, "joint"))
    assert choose_plan(SPEC, workspace=tmp_path).name == "joint"  # The workspace's own counts first.
    (settings / "profiles.toml").unlink()
    assert choose_plan(SPEC).name == "joint"


def test_what_is_written_is_read_and_only_the_models_own_entry_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "profiles.toml"
    assert write_profile(file, OWN) is None
    (found,) = read_profiles(file.parent).profiles[:1]
    assert found == Profile(**{name: getattr(OWN, name) for name in Profile.__slots__ if name != "file"}, file=file)
    other = "# a person's own words\n[[profile]]\nmodel = 'other'  # kept\nplan = \"joint\"\n[profile.rates]\n1 = 2.0\n"
    file.write_text(other + file.read_text(encoding="utf-8"), encoding="utf-8")
    was = file.read_text(encoding="utf-8")
    before = write_profile(file, Profile(MODEL, "joint", measured="2026-02-01"))
    assert before is not None
    assert before.read_text(encoding="utf-8") == was
    text = file.read_text(encoding="utf-8")
    assert text.startswith(other)
    assert text.count(MODEL) == 1
    assert [p.plan for p in read_profiles(file.parent).profiles[:2]] == ["joint", "joint"]
    assert MODEL not in with_entry(text, Profile("other", "small")).replace(MODEL, "", 1)


BAD = {
    "no toml": "[[profile",
    "no table": "profile = 3",
    "no model": '[[profile]]\nplan = "small"',
    "no such plan": '[[profile]]\nmodel = "m"\nplan = "large"',
    "unknown field": '[[profile]]\nmodel = "m"\nplan = "small"\nprice = 2',
    "no share": '[[profile]]\nmodel = "m"\nplan = "small"\npositive_from = { en = 1.5 }',
    "no count": '[[profile]]\nmodel = "m"\nplan = "small"\nconcurrency = 0',
    "no scores": '[[profile]]\nmodel = "m"\nplan = "small"\nscores = { small = 1 }',
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_one_clear_error_and_is_not_written_over(case: str, tmp_path: Path) -> None:
    file = tmp_path / "profiles.toml"
    file.write_text(BAD[case])
    with pytest.raises(UsageError, match=r"profiles\.toml"):
        read_profiles(tmp_path)
    with pytest.raises(UsageError, match=r"profiles\.toml"):
        write_profile(file, OWN)
    assert file.read_text() == BAD[case]


def test_a_server_is_asked_for_its_context() -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    told: dict[str, Any] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(told).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        spec = f"http://127.0.0.1:{server.server_port}/v1#m"
        for data, expected in (
            ([{"id": "m", "max_model_len": 8192}], 8192),
            ([{"id": "x", "max_model_len": 1}, {"id": "m", "meta": {"n_ctx_train": 2048}}], 2048),
            ([{"id": "m"}], None),
            ([{"id": "m", "max_model_len": "many"}], None),
            ("nonsense", None),
        ):
            told["data"] = data
            assert context_of(spec) == expected
    finally:
        server.shutdown()
        server.server_close()
    assert context_of(spec) is None  # Nothing listens there any more.
    assert context_of("embedded") == 32_768
    assert context_of("embedded:there-is-none") is None


def run(*command: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(command))
    return int(ended.value.code or 0)


def test_the_commands_say_what_is_measured_and_what_is_not(settings: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_profile(settings / "profiles.toml", OWN)
    assert run("models", "list") == 0
    shown = capfd.readouterr().out
    assert "plan small, measured 2026-" in shown
    assert "not measured: limner models tune embedded:smollm2-135m" in shown
    assert run("models", "profiles", "openai:x") == 0
    assert "openai:x: plan joint; not measured: limner models tune openai:x" in capfd.readouterr().out
    assert run("models", "profiles", SPEC, "--json") == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["plan"], told["concurrency"], told["price"]["input"]) == ("small", 6, 0.0)
    assert run("models", "profiles", "--json") == 0
    assert json.loads(capfd.readouterr().out)["profiles"][0]["model"] == MODEL
    assert os.environ["XDG_CONFIG_HOME"] in str(read_profiles().files[0])
