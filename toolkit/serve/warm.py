"""Every kernel that a running engine calls, called once before orders flow: afterwards no compiler stops the loop."""

from __future__ import annotations

import datetime as dt
from typing import Final

import numpy as np
import polars as pl

from toolkit import oi, tables
from toolkit.calendar import IST, ist_ns
from toolkit.market.chain import build_day
from toolkit.market.kite_wire import decode as decode_frame
from toolkit.market.quotes import key_of
from toolkit.market.schema import CHAIN
from toolkit.market.xts_rows import Board
from toolkit.market.xts_wire import XTS_TICK, decode_binary
from toolkit.orders.core import Core
from toolkit.orders.risk_views import figures_of, underlying_greeks
from toolkit.orders.views import chain_view
from toolkit.risk.exposure import Position
from toolkit.risk.limits import Limits
from toolkit.risk.margin import default_params
from toolkit.sim.servers.load import warm as warm_margin
from toolkit.types import Instrument, Kind, OptionType, OrderRequest, Side

__all__ = ["warm"]

_EXPIRY: Final = dt.date(2026, 7, 14)
_AT: Final = dt.datetime(2026, 7, 13, 10, tzinfo=IST)
_SPOT: Final = 100.0


def warm() -> None:
    """Compile or load them."""
    warm_margin()
    oi.warm()
    _market()
    _figures()
    _order()


def _market() -> None:
    """Ticks on either wire, and a chain with its open interest."""
    decode_frame(bytes(4))
    decode_binary(bytes(100))
    Board().take(np.zeros(1, XTS_TICK), 0)
    quote = {"ts": _AT, "recv_ts": _AT, "underlying": "X", "expiry": _EXPIRY, "lot": 1, "spot": _SPOT, "oi": 10}
    rows = []
    for strike in range(90, 111, 2):
        for side, worth in (("CE", _SPOT - strike), ("PE", strike - _SPOT)):
            mid = max(worth, 0.0) + 0.5
            own = {"strike_p": strike * 100, "option_type": side, "bid": mid - 0.05, "ask": mid + 0.05, "ltp": mid}
            rows.append({**quote, **own})
    frame = pl.DataFrame(rows, schema=CHAIN)
    made = build_day(frame, tables.calendar("NSE").settlement_ns).slice_at(0, _EXPIRY)
    if made is not None:
        chain_view(made, {}, stale=False)
    engine = oi.OIShiftEngine(oi.OIConfig(calendar=tables.calendar("NSE")))
    for part in (frame, frame.with_columns(pl.col("ts", "recv_ts") + pl.duration(minutes=1)).reverse()):
        engine.update(part)  # in order, and not


def _figures() -> None:
    """Greeks and figures of a position."""
    held = Position(symbol="X", underlying="X", cp=1, qty=1, strike=_SPOT, tte=0.02, forward=_SPOT, mark=1.0)
    underlying_greeks([held], {"X": _SPOT})
    figures_of([held], {}, None, None)


def _order() -> None:
    """An order through the checks of a core that nobody else sees, once with a margin beside it."""
    instrument = Instrument(
        instrument_id=1,
        symbol="X",
        exchange="NSE",
        segment="NSE_FO",
        underlying="X",
        kind=Kind.OPTION,
        lot=1,
        tick_p=5,
        expiry=_EXPIRY,
        strike_p=10_000,
        option_type=OptionType.CE,
        token=1,
    )
    now_ns = ist_ns(_AT.date(), _AT.time())
    for known in (False, True):
        core = Core("PAPER", broker="paper", limits=Limits())
        core.start_day(now_ns)
        core.book.add([instrument])
        core.book.quotes.update(now_ns, np.array([key_of(instrument)]), *(np.ones(1) for _ in range(5)))
        if known:
            core.book.span = {"X": default_params(_SPOT, 0.15)}
        core.submit(now_ns, OrderRequest(cl_ord_id="WARM", symbol="X", side=Side.BUY, order_qty=1, price_p=100))
