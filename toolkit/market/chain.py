"""From clean chain rows to slices: forward by parity, implied volatility, Greeks.

One pass over a day's frame places every row of an expiry into dense arrays of shape
(moments, 2 sides, strikes). A moment is a group of rows with one (receive stamp,
exchange stamp). Everything computed is row-wise in time, so a slice at moment i never
depends on a row received after it; volatilities and Greeks of an expiry are computed
for its whole day on first use.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from toolkit import pricing
from toolkit.errors import BadData
from toolkit.market.view import ChainSlice, LegArrays

__all__ = ["DayChain", "ExpiryDay", "build_day"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

YEAR_NS: Final = 365 * 86_400 * 1_000_000_000
_QUOTED: Final = ("oi", "volume", "ltp", "bid", "ask", "bid_qty", "ask_qty")
_GREEKS: Final = ("iv", "delta", "gamma", "vega", "theta")
_SIDES: Final = np.array([1.0, -1.0]).reshape(1, 2, 1)


@dataclass(slots=True)
class ExpiryDay:
    """One expiry through one day, dense.

    Attributes
    ----------
    strikes : ndarray, shape (m,)
        Ascending, points: every strike seen in the day; ``present`` says from when.
    row_of : ndarray, shape (moments of the day,)
        Newest row known at each moment of the day, -1 before the first.
    quotes : mapping of ndarray, shape (n, 2, m)
        ``oi volume ltp bid ask bid_qty ask_qty``; calls are index 0; NaN is unknown.
    """

    underlying: str
    exchange: str
    expiry: dt.date
    lot: int
    strikes: Floats
    ts_ns: Ints
    recv_ns: Ints
    row_of: Ints
    spot: Floats
    forward: Floats
    tte: Floats
    token: Ints
    present: Bools
    quotes: Mapping[str, Floats]
    rate: float = 0.0
    _greeks: dict[str, Floats] = field(default_factory=dict)

    @property
    def greeks(self) -> Mapping[str, Floats]:
        """``iv delta gamma vega theta``, each (n, 2, m), computed on first use.

        A side whose own mid has no implied volatility takes that of the other side at
        the same strike: put-call parity gives both the same. NaN where neither has one.
        """
        if not self._greeks:
            forward, tte = self.forward[:, None, None], self.tte[:, None, None]
            strikes = self.strikes[None, None, :]
            mid = (self.quotes["bid"] + self.quotes["ask"]) / 2.0
            iv = np.asarray(pricing.implied_vol(_SIDES, mid, forward, strikes, tte, self.rate), dtype=np.float64)
            iv = np.where((iv > 0.0) & np.isfinite(iv), iv, np.nan)
            iv = np.where(np.isnan(iv), iv[:, ::-1, :], iv)
            got = pricing.greeks(_SIDES, forward, strikes, tte, iv, self.rate)
            arrays = {"iv": iv, "delta": got.delta, "gamma": got.gamma, "vega": got.vega, "theta": got.theta}
            self._greeks = {name: _frozen(np.asarray(arrays[name], dtype=np.float64)) for name in _GREEKS}
        return self._greeks

    def slice_at(self, moment: int) -> ChainSlice | None:
        """The newest slice known at a moment of the day; None before the first."""
        row = int(self.row_of[moment])
        return None if row < 0 else self.slice_of_row(row)

    def slice_of_row(self, row: int) -> ChainSlice:
        """The slice of one row, over the strikes listed at its time."""
        listed = self.present[row].any(axis=0)
        every = bool(listed.all())
        return ChainSlice(
            underlying=self.underlying,
            exchange=self.exchange,
            expiry=self.expiry,
            ts_ns=int(self.ts_ns[row]),
            recv_ns=int(self.recv_ns[row]),
            strikes=self.strikes if every else _frozen(self.strikes[listed]),
            lot=self.lot,
            spot=float(self.spot[row]),
            forward=float(self.forward[row]),
            tte=float(self.tte[row]),
            ce=self._legs(row, 0, None if every else listed),
            pe=self._legs(row, 1, None if every else listed),
        )

    def _legs(self, row: int, side: int, listed: Bools | None) -> LegArrays:
        def cut(array: Floats) -> Floats:
            part = array[row, side]
            return part if listed is None else _frozen(part[listed])

        token = self.token[row, side]
        return LegArrays(
            token=token if listed is None else _frozen_ints(token[listed]),
            **{name: cut(self.quotes[name]) for name in _QUOTED},
            **{name: cut(values) for name, values in self.greeks.items()},
        )


@dataclass(frozen=True, slots=True)
class DayChain:
    """One underlying through one day: the moments and the expiries."""

    underlying: str
    exchange: str
    ts_ns: Ints
    recv_ns: Ints
    spot: Floats
    expiries: tuple[dt.date, ...]
    days: Mapping[dt.date, ExpiryDay]

    def __len__(self) -> int:
        return len(self.recv_ns)

    def slice_at(self, moment: int, expiry: dt.date) -> ChainSlice | None:
        """The newest slice of an expiry known at a moment."""
        day = self.days.get(expiry)
        return None if day is None else day.slice_at(moment)

    def fresh(self, moment: int) -> tuple[tuple[dt.date, int], ...]:
        """Expiries whose rows arrived at this very moment, with their row numbers."""
        out = []
        for expiry in self.expiries:
            rows = self.days[expiry].row_of
            row = int(rows[moment])
            if row >= 0 and (moment == 0 or int(rows[moment - 1]) != row):
                out.append((expiry, row))
        return tuple(out)


def build_day(
    frame: pl.DataFrame,
    settlement_ns: Callable[[dt.date], int],
    *,
    exchange: str = "NSE",
    rate: float = 0.0,
) -> DayChain:
    """Build the day of one underlying from its clean chain rows.

    Parameters
    ----------
    frame : DataFrame
        Rows of ``market.schema.CHAIN``, one underlying, one date, already cleaned.
    settlement_ns : callable
        The instant an expiry's time value ends, nanoseconds UTC.
    rate : float
        Continuous rate for discounting, per ACT/365 year.

    Raises
    ------
    BadData
        When the frame is empty or holds several underlyings.
    """
    names = frame["underlying"].unique().to_list()
    if len(names) != 1:
        raise BadData(f"a day of chains needs rows of exactly one underlying, was {sorted(map(str, names)) or 'none'}")
    frame = frame.with_columns(recv_ts=pl.coalesce("recv_ts", "ts")).sort("recv_ts", "ts", maintain_order=True)
    stamps = _ns(frame, "recv_ts"), _ns(frame, "ts")
    first = np.flatnonzero(np.r_[True, (np.diff(stamps[0]) != 0) | (np.diff(stamps[1]) != 0)])
    moment = np.zeros(len(frame), dtype=np.int64)
    moment[first[1:]] = 1
    moment = np.cumsum(moment)
    recv, ts = stamps[0][first], stamps[1][first]
    frame = frame.with_columns(pl.Series("moment", moment))
    days: dict[dt.date, ExpiryDay] = {}
    parts = {key[0]: part for key, part in frame.partition_by("expiry", as_dict=True, maintain_order=True).items()}
    for expiry in sorted(parts):
        rows = parts[expiry]
        days[expiry] = _expiry_day(rows, expiry, settlement_ns(expiry), recv, ts, str(names[0]), exchange, rate)
    spot = _carried(frame.group_by("moment").agg(pl.col("spot").drop_nulls().last()).sort("moment")["spot"])
    return DayChain(
        underlying=str(names[0]),
        exchange=exchange,
        ts_ns=_frozen_ints(ts),
        recv_ns=_frozen_ints(recv),
        spot=spot,
        expiries=tuple(days),
        days=days,
    )


def _expiry_day(
    rows: pl.DataFrame,
    expiry: dt.date,
    settles_ns: int,
    recv: Ints,
    ts: Ints,
    underlying: str,
    exchange: str,
    rate: float,
) -> ExpiryDay:
    at, where = np.unique(rows["moment"].to_numpy(), return_inverse=True)
    strike_p, column = np.unique(rows["strike_p"].to_numpy(), return_inverse=True)
    side = (rows["option_type"].cast(pl.String) == "PE").to_numpy().astype(np.int64)
    shape = (len(at), 2, len(strike_p))
    place = (where, side, column)
    present = np.zeros(shape, dtype=np.bool_)
    present[place] = True
    token = np.full(shape, -1, dtype=np.int64)
    token[place] = rows["token"].fill_null(-1).to_numpy()
    quotes = {}
    for name in _QUOTED:
        dense = np.full(shape, np.nan)
        dense[place] = rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        quotes[name] = dense
    _drop_empty_quotes(quotes)
    spot = np.full(len(at), np.nan)
    spot[where] = rows["spot"].fill_null(np.nan).to_numpy()
    row_of = np.searchsorted(at, np.arange(len(recv)), side="right") - 1
    tte = np.maximum(settles_ns - ts[at], 0) / YEAR_NS
    strikes = strike_p / 100.0
    return ExpiryDay(
        underlying=underlying,
        exchange=exchange,
        expiry=expiry,
        lot=_lot(rows, underlying, expiry),
        strikes=_frozen(strikes),
        ts_ns=ts[at],
        recv_ns=recv[at],
        row_of=row_of.astype(np.int64),
        spot=spot,
        forward=_forwards(strikes, quotes["bid"], quotes["ask"], np.exp(-rate * tte)),
        tte=tte,
        token=_frozen_ints(token),
        present=present,
        quotes={name: _frozen(dense) for name, dense in quotes.items()},
        rate=rate,
    )


def _forwards(strikes: Floats, bid: Floats, ask: Floats, df: Floats) -> Floats:
    """Forward of each row by put-call parity, (n,) points."""
    rows = zip(bid, ask, df, strict=True)
    return np.array([pricing.parity_forward(strikes, b[0], a[0], b[1], a[1], d).forward for b, a, d in rows])


def _lot(rows: pl.DataFrame, underlying: str, expiry: dt.date) -> int:
    lots = rows["lot"].drop_nulls()
    if not len(lots):
        raise BadData(f"no lot size in the chain of {underlying} {expiry}; import it again with its contract tables")
    return int(lots[0])


def _drop_empty_quotes(quotes: dict[str, Floats]) -> None:
    """A price of 0 says nobody quotes or nothing traded; a crossed pair says neither is true."""
    for name in ("ltp", "bid", "ask"):
        quotes[name][~(quotes[name] > 0.0)] = np.nan
    crossed = quotes["bid"] > quotes["ask"]
    for name in ("bid", "ask"):
        quotes[name][crossed] = np.nan


def _ns(frame: pl.DataFrame, column: str) -> Ints:
    return frame[column].dt.epoch("us").to_numpy().astype(np.int64) * 1000


def _carried(values: pl.Series) -> Floats:
    return _frozen(values.fill_null(strategy="forward").fill_null(np.nan).to_numpy().astype(np.float64))


def _frozen(array: Floats) -> Floats:
    array.flags.writeable = False
    return array


def _frozen_ints(array: Ints) -> Ints:
    array.flags.writeable = False
    return array
