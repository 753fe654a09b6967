"""A simulated trading day: tape, day board and exchange behind one clock. Pure: time is an argument.

Brokers' books (Kite's, XTS's) sit on top: they place into :attr:`World.exchange`, hear its
reports through :meth:`World.listen` and read the market from :attr:`World.board`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from toolkit.sim.exchange import SimExchange
from toolkit.sim.roster import Listed, Roster
from toolkit.sim.tape import DayBoard, Tape
from toolkit.types import ExecutionReport, Kind

__all__ = ["World", "bands", "references"]

Heard = Callable[[ExecutionReport], None]
Watch = Callable[[int], None]
_FUTURES_BAND: Final = 0.10
_OPTION_BAND: Final = 0.20


class World:
    """One day of one session.

    Parameters
    ----------
    roster, tape
        What is listed and what was recorded.
    bounds : tuple of int
        Open and close, nanoseconds UTC.
    closes : mapping of int to float
        Previous close in rupees by key, where it is known.
    """

    def __init__(self, roster: Roster, tape: Tape, bounds: tuple[int, int], closes: dict[int, float]) -> None:
        self.roster = roster
        self.tape = tape
        self.bounds = bounds
        self.board = DayBoard([row.key for row in roster.rows], closes)
        self.exchange = SimExchange(row.instrument for row in roster.rows)
        self.exchange.open_session(*bounds)
        self.closes = dict(closes)
        self.bands = bands(roster, references(tape, closes))
        self.exchange.band({self._symbol(key): band for key, band in self.bands.items()})
        self.now_ns = min(bounds[0], tape.first_ns) - 1
        self.closed = False
        self.settled: dict[str, int] = {}
        self._heard: list[Heard] = []
        self._watches: list[Watch] = []

    def listen(self, heard: Heard, watch: Watch) -> None:
        """Have ``heard`` called with each report of the exchange and ``watch`` with each new time."""
        self._heard.append(heard)
        self._watches.append(watch)

    def advance(self, until_ns: int) -> npt.NDArray[np.int64]:
        """Let the day run to ``until_ns``; gives the keys whose quote changed. Time never runs back."""
        touched: list[npt.NDArray[np.int64]] = []
        for at_ns, rows in self.tape.between(self.now_ns, until_ns):
            self.board.take(rows)
            touched.append(rows["key"])
            self.now_ns = at_ns
            self.exchange.on_quotes(
                at_ns, rows["key"], rows["bid"], rows["bid_qty"], rows["ask"], rows["ask_qty"], rows["ltp"]
            )
            self.pump()
        self.now_ns = max(self.now_ns, until_ns)
        if self.now_ns >= self.bounds[1] and not self.closed:
            self.closed = True
            self._settle()
        self.pump()
        return np.unique(np.concatenate(touched)) if touched else np.empty(0, np.int64)

    def pump(self) -> None:
        """Hand out what the exchange has reported by now."""
        for watch in self._watches:
            watch(self.now_ns)
        for report in self.exchange.advance(self.now_ns):
            for heard in self._heard:
                heard(report)

    def next_ns(self) -> int | None:
        """When the recorded market changes next, None past its end."""
        return self.tape.next_ns(self.now_ns)

    def row(self, key: int) -> Any:
        """The day so far of one key, None when it is not listed."""
        return self.board.row(key)

    def last_p(self, key: int) -> int | None:
        """Last traded price in paise, None before the first trade."""
        row = self.row(key)
        return None if row is None or math.isnan(row["ltp"]) else round(float(row["ltp"]) * 100)

    def spot(self, underlying: str) -> float:
        """The underlying's last value in rupees: the recorded spot, else the nearest future's, else what put-call
        parity says at the strike where the nearest call and put cost most alike; else NaN."""
        spot = self.roster.spots.get(underlying)
        for listed in [*([] if spot is None else [spot]), *self.roster.futures.get(underlying, ())]:
            last = float(self.row(listed.key)["ltp"])
            if not math.isnan(last):
                return last
        return self._parity(underlying)

    def _parity(self, underlying: str) -> float:
        best = (math.inf, math.nan)
        expiry = None
        for call, put in self.roster.pairs.get(underlying, ()):
            if expiry is not None and call.expired_by != expiry:
                break
            gap = float(self.row(call.key)["ltp"]) - float(self.row(put.key)["ltp"])
            if not math.isnan(gap):
                expiry = call.expired_by
                best = min(best, (abs(gap), (call.instrument.strike_p or 0) / 100.0 + gap))
        return best[1]

    def _settle(self) -> None:
        """Settle what expires today against the underlying's last value."""
        finals = {}
        for underlying in sorted({row.instrument.underlying for row in self.roster.rows}):
            spot = self.spot(underlying)
            if not math.isnan(spot):
                finals[underlying] = round(spot * 100)
        self.settled = self.exchange.settle(finals, self.bounds[1])

    def _symbol(self, key: int) -> str:
        return self.roster.by_key[key].instrument.symbol


def references(tape: Tape, closes: dict[int, float]) -> dict[int, float]:
    """Reference prices in rupees by key: the previous close, else the first price recorded."""
    rows = tape.rows[~np.isnan(tape.rows["ltp"])]
    keys, first = np.unique(rows["key"], return_index=True)
    found = dict(zip(keys.tolist(), rows["ltp"][first].tolist(), strict=True))
    return {**found, **closes}


def bands(roster: Roster, reference: dict[int, float]) -> dict[int, tuple[int, int]]:
    """Price bands in paise by key: a simulation's own, not an exchange's published ones.

    A future or share moves within 10 % of its reference; an option between one tick and its
    reference plus 20 % of the underlying's. What has no reference has no band.
    """
    found = {}
    for row in roster.rows:
        ref = reference.get(row.key)
        if ref is None or row.instrument.kind is Kind.INDEX:
            continue
        found[row.key] = _band(row, ref, _level(roster, reference, row))
    return found


def _level(roster: Roster, reference: dict[int, float], row: Listed) -> float:
    spot = roster.spots.get(row.instrument.underlying)
    strike = (row.instrument.strike_p or 0) / 100.0
    return strike if spot is None else reference.get(spot.key, strike)


def _band(row: Listed, ref: float, level: float) -> tuple[int, int]:
    tick = row.instrument.tick_p
    if row.instrument.kind is Kind.OPTION:
        low, high = tick / 100.0, ref + _OPTION_BAND * level
    else:
        low, high = ref * (1.0 - _FUTURES_BAND), ref * (1.0 + _FUTURES_BAND)
    return max(tick, -(-round(low * 100) // tick) * tick), round(high * 100) // tick * tick
