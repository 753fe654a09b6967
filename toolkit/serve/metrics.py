"""Prometheus metrics of a station: figures without an account id or a symbol."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from toolkit import __version__
from toolkit.orders.monitor import Histogram, Monitor
from toolkit.orders.station import Station
from toolkit.risk.limits import TradingState
from toolkit.types import OrdStatus

__all__ = ["Metrics"]


class Metrics:
    """What ``/metrics`` says."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._registry = CollectorRegistry()
        self.refused = Counter(
            "toolkit_api_refused", "Requests refused before they meant anything", ["code"], registry=self._registry
        )
        self._registry.register(self)

    def text(self) -> bytes:
        """The page."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Read the station now."""
        station = self._station
        yield _gauge("toolkit_build_info", "Version of the software", {"version": __version__}, 1.0)
        yield _gauge("toolkit_up", "Whether every account is ready", {}, float(station.up))
        age_s = station.hub.age_s
        if age_s is not None:
            yield _gauge("toolkit_feed_age_seconds", "Age of the newest tick", {}, age_s)
        yield _gauge("toolkit_feed_stale", "Whether the feed is not to be trusted", {}, float(station.hub.is_stale))
        writes = [seat.engine.pen.slowest_ms for seat in station.seats.values() if seat.engine.pen is not None]
        slowest = max((ms for ms in writes if ms is not None), default=None)
        if slowest is not None:
            yield _gauge("toolkit_journal_write_seconds", "Slowest write of the last minute", {}, slowest / 1e3)
        trading = GaugeMetricFamily("toolkit_trading_state", "Accounts by trading state", labels=["state"])
        orders = GaugeMetricFamily("toolkit_orders", "Orders of the day by status", labels=["status"])
        engines = [seat.engine for seat in station.seats.values()]
        for state in TradingState:
            trading.add_metric([str(state)], sum(e.core.book.state is state for e in engines))
        for status in OrdStatus:
            orders.add_metric(
                [str(status)], sum(o.ord_status is status for e in engines for o in e.core.orders.values())
            )
        yield trading
        yield orders
        yield from _stages(station)


def _gauge(name: str, text: str, labels: dict[str, str], value: float) -> Metric:
    made = GaugeMetricFamily(name, text, labels=list(labels))
    made.add_metric(list(labels.values()), value)
    return made


def _stages(station: Station) -> Iterator[Metric]:
    """Latency by stage, from the execution monitors."""
    made = GaugeMetricFamily(
        "toolkit_stage_seconds", "Time an order spends to reach each stage", labels=["stage", "quantile"]
    )
    for seat in station.seats.values():
        for stage, histogram in _latency(seat.engine.monitor):
            for quantile in (0.5, 0.99, 0.999):
                ns = histogram.quantile(quantile)
                if ns is not None:
                    made.add_metric([stage, f"{quantile:g}"], ns / 1e9)
        break  # the home account's; labels of several would need their names
    yield made


def _latency(monitor: Monitor | None) -> list[tuple[str, Histogram]]:
    return [] if monitor is None else list(monitor.latency().items())
