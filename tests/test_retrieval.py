"""The index over real embeddings, a real Chroma folder and a real Chroma server."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import planted
from limner.errors import UsageError, WorkspaceError
from limner.retrieval import chroma
from limner.retrieval.documents import make_id, read_documents, sentence_around, split_id, trait_phrase
from limner.retrieval.index import Index, Refreshed
from limner.retrieval.relevance import relevant
from limner.retrieval.space import Space

HOSTILE = [
    "a:b",
    "a%3Ab",
    "persona:x",
    "' OR 1=1 --",
    "../../etc/passwd",
    "小明 🙂",
    "tab\tnewline\n",
    'quote"}',
    "*",
]


def texts_workspace(path: Path):
    """Four users, two languages."""
    events = [
        planted.event("en1", "e1", "Arrived late. The parcel took three weeks to get here! Box fine."),
        planted.event("zh1", "e2", "琴弦音色很温暖。物流太慢了，等了半个月。"),
    ]
    traits = [
        planted.trait("en1", "delivery", "sentiment", "negative", "three weeks", "e1"),
        planted.trait("zh1", "物流", "sentiment", "negative", "物流太慢了", "e2"),
        planted.trait("zh1", "吉他琴弦"),
        planted.trait("en2", "trail running shoes"),
        planted.trait("en3", "sourdough baking"),
    ]
    segment = {"segment_id": "s1", "name": "Night readers", "description": "They read novels.", "origin": "discovered"}
    return planted.write(
        path,
        traits=traits,
        events=events,
        personas={"en2": ("en", "Runs every morning in the hills.")},
        segments=[segment],
    )


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    store = texts_workspace(tmp_path_factory.mktemp("texts"))
    with Index.open(store.path) as index:
        assert index.refresh(store) == Refreshed(added=9, removed=0, kept=0)
        yield store, index


@pytest.mark.slow
def test_every_sort_of_document_is_found_in_its_own_words(workspace):
    _, index = workspace
    for question, expected in (
        ("running shoes", "trait:en2:en2%2Finterest%2Ftrail%20running%20shoes"),
        ("Who runs in the hills?", "persona:en2"),
        ("parcel took weeks", "evidence:e1:text:30:41"),
        ("people who read novels at night", "segment:s1"),
    ):
        hit = index.search(question, k=1)[0]
        assert hit.id == expected
    assert hit.user_id == ""


def test_evidence_reads_as_its_whole_sentence(workspace):
    _, index = workspace
    hits = index.search("物流慢", kinds=("evidence",), k=2)
    assert [hit.text for hit in hits] == ["物流太慢了，等了半个月。", "The parcel took three weeks to get here!"]
    assert [(hit.citation.type, hit.citation.id) for hit in hits] == [("event", "e2"), ("event", "e1")]


@pytest.mark.parametrize(
    ("question", "label"),
    [
        ("谁喜欢跑步鞋？", "likes trail running shoes"),
        ("谁喜欢烘焙面包？", "likes sourdough baking"),
        ("Who likes guitar strings?", "喜欢吉他琴弦"),
    ],
)
def test_a_question_finds_texts_of_the_other_language(workspace, question, label):
    _, index = workspace
    hits = index.search(question, kinds=("trait",), k=3)
    assert hits[0].text == label
    assert relevant(hits)[0] == hits[0]


@pytest.mark.parametrize(
    "question", ["Who owns a sailing boat?", "谁对房贷感兴趣？", "What is the boiling point of water?"]
)
def test_nothing_bears_on_an_unrelated_question(workspace, question):
    _, index = workspace
    hits = index.search(question)
    assert len(hits) == 8
    assert relevant(hits) == []


def test_within_looks_only_at_the_users_named(workspace):
    _, index = workspace
    hits = index.search("running shoes", within={"en3", "zh1", "nobody"}, k=20)
    assert {hit.user_id for hit in hits} == {"en3", "zh1"}
    assert index.search("running shoes", within=set()) == []


def test_a_second_refresh_changes_nothing(workspace):
    store, index = workspace
    assert index.refresh(store) == Refreshed(added=0, removed=0, kept=9)


def test_wrong_arguments_are_said(workspace):
    _, index = workspace
    with pytest.raises(UsageError, match="Kinds: trait"):
        index.search("x", kinds=("traits",))  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        index.search("x", k=0)
    assert index.search("  ") == []


def test_odd_questions_do_not_break_the_search(workspace):
    _, index = workspace
    for question in ("\0", "\ud800", "🙂" * 300, "a" * 10_000):
        assert len(index.search(question, k=3)) == 3


class FixedSpace(Space):
    """Vectors looked up by text, so that many can be compared without embedding them."""

    def __init__(self, vectors: dict[str, np.ndarray], name: str = "fixed") -> None:
        self._vectors, self._name = vectors, name
        self.asked: list[str] = []
        self.embedder = type("NoCache", (), {"cache": None})()

    def key(self, text: str) -> str:
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def name(self) -> str:
        return self._name

    def questions(self, texts):
        return np.stack([self._vectors[text] for text in texts])

    def passages(self, texts, progress=None):
        self.asked += texts
        return np.stack([self._vectors[text] for text in texts])


def clustered(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Vectors like those of labels: groups, some of them equal."""
    centres = rng.normal(size=(40, 384))
    found = centres[rng.integers(0, 40, rows)] + 0.6 * rng.normal(size=(rows, 384))
    found[: rows // 4] = found[0]
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.slow
def test_recall_against_brute_force(tmp_path):
    rng = np.random.default_rng(7)
    vectors = clustered(rng, 1500)
    store = planted.write(tmp_path, traits=[planted.trait(f"u{i}", f"label {i}") for i in range(1500)])
    space = FixedSpace({f"likes label {i}": row for i, row in enumerate(vectors)})
    queries = clustered(rng, 30)
    space._vectors.update({f"q{i}": row for i, row in enumerate(queries)})
    with Index.open(store.path, space=space) as index:
        index.refresh(store)
        recalls = []
        for i, query in enumerate(queries):
            scores = vectors @ query
            least = np.sort(scores)[-10]
            hits = index.search(f"q{i}", k=10)
            assert len(hits) == 10
            recalls.append(np.mean([hit.score >= least - 1e-3 for hit in hits]))
            some = set(rng.choice(1500, 200, replace=False))
            inside = index.search(f"q{i}", k=10, within={f"u{j}" for j in some})
            best = np.sort(scores[sorted(some)])[-10]
            recalls.append(np.mean([hit.score >= best - 1e-3 for hit in inside]))
    assert np.mean(recalls) >= 0.95


def unit_vectors(texts: list[str]) -> dict[str, np.ndarray]:
    return dict(zip(texts, np.eye(384, dtype=np.float32), strict=False))


def test_hostile_ids_stay_apart_and_come_back_whole(tmp_path):
    store = planted.write(tmp_path, traits=[planted.trait(user, f"thing {i}") for i, user in enumerate(HOSTILE)])
    texts = [f"likes thing {i}" for i in range(len(HOSTILE))]
    with Index.open(store.path, space=FixedSpace(unit_vectors(texts))) as index:
        assert index.refresh(store).added == len(HOSTILE)
        for i, user in enumerate(HOSTILE):
            hit = index.search(f"likes thing {i}", k=1)[0]
            assert (hit.user_id, hit.citation.id) == (user, user)
            assert split_id(hit.id) == ("trait", user, f"{user}/interest/thing {i}")
            assert [h.user_id for h in index.search("likes thing 0", within={user})] == [user]
    assert make_id("trait", "a:b", "c") != make_id("trait", "a", "b:c")


def retold(store, user: str, labels: list[str]):
    """A later commit in which a user has other traits."""
    return planted.write(
        store.path, traits=[planted.trait(user, label) for label in labels], personas={user: ("en", "x")}
    )


def test_refresh_follows_the_tables(tmp_path):
    space = FixedSpace(unit_vectors(["likes tea", "likes rum", "likes ale", "x", "nothing"]))
    store = planted.write(
        tmp_path, traits=[planted.trait("u", "tea"), planted.trait("u", "rum"), planted.trait("v", "ale")]
    )
    with Index.open(store.path, space=space) as index:
        index.refresh(store)
        with store.commit("test") as commit:
            commit.add("personas", [{"user_id": "u", "narrative": []}])
            commit.add("traits", [planted.trait("u", "tea")])
        stale = index.search("likes rum", k=9)
        assert [hit.text for hit in stale] == ["likes ale", "likes tea"] or "likes rum" not in {h.text for h in stale}
        space.asked.clear()
        assert index.refresh(store) == Refreshed(added=0, removed=1, kept=2)
        assert space.asked == []
        assert {hit.text for hit in index.search("likes rum", k=9)} == {"likes tea", "likes ale"}
        assert index._connected().count("trait") == 2
        with store.commit("test") as commit:
            commit.add("personas", [{"user_id": "u", "narrative": []}])
        index.refresh(store)
        assert {hit.text for hit in index.search("likes tea", k=9)} == {"likes ale"}


def test_changed_text_replaces_its_vector(tmp_path):
    space = FixedSpace(unit_vectors(["likes tea", "not interested in tea"]))
    store = planted.write(tmp_path, traits=[planted.trait("u", "tea")])
    with Index.open(store.path, space=space) as index:
        index.refresh(store)
        planted.write(tmp_path, traits=[planted.trait("u", "tea", polarity="negative")])
        assert index.refresh(store) == Refreshed(added=1, removed=0, kept=0)
        assert index.search("not interested in tea", k=1)[0].score == pytest.approx(1.0, abs=1e-3)


def test_another_embedder_means_other_vectors(tmp_path):
    store = planted.write(tmp_path, traits=[planted.trait("u", "tea")])
    vectors = unit_vectors(["likes tea"])
    with Index.open(store.path, space=FixedSpace(vectors)) as index:
        index.refresh(store)
    with Index.open(store.path, space=FixedSpace(vectors, "other")) as index:
        assert index.refresh(store) == Refreshed(added=1, removed=0, kept=0, rebuilt=True)


def damage(folder: Path, how: str) -> None:
    if how == "database":
        (folder / "chroma.sqlite3").write_bytes(b"garbage" * 999)
    elif how == "graph":
        for file in folder.glob("*/*.bin"):
            file.write_bytes(b"xx")
    else:
        for file in sorted(folder.rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        folder.rmdir()
        folder.write_text("a file")


@pytest.mark.parametrize("how", ["database", "graph", "file"])
def test_damaged_vectors_are_made_again(tmp_path, monkeypatch, how):
    monkeypatch.setitem(chroma._HNSW, "sync_threshold", 20)  # so that 60 vectors already have a graph on disk
    labels = [f"label {i}" for i in range(60)]
    space = FixedSpace(unit_vectors([f"likes {label}" for label in labels]))
    store = planted.write(tmp_path, traits=[planted.trait(f"u{i}", label) for i, label in enumerate(labels)])
    with Index.open(store.path, space=space) as index:
        index.refresh(store)
    assert list((store.path / chroma.FOLDER).glob("*/*.bin"))
    damage(store.path / chroma.FOLDER, how)
    with Index.open(store.path, space=space) as index:
        assert index.search("likes label 7", k=1)[0].user_id == "u7"
        assert index.refresh(store).kept == 60
        assert len(index.search("likes label 7", k=60)) == 60


def test_only_what_was_indexed_is_behind(tmp_path):
    space = FixedSpace(unit_vectors(["likes tea", "likes silk"]))
    store = planted.write(tmp_path, traits=[planted.trait("u", "tea")])
    with Index.open(store.path, space=space) as index:
        assert not index.behind(store)
        assert not (store.path / chroma.FOLDER).exists()
        index.refresh(store)
        assert not index.behind(store)
        planted.write(tmp_path, traits=[planted.trait("v", "silk")])
        assert index.behind(store)
        index.refresh(store)
        assert not index.behind(store)
    damage(store.path / chroma.FOLDER, "file")
    with Index.open(store.path, space=space) as index:
        assert index.behind(store)
        assert index.refresh(store).rebuilt


def test_a_missing_workspace_is_said(tmp_path):
    with pytest.raises(WorkspaceError, match="No workspace"):
        Index.open(tmp_path / "none").search("x")


@pytest.fixture
def chroma_server(tmp_path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("chroma")), "run", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--path", str(tmp_path / "server")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(200):
            if process.poll() is not None:
                pytest.fail(f"chroma run ended with {process.returncode}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def test_a_chroma_server_holds_two_workspaces_apart(tmp_path, monkeypatch, chroma_server):
    monkeypatch.setenv(chroma.SERVER, chroma_server)
    space = FixedSpace(unit_vectors(["likes tea", "likes rum"]))
    stores = [
        planted.write(tmp_path / name, traits=[planted.trait(name, label)])
        for name, label in (("a", "tea"), ("b", "rum"))
    ]
    for store in stores:
        with Index.open(store.path, space=space) as index:
            assert index.refresh(store).added == 1
    for store in stores:
        with Index.open(store.path, space=space) as index:
            assert [hit.user_id for hit in index.search("likes tea")] == [store.path.name]
            assert index.rebuild(store).added == 1
            assert [hit.user_id for hit in index.search("likes tea")] == [store.path.name]
        assert not (store.path / chroma.FOLDER).exists()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "ftp://x", "nonsense"])
def test_an_unusable_server_is_said(tmp_path, monkeypatch, url):
    monkeypatch.setenv(chroma.SERVER, url)
    store = planted.write(tmp_path, traits=[planted.trait("u", "tea")])
    index = Index.open(store.path, space=FixedSpace(unit_vectors(["likes tea"])))
    with pytest.raises((WorkspaceError, UsageError)) as caught:
        index.refresh(store)
    assert url in str(caught.value)


READER = """
import sys
from limner.retrieval.index import Index
index = Index.open(sys.argv[1])
print(index.search("Who runs in the hills?", k=1)[0].id)
print(index.refresh(__import__("limner.histories.store", fromlist=["Store"]).Store.open(sys.argv[1])))
"""


@pytest.mark.slow
def test_two_processes_use_one_index(workspace):
    store, index = workspace
    outputs = [
        subprocess.Popen([sys.executable, "-c", READER, str(store.path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert index.search("Who runs in the hills?", k=1)[0].id == "persona:en2"
    for process in outputs:
        out, _ = process.communicate(timeout=120)
        assert out.splitlines() == ["persona:en2", "Refreshed(added=0, removed=0, kept=9, rebuilt=False)"]


def test_documents_come_only_from_present_tables(workspace):
    store, _ = workspace
    assert {d.id for d in read_documents(store, ("trait", "persona"), {"en2"})} == {
        "trait:en2:en2%2Finterest%2Ftrail%20running%20shoes",
        "persona:en2",
    }
    assert trait_phrase("need", "更大的鞋盒", "neutral") == "需要更大的鞋盒"
    assert trait_phrase("interest", "{0} {x}", "positive") == "likes {0} {x}"


@pytest.mark.parametrize(
    ("text", "quote", "expected"),
    [
        ("Good. It costs 3.50 now. Bye.", "costs", "It costs 3.50 now."),
        ("很好！屏幕太暗。完", "屏幕", "屏幕太暗。"),
        ("one two", "two", "one two"),
        ("A. B.", "A. B.", "A. B."),
        ("x", "x", "x"),
    ],
)
def test_sentence_around(text, quote, expected):
    assert sentence_around(text, text.index(quote), len(quote)) == expected


def test_chroma_never_gets_an_embedder_or_telemetry(workspace):
    _, index = workspace
    client = index._connected()._client
    assert client.get_settings().anonymized_telemetry is False
    assert index._connected()._collection("trait")._embedding_function is None
    assert not any("onnx" in name for name in sys.modules if name.startswith("onnxruntime"))
    assert os.environ.get("LIMNER_CHROMA_URL") is None


@pytest.mark.slow
def test_more_vectors_of_a_kind_than_sqlite_takes_in_one_question_are_all_known(tmp_path: Path) -> None:
    """With more than 32,766 each refresh once took the index for damaged and made all of it anew."""
    collections, ids = chroma.Chroma.connect(tmp_path), [f"trait:{number}" for number in range(33_000)]
    try:
        rows = [chroma.StoredRow(f"u{number % 900}", f"d{number}") for number in range(len(ids))]
        collections.put("trait", ids, rows, np.random.default_rng(0).random((len(ids), 2), dtype=np.float32))
        stored: dict[str, chroma.StoredRow] = {}
        for part in collections.stored("trait"):
            stored.update(part)
        assert stored == dict(zip(ids, rows, strict=True))
        of_some = list(collections.stored("trait", [f"u{number}" for number in range(800)]))
        assert sum(map(len, of_some)) == sum(int(row.user_id[1:]) < 800 for row in rows)
        assert {row.user_id for part in of_some for row in part.values()} == {f"u{number}" for number in range(800)}
        assert collections.known("trait", [*ids[-2:], "trait:none"]) == dict(zip(ids[-2:], rows[-2:], strict=True))
    finally:
        collections.close()
