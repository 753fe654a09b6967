"""Research in a notebook and execution on the exchange, for Indian options.

>>> import toolkit as tk

Names are loaded on first use; importing the package loads nothing heavy and compiles
nothing. The promise about each name is in the README, the house in ``ARCHITECTURE.md``.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from toolkit import defaults

__version__ = "0.1.0"

_HOME: dict[str, str] = {
    "Desk": "toolkit.desk",
    "Replay": "toolkit.batch.replay",
    "Session": "toolkit.store.session",
    "Strategy": "toolkit.strategies.protocol",
    "allocate": "toolkit.brokers.allocation",
    "attach": "toolkit.desk",
    "connect": "toolkit.brokers.factory",
    "desk": "toolkit.desk",
    "errors": "toolkit.errors",
    "oi": "toolkit.oi",
    "open_session": "toolkit.store.session",
    "order": "toolkit.brokers.ticket",
    "portfolio": "toolkit.portfolio",
    "pricing": "toolkit.pricing",
    "replay": "toolkit.batch.replay",
    "risk": "toolkit.risk",
}

__all__ = ["__version__", *sorted(_HOME)]

if TYPE_CHECKING:
    from toolkit import errors, oi, portfolio, pricing, risk
    from toolkit.batch.replay import Replay, replay
    from toolkit.brokers.allocation import allocate
    from toolkit.brokers.factory import connect
    from toolkit.brokers.ticket import order
    from toolkit.desk import Desk, attach, desk
    from toolkit.store.session import Session, open_session
    from toolkit.strategies.protocol import Strategy


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'toolkit' has no attribute {name!r}")
    module = importlib.import_module(home)
    value = module if home == f"toolkit.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


def _point_numba_cache() -> None:
    """Point numba's cache at the toolkit's home, before anything imports numba.

    numba fails at import when its cache cannot be written, so a temporary folder stands in.
    """
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    usual = os.path.join("~", ".local", "share", "toolkit")
    places = [os.environ.get("TOOLKIT_HOME") or usual, usual]
    digest = _kernels_digest()
    caches = [os.path.join(os.path.expanduser(place), "numba", digest) for place in places]
    # Another home need not compile again what this machine's usual home has.
    cache = next((c for c in caches if os.path.isdir(c) and os.access(c, os.W_OK)), caches[0])
    standing = cache
    while not os.path.exists(standing):
        standing = os.path.dirname(standing)
    if not (os.path.isdir(standing) and os.access(standing, os.W_OK)):
        import tempfile

        cache = os.path.join(tempfile.gettempdir(), f"toolkit-numba-{os.environ.get('USER', 'user')}", digest)
    os.environ["NUMBA_CACHE_DIR"] = cache


def _kernels_digest() -> str:
    """Name the state of every file that holds kernels.

    numba looks only at a kernel's own file for changes, not at the files of the kernels it calls; a folder
    for each state keeps an old kernel from being called by a new one.
    """
    import zlib

    package = os.path.dirname(os.path.abspath(__file__))
    digest = 0
    for room in ("market", "oi", "pricing", "risk"):
        for folder, names in sorted((f, n) for f, _, n in os.walk(os.path.join(package, room))):
            for name in sorted(n for n in names if n.endswith(".py")):
                with open(os.path.join(folder, name), "rb") as file:
                    text = file.read()
                if b"njit" in text:
                    digest = zlib.crc32(text, zlib.crc32(name.encode(), digest))
    return f"{__version__}-{digest:08x}"


def _from_tables(name: str) -> Any:
    return getattr(importlib.import_module("toolkit.tables"), name)()


_point_numba_cache()
defaults.provide("calendar", lambda: _from_tables("calendar"))
defaults.provide("charges", lambda: _from_tables("charges"))
defaults.provide("margins", lambda: _from_tables("margins"))
