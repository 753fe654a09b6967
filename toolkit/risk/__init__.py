"""Limits that cannot be bypassed and margin that says what it is: pre-trade checks, SPAN-like scenarios."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOME: dict[str, str] = {
    "AlertRule": "toolkit.risk.alerts",
    "Alerts": "toolkit.risk.alerts",
    "Facts": "toolkit.risk.guards",
    "Guard": "toolkit.risk.guards",
    "Leg": "toolkit.risk.margin",
    "Limits": "toolkit.risk.limits",
    "Margin": "toolkit.risk.margin",
    "MarginBook": "toolkit.risk.margin_book",
    "Position": "toolkit.risk.exposure",
    "RiskBook": "toolkit.risk.book",
    "RuleBook": "toolkit.risk.rules",
    "SpanParams": "toolkit.risk.margin",
    "TradingState": "toolkit.risk.limits",
    "Trip": "toolkit.risk.guards",
    "check": "toolkit.risk.checks",
    "close_out": "toolkit.risk.closing",
    "composite_delta": "toolkit.risk.margin",
    "default_params": "toolkit.risk.margin",
    "expiry_profile": "toolkit.risk.pin",
    "exposures": "toolkit.risk.exposure",
    "funding": "toolkit.risk.collateral",
    "held_positions": "toolkit.risk.held",
    "historical_var": "toolkit.risk.var",
    "leg_order": "toolkit.risk.leg_order",
    "margin_by": "toolkit.risk.margin",
    "parametric_var": "toolkit.risk.var",
    "peak_margin": "toolkit.risk.collateral",
    "pins": "toolkit.risk.pin",
    "protect": "toolkit.risk.checks",
    "risk_array": "toolkit.risk.margin",
    "scenario_grid": "toolkit.risk.scenarios",
    "span_margin": "toolkit.risk.margin",
    "touches_of": "toolkit.risk.held",
}

__all__ = [
    "AlertRule",
    "Alerts",
    "Facts",
    "Guard",
    "Leg",
    "Limits",
    "Margin",
    "MarginBook",
    "Position",
    "RiskBook",
    "RuleBook",
    "SpanParams",
    "TradingState",
    "Trip",
    "check",
    "close_out",
    "composite_delta",
    "default_params",
    "expiry_profile",
    "exposures",
    "funding",
    "held_positions",
    "historical_var",
    "leg_order",
    "margin_by",
    "parametric_var",
    "peak_margin",
    "pins",
    "protect",
    "risk_array",
    "scenario_grid",
    "span_margin",
    "touches_of",
]

if TYPE_CHECKING:
    from toolkit.risk.alerts import AlertRule, Alerts
    from toolkit.risk.book import RiskBook
    from toolkit.risk.checks import check, protect
    from toolkit.risk.closing import close_out
    from toolkit.risk.collateral import funding, peak_margin
    from toolkit.risk.exposure import Position, exposures
    from toolkit.risk.guards import Facts, Guard, Trip
    from toolkit.risk.held import held_positions, touches_of
    from toolkit.risk.leg_order import leg_order
    from toolkit.risk.limits import Limits, TradingState
    from toolkit.risk.margin import (
        Leg,
        Margin,
        SpanParams,
        composite_delta,
        default_params,
        margin_by,
        risk_array,
        span_margin,
    )
    from toolkit.risk.margin_book import MarginBook
    from toolkit.risk.pin import expiry_profile, pins
    from toolkit.risk.rules import RuleBook
    from toolkit.risk.scenarios import scenario_grid
    from toolkit.risk.var import historical_var, parametric_var


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'toolkit.risk' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
