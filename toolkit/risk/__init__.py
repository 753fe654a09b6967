"""Limits that cannot be bypassed and margin that says what it is: pre-trade checks, SPAN-like scenarios."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOME: dict[str, str] = {
    "Leg": "toolkit.risk.margin",
    "Limits": "toolkit.risk.limits",
    "Margin": "toolkit.risk.margin",
    "RiskBook": "toolkit.risk.book",
    "SpanParams": "toolkit.risk.margin",
    "TradingState": "toolkit.risk.limits",
    "check": "toolkit.risk.checks",
    "composite_delta": "toolkit.risk.margin",
    "default_params": "toolkit.risk.margin",
    "protect": "toolkit.risk.checks",
    "risk_array": "toolkit.risk.margin",
    "span_margin": "toolkit.risk.margin",
}

__all__ = [
    "Leg",
    "Limits",
    "Margin",
    "RiskBook",
    "SpanParams",
    "TradingState",
    "check",
    "composite_delta",
    "default_params",
    "protect",
    "risk_array",
    "span_margin",
]

if TYPE_CHECKING:
    from toolkit.risk.book import RiskBook
    from toolkit.risk.checks import check, protect
    from toolkit.risk.limits import Limits, TradingState
    from toolkit.risk.margin import Leg, Margin, SpanParams, composite_delta, default_params, risk_array, span_margin


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'toolkit.risk' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
