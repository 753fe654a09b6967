"""The strategy protocol: the same object runs in backtest, replay, paper and live.

A strategy returns intents and holds no broker, clock or file. It hears of everything
that happens to its orders, denials and unknowns included, through ``on_report``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import msgspec

from toolkit.errors import BadData, nearest
from toolkit.market.view import View
from toolkit.types import ExecutionReport, Intent

__all__ = ["BadParam", "Param", "Strategy", "checked_params"]

_SHOWN: Final = 60


class Param(msgspec.Struct, frozen=True, kw_only=True):
    """One typed, bounded parameter: default, bounds (inclusive), unit and meaning."""

    default: float | int | str | bool
    unit: str
    doc: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


class Strategy:
    """Base of every strategy: parameters checked at construction, no-op callbacks.

    Raises
    ------
    BadData
        For a parameter that does not exist (names the nearest), of a wrong type or out of bounds.
    """

    name: ClassVar[str] = ""
    hypothesis: ClassVar[str] = ""
    params: ClassVar[dict[str, Param]] = {}

    def __init__(self, **values: object) -> None:
        self.p: dict[str, Any] = checked_params(f"strategy '{self.name}'", self.params, values)

    def on_chain(self, view: View) -> Sequence[Intent]:
        """A new snapshot of the chain has been received."""
        return ()

    def on_tick(self, view: View) -> Sequence[Intent]:
        """A tick of a wanted instrument has been received."""
        return ()

    def on_report(self, report: ExecutionReport) -> Sequence[Intent]:
        """Something happened to one of this strategy's orders."""
        return ()

    def on_clock(self, now_ns: int) -> Sequence[Intent]:
        """A second of session time has passed (event time in a replay)."""
        return ()

    def state(self) -> dict[str, Any]:
        """JSON-able state that :meth:`restore` takes back."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what :meth:`state` gave."""


class BadParam(BadData):
    """A parameter does not exist, is of a wrong type or out of bounds.

    Parameters
    ----------
    rule : str
        The parameter.
    limit, value : object
        What it must be, and what it was.
    text : str
        One line that says both.
    """

    def __init__(self, rule: str, limit: object, value: object, text: str) -> None:
        super().__init__(text)
        self.rule = rule
        self.limit = limit
        self.value = value


def checked_params(owner: str, params: Mapping[str, Param], values: Mapping[str, object]) -> dict[str, Any]:
    """Check given values against declared parameters and fill in the defaults.

    Raises
    ------
    BadParam
        For a parameter that does not exist (names the nearest), of a wrong type or out of bounds.
    """
    chosen: dict[str, Any] = {key: p.default for key, p in params.items()}
    for key, value in values.items():
        if key not in params:
            known = sorted(params)
            text = f"{owner} has no parameter {_cut(key)}{nearest(key, known, tell=True)}"
            raise BadParam("parameter", ", ".join(known), _cut(key), text)
        chosen[key] = _checked(owner, key, params[key], value)
    return chosen


def _checked(owner: str, key: str, param: Param, value: object) -> Any:
    want = type(param.default)
    where = f"parameter '{key}' of {owner}"
    try:
        if want is bool and isinstance(value, str):
            typed: Any = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[value.lower()]
        elif want is int:
            number = float(value)  # type: ignore[arg-type]
            typed = int(number)
            if typed != number:
                raise ValueError
        else:
            typed = want(value)  # type: ignore[call-overload,arg-type]
    except (KeyError, TypeError, ValueError, OverflowError):
        limit, shown = f"{want.__name__} ({param.unit})", _cut(value)
        raise BadParam(key, limit, shown, f"{where} must be {limit}, was {shown}") from None
    if param.choices and typed not in param.choices:
        limit, shown = ", ".join(param.choices), _cut(value)
        raise BadParam(key, limit, shown, f"{where} must be one of {limit}, was {shown}")
    if isinstance(typed, (int, float)) and not isinstance(typed, bool):
        low = -float("inf") if param.low is None else param.low
        high = float("inf") if param.high is None else param.high
        if not low <= typed <= high:
            limit, shown = f"[{low:g}, {high:g}] {param.unit}", _cut(value)
            raise BadParam(key, limit, shown, f"{where} must lie in {limit}, was {shown}")
    return typed


def _cut(value: object) -> str:
    """A value as one short line."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
