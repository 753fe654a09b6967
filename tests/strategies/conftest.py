"""A small market for strategies: one expiry, made-up quotes, positions and orders set by the test."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from toolkit.market.view import ChainSlice, LegArrays
from toolkit.types import (
    ExecType,
    ExecutionReport,
    Instrument,
    Kind,
    Order,
    OrderRequest,
    OrdStatus,
    Place,
    Side,
)

EXPIRY = dt.date(2025, 9, 2)
DAY_NS = int(dt.datetime(2025, 8, 29, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30))).timestamp()) * 10**9
MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]


def _normal(x):
    return 0.5 * (1.0 + np.vectorize(math.erf)(x / math.sqrt(2.0)))


def make_chain(forward=24576.0, *, step=50.0, wide=0.1, iv=0.11, tte=4 / 365, now_ns=DAY_NS, expiry=EXPIRY):
    """A Black-76 chain over 23 000 to 26 000, quoted ``wide`` rupees across."""
    strikes = np.arange(23000.0, 26000.0 + step, step)
    total = iv * math.sqrt(tte)
    d1 = np.log(forward / strikes) / total + total / 2
    legs = []
    for cp in (1, -1):
        price = cp * (forward * _normal(cp * d1) - strikes * _normal(cp * (d1 - total)))
        bid = np.floor(np.maximum(price - wide / 2, 0.0) * 20) / 20
        bid = np.where(bid > 0, bid, np.nan)
        ask = np.ceil((price + wide / 2) * 20) / 20
        n = len(strikes)
        density = np.exp(-(d1**2) / 2) / math.sqrt(2 * math.pi)
        legs.append(
            LegArrays(
                token=np.arange(n) + (0 if cp == 1 else n),
                oi=np.full(n, 75_000.0),
                volume=np.full(n, 7_500.0),
                ltp=price,
                bid=bid,
                ask=ask,
                bid_qty=np.full(n, 7_500.0),
                ask_qty=np.full(n, 7_500.0),
                iv=np.full(n, iv),
                delta=cp * _normal(cp * d1),
                gamma=density / (forward * total),
                vega=forward * density * math.sqrt(tte),
                theta=-forward * density * iv / (2 * math.sqrt(tte)),
            )
        )
    return ChainSlice(
        underlying="NIFTY",
        exchange="NSE",
        expiry=expiry,
        ts_ns=now_ns,
        recv_ns=now_ns,
        strikes=strikes,
        lot=75,
        spot=math.nan,
        forward=forward,
        tte=tte,
        ce=legs[0],
        pe=legs[1],
    )


@dataclass
class Market:
    """A view whose every part a test may set, with fills and denials at will."""

    now_ns: int = DAY_NS
    slice_: ChainSlice | None = field(default_factory=make_chain)
    all_levels: Mapping[str, float] | None = None
    net: dict[str, int] = field(default_factory=dict)
    working: list[Order] = field(default_factory=list)
    underlying: str = "NIFTY"
    count: int = 0

    @property
    def spot(self):
        return math.nan

    def at(self, clock, forward=None, **chain):
        """Move to a time of the day, with the forward there."""
        hour, minute = (int(part) for part in clock.split(":"))
        self.now_ns = DAY_NS + (hour * 60 + minute) * 60 * 10**9
        if forward is not None or chain:
            self.slice_ = make_chain(self.slice_.forward if forward is None else forward, **chain)
        return self

    def expiries(self):
        return () if self.slice_ is None else (self.slice_.expiry,)

    def chain(self, expiry=None):
        return self.slice_ if self.slice_ is not None and expiry in (None, self.slice_.expiry) else None

    def levels(self, expiry=None):
        return self.all_levels

    def position(self, symbol):
        return self.net.get(symbol, 0)

    def positions(self):
        return {symbol: net for symbol, net in sorted(self.net.items()) if net}

    def orders(self):
        return tuple(self.working)

    def instrument(self, symbol):
        name, date, strike, side = symbol.split()
        expiry = dt.date(int(date[5:]), MONTHS.index(date[2:5]) + 1, int(date[:2]))
        return Instrument(
            instrument_id=1,
            symbol=symbol,
            exchange="NSE",
            segment="NFO",
            underlying=name,
            kind=Kind.OPTION,
            lot=75,
            tick_p=5,
            expiry=expiry,
            strike_p=round(float(strike) * 100),
            option_type=side,
        )

    def fill(self, strategy, intents):
        """Fill every Place at its limit and tell the strategy."""
        for intent in intents:
            if not isinstance(intent, Place):
                continue
            self.count += 1
            self.net[intent.symbol] = self.position(intent.symbol) + intent.side.sign * intent.order_qty
            strategy.on_report(self.report(intent, ExecType.TRADE))

    def report(self, intent, exec_type, text=""):
        """A report about an intent."""
        traded = exec_type is ExecType.TRADE
        return ExecutionReport(
            cl_ord_id=f"A{self.count}",
            exec_id=f"E{self.count}",
            exec_type=exec_type,
            ts_ns=self.now_ns,
            recv_ns=self.now_ns,
            symbol=intent.symbol,
            side=intent.side,
            last_qty=intent.order_qty if traded else 0,
            last_px_p=(intent.price_p or 0) if traded else 0,
            text=text,
        )

    def work(self, symbol, side, quantity, *, age_s=0.0, status=OrdStatus.NEW):
        """Put an open order into the book."""
        self.count += 1
        self.working.append(
            Order(
                request=OrderRequest(
                    cl_ord_id=f"A{self.count}", symbol=symbol, side=Side(side), order_qty=quantity, price_p=100
                ),
                ord_status=status,
                cum_qty=0,
                leaves_qty=quantity,
                traded_value_p=0,
                created_ns=self.now_ns - round(age_s * 1e9),
                updated_ns=self.now_ns,
            )
        )

    def run(self, strategy, *, rounds=4):
        """Call the strategy until it wants nothing, filling everything; gives all intents."""
        seen = []
        for _ in range(rounds):
            intents = list(strategy.on_chain(self))
            seen += intents
            self.fill(strategy, intents)
            if not intents:
                break
        return seen

    def unquoted(self, index, side, **quotes):
        """Change quotes of one option, as in ``unquoted(3, "CE", bid=nan)``."""
        leg = self.slice_.side(side)
        arrays = {}
        for name, value in quotes.items():
            arrays[name] = getattr(leg, name).copy()
            arrays[name][index] = value
        self.slice_ = replace(self.slice_, **{side.lower(): replace(leg, **arrays)})
        return self


@pytest.fixture
def market():
    """The market at 10:00 of an ordinary day."""
    return Market().at("10:00")
