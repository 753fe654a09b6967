"""A day as a film: what was known at any of its moments, for pages with a time slider.

Nothing later than the moment asked for is in the answer: chain, orders, positions and
money are all as they stood then.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from toolkit.errors import BadData
from toolkit.market.chain import DayChain
from toolkit.market.view import ChainSlice
from toolkit.report.day import DayFrames

__all__ = ["ChainMoment", "Film"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_OPEN: Final = ("pending_new", "new", "partially_filled", "pending_cancel", "pending_replace", "unknown")


@dataclass(frozen=True, slots=True)
class ChainMoment:
    """One expiry at one moment: the newest slice, cut to the strikes asked for.

    ``change`` and ``position`` are (2, strikes), calls first: units of open interest
    since the contract's first figure of the day (NaN where there is none), and the net
    position in units. ``index`` are the places of the rows in ``slice``'s arrays.
    ``age_s`` is how long ago the slice had been received.
    """

    slice: ChainSlice
    index: Ints
    change: Floats
    position: Ints
    age_s: float


class Film:
    """The frames of a replay and its chains, indexed by moment.

    Parameters
    ----------
    result : DayFrames
        A :class:`~toolkit.batch.replay.Replay`.
    days : sequence of DayChain
        The chains of its days, in order; their moments are the film's moments.

    Raises
    ------
    BadData
        When there is no moment at all.
    """

    def __init__(self, result: DayFrames, days: Sequence[DayChain]) -> None:
        self.result = result
        self.days = tuple(days)
        self._first = np.cumsum([0, *(len(day) for day in self.days)])
        if not self._first[-1]:
            raise BadData("the session holds no snapshot that could be used; see 'toolkit replay' for what was refused")
        self.now_ns: Ints = np.concatenate([day.recv_ns for day in self.days])
        self._events = result.order_events.sort("ts_ns", "cl_ord_id", "seq") if result.order_events.height else None
        fills = result.fills
        signed = pl.when(pl.col("side").cast(pl.String) == "BUY").then(1).otherwise(-1) * pl.col("last_qty")
        self._fills = fills.select("exec_ns", "symbol", qty=signed).sort("exec_ns") if fills.height else None
        self._pnl_ns = result.pnl["ts"].dt.epoch("ns").to_numpy() if result.pnl.height else np.empty(0, np.int64)
        self._oi = result.oi.sort("ts") if result.oi.height else None

    def __len__(self) -> int:
        return int(self._first[-1])

    def warm(self) -> None:
        """Compute the volatilities and Greeks of every expiry now, so that no later look waits for them."""
        for day in self.days:
            for expiry in day.days.values():
                expiry.greeks  # noqa: B018

    def index_at(self, now_ns: int) -> int:
        """The last moment not later than ``now_ns``; the first when all are later."""
        return max(int(np.searchsorted(self.now_ns, now_ns, side="right")) - 1, 0)

    def expiries(self, index: int) -> tuple[dt.date, ...]:
        """Expiries of the day of a moment, nearest first."""
        return self._day(index)[0].expiries

    def chain(self, index: int, expiry: dt.date, strikes: int = 31) -> ChainMoment | None:
        """An expiry as known at a moment: the ``strikes`` nearest the forward; None before its first slice."""
        day, moment = self._day(index)
        found = day.slice_at(moment, expiry)
        if found is None:
            return None
        keep = _nearest(found, strikes)
        held = self.positions(index)
        names = [[found.symbol(int(i), side) for i in keep] for side in ("CE", "PE")]
        return ChainMoment(
            slice=found,
            index=keep,
            change=self._change(day, found, keep),
            position=np.array([[held.get(name, 0) for name in row] for row in names], dtype=np.int64),
            age_s=(int(self.now_ns[index]) - found.recv_ns) / 1e9,
        )

    def positions(self, index: int) -> Mapping[str, int]:
        """Net units by symbol, of all fills up to a moment; flat symbols left out."""
        if self._fills is None:
            return {}
        known = self._fills.filter(pl.col("exec_ns") <= int(self.now_ns[index]))
        net = known.group_by("symbol").agg(pl.col("qty").sum()).filter(pl.col("qty") != 0).sort("symbol")
        return dict(zip(net["symbol"].to_list(), net["qty"].to_list(), strict=True))

    def orders(self, index: int) -> pl.DataFrame:
        """The order book as it stood at a moment, newest first.

        Returns
        -------
        polars.DataFrame
            The columns of the orders frame, with status, quantities, average price, text and
            update stamp as of then, and ``is_open``.
        """
        now = int(self.now_ns[index])
        orders = self.result.orders.filter(pl.col("created_ns") <= now)
        if self._events is None or orders.is_empty():
            return orders.clear().with_columns(is_open=pl.lit(None, dtype=pl.Boolean))
        traded = pl.col("exec_type").cast(pl.String).is_in(["trade", "trade_cancel"])
        value = pl.col("last_qty") * pl.col("last_px")
        known = self._events.filter(pl.col("ts_ns") <= now).group_by("cl_ord_id", maintain_order=True)
        stood = known.agg(
            pl.col("ord_status").cast(pl.String).last(),
            pl.col("last_qty").filter(traded).sum().alias("cum_qty"),
            value.filter(traded).sum().alias("value"),
            pl.col("text").last(),
            pl.col("ts_ns").last().alias("updated_ns"),
        )
        told = ["ord_status", "cum_qty", "text", "updated_ns"]
        joined = orders.drop(*told, "leaves_qty", "avg_px").join(stood, on="cl_ord_id", how="inner")
        is_open = pl.col("ord_status").is_in(_OPEN)
        leaves = pl.when(is_open).then(pl.col("order_qty") - pl.col("cum_qty")).otherwise(0)
        average = pl.when(pl.col("cum_qty") > 0).then(pl.col("value") / pl.col("cum_qty"))
        joined = joined.with_columns(is_open=is_open, leaves_qty=leaves, avg_px=average)
        return joined.select(*self.result.orders.columns, "is_open").sort(
            "created_ns", "cl_ord_id", descending=[True, True]
        )

    def money(self, index: int) -> Mapping[str, float | None]:
        """The P&L row of a moment: rupees and the book's Greeks; empty before the first."""
        at = int(np.searchsorted(self._pnl_ns, int(self.now_ns[index]), side="right")) - 1
        return {} if at < 0 else {k: v for k, v in self.result.pnl.row(at, named=True).items() if k != "ts"}

    def levels(self, index: int, expiry: dt.date) -> Mapping[str, object]:
        """The OI levels of an expiry as known at a moment; empty before the first."""
        if self._oi is None:
            return {}
        stamp = int(self._stamp(index))
        known = self._oi.filter((pl.col("ts").dt.epoch("ns") <= stamp) & (pl.col("expiry") == expiry))
        return {} if known.is_empty() else known.row(-1, named=True)

    def _stamp(self, index: int) -> int:
        day, moment = self._day(index)
        return int(day.ts_ns[moment])

    def _day(self, index: int) -> tuple[DayChain, int]:
        if not 0 <= index < len(self):
            raise BadData(f"a moment lies in [0, {len(self) - 1}], was {index}")
        day = int(np.searchsorted(self._first, index, side="right")) - 1
        return self.days[day], index - int(self._first[day])

    def _change(self, day: DayChain, found: ChainSlice, keep: Ints) -> Floats:
        rows = day.days[found.expiry]
        at = np.searchsorted(rows.strikes, found.strikes[keep])
        oi = rows.quotes["oi"][:, :, at]
        first = np.isfinite(oi).argmax(axis=0)
        base = np.take_along_axis(oi, first[None], axis=0)[0]
        now = np.stack([found.ce.oi[keep], found.pe.oi[keep]])
        return np.asarray(now - base, dtype=np.float64)


def _nearest(found: ChainSlice, strikes: int) -> Ints:
    """Places of the strikes around the forward (else the spot, else the middle), ascending."""
    n = len(found.strikes)
    center = next((c for c in (found.forward, found.spot) if np.isfinite(c)), None)
    at = n // 2 if center is None else int(np.argmin(np.abs(found.strikes - center)))
    low = min(max(at - strikes // 2, 0), max(n - strikes, 0))
    return np.arange(low, min(low + strikes, n), dtype=np.int64)
