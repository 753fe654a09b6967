"""An account of one afternoon for the tests of the rules: contracts, quotes, orders and their fills."""

from __future__ import annotations

import datetime as dt

import pytest

from toolkit.calendar import ist_ns
from toolkit.market.quotes import Quote
from toolkit.orders.lifecycle import apply, begin
from toolkit.risk.book import RiskBook
from toolkit.risk.limits import Limits
from toolkit.risk.margin import default_params
from toolkit.types import ExecType, ExecutionReport, Instrument, Kind, OptionType, OrderRequest, OrdType, Side

DAY = dt.date(2025, 9, 2)
SECOND = 10**9
MINUTE = 60 * SECOND
CALL, PUT, LATER = "NIFTY 02SEP2025 24500 CE", "NIFTY 02SEP2025 24500 PE", "NIFTY 30SEP2025 25000 CE"
WING, FUT = "NIFTY 02SEP2025 25000 CE", "NIFTY 30SEP2025 FUT"


def at(hour, minute=0, second=0, day=DAY):
    return ist_ns(day, dt.time(hour, minute, second))


def listed(symbol, token, **more):
    fields = {
        "instrument_id": token, "symbol": symbol, "exchange": "NSE", "segment": "NFO", "underlying": "NIFTY",
        "kind": Kind.OPTION, "lot": 75, "tick_p": 5, "expiry": DAY, "strike_p": 2_450_000,
        "option_type": OptionType.CE, "token": token, "freeze_qty": 1800,
    }  # fmt: skip
    return Instrument(**{**fields, **more})


class Afternoon:
    """One account as a guard sees it: a ``CoreView`` whose orders fill on command."""

    def __init__(self):
        month = dt.date(2025, 9, 30)
        future = {"kind": Kind.FUTURE, "option_type": None, "strike_p": None, "expiry": month, "tick_p": 10}
        self.account = "AB1234"
        self.limits = Limits(check_margin=False)
        self.book = RiskBook(
            [
                listed(CALL, 1),
                listed(PUT, 2, option_type=OptionType.PE),
                listed(LATER, 3, expiry=month, strike_p=2_500_000),
                listed(WING, 4, strike_p=2_500_000),
                listed(FUT, 5, **future),
            ]
        )
        self.book.session = (at(9, 15), at(15, 30))
        self.book.funds_p = 10**12
        self.book.span["NIFTY"] = default_params(24500.0, 0.12)
        for token in (1, 2, 3, 4):
            self.book.quotes.set(token, Quote(at(10), 9950, 750, 10050, 750, 10000))
        self.book.quotes.set(5, Quote(at(10), 2_449_900, 750, 2_450_100, 750, 2_450_000))
        self.orders = {}
        self._made = 0

    def request(self, symbol=CALL, side=Side.BUY, qty=75, **more):
        self._made += 1
        fields = {"cl_ord_id": f"A{self._made}", "symbol": symbol, "side": side, "order_qty": qty, "price_p": 10000}
        return OrderRequest(**{**fields, **more})

    def place(self, request, now):
        order = begin(request, now)
        self.orders[request.cl_ord_id] = order
        self.book.on_order(None, order)
        return order

    def report(self, guard, cl_ord_id, exec_type, now, **more):
        before = self.orders[cl_ord_id]
        known = {"exec_id": f"{exec_type}-{cl_ord_id}-{now}", **more}
        said = ExecutionReport(cl_ord_id=cl_ord_id, exec_type=exec_type, ts_ns=now, recv_ns=now, **known)
        after, _ = apply(before, said)
        self.orders[cl_ord_id] = after
        self.book.on_order(before, after)
        guard.on_report(said, after, now)
        return after

    def fill(self, guard, symbol, side, qty, px_p, now, **more):
        """Place an order and fill it whole."""
        request = self.request(symbol, side, qty, price_p=px_p, **more)
        self.place(request, now)
        self.report(guard, request.cl_ord_id, ExecType.NEW, now)
        return self.report(guard, request.cl_ord_id, ExecType.TRADE, now, last_qty=qty, last_px_p=px_p)

    def trip(self, guard, profit_p, now, symbol=CALL, qty=75, **more):
        """A round trip of one contract that ends with a profit."""
        self.fill(guard, symbol, Side.BUY, qty, 10000, now - MINUTE, **more)
        self.fill(guard, symbol, Side.SELL, qty, 10000 + profit_p // qty, now, **more)

    def stop(self, guard, loss_p, now):
        """A round trip that a stop order ends."""
        self.fill(guard, CALL, Side.BUY, 75, 10000, now - MINUTE)
        self.fill(guard, CALL, Side.SELL, 75, 10000 - loss_p // 75, now, ord_type=OrdType.STOP_LIMIT, stop_px_p=10000)


@pytest.fixture
def afternoon():
    return Afternoon()
