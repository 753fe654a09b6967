"""Brokers by name."""

from __future__ import annotations

import inspect
from typing import Final

from toolkit.brokers.paper import PaperBroker
from toolkit.brokers.port import Broker
from toolkit.errors import BadData, BadSetting, nearest

__all__ = ["NAMES", "PLANNED", "connect"]

NAMES: Final = ("paper",)
PLANNED: Final = ("kite", "xts-client", "xts-pro")
"""Names that are promised and not there yet; asking for one says so."""


def connect(name: str, **settings: object) -> Broker:
    """Connect to a broker.

    Parameters
    ----------
    name : str
        ``paper``; ``kite``, ``xts-pro`` and ``xts-client`` are planned.
    **settings
        For ``paper``: account, instruments, funds_p, latency_ns, clock.

    Returns
    -------
    Broker

    Raises
    ------
    BadData
        For a name that is unknown (names the nearest) or planned.
    BadSetting
        For a setting the broker does not have (names the nearest).
    """
    if name in PLANNED:
        raise BadData(f"broker '{name}' is planned and not part of this version; use 'paper'")
    if name not in NAMES:
        known = (*NAMES, *PLANNED)
        raise BadData(f"no broker is called '{name}'{nearest(name, known)} known: {', '.join(known)}")
    taken = tuple(inspect.signature(PaperBroker).parameters)
    for key in settings:
        if key not in taken:
            raise BadSetting(f"broker '{name}' has no setting '{key}'{nearest(key, taken)} known: {', '.join(taken)}")
    return PaperBroker(**settings)  # type: ignore[arg-type]
