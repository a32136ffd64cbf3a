"""`limner segment` as a person runs it, against a real HTTP model, and on the sample's planted truth."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sklearn.metrics import adjusted_rand_score

import planted
from limner.histories.load import ingest
from limner.histories.store import Store
from limner.sample.folder import sample_folder
from limner.sample.truth import read_truth
from limner.segments.discover import discover
from serving_stub import completion, serve
from test_segments import answer, by_topic, client, three_groups

pytestmark = pytest.mark.slow


def limner(*arguments: str, workspace: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "limner", "segment", *arguments, "--workspace", str(workspace)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=200, check=False)


def replies(number, body):
    names = iter([("Home baristas", "咖啡爱好者"), ("Weekend campers", "露营族"), ("Young parents", "年轻父母")])
    english, chinese = next(pair for i, pair in enumerate(names) if i == number % 3)
    in_chinese = "顾客" in body["messages"][0]["content"]
    return completion(answer(chinese if in_chinese else english))


@pytest.fixture(scope="module")
def discovered(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli")
    three_groups(path, 8)
    with serve(replies) as server:
        done = limner("discover", "--json", "--model", f"{server.url}#m", workspace=path)
        assert done.returncode == 0, done.stderr
        calls = len(server.bodies)
        again = limner("discover", "--model", f"{server.url}#m", workspace=path)
        assert (again.returncode, len(server.bodies)) == (0, calls)
    return path, json.loads(done.stdout), again


def test_discover_prints_one_object_and_a_table(discovered):
    _, found, table = discovered
    assert [segment["users"] for segment in found["segments"]] == [8, 8, 8]
    assert found["left_out"] == [{"user_id": "nobody", "reason": "no events and no traits"}]
    assert {feature["kind"] for segment in found["segments"] for feature in segment["features"]} >= {"category"}
    for segment in found["segments"]:
        assert segment["name"] in table.stdout
    assert "Users in no segment: 1 (no events and no traits)." in table.stderr
    assert "silhouette" in table.stderr


def test_list_and_show(discovered):
    path, found, _ = discovered
    listed = json.loads(limner("list", "--json", workspace=path).stdout)
    assert {segment["segment_id"] for segment in listed} == {segment["segment_id"] for segment in found["segments"]}
    name = found["segments"][0]["name"]
    shown = json.loads(limner("show", name, "--json", workspace=path).stdout)
    assert len(shown["members"]) == 8
    assert all(0 < member["confidence"] <= 1 and member["reason"] for member in shown["members"])
    text = limner("show", name, "--limit", "3", workspace=path)
    assert text.stdout.count("-0") == 3
    assert "5 more members" in text.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("show", "night owls"), 2, "There is no segment night owls. Known: "),
        (("discover", "--k", "99", "--model", "http://127.0.0.1:9/v1#m"), 2, "Cannot make 99 segments of 24 users"),
        (("discover", "--k", "2", "--model", "http://127.0.0.1:9/v1#m"), 1, "127.0.0.1:9"),
    ],
)
def test_what_cannot_be_done_is_said_in_two_lines(discovered, arguments, code, message):
    path, _, _ = discovered
    done = limner(*arguments, workspace=path)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
    assert done.stdout == ""


def test_without_a_workspace(tmp_path):
    done = limner("list", workspace=tmp_path / "none")
    assert (done.returncode, done.stdout) == (1, "")
    assert "No workspace" in done.stderr


def test_the_samples_three_segments_are_found(tmp_path):
    store = Store.open(tmp_path / "workspace", create=True)
    ingest(store, [sample_folder()])
    truth = read_truth()
    traits = [
        planted.trait(user.user_id, getattr(trait.label, user.language), trait.kind, trait.polarity)
        for user in truth.users
        for trait in user.traits
    ]
    planted.write(store.path, traits=traits)
    found = discover(store, client(tmp_path, by_topic))
    got = {member.user_id: member.segment_id for member in found.memberships}
    real = {user.user_id: user.segment for user in truth.users if user.segment and user.user_id in got}
    assert len(real) >= 15
    assert adjusted_rand_score(list(real.values()), [got[user] for user in real]) >= 0.9
