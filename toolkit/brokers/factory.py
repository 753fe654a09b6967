"""Brokers by name."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from typing import Final

import msgspec

from toolkit.brokers.paper import PaperBroker
from toolkit.brokers.port import Broker
from toolkit.config import Settings
from toolkit.errors import BadData, BadSetting, nearest

__all__ = ["NAMES", "PLANNED", "connect"]

NAMES: Final = ("kite", "paper")
PLANNED: Final = ("xts-client", "xts-pro")
"""Names that are promised and not there yet; asking for one says so."""


def connect(name: str, **settings: object) -> Broker:
    """Connect to a broker. Nothing is sent yet.

    Parameters
    ----------
    name : str
        ``paper`` or ``kite``; ``xts-pro`` and ``xts-client`` are planned.
    **settings
        For ``paper``: account, instruments, funds_p, latency_ns, clock. For ``kite``: any setting of
        ``[kite]``, on top of the settings tree, and clock.

    Returns
    -------
    Broker

    Raises
    ------
    BadData
        For a name that is unknown (names the nearest) or planned.
    BadSetting
        For a setting the broker does not have (names the nearest), or one that is not allowed.

    Example
    -------
    >>> connect("paper", account="ACC").name
    'paper'
    """
    if name in PLANNED:
        raise BadData(f"broker '{name}' is planned and not part of this version; use one of {', '.join(NAMES)}")
    if name not in NAMES:
        known = (*NAMES, *PLANNED)
        raise BadData(f"no broker is called '{name}'{nearest(name, known)} known: {', '.join(known)}")
    return _paper(settings) if name == "paper" else _kite(settings)


def _paper(settings: dict[str, object]) -> Broker:
    _check("paper", settings, tuple(inspect.signature(PaperBroker).parameters))
    return PaperBroker(**settings)  # type: ignore[arg-type]


def _kite(settings: dict[str, object]) -> Broker:
    from toolkit.brokers.kite import KiteBroker
    from toolkit.brokers.kite_settings import KiteSettings, kite_settings
    from toolkit.orders.settings import EngineSettings

    _check("kite", settings, (*msgspec.structs.asdict(KiteSettings()), "clock"))
    clock = settings.pop("clock", None)
    tree = Settings.load()
    found = kite_settings(tree, **settings)
    engine = tree.section("engine", EngineSettings)
    if engine.clock == "venue" and not found.loopback:
        raise BadSetting("[engine] clock = venue is for brokers on this machine only; set it to wall")
    if clock is not None and not callable(clock):
        raise BadSetting(f"clock must give nanoseconds UTC when it is called, was {clock!r}")
    broker = KiteBroker(found, clock=_clock(clock))
    if clock is None and engine.clock == "venue":
        broker.follow_venue(engine.speed)
    return broker


def _clock(clock: object) -> Callable[[], int]:
    return time.time_ns if clock is None else clock  # type: ignore[return-value]


def _check(name: str, settings: dict[str, object], taken: tuple[str, ...]) -> None:
    for key in settings:
        if key not in taken:
            raise BadSetting(f"broker '{name}' has no setting '{key}'{nearest(key, taken)} known: {', '.join(taken)}")
