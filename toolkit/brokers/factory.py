"""Brokers by name."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable

from toolkit.brokers.paper import PaperBroker
from toolkit.brokers.port import Broker
from toolkit.brokers.whose import NAMES
from toolkit.config import Settings
from toolkit.errors import BadData, BadSetting, nearest

__all__ = ["NAMES", "connect"]


def connect(name: str, **settings: object) -> Broker:
    """Connect to a broker. Nothing is sent yet.

    Parameters
    ----------
    name : str
        ``paper``, ``kite``, ``xts-pro`` (own account) or ``xts-client`` (a dealer's clients).
    **settings
        For ``paper``: account, instruments, funds_p, latency_ns, clock. For the others: any setting of ``[kite]``
        or ``[xts]``, on top of the settings tree, and clock; for XTS also terms (limits and patience).

    Returns
    -------
    Broker

    Raises
    ------
    BadData
        For a name that is unknown (names the nearest).
    BadSetting
        For a setting the broker does not have (names the nearest), or one that is not allowed.

    Example
    -------
    >>> connect("paper", account="ACC").name
    'paper'
    """
    if name not in NAMES:
        raise BadData(f"no broker is called '{name}'{nearest(name, NAMES, tell=True)}")
    if name == "paper":
        return _paper(settings)
    return _kite(settings) if name == "kite" else _xts(name, settings)


def _paper(settings: dict[str, object]) -> Broker:
    _check("paper", settings, tuple(inspect.signature(PaperBroker).parameters))
    return PaperBroker(**settings)  # type: ignore[arg-type]


def _kite(settings: dict[str, object]) -> Broker:
    from toolkit.brokers.kite import KiteBroker
    from toolkit.brokers.kite_settings import KiteSettings, kite_settings

    _check("kite", settings, (*KiteSettings.__struct_fields__, "clock"))
    clock = _clock(settings)
    tree = Settings.load()
    found = kite_settings(tree, **settings)
    speed = _speed(tree, found.loopback)
    broker = KiteBroker(found, clock=clock or time.time_ns)
    if clock is None and speed is not None:
        broker.follow_venue(speed)
    return broker


def _xts(name: str, settings: dict[str, object]) -> Broker:
    from toolkit.brokers.xts import XtsBroker
    from toolkit.brokers.xts_settings import XtsSettings, XtsTerms, xts_settings
    from toolkit.risk.settings import RiskSettings

    fields = tuple(field for field in XtsSettings.__struct_fields__ if field != "role")
    _check(name, settings, (*fields, "clock", "terms"))
    clock, terms = _clock(settings), settings.pop("terms", None)
    if terms is not None and not isinstance(terms, XtsTerms):
        raise BadSetting(f"terms must be XtsTerms, was {terms!r}")
    tree = Settings.load()
    found = xts_settings(tree, **settings, role=name.removeprefix("xts-"))
    speed = _speed(tree, found.loopback)
    allowed = tree.section("risk", RiskSettings).allow_plain_http
    broker = XtsBroker(found, terms=terms, clock=clock or time.time_ns, allow_plain_http=allowed)
    if clock is None and speed is not None:
        broker.follow_venue(speed)
    return broker


def _speed(tree: Settings, loopback: bool) -> float | None:
    """Venue seconds a second when the venue's clock is followed, None for this machine's."""
    from toolkit.orders.settings import EngineSettings

    engine = tree.section("engine", EngineSettings)
    if engine.clock != "venue":
        return None
    if not loopback:
        raise BadSetting("[engine] clock = venue is for brokers on this machine only; set it to wall")
    return engine.speed


def _clock(settings: dict[str, object]) -> Callable[[], int] | None:
    clock = settings.pop("clock", None)
    if clock is not None and not callable(clock):
        raise BadSetting(f"clock must give nanoseconds UTC when it is called, was {clock!r}")
    return clock


def _check(name: str, settings: dict[str, object], taken: tuple[str, ...]) -> None:
    for key in settings:
        if key not in taken:
            raise BadSetting(f"broker '{name}' has no setting '{key}'{nearest(key, taken, tell=True)}")
