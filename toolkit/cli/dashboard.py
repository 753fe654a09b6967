"""``toolkit dashboard`` and ``toolkit lab``: the pages and the notebooks, on loopback only."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli.app import app
from toolkit.errors import BadData

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["dashboard", "lab"]

PORTS = range(10_006, 20_000)


@app.command()
def dashboard(
    session: Annotated[str, typer.Option("--session", help="A session store, or an official chain file.")],
    underlying: Annotated[str | None, typer.Option("--underlying", help="Default: the session's first.")] = None,
    strategy: Annotated[
        str, typer.Option("--strategy", help="A shipped name, module:Class or a .py file.")
    ] = "oi-wall",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 5006,
) -> None:
    """Replay a session on paper and show it as a page with a time slider, on this machine only.

    Prints one line of JSON with the address once it answers; Ctrl-C ends it.

    Example: toolkit dashboard --session data/sample --port 5006
    """
    needs("panel", "dashboards")
    port = port or free_port()
    check_port(port)
    pages = _pages(session, underlying, strategy)
    from dashboards.page import serve

    def ready(url: str) -> None:
        import os

        typer.echo(json.dumps({"state": "ready", "url": url, "pid": os.getpid()}))
        sys.stdout.flush()

    serve(pages, port, ready)


@app.command()
def lab(
    folder: Annotated[Path | None, typer.Option("--dir", help="Default: the notebooks that ship.")] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 8888,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open it in your browser.")] = True,
) -> None:
    """Open the notebooks in JupyterLab, on this machine only.

    From an installed package the notebooks are first copied into the toolkit's home; your
    own changes there are kept.

    Example: toolkit lab --no-browser
    """
    needs("jupyterlab", "notebook")
    import os

    place = _notebooks() if folder is None else folder
    if not place.is_dir():
        raise BadData(f"no folder {place}; give an existing one with --dir")
    port = port or free_port()
    check_port(port)
    command = [sys.executable, "-m", "jupyterlab", f"--notebook-dir={place}", "--ip=127.0.0.1", f"--port={port}"]
    command += ["--ServerApp.port_retries=0"]
    command += [] if browser else ["--no-browser"]
    command += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    os.execv(sys.executable, command)  # noqa: S606


def needs(module: str, extra: str) -> None:
    """Say in one line how to add an extra that is not installed."""
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise BadData(f"{module} is not installed; add it: pip install 'trading-toolkit[{extra}]'")


def free_port() -> int:
    """A free port of loopback, below the range from which systems take a client's own port.

    Drawn at random: two programs that start together must not take the same one before either listens.
    """
    from random import SystemRandom

    for port in SystemRandom().sample(PORTS, 200):
        try:
            check_port(port)
        except BadData:
            continue
        return port
    raise BadData(f"no free port in {PORTS.start} to {PORTS.stop - 1}; end another program or name one with --port")


def check_port(port: int) -> None:
    """Refuse a port of loopback that is taken, before any work is done."""
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise BadData(f"port {port} cannot be used ({error.strerror}); choose another with --port") from None


def load_pages() -> ModuleType:
    """Import ``dashboards`` from where it ships: beside the package in a checkout, inside it in a wheel."""
    import importlib
    from importlib.util import module_from_spec, spec_from_file_location

    from toolkit.config import share

    if "dashboards" not in sys.modules:
        start = share("dashboards", "__init__.py")
        spec = spec_from_file_location("dashboards", start, submodule_search_locations=[str(start.parent)])
        if spec is None or spec.loader is None:
            raise BadData(f"{start} cannot be read as Python; install the toolkit again")
        package = module_from_spec(spec)
        sys.modules["dashboards"] = package
        spec.loader.exec_module(package)
    return importlib.import_module("dashboards.replay")


def _pages(session: str, underlying: str | None, strategy: str) -> Any:
    from toolkit.batch.replay import replay
    from toolkit.cli.replay import progress_bar
    from toolkit.report.film import Film
    from toolkit.store.session import open_session

    source = open_session(session)
    with progress_bar() as progress:
        result = replay(source, strategy, underlying=underlying or source.underlyings()[0], progress=progress)
        film = Film(result, result.chains)
        film.warm()
    return load_pages().pages(film)


def _notebooks() -> Path:
    """The shipped notebooks when this is a checkout, else copies of them in the toolkit's home."""
    import shutil

    import toolkit
    from toolkit.config import home, share

    shipped = share("notebooks")
    if Path(toolkit.__file__).parent not in shipped.parents:
        return shipped
    place = home() / "notebooks"
    place.mkdir(parents=True, exist_ok=True)
    for file in sorted(shipped.glob("*.ipynb")):
        if not (place / file.name).exists():
            shutil.copyfile(file, place / file.name)
    return place
