"""Research in a notebook and execution on the exchange, for Indian options.

>>> import toolkit as tk

Names are loaded on first use; importing the package loads nothing heavy and compiles
nothing. The promise about each name is in the README, the house in ``ARCHITECTURE.md``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME: dict[str, str] = {
    "Replay": "toolkit.batch.replay",
    "Session": "toolkit.store.session",
    "Strategy": "toolkit.strategies.protocol",
    "errors": "toolkit.errors",
    "oi": "toolkit.oi",
    "open_session": "toolkit.store.session",
    "portfolio": "toolkit.portfolio",
    "pricing": "toolkit.pricing",
    "replay": "toolkit.batch.replay",
    "risk": "toolkit.risk",
}

__all__ = ["__version__", *sorted(_HOME)]

if TYPE_CHECKING:
    from toolkit import errors, oi, portfolio, pricing, risk
    from toolkit.batch.replay import Replay, replay
    from toolkit.store.session import Session, open_session
    from toolkit.strategies.protocol import Strategy


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'toolkit' has no attribute {name!r}")
    _before_numba()
    module = importlib.import_module(home)
    value = module if home == f"toolkit.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


def _before_numba() -> None:
    from toolkit.config import set_numba_cache

    set_numba_cache()
