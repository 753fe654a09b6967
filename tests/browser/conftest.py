"""A real browser, a real report and a real dashboard for the browser tests."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INSTALL = "no Chromium found; install it: apt-get install chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
COMPILING_S = 240


def _chromium(own: str) -> str:
    for path in (own, *map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        if path and Path(path).exists():
            return path
    if os.environ.get("CI"):
        pytest.fail(INSTALL)
    pytest.skip(INSTALL)


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium; ended with the module, because its event loop must not outlive it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = _chromium(playwright.chromium.executable_path)
        running = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield running
        running.close()


@contextmanager
def watched(browser):
    """Give a maker of pages; at the end no console error and no request off their own address is forgiven."""
    pages = []

    def make(width: int = 1366, scheme: str = "light", allowed: str = "file://", forgive: str = "\0"):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        page = context.new_page()
        page.set_default_timeout(20_000)
        said: list[str] = []
        asked: list[str] = []
        bad = ("error", "warning")
        page.on("console", lambda m: said.append(m.text) if m.type in bad and forgive not in m.text else None)
        page.on("pageerror", lambda e: said.append(str(e)))
        page.on("dialog", lambda d: (said.append(f"dialog: {d.message}"), d.dismiss()))
        page.on("request", lambda r: asked.append(r.url))
        page.on("websocket", lambda w: asked.append(w.url.replace("ws://", "http://", 1)))
        pages.append((context, said, asked, allowed))
        return page

    yield make
    for context, said, asked, allowed in pages:
        context.close()
        assert not said, f"the console said: {said}"
        assert asked, "a page was opened and asked for nothing"
        strays = [u for u in asked if not u.startswith((allowed, "data:", "blob:"))]
        assert not strays, f"requests off the page's own address: {strays}"


@pytest.fixture
def open_page(browser):
    """``open_page(width, scheme, allowed, forgive)`` gives a page that is watched until the test ends."""
    with watched(browser) as make:
        yield make


@pytest.fixture(scope="module")
def share_page(browser):
    """The same for a page that the tests of a module share."""
    with watched(browser) as make:
        yield make


@pytest.fixture(scope="session")
def sample_day():
    """The shipped sample, replayed with a strategy that trades."""
    from toolkit.batch.replay import replay
    from toolkit.config import share

    return replay(share("data", "sample"), "short-straddle", underlying="NIFTY")


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory):
    """The address of ``toolkit dashboard`` on the sample, as a person starts it."""
    command = [sys.executable, "-m", "toolkit", "dashboard", "--session", str(ROOT / "data" / "sample")]
    log = tmp_path_factory.mktemp("dashboard") / "stderr"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*command, "--strategy", "short-straddle", "--port", "0"], stdout=subprocess.PIPE, stderr=errors, cwd=ROOT
        )
    try:
        ready, _, _ = select.select([process.stdout], [], [], COMPILING_S)
        line = process.stdout.readline() if ready else b""
        assert line, f"no ready line; stderr: {log.read_text()}"
        said = json.loads(line)
        assert said["state"] == "ready"
        assert said["pid"] == process.pid
        yield said["url"]
        assert process.poll() is None, f"the dashboard ended by itself: {log.read_text()}"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            process.stdout.close()
    assert code in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
    assert "Traceback" not in log.read_text()
