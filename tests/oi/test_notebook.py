"""The notebook of open-interest shift runs on a real file by one parameter."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

TWIN = Path(__file__).resolve().parents[2] / "notebooks" / "03_oi_shift.py"


@pytest.mark.filterwarnings(
    "ignore:Proactor event loop:RuntimeWarning",
    "ignore:zmq.eventloop.ioloop is deprecated:DeprecationWarning",
)
def test_it_runs_on_the_recorded_day(shared, tmp_path):
    import jupytext
    from nbclient import NotebookClient

    path = shared("data", "nse", "chain_NIFTY_20250827_20250829.parquet")
    notebook = jupytext.read(TWIN)
    cell = next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", ()))
    lines = [f"SESSION = {str(path)!r}" if x.startswith("SESSION =") else x for x in cell.source.splitlines()]
    cell.source = "\n".join(lines)
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute(env=dict(os.environ))
    text = "".join(
        o.text for c in notebook.cells if c.cell_type == "code" for o in c.outputs if o.output_type == "stream"
    )
    assert "recorded session" in text
    assert "2025-09-02" in text
    assert "identity holds" in text
