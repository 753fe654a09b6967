"""The margin kept in step with a risk book equals the one computed afresh from its legs."""

from __future__ import annotations

import datetime as dt
import random

import pytest

from toolkit.calendar import ist_ns
from toolkit.market.quotes import Quote
from toolkit.orders.lifecycle import begin
from toolkit.risk.book import RiskBook
from toolkit.risk.margin import default_params, span_margin
from toolkit.types import Instrument, Kind, OptionType, OrderRequest, Side

DAY = dt.date(2025, 8, 29)
NOW = ist_ns(DAY, dt.time(10))
LOT = 75


def listed(n, expiry, kind, strike):
    word = {OptionType.CE: "CE", OptionType.PE: "PE", None: "FUT"}[kind]
    return Instrument(
        instrument_id=n, symbol=f"NIFTY {expiry:%d%b%Y} {strike} {word}".upper(), exchange="NSE", segment="NFO",
        underlying="NIFTY", kind=Kind.FUTURE if kind is None else Kind.OPTION, lot=LOT, tick_p=5, expiry=expiry,
        strike_p=None if kind is None else strike * 100, option_type=kind, token=n,
    )  # fmt: skip


NEAR, FAR = dt.date(2025, 9, 2), dt.date(2025, 9, 30)
LISTED = [
    listed(n, *terms)
    for n, terms in enumerate(
        [(e, k, s) for e in (NEAR, FAR) for k in (OptionType.CE, OptionType.PE) for s in (24000, 24500, 25000)]
        + [(FAR, None, 0)]
    )
]


def afresh(book, now, extra=None):
    """The worse of buys or sells first, from legs made anew."""
    return max(round(span_margin(book.legs("NIFTY", now, extra, buys=b), book.span).total * 100) for b in (False, True))


def quote(draw, n, now):
    price = 2_450_000 if n == len(LISTED) - 1 else draw.randint(500, 50_000)
    kinds = [
        Quote(now, price - 5, 75, price + 5, 75, price),
        Quote(now, ltp_p=price),
        Quote(now, bid_p=price),
        Quote(now),
    ]
    return draw.choice(kinds)


@pytest.mark.parametrize("seed", range(6))
def test_a_day_of_changes(seed):
    draw = random.Random(seed)
    book = RiskBook(LISTED)
    book.span["NIFTY"] = default_params(24500.0, 0.12)
    now, made = NOW, 0
    for _ in range(60):
        act = draw.random()
        instrument = draw.choice(LISTED)
        if act < 0.3:
            book.carry(instrument.symbol, LOT * draw.randint(-6, 6), 0)
        elif act < 0.5:
            made += 1
            side, qty = draw.choice(list(Side)), LOT * draw.randint(1, 4)
            request = OrderRequest(
                cl_ord_id=f"R{made}", symbol=instrument.symbol, side=side, order_qty=qty, price_p=9000
            )
            book.on_order(None, begin(request, now))
        elif act < 0.8:
            n = draw.randrange(len(LISTED))
            book.quotes.set(n, quote(draw, n, now))
        elif act < 0.87:
            book.span["NIFTY"] = default_params(draw.uniform(24000, 25000), draw.uniform(0.1, 0.3))
        elif act < 0.9:
            now += 86_400 * 10**9
        elif act < 0.93:
            book.add(LISTED)
        elif act < 0.96:
            book.net = {instrument.symbol: -LOT}
        wanted, side, qty = draw.choice(LISTED), draw.choice(list(Side)), LOT * draw.randint(1, 4)
        ours = book.need.after_p(wanted.symbol, side, qty, now)
        assert ours == pytest.approx(afresh(book, now, (wanted.symbol, side, qty)), abs=1)
        kept = book.need.shape()
        book.need.reset()
        assert kept == book.need.shape(), "what was kept is what is counted afresh"
        positions = [book.leg(book.instruments[s], q, now) for s, q in book.net.items()]
        assert book.need.held_p(now) == pytest.approx(round(span_margin(positions, book.span).total * 100), abs=1)


def test_what_the_account_is_in_follows_its_changes():
    book = RiskBook(LISTED)
    future = LISTED[-1].symbol
    assert book.need.shape() == ((), frozenset(), ())
    book.carry("GONE 02SEP2025 1 CE", LOT, 0)
    book.carry(future, LOT, 0)
    assert book.need.shape() == (("GONE 02SEP2025 1 CE",), frozenset({"NIFTY"}), (future,))
    book.carry(future, 0, 0)
    book.carry("GONE 02SEP2025 1 CE", 0, 0)
    assert book.need.shape() == ((), frozenset(), ())


def test_the_gross_position_and_the_premium_due_are_counted_as_they_change():
    book = RiskBook(LISTED)
    call = LISTED[0].symbol
    book.carry(call, -2 * LOT, 0)
    order = begin(OrderRequest(cl_ord_id="A", symbol=call, side=Side.BUY, order_qty=LOT, price_p=100), NOW)
    book.on_order(None, order)
    assert (book.gross["NIFTY"], book.premium_due_p) == (3 * LOT, LOT * 100)
    book.add(LISTED)
    assert (book.gross["NIFTY"], book.premium_due_p) == (3 * LOT, LOT * 100)
    book.net = {}
    assert book.gross["NIFTY"] == LOT
