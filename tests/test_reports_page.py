from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from datetime import datetime
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.errors import UsageError
from limner.evidence.persona import read_persona
from limner.reports.material import gather
from limner.reports.page import STYLES, material_html, page_script, persona_html, write_page
from limner.reports.payload import embed_json
from limner.reports.words import all_words
from reports_sample import ANSWER, COPY, HOSTILE, build

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NODE = shutil.which("node")


class Reader(HTMLParser):
    """Reads a page as a browser splits it: elements with attributes, and what scripts and styles hold."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {"script": [], "style": [], "title": []}
        self.open: str | None = None

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in self.inside:
            self.inside[tag].append("")
            self.open = tag

    def handle_endtag(self, tag):
        if tag == self.open:
            self.open = None

    def handle_data(self, data):
        if self.open:
            self.inside[self.open][-1] += data


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    return reader


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return build(tmp_path_factory.mktemp("reports") / "workspace")


@pytest.fixture(scope="module")
def page(store, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("out") / "deep" / "page.html"
    return write_page(store, out, title=f"春季 {HOSTILE}", answer=ANSWER, copy={**COPY, "segment": HOSTILE})


@pytest.fixture(scope="module")
def text(page) -> str:
    return page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def data(text) -> dict:
    return json.loads(read(text).inside["script"][0])


def test_the_page_has_exactly_our_elements(text):
    reader = read(text)
    tags = [tag for tag, _ in reader.elements]
    assert tags.count("script") == 2
    assert tags.count("style") == 1
    assert "img" not in tags
    assert tags.count("link") == tags.count("iframe") == tags.count("base") == 0
    assert text.count("<script") == text.count("</script") == 2
    assert text.count("<!--") == 0
    assert not any(name.startswith("on") for _, attributes in reader.elements for name in attributes)


def test_the_policy_names_the_hashes_of_what_stands_in_the_page(text):
    reader = read(text)
    policy = next(a["content"] for t, a in reader.elements if t == "meta" and a.get("http-equiv"))
    parts = {part.split(" ")[0]: part.split(" ")[1:] for part in policy.split("; ")}
    assert parts["default-src"] == ["'none'"]
    for directive, source in (("script-src", reader.inside["script"][1]), ("style-src", reader.inside["style"][0])):
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert parts[directive] == [f"'sha256-{digest}'"]
    assert parts["trusted-types"] == ["'none'"]
    assert parts["require-trusted-types-for"] == ["'script'"]
    assert "unsafe" not in policy


def test_nothing_is_loaded(text):
    reader = read(text)
    for tag, attributes in reader.elements:
        assert not {"src", "srcset", "href", "data", "action", "poster", "style"} & set(attributes), tag
    for source in (reader.inside["style"][0], reader.inside["script"][1]):
        assert not re.search(r"https?://|url\(|@import|@font-face|fetch\(|XMLHttpRequest|import\(|WebSocket", source)


def test_the_script_never_writes_html():
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc|DOMParser", page_script()
    )


def test_hostile_text_arrives_whole_and_inert(text, data):
    assert data["events"]["e-evil"]["text"] == HOSTILE
    assert data["title"] == f"春季 {HOSTILE}"
    raw = text[text.index('id="data">') : text.index("</script", text.index('id="data">'))]
    assert "<" not in raw.removeprefix('id="data">')
    assert "\u2028" not in raw
    title = read(text).inside["title"]
    assert title == [f"春季 {HOSTILE}"]
    assert html.escape("<img") in text


@given(
    st.recursive(st.text() | st.none() | st.floats(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
@settings(max_examples=150, deadline=None)
def test_embedded_json_round_trips_and_holds_no_markup(value):
    text = embed_json(value)
    assert not set("<>&\u2028\u2029") & set(text)
    again = json.loads(text)
    assert json.loads(embed_json(again)) == again
    if isinstance(value, str):
        assert again == value.encode("utf-8", "replace").decode()


def test_numbers_that_are_not_finite_and_lone_surrogates_are_not_passed_on():
    assert json.loads(embed_json({"a": [float("nan"), float("inf"), 1.5], "b": "x\ud83d"})) == {
        "a": [None, None, 1.5],
        "b": "x?",
    }
    assert json.loads(embed_json(datetime(2026, 1, 2, 3, 4))) == "2026-01-02T03:04:00"


def test_the_page_holds_people_claims_refusals_segments_and_totals(data):
    people = {person["id"]: person for person in data["people"]}
    assert set(people) == {"u-lin", "u-amy", "u-new", "u-<b>evil</b>"}
    assert data["people"][0]["id"] == "u-lin"
    assert people["u-lin"]["facts"]["monetary"] == ["CN¥1,204.50", "¥1,204.50"]
    assert "return_rate" not in people["u-lin"]["facts"]
    assert people["u-amy"]["refused"] == 1
    assert people["u-amy"]["rejected"][0]["reason"] == "quote_not_in_text"
    assert people["u-new"]["traits"] == []
    assert people["u-lin"]["segments"][0][0] == "s1"
    totals = {key: data["totals"][key] for key in ("users", "events", "texts", "accepted", "rejected")}
    assert totals == {"users": 4, "events": 28, "texts": 9, "accepted": 4, "rejected": 2}
    assert set(data["events"]) == {"e-tea", "e-chat", "e-str", "e-evil"}
    assert data["answer"]["n"] == 1


def test_every_quote_is_the_slice_it_claims(data):
    checked = 0
    for person in data["people"]:
        for trait in person["traits"]:
            for event_id, field, start, end, quote in trait["evidence"]:
                assert data["events"][event_id][field][start:end] == quote
                checked += 1
    assert checked == 7


def test_one_person_and_only_what_was_asked(store, tmp_path):
    material = gather(store, ["u-lin"])
    single = json.loads(read(material_html(material)).inside["script"][0])
    assert single["single"]
    assert single["lang"] == "zh"
    assert [person["id"] for person in single["people"]] == ["u-lin"]
    assert set(single["events"]) == {"e-tea", "e-chat"}
    persona = read_persona(store, "u-amy")
    rows = store.rows("SELECT * FROM events WHERE user_id = 'u-amy'")
    by_hand = json.loads(read(persona_html(persona, rows)).inside["script"][0])
    assert by_hand["lang"] == "en"
    assert by_hand["events"]["e-str"]["text_title"] == "Warm & bright 🎸"
    out = write_page(store, tmp_path / "two.html", title="Two", users=["u-new", "u-amy"])
    two = json.loads(read(out.read_text(encoding="utf-8")).inside["script"][0])
    assert [person["id"] for person in two["people"]] == ["u-new", "u-amy"]
    assert two["totals"]["users"] == 2


def test_an_unknown_user_leaves_no_file(store, tmp_path):
    with pytest.raises(UsageError, match="nobody"):
        write_page(store, tmp_path / "page.html", title="x", users=["nobody"])
    assert list(tmp_path.iterdir()) == []


def test_both_languages_have_the_same_words():
    english, chinese = all_words()["en"], all_words()["zh"]
    assert {g: set(words) for g, words in english.items()} == {g: set(words) for g, words in chinese.items()}
    gaps = re.compile(r"\{\d\}")
    for key, phrase in english["ui"].items():
        assert set(gaps.findall(phrase)) == set(gaps.findall(chinese["ui"][key])), key


def test_every_word_the_script_says_exists():
    said = set(re.findall(r'say\("([a-z_]+)"', page_script()))
    assert len(said) > 30
    assert said <= set(all_words()["en"]["ui"])


def test_styles_only_use_colours_that_both_themes_define():
    style = "\n".join(files("limner.reports").joinpath(name).read_text("utf-8") for name in STYLES)
    light, dark = (
        set(re.findall(r"--[a-z-]+(?=:)", block))
        for block in (style.split("@media")[0], style.split('[data-theme="dark"]')[1].split("}")[0])
    )
    used = set(re.findall(r"var\((--[a-z-]+)\)", style)) - {"--w", "--h"}
    assert used <= light
    assert light - dark == {"--serif", "--sans", "--mono", "--panel"}


def node(expression: str, value: object) -> object:
    """The value of a JavaScript expression over `given`, with the page's text functions."""
    source = files("limner.reports").joinpath("page_text.js").read_text("utf-8")
    given = "const given = JSON.parse(require('fs').readFileSync(0, 'utf8'));"
    program = f"{source}\n{given}\nprocess.stdout.write(JSON.stringify({expression}));"
    done = subprocess.run(
        [NODE, "-e", program], input=json.dumps(value), capture_output=True, encoding="utf-8", check=True
    )
    return json.loads(done.stdout)


needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")


@needs_node
def test_offsets_are_code_points():
    texts = ["🍵🍵 龙井很香", "plain text", "👩‍🌾茶农 👍🏽 ok", "𠮷野家 ｆｕｌｌ", ""]
    cases = [[t, s, e] for t in texts for s in range(len(t) + 1) for e in range(s, len(t) + 1)]
    assert node("given.map(([t, s, e]) => slicePoints(t, s, e))", cases) == [t[s:e] for t, s, e in cases]


@needs_node
def test_marks_cover_exactly_the_spans():
    text = "🍵🍵 这款龙井香气很足，就是包装太简陋了。👩‍🌾"
    spans = [[5, 11], [7, 9], [11, 12], [14, 19], [0, 1]]
    parts = node("markedParts(given[0], given[1])", [text, spans])
    assert "".join(part["text"] for part in parts) == text
    marked = {i for start, end in spans for i in range(start, end)}
    at = 0
    for part in parts:
        points = range(at, at + len(part["text"]))
        assert all((i in marked) == part["marked"] for i in points)
        at = points.stop


@needs_node
def test_shortening_keeps_the_marks_whole_and_pairs_together():
    text = "🎸" * 700 + "the quote" + "🍵" * 700
    parts = node("shortened(markedParts(given, [[700, 709]]), 160)", text)
    assert [part["text"] for part in parts if part["marked"]] == ["the quote"]
    assert sum(len(part["text"]) for part in parts) < 500
    assert "\ud83c" not in json.dumps(parts, ensure_ascii=False).replace("🎸", "").replace("🍵", "")


@needs_node
def test_search_and_citation_marks():
    assert node("matches(folded(given), 'ＡＭＹ tea')", "amy.1\nGreen TEA") is True
    assert node("matches(folded(given), 'coffee')", "amy.1\nGreen TEA") is False
    parts = node("answerParts(given)", "Two left [1, 3-4]. 另有 [x] [2–3]")
    assert [part["numbers"] for part in parts if part["numbers"]] == [[1, 3, 4], [2, 3]]
    assert "".join(part["text"] for part in parts) == "Two left [1, 3-4]. 另有 [x] [2–3]"
    assert len(node("answerParts(given)", "[1-9999]")[0]["numbers"]) == 500


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_in_a_browser_hostile_text_stays_text(page, tmp_path):
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=3000", "--dump-dom",
        page.as_uri() + "#u=u-%3Cb%3Eevil%3C%2Fb%3E",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, check=False)
    if done.returncode != 0 or "<html" not in done.stdout:
        pytest.skip(f"Chromium does not run here: {done.stderr[-200:]}")
    tags = [tag for tag, _ in read(done.stdout).elements]
    assert tags.count("script") == 2
    assert "img" not in tags
    assert 'id="person-name"' in done.stdout
    assert html.escape("u-<b>evil</b>", quote=False) in done.stdout
