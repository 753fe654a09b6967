"""The parts of the pages: only what changed is sent, nothing is lost before the first paint, text stays text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

FOLDER = Path(__file__).resolve().parents[2] / "dashboards"
COLUMNS = 3


@pytest.fixture(scope="module")
def parts():
    from toolkit.cli.dashboard import load_pages

    load_pages()
    import dashboards.parts

    return dashboards.parts


def grid(parts, alive=True):
    made = parts.Grid([parts.Column(n) for n in "abc"], "a grid", "nothing here")
    sent: list[dict] = []
    made._send_msg = sent.append
    if alive:
        made._handle_msg({"hello": True})
        sent.clear()
    return made, sent


class Screen:
    """What the browser holds after the messages so far: the contract of grid.js."""

    def __init__(self):
        self.rows, self.marks, self.seq = [], [], 0

    def take(self, message):
        if "rows" in message:
            self.rows = [list(r) for r in message["rows"]]
            self.marks = list(message["marks"])
        else:
            for key, text in zip(message["k"], message["v"], strict=True):
                self.rows[key // 64][key % 64] = text
            for index, mark in message["m"]:
                self.marks[index] = mark
        self.seq = message["seq"]


ROWS = st.lists(
    st.one_of(
        st.tuples(*[st.sampled_from(["1", "2", "–"])] * COLUMNS),
        st.tuples(st.sampled_from(["spot 1", "spot 2"])),
    ),
    max_size=5,
)


@given(st.lists(ROWS, max_size=8))
def test_the_screen_always_ends_up_with_the_newest_rows(parts, states):
    made, sent = grid(parts)
    screen = Screen()
    for rows in states:
        keys = [f"{i}:{len(r)}" for i, r in enumerate(rows)]
        marks = [r[0] for r in rows]
        seq = made.show(keys, rows, marks)
        for message in sent:
            screen.take(message)
        sent.clear()
        assert screen.rows == [list(r) for r in rows]
        assert screen.marks == marks
        assert screen.seq == seq


def test_only_changed_cells_and_marks_are_sent(parts):
    made, sent = grid(parts)
    made.show(["x", "y"], [("1", "2", "3"), ("4", "5", "6")], ["", ""])
    sent.clear()
    made.show(["x", "y"], [("1", "2", "3"), ("4", "9", "6")], ["", "itm-c"])
    assert sent == [{"k": [65], "v": ["9"], "m": [[1, "itm-c"]], "seq": 2}]


def test_other_rows_are_laid_out_anew_even_with_the_same_texts(parts):
    made, sent = grid(parts)
    made.show(["x"], [("1", "2", "3")], [""])
    sent.clear()
    made.show(["y"], [("1", "2", "3")], [""])
    assert sent[0]["rows"] == [("1", "2", "3")]


def test_nothing_is_sent_before_the_browser_is_there_and_everything_then(parts):
    made, sent = grid(parts, alive=False)
    made.show(["x"], [("1", "2", "3")], ["dim"])
    made.show(["x"], [("1", "2", "4")], ["dim"])
    assert sent == []
    made._handle_msg({"unknown": 1})
    made._handle_msg("hello")
    assert sent == []
    made._handle_msg({"hello": True})
    assert sent == [{"rows": [("1", "2", "4")], "marks": ["dim"], "empty": "nothing here", "seq": 2}]


def test_an_empty_grid_says_its_sentence(parts):
    made, sent = grid(parts)
    made.show(["x"], [("1", "2", "3")], [""])
    made.show([], [], [], empty="no rows at 09:15")
    assert sent[-1] == {"rows": [], "marks": [], "empty": "no rows at 09:15", "seq": 2}


def test_our_scripts_make_text_nodes_only_and_import_nothing():
    scripts = sorted(FOLDER.glob("*.js"))
    assert len(scripts) >= 4
    for script in scripts:
        text = script.read_text(encoding="utf-8")
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "import ", "http"):
            assert word not in text, f"{script.name} has {word}"
        assert "export function render" in text


def test_our_styles_use_the_tokens_and_no_address():
    for style in sorted(FOLDER.glob("*.css")):
        text = style.read_text(encoding="utf-8")
        assert "url(" not in text
        assert "@import" not in text
        unknown = set(re.findall(r"var\(--([a-z]+)\)", text)) - set(tokens())
        assert not unknown, f"{style.name}: {unknown}"


def tokens():
    from toolkit.report.theme import LIGHT

    return LIGHT


def test_the_page_frame_asks_for_nothing_outside():
    text = (FOLDER / "page.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", text)
