"""What an account is worth at each snapshot: positions, charges, Greeks, margin."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Final

import numpy as np
import polars as pl

from toolkit.batch.frames import POSITIONS
from toolkit.calendar import ist_date
from toolkit.market.view import View
from toolkit.orders.core import Core
from toolkit.portfolio.charges import ChargeSchedule, charges
from toolkit.portfolio.pnl import pnl, unrealized
from toolkit.portfolio.positions import PositionBook, fills_frame
from toolkit.risk.margin import span_margin
from toolkit.strategies.planned import located
from toolkit.types import Fill, Instrument, Side

__all__ = ["EXPIRY", "Ledger"]

EXPIRY: Final = "EXPIRY"
"""The ``cl_ord_id`` of an entry that closes an expired position: no order stands behind it."""


class Ledger:
    """Follows the fills of a core and values them; one row a snapshot.

    Parameters
    ----------
    schedule : ChargeSchedule
        Dated rates of brokerage, taxes and fees.
    """

    def __init__(self, schedule: ChargeSchedule) -> None:
        self.book = PositionBook()
        self.fills: list[Fill] = []
        self.rows: list[tuple[float, ...]] = []
        self._schedule = schedule
        self._charges = 0.0
        self._seen = 0

    def take(self, core: Core) -> None:
        """Fold in the executions that are new since the last call."""
        if len(core.fills) == self._seen:
            return
        for fill in list(core.fills.values())[self._seen :]:
            self.book.apply(fill)
            self.fills.append(fill)
        self._seen = len(core.fills)
        self._charges = float(self.charges()["total"].sum())

    def charges(self) -> pl.DataFrame:
        """The contract notes of every day so far.

        Closing at expiry is no trade: it pays no brokerage, and the holder of an exercised
        option pays the tax on its intrinsic value, which is added to the day's note.
        """
        notes = charges(fills_frame(f for f in self.fills if f.cl_ord_id != EXPIRY), None, schedule=self._schedule)
        taxes: dict[tuple[str, str, dt.date], int] = {}
        for fill in self.fills:
            if fill.cl_ord_id == EXPIRY and fill.side is Side.SELL and fill.last_px_p and " FUT" not in fill.symbol:
                day = ist_date(fill.exec_ns)
                tax_p = self._schedule.exercise_stt_p(fill.last_qty * fill.last_px_p, day)
                key = (fill.account, fill.exchange, day)
                taxes[key] = taxes.get(key, 0) + tax_p
        return _with_taxes(notes, taxes) if taxes else notes

    def new_day(self) -> None:
        """A new core counts its executions from zero; positions stay."""
        self._seen = 0

    def value(self, ts_ns: int, core: Core, view: View | None) -> None:
        """Add the row of one snapshot: marks and Greeks as known then."""
        self.take(core)
        marks = {p.symbol: _mark(core, p.symbol) for p in self.book.held()}
        now = pnl(self.book, marks, self._charges)
        greeks = _greeks(view) if view is not None and marks else (0.0, 0.0, 0.0, 0.0)
        margin = _margin(core, ts_ns)
        self.rows.append((ts_ns, now.realized, now.unrealized, now.gross, now.charges, now.net, *greeks, margin))

    def positions(self, core: Core, instruments: Mapping[str, Instrument]) -> pl.DataFrame:
        """Every contract traded, as it stands now; rupees, units."""
        rows = []
        for held in self.book.all():
            terms = instruments.get(held.symbol)
            quote = core.quote(held.symbol)
            worth = unrealized(held, _mark(core, held.symbol))
            rows.append(
                (
                    held.symbol,
                    held.exchange,
                    None if terms is None else terms.underlying,
                    None if terms is None else terms.expiry,
                    None if terms is None or terms.strike_p is None else terms.strike_p / 100.0,
                    None if terms is None or terms.option_type is None else str(terms.option_type),
                    held.net_qty,
                    held.buy_qty,
                    held.sell_qty,
                    held.avg_px if held.net_qty else None,
                    None if quote is None or quote.ltp_p is None else quote.ltp_p / 100.0,
                    held.realized_p / 100.0,
                    None if math.isnan(worth) else worth,
                )
            )
        return pl.DataFrame(rows, schema=POSITIONS, orient="row")


def _with_taxes(notes: pl.DataFrame, taxes: Mapping[tuple[str, str, dt.date], int]) -> pl.DataFrame:
    keys = ["account", "exchange", "date"]
    rows = [(*key, *([0.0] * 7)) for key in sorted(taxes)]
    empty = pl.DataFrame(rows, schema=notes.schema, orient="row").join(notes, on=keys, how="anti")
    tax = pl.DataFrame([(*k, p / 100.0) for k, p in taxes.items()], schema=[*keys, "tax"], orient="row")
    whole = pl.concat([notes, empty]).sort(keys).join(tax, on=keys, how="left", maintain_order="left")
    added = pl.col("tax").fill_null(0.0)
    return whole.with_columns(pl.col("stt") + added, pl.col("total") + added).drop("tax")


def _mark(core: Core, symbol: str) -> float:
    instrument = core.book.instruments.get(symbol)
    return math.nan if instrument is None else core.book.mark(instrument)


def _greeks(view: View) -> tuple[float, float, float, float]:
    """Net delta, gamma, vega, theta of the held options; NaN where one is unknown."""
    total = np.zeros(4)
    for symbol, net in view.positions().items():
        chain, index, kind = located(view, symbol)
        if chain is None:
            return (math.nan, math.nan, math.nan, math.nan)
        leg = chain.side(kind)
        total += net * np.array([leg.delta[index], leg.gamma[index], leg.vega[index], leg.theta[index]])
    return (float(total[0]), float(total[1]), float(total[2]), float(total[3]))


def _margin(core: Core, ts_ns: int) -> float:
    """Estimated margin of positions and open orders, rupees; 0 when there is nothing, NaN when unknown."""
    book, total = core.book, 0.0
    for underlying in sorted({book.instruments[s].underlying for s in (*book.net, *book.resting)}):
        if underlying not in book.span:
            return math.nan
        total += span_margin(book.legs(underlying, ts_ns, None, buys=False), book.span).total
    return total
