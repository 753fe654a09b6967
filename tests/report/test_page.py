"""The self-contained page: escaped, whole or absent, the same bytes for the same content."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys

import pytest
from bokeh.models import CustomJSTickFormatter
from bokeh.plotting import figure
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import BadData
from toolkit.report.page import Html, Page, badge, beside, cards, empty, escape, render, table, write_text

EVIL = "<script>alert('x')</script>&\"'"


def chart(title="A chart"):
    plot = figure(title=title, height=100)
    plot.line([1, 2, 3], [1.0, float("nan"), 3.0])
    return plot


def test_every_maker_escapes_what_it_is_given():
    made = [
        badge(EVIL),
        cards([(EVIL, EVIL, EVIL)]),
        table([EVIL], [[EVIL]]),
        empty(EVIL),
    ]
    page = Page(EVIL, subtitle=EVIL, badges=[badge(EVIL)])
    page.section(EVIL, EVIL, *made, chart(EVIL), note=EVIL)
    text = page.html(footer=EVIL)
    assert "<script>alert" not in "".join(made)
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;alert") >= 12


@given(st.text())
def test_escaped_text_has_no_markup_and_reads_the_same(text):
    import html

    out = escape(text)
    assert not set("<>\"'") & set(out)
    assert html.unescape(out) == text


def test_ready_markup_is_not_escaped_twice():
    assert escape(Html("<b>x</b>")) == "<b>x</b>"
    assert escape(escape("a & b")) == "a &amp; b"


def test_a_page_asks_for_nothing_from_the_network():
    page = Page("Title")
    page.section("One", chart())
    text = page.html()
    assert "default-src 'none'" in text
    outside = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", outside)
    assert not re.search(r"url\((?!data:)", outside)


def test_a_page_without_charts_carries_no_script():
    page = Page("Title")
    page.section("Words", "only words")
    text = page.html()
    assert "<script" not in text
    assert len(text) < 12_000


def test_charts_stand_in_order_and_their_titles_become_captions():
    page = Page("Title")
    page.section("One", chart("first"), chart("second"), Html("<hr>"), chart("third"), columns=2)
    text = page.html()
    assert text.index("first</figcaption>") < text.index("second</figcaption>") < text.index("third</figcaption>")
    assert [int(n) for n in re.findall(r'<div class="chart" id="c(\d)">', text)] == [1, 2, 3]
    assert text.count('<div class="charts two">') == 2
    roots = json.loads(re.search(r"embed_items\(JSON.parse\(text\), (\[.*?\])\)", text).group(1))
    docs = json.loads(re.search(r'id="docs">(.*?)</script>', text, re.DOTALL).group(1))
    assert list(roots[0]["roots"].values()) == ["c1", "c2", "c3"]
    assert [root["id"] for root in docs["d"]["roots"]] == roots[0]["root_ids"]


def test_a_block_may_stand_beside_a_chart():
    page = Page("Title")
    page.section("One", chart(), beside(table(["a"], [["b"]])), columns=2)
    text = page.html()
    assert text.index('<div class="charts two">') < text.index("<table>") < text.index("</section>")


def test_sections_are_listed_and_linked():
    page = Page("Title")
    page.section("One", "x")
    page.section("Two", "y")
    text = page.html()
    assert '<a href="#s2">Two</a>' in text
    assert 'id="s2"' in text


def test_the_same_charts_give_the_same_bytes_whatever_was_drawn_before():
    def page():
        made = Page("Title")
        made.section("One", chart(), chart("other"))
        return made.html()

    first = page()
    for _ in range(3):
        chart()
    assert page() == first


def test_the_same_charts_give_the_same_bytes_in_another_process(tmp_path):
    code = (
        "import sys\nfrom bokeh.plotting import figure\nfrom toolkit.report.page import Page\n"
        "p = Page('T'); f = figure(title='t'); f.scatter([1, 2], [3, 4]); f.yaxis.axis_label = 'y'\n"
        "p.section('s', f); sys.stdout.write(p.html())"
    )
    outs = []
    for seed, zone in (("1", "UTC"), ("99", "America/New_York")):
        env = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone}
        outs.append(subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True).stdout)
    assert outs[0] == outs[1]
    assert len(outs[0]) > 1_000_000


def test_text_that_ends_a_script_cannot_end_ours():
    plot = chart("</script><script>alert(1)</script>")
    plot.yaxis.formatter = CustomJSTickFormatter(code="return '</script><!-- '")
    text = render("t", "<div id=c1></div>", [plot])
    docs = re.search(r'id="docs">(.*?)</script>', text, re.DOTALL).group(1)
    assert "<" not in docs
    assert "</script><script>alert(1)</script>" in str(json.loads(docs))


def test_a_file_is_written_whole_and_readable(tmp_path):
    path = write_text(tmp_path / "a.html", "é\n")
    assert path.read_bytes() == "é\n".encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    write_text(path, "again")
    assert path.read_text() == "again"
    assert [p.name for p in tmp_path.iterdir()] == ["a.html"]


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path):
    with pytest.raises(BadData, match=r"cannot write .*no such|cannot write .*No such") as said:
        write_text(tmp_path / "none" / "a.html", "x")
    assert "\n" not in str(said.value)


def test_a_failed_write_leaves_the_old_file_and_no_part(tmp_path, monkeypatch):
    path = write_text(tmp_path / "a.html", "old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("toolkit.report.page.os.fsync", full)
    with pytest.raises(BadData, match="No space left"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.html"]


def test_tables_align_figures_right_and_wrap_one_column():
    text = table(["name", "count", "detail"], [["a", 1, "b"]], num=[1], wrap=2)
    assert '<th scope="col" class=num>count</th>' in text
    assert "<td class=num>1</td><td class=wrap>b</td>" in text


def test_cards_tone_signed_values_only():
    text = cards([("a", "+1", ""), ("b", "-1", ""), ("c", "1", "")])
    assert text.count('class="gain"') == 1
    assert text.count('class="loss"') == 1
