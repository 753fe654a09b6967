"""Every notebook: a twin that says the same, no outputs, the house's shape, and cells that run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
pytestmark = pytest.mark.filterwarnings(
    "ignore:Proactor event loop:RuntimeWarning",  # Windows only, raised by pyzmq
    "ignore:zmq.eventloop.ioloop is deprecated:DeprecationWarning",
)


def read(path):
    import jupytext

    return jupytext.read(path)


def told(notebook):
    """What a reader sees: kind, text and tags of each cell."""
    return [(c.cell_type, c.source.strip(), tuple(c.metadata.get("tags", ()))) for c in notebook.cells]


def test_there_are_notebooks_and_no_twin_without_one():
    assert NOTEBOOKS
    assert {p.stem for p in FOLDER.glob("*.py")} == {p.stem for p in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_twin_says_the_same(path):
    assert told(read(path)) == told(read(path.with_suffix(".py")))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_it_is_committed_without_outputs(path):
    for cell in read(path).cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    assert '"image/png"' not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_it_has_the_houses_shape(path):
    notebook = read(path)
    code = [c for c in notebook.cells if c.cell_type == "code"]
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert first.source.splitlines()[0].endswith("?"), "the title asks the question"
    assert "parameters" in code[0].metadata.get("tags", ())
    assert sum("change-this" in c.metadata.get("tags", ()) for c in code) == 1
    assert any(line.startswith("assert ") for c in code for line in c.source.splitlines()), "one cell checks"
    for cell in code:
        assert len(cell.source.splitlines()) <= 12, cell.source
    text = path.read_text(encoding="utf-8")
    assert "/work" not in text
    assert "/home/" not in text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_twin_runs_from_an_empty_folder(path, tmp_path, monkeypatch):
    from nbclient import NotebookClient

    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    place = tmp_path / "here"
    place.mkdir()
    notebook = read(path.with_suffix(".py"))
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(place)}})
    client.execute(env={**os.environ, "TZ": "America/New_York"})
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    assert [o for o in outputs if o.output_type == "error"] == []
    assert [o.text for o in outputs if o.output_type == "stream" and o.name == "stderr"] == []
    last = [c for c in notebook.cells if c.cell_type == "code"][-1]
    assert last.outputs, "the last cell shows what it found"


def test_the_first_notebook_shows_its_frames_and_says_synthetic(tmp_path):
    notebook = read(FOLDER / "01_replay_a_day.ipynb")
    code = [c.source for c in notebook.cells if c.cell_type == "code"]
    assert len(code) == 5
    whole = "\n".join(code)
    for shown in ("day.pnl", "day.orders", "day.positions", "day.oi", "SYNTHETIC"):
        assert shown in whole
