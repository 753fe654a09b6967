"""Run All in a real JupyterLab: what a newcomer does with the first notebook."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from toolkit.cli import dashboard

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "01_replay_a_day.ipynb"
START_S = 60
RUN_MS = 240_000


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab of its own, ended with everything it started."""
    place = tmp_path_factory.mktemp("lab")
    shutil.copyfile(NOTEBOOK, place / NOTEBOOK.name)
    port = dashboard.free_port()
    own = {
        name: str(place / f".{name.lower()}") for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    }
    command = [sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
    command += [f"--notebook-dir={place}", "--ServerApp.port_retries=0", "--IdentityProvider.token="]
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.news_url=None"]
    log = (place / ".log").open("wb")
    server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env={**os.environ, **own})
    address = f"http://127.0.0.1:{port}/"
    try:
        until = time.monotonic() + START_S
        while not answers(f"{address}api"):
            assert server.poll() is None, (place / ".log").read_text()
            assert time.monotonic() < until, (place / ".log").read_text()
        yield address
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
        log.close()
    left = [p for p in Path("/proc").glob("[0-9]*") if in_session(p, server.pid)] if Path("/proc").exists() else []
    assert not left, f"processes were left behind: {left}"


def in_session(process: Path, session: int) -> bool:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[3]) == session
    except OSError:
        return False


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return response.status == 200
    except OSError:
        return False


def test_run_all_shows_frames_in_every_cell_and_no_error(browser, lab):
    context = browser.new_context(viewport={"width": 1366, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url))
    page.goto(f"{lab}lab/tree/{NOTEBOOK.name}")
    page.add_locator_handler(page.get_by_role("button", name="Select Kernel"), lambda button: button.click())
    page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').wait_for()
    page.locator("#jp-main-statusbar").get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    last = page.locator(".jp-CodeCell").last.locator(".jp-InputPrompt")
    page.wait_for_function(
        "() => { const p = [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')];"
        " return p.length >= 5 && /\\[\\d+\\]/.test(p[p.length - 1].textContent); }",
        timeout=RUN_MS,
    )
    assert last.text_content().strip("[]: ").isdigit()
    assert page.locator('[data-mime-type="application/vnd.jupyter.error"]').count() == 0
    assert page.locator('[data-mime-type="application/vnd.jupyter.stderr"]').count() == 0
    text = page.locator(".jp-Notebook").text_content()
    assert "SYNTHETIC session" in text
    assert page.locator(".jp-OutputArea table").count() >= 4
    assert [u for u in asked if not u.startswith((lab, "data:", "blob:"))] == []
    context.close()
