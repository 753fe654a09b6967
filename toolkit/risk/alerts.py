"""Alerts with hysteresis: raised at one figure, cleared at another, so that noise at the line rings once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from toolkit.errors import BadSetting

__all__ = ["Alert", "AlertRule", "Alerts"]


class AlertRule(msgspec.Struct, frozen=True, kw_only=True):
    """Raise when ``figure`` reaches ``raise_at``, clear when it is back at ``clear_at``.

    ``clear_at`` below ``raise_at`` guards from above, above it from below. ``for_s`` is how long the figure
    must stay beyond the line first.
    """

    name: str
    figure: str
    raise_at: float
    clear_at: float
    for_s: float = 0.0
    unit: str = ""

    def __post_init__(self) -> None:
        if self.raise_at == self.clear_at or not (math.isfinite(self.raise_at) and math.isfinite(self.clear_at)):
            raise BadSetting(
                f"alert {self.name}: raise_at and clear_at must be different numbers,"
                f" was {self.raise_at} and {self.clear_at}"
            )
        if not self.for_s >= 0.0:
            raise BadSetting(f"alert {self.name}: for_s must be at least 0, was {self.for_s}")

    def beyond(self, value: float, line: float) -> bool:
        """Whether a value stands at or beyond a line, away from ``clear_at``."""
        return value >= line if self.raise_at > self.clear_at else value <= line


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that was raised or cleared; ``value`` None is unknown, which raises."""

    name: str
    raised: bool
    value: float | None
    since_ns: int
    text: str


class Alerts:
    """The state of alert rules over figures that come with their time; pure.

    A figure that is missing or NaN is unknown and raises its alert at once: what cannot be seen is not safe.
    """

    def __init__(self, rules: Sequence[AlertRule]) -> None:
        names = [rule.name for rule in rules]
        if len(set(names)) < len(names):
            raise BadSetting(f"alert names must differ, was {', '.join(names)}")
        self.rules = tuple(rules)
        self._raised: dict[str, Alert] = {}
        self._since: dict[str, int] = {}

    @property
    def standing(self) -> tuple[Alert, ...]:
        """The alerts raised now, oldest first."""
        return tuple(sorted(self._raised.values(), key=lambda alert: (alert.since_ns, alert.name)))

    def update(self, figures: Mapping[str, float | None], now_ns: int) -> tuple[Alert, ...]:
        """Take new figures; returns what was raised or cleared by them."""
        changed = []
        for rule in self.rules:
            value = figures.get(rule.figure)
            known = value is not None and not math.isnan(value)
            alert = self._raise(rule, value if known else None, now_ns) if rule.name not in self._raised else None
            if alert is None and rule.name in self._raised and known and value is not None:
                alert = self._clear(rule, value, now_ns)
            if alert is not None:
                changed.append(alert)
        return tuple(changed)

    def _raise(self, rule: AlertRule, value: float | None, now_ns: int) -> Alert | None:
        if value is not None and not rule.beyond(value, rule.raise_at):
            self._since.pop(rule.name, None)
            return None
        since = self._since.setdefault(rule.name, now_ns)
        if value is not None and now_ns - since < rule.for_s * 1e9:
            return None
        shown = "is unknown" if value is None else f"is {value:g}{rule.unit}, the line is {rule.raise_at:g}{rule.unit}"
        alert = Alert(
            name=rule.name, raised=True, value=value, since_ns=since, text=f"{rule.name}: {rule.figure} {shown}"
        )
        self._raised[rule.name] = alert
        return alert

    def _clear(self, rule: AlertRule, value: float, now_ns: int) -> Alert | None:
        back = value <= rule.clear_at if rule.raise_at > rule.clear_at else value >= rule.clear_at
        if not back:
            return None
        del self._raised[rule.name]
        self._since.pop(rule.name, None)
        text = f"{rule.name}: {rule.figure} is back at {value:g}{rule.unit}"
        return Alert(name=rule.name, raised=False, value=value, since_ns=now_ns, text=text)
