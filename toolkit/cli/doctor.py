"""``toolkit doctor``: what is installed, where things are, and the command that adds what is missing."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

import typer

from toolkit.cli.app import app

__all__ = ["doctor"]

_EXTRAS = {
    "kite": ("kiteconnect", "websockets", "keyring"),
    "xts": ("httpx", "websockets", "keyring"),
    "notebook": ("jupyterlab", "ipywidgets", "anywidget", "pandas", "pyarrow"),
    "dashboards": ("panel", "pandas"),
    "serve": ("fastapi", "uvicorn", "prometheus_client", "websockets"),
    "services": ("psycopg", "redis", "aio_pika"),
    "cluster": ("distributed",),
}
_SETTINGS = {
    "engine": "toolkit.orders.settings:EngineSettings",
    "kite": "toolkit.brokers.kite_settings:KiteSettings",
    "risk": "toolkit.risk.settings:RiskSettings",
    "xts": "toolkit.brokers.xts_settings:XtsSettings",
}
_CORE = ("bokeh", "msgspec", "numba", "numpy", "polars", "rich", "scipy", "sqlite_utils", "typer")


@app.command()
def doctor(
    warm: Annotated[bool, typer.Option("--warm", help="Compile the kernels into the cache now.")] = False,
    broker: Annotated[
        str | None, typer.Option("--broker", help="Check one: paper, kite, xts-pro or xts-client.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Show what is installed and configured, which extras are missing, and how to add them.

    Exits 1 when something asked for is not ready.

    Example: toolkit doctor --json
    """
    if warm:
        _warm()
        return
    checks = _checks(broker)
    ready = all(check["ready"] for check in checks if check["needed"])
    if as_json:
        typer.echo(json.dumps({"ready": ready, "checks": checks}))
    else:
        _show(checks)
    raise typer.Exit(0 if ready else 1)


def _checks(broker: str | None) -> list[dict[str, Any]]:
    import os
    import platform

    from toolkit.config import home, share

    def row(what: str, ready: bool, text: str, needed: bool = True) -> dict[str, Any]:
        return {"what": what, "ready": ready, "needed": needed, "text": text}

    _read_settings()
    rows = [row("python", sys.version_info >= (3, 11), platform.python_version())]
    rows += [row(f"core: {name}", *_installed((name,), None)) for name in _CORE]
    for extra, names in _EXTRAS.items():
        rows.append(row(f"extra: {extra}", *_installed(names, extra), needed=False))
    place = home()
    rows.append(row("home", _writable(place), f"{place} (move it with TOOLKIT_HOME)"))
    rows.append(row("kernel cache", True, os.environ["NUMBA_CACHE_DIR"]))
    rows.append(row("settings", True, f"{place / 'config.toml'} and TOOLKIT_* read without an error"))
    rows.append(row("sample session", True, str(share("data", "sample"))))
    if broker is not None:
        rows += _broker(broker)
    return rows


def _read_settings() -> None:
    """Read every section that is typed, so that a misspelt key or a bad value is named here."""
    from importlib import import_module

    from toolkit.config import Settings

    settings = Settings.load()
    for section, place in _SETTINGS.items():
        module, _, kind = place.partition(":")
        settings.section(section, getattr(import_module(module), kind))


def _broker(name: str) -> list[dict[str, Any]]:
    from toolkit.brokers.factory import connect

    broker = connect(name)
    if name == "kite":
        import asyncio

        from toolkit.brokers.kite_health import health

        return asyncio.run(health(broker))
    if name.startswith("xts-"):
        import asyncio

        from toolkit.brokers import xts_health

        return asyncio.run(xts_health.health(broker))
    return [{"what": f"broker: {name}", "ready": True, "needed": True, "text": "ready for read and paper"}]


def _installed(names: tuple[str, ...], extra: str | None) -> tuple[bool, str]:
    from importlib.metadata import PackageNotFoundError, version
    from importlib.util import find_spec

    missing = [name for name in names if find_spec(name) is None]
    if missing:
        target = f"'trading-toolkit[{extra}]'" if extra else "trading-toolkit"
        return False, f"missing {', '.join(missing)}; add with: pip install {target}"
    places = _places()
    found = []
    for name in names:
        try:
            found.append(f"{name} {version(places[name][0])}")
        except (KeyError, PackageNotFoundError):
            found.append(name)
    return True, ", ".join(found)


@cache
def _places() -> Mapping[str, list[str]]:
    """Which distribution each import name comes from; reading them all takes a while."""
    from importlib.metadata import packages_distributions

    return packages_distributions()


def _writable(place: Any) -> bool:
    import os

    while not place.exists():
        place = place.parent
    return os.access(place, os.W_OK)


def _warm() -> None:
    """Compile by use: the sample session through every room that has kernels."""
    import time

    from toolkit import oi, pricing
    from toolkit.batch.replay import replay
    from toolkit.config import share
    from toolkit.serve.warm import warm
    from toolkit.store.session import open_session

    start = time.perf_counter()
    pricing.warm()
    session = open_session(share("data", "sample"))
    replay(session, "oi-wall", underlying="NIFTY")
    nearest = session.expiries("NIFTY")[:1]
    chain = session.frame("chain", "NIFTY")
    oi.oi_shift(chain.filter(chain["expiry"].is_in(nearest)))
    warm()
    typer.echo(f"kernels ready after {time.perf_counter() - start:.1f} s", err=True)


def _show(checks: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("what", "ready", "detail")
    for check in checks:
        word = "yes" if check["ready"] else ("NO" if check["needed"] else "not installed")
        table.add_row(check["what"], word, check["text"])
    Console().print(table)
