from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.cells import cell_len

from limner.cli import main
from limner.evidence.persona import read_persona, read_personas
from limner.reports.markdown import escape, persona_markdown, verbatim
from limner.reports.plain_data import plain_data
from limner.reports.terminal import answer_text, copy_text, persona_text, plain, segments_table
from reports_sample import ANSWER, COPY, HOSTILE, build


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return build(tmp_path_factory.mktemp("text") / "workspace")


@pytest.mark.parametrize("width", [24, 40, 80, 120])
def test_a_persona_fits_the_terminal_whatever_its_width(store, width):
    for persona in read_personas(store):
        lines = plain(persona_text(persona), width).splitlines()
        assert max(cell_len(line) for line in lines) <= width


def test_a_chinese_persona_in_the_terminal(store):
    text = plain(persona_text(read_persona(store, "u-lin")), 80)
    assert text.startswith("u-lin\n\n喜欢龙井，嫌包装简陋。共下单 12 笔订单。\n")
    assert "▲ 龙井茶  正面  ━━━━━━━━━╌  强 0.93 · 2 处来源" in text
    assert "「龙井香气很足」  e-tea" in text
    assert "¥1,204.50" in text
    assert "退货率" in re.search(r"未知：[\s\S]*?\n\n", text)[0]
    english = plain(persona_text(read_persona(store, "u-lin"), "en"), 80)
    assert "CN¥1,204.50" in english
    assert "strong 0.93 · 2 sources" in english


def test_columns_line_up_with_wide_characters(store):
    text = plain(persona_text(read_persona(store, "u-lin")), 80)
    starts = {
        cell_len(line[: line.index(label)])
        for line in text.splitlines()
        for label in ("消费总额", "最后出现", "近 90 天记录", "统计截至")
        if label in line and not line.startswith("未知")
    }
    assert len(starts) == 1


def test_a_user_without_traits_is_said_to_be_so(store):
    assert "Nothing to read yet" in plain(persona_text(read_persona(store, "u-new")))


def test_no_control_characters_and_no_markup_reach_the_terminal():
    answer = {**ANSWER, "answer": "\x1b[2J\x1b]0;x\x07[red]ok[/red]\u202e", "question": "\x9b31m?"}
    text = plain(answer_text(answer))
    assert not set(text) & set("\x1b\x07\x9b\u202e")
    assert "[red]ok[/red]" in text


def test_answer_segments_and_copy_in_the_terminal(store):
    text = plain(answer_text(ANSWER))
    assert "依据 1 位客户" in text
    assert "[2] event e-tea" in text
    refused = plain(answer_text({**ANSWER, "abstained": True, "answer": "", "citations": []}))
    assert "无法回答" in refused
    assert "依据" not in refused
    table = plain(segments_table(store.rows("SELECT * FROM segments"), "en", total=4), 90)
    assert re.search(r"Tea lovers 茶客\s+1\s+25%\s+龙井 ×4.0", table)
    variants = plain(copy_text(COPY, "zh"))
    assert "面向“Tea lovers 茶客”的短信" in variants
    assert "✓ 长度  18 of 70" in variants
    assert "✗ 事实见于产品单" in variants


def test_plain_data_takes_mappings_and_dataclasses_and_refuses_the_rest(store):
    assert plain_data(read_persona(store, "u-lin"))["user_id"] == "u-lin"
    with pytest.raises(TypeError, match="a list"):
        plain_data([1])


COMMONMARK = MarkdownIt("commonmark")


def active(markdown: str) -> list[str]:
    """What a reader would make of Markdown beyond text: raw HTML, links, images, code and emphasis."""
    found = []
    for token in COMMONMARK.parse(markdown):
        found += [token.type] if token.type in ("html_block", "fence", "code_block", "hr", "table_open") else []
        found += [
            child.type for child in token.children or () if child.type not in ("text", "softbreak", "code_inline")
        ]
    return found


AWKWARD = st.text(alphabet=st.sampled_from(list("`*_[]()<>!#-+=.~|\\&;:/@ \n1a中😀\u200b")), max_size=40)


@given(AWKWARD | st.text(max_size=40))
@settings(max_examples=400, deadline=None)
def test_escaped_text_is_only_text(text):
    for line in (f"- {escape(text)}", f"- **{escape(text) or 'x'}** · x"):
        types = active(line)
        assert set(types) <= {"strong_open", "strong_close"}, line
    opened = [token.type for token in COMMONMARK.parse(f"- {escape(text)}") if token.type.endswith("_open")]
    assert opened in (["bullet_list_open", "list_item_open"], ["bullet_list_open", "list_item_open", "paragraph_open"])


@given(AWKWARD)
@settings(max_examples=400, deadline=None)
def test_a_verbatim_quote_is_one_code_span_with_the_same_characters(text):
    tokens = [child for token in COMMONMARK.parse(f"x {verbatim(text)} y") for child in token.children or ()]
    assert [token.type for token in tokens] == ["text", "code_inline", "text"]
    shown = text.replace("\n", " ").replace("\u200b", "")
    assert tokens[1].content.strip() == shown.strip()


def test_nothing_a_customer_wrote_is_active_in_markdown(store):
    text = persona_markdown(read_persona(store, "u-<b>evil</b>"))
    assert set(active(text)) <= {"strong_open", "strong_close", "em_open", "em_close"}
    assert "`<img src=x onerror=alert(1)>`" in text
    outside_code = re.sub(r"`[^`]*`", "", text)
    assert "<" not in outside_code
    assert not re.search(r"https?://|www\.", outside_code)
    assert "a@\u2060b.c" in escape("a@b.c www.x.y")
    assert "www." not in escape("a@b.c www.x.y")


def test_markdown_holds_the_whole_persona(store):
    text = persona_markdown(read_persona(store, "u-lin"))
    assert text.startswith(
        "# u-lin\n\n- 喜欢龙井，嫌包装简陋。\n  *依据：龙井茶、包装简陋*\n- 共下单 12 笔订单。\n  *依据：订单数*\n"
    )
    assert "- **龙井茶** · 正面 · 强 0.93 · 2 处来源\n  - `龙井香气很足` (正文, `e-tea`)" in text
    assert text.endswith("\n")


def run(capfdbinary, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    out, err = capfdbinary.readouterr()
    return int(ended.value.code or 0), out.decode(), err.decode()


def test_show_in_every_format(store, capfdbinary, tmp_path):
    workspace = ("--workspace", str(store.path))
    code, out, err = run(capfdbinary, "persona", "show", "u-lin", *workspace)
    assert (code, err) == (0, "")
    assert "龙井茶" in out
    code, out, _ = run(capfdbinary, "persona", "show", "u-lin", "--format", "json", *workspace)
    shown = json.loads(out)
    assert (code, shown["user_id"], shown["language"]) == (0, "u-lin", "zh")
    assert set(shown) == {"user_id", "language", "facts", "traits", "narrative"}
    code, out, _ = run(capfdbinary, "persona", "show", "u-lin", "--format", "md", *workspace)
    assert out.startswith("# u-lin")
    file = tmp_path / "new" / "p.html"
    code, out, err = run(capfdbinary, "persona", "show", "u-lin", "-f", "html", "--out", str(file), *workspace)
    assert (code, out) == (0, "")
    assert file.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_show_of_nobody_and_of_someone_unread(store, capfdbinary):
    workspace = ("--workspace", str(store.path))
    code, out, err = run(capfdbinary, "persona", "show", "nobody", *workspace)
    assert (code, out) == (2, "")
    assert err.startswith("Error: No user nobody in ")
    assert len(err.splitlines()) <= 2
    code, out, err = run(capfdbinary, "persona", "show", "u-new", *workspace)
    assert code == 0
    assert "run `limner extract`" in err
    assert "u-new" in out


def test_export_in_every_format(store, capfdbinary, tmp_path):
    workspace = ("--workspace", str(store.path))
    everyone = ["u-<b>evil</b>", "u-amy", "u-lin", "u-new"]
    for format in ("jsonl", "json", "md", "html"):
        out = tmp_path / format / f"personas.{format}"
        code, _, err = run(capfdbinary, "persona", "export", "--out", str(out), "--format", format, *workspace)
        assert code == 0
        assert "Wrote 4 personas" in err
        assert [path.name for path in out.parent.iterdir()] == [out.name]
    lines = (tmp_path / "jsonl" / "personas.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["user_id"] for line in lines] == everyone
    assert [p["user_id"] for p in json.loads((tmp_path / "json" / "personas.json").read_text("utf-8"))] == everyone
    assert (tmp_path / "md" / "personas.md").read_text("utf-8").count("\n# ") == 3
    assert (tmp_path / "html" / "personas.html").read_text("utf-8").count("<script") == 2


def test_export_onto_a_folder_is_refused(store, capfdbinary, tmp_path):
    code, _, err = run(capfdbinary, "persona", "export", "--out", str(tmp_path), "--workspace", str(store.path))
    assert code == 2
    assert err.startswith(f"Error: {tmp_path} is a folder.")


def test_hostile_labels_do_not_break_json(store):
    persona = read_persona(store, "u-<b>evil</b>")
    assert json.loads(json.dumps(persona.to_json()))["traits"][0]["label"] == HOSTILE
