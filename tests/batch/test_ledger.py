import datetime as dt
import math

import pytest

from toolkit.batch.ledger import EXPIRY, Ledger
from toolkit.calendar import ist_ns
from toolkit.orders.core import Core
from toolkit.tables import charges
from toolkit.types import Fill, Instrument, Kind, OptionType, Side

DAY = dt.date(2026, 7, 14)
NOW = ist_ns(DAY, dt.time(11, 0))
CALL = "NIFTY 14JUL2026 25500 CE"
PUT = "NIFTY 14JUL2026 25500 PE"


def instrument(symbol, token):
    return Instrument(
        instrument_id=token,
        symbol=symbol,
        exchange="NSE",
        segment="NSE_FO",
        underlying="NIFTY",
        kind=Kind.OPTION,
        lot=65,
        tick_p=5,
        expiry=DAY,
        strike_p=2_550_000,
        option_type=OptionType(symbol[-2:]),
        token=token,
    )


@pytest.fixture
def core():
    return Core("PAPER", instruments=[instrument(CALL, 1), instrument(PUT, 2)], funds_p=10**9)


def fill(number, symbol=CALL, side=Side.SELL, qty=65, px_p=10_000, cl_ord_id="A1"):
    return Fill(
        exec_id=f"X{number}",
        cl_ord_id=cl_ord_id,
        order_id=cl_ord_id,
        account="PAPER",
        broker="paper",
        symbol=symbol,
        exchange="NSE",
        side=side,
        last_qty=qty,
        last_px_p=px_p,
        exec_ns=NOW,
    )


def book(core, *fills):
    core.fills.update({f.exec_id: f for f in fills})


def quote(core, token, bid, ask):
    core.book.quotes.update(NOW, [token], [bid], [65.0], [ask], [65.0], [bid])


def test_a_short_gains_when_the_mid_falls(core):
    ledger = Ledger(charges())
    book(core, fill(1))
    quote(core, 1, 89.0, 91.0)
    ledger.value(NOW, core, None)
    _, realized, unrealized, gross, cost, net, *_ = ledger.rows[-1]
    assert (realized, unrealized, gross) == (0.0, 650.0, 650.0)
    assert cost == pytest.approx(ledger.charges()["total"].sum())
    assert net == pytest.approx(gross - cost)


def test_an_unmarked_position_is_unknown_never_zero(core):
    ledger = Ledger(charges())
    book(core, fill(1))
    ledger.value(NOW, core, None)
    assert math.isnan(ledger.rows[-1][2])
    assert math.isnan(ledger.rows[-1][5])
    frame = ledger.positions(core, {CALL: instrument(CALL, 1)})
    assert frame["unrealized"].to_list() == [None]
    assert frame["ltp"].to_list() == [None]


def test_fills_are_taken_once(core):
    ledger = Ledger(charges())
    book(core, fill(1))
    ledger.take(core)
    ledger.take(core)
    book(core, fill(2, side=Side.BUY, px_p=9_000))
    ledger.take(core)
    assert [f.exec_id for f in ledger.fills] == ["X1", "X2"]
    assert ledger.book.realized_p == 65 * 1_000


def test_closing_at_expiry_costs_no_brokerage_and_the_holder_pays_the_exercise_tax(core):
    ledger = Ledger(charges())
    book(core, fill(1, PUT, Side.BUY))
    ledger.take(core)
    before = ledger.charges().row(0, named=True)
    book(core, fill(2, PUT, Side.SELL, px_p=20_000, cl_ord_id=EXPIRY))
    ledger.take(core)
    after = ledger.charges().row(0, named=True)
    assert after["brokerage"] == before["brokerage"]
    assert after["stt"] - before["stt"] == round(65 * 200.0 * 0.0015)
    assert after["total"] - before["total"] == pytest.approx(after["stt"] - before["stt"])


def test_a_writer_and_a_worthless_option_pay_no_exercise_tax(core):
    ledger = Ledger(charges())
    book(
        core, fill(1, CALL, Side.BUY, px_p=20_000, cl_ord_id=EXPIRY), fill(2, PUT, Side.SELL, px_p=0, cl_ord_id=EXPIRY)
    )
    ledger.take(core)
    assert ledger.charges().height == 0


def test_an_exercise_alone_makes_a_note(core):
    ledger = Ledger(charges())
    book(core, fill(1, PUT, Side.SELL, px_p=20_000, cl_ord_id=EXPIRY))
    ledger.take(core)
    (note,) = ledger.charges().iter_rows(named=True)
    assert (note["date"], note["brokerage"], note["stt"], note["total"]) == (DAY, 0.0, 20.0, 20.0)


def test_positions_show_terms_and_average(core):
    ledger = Ledger(charges())
    book(core, fill(1), fill(2, qty=130, px_p=11_500))
    quote(core, 1, 99.0, 101.0)
    ledger.take(core)
    (row,) = ledger.positions(core, {CALL: instrument(CALL, 1)}).iter_rows(named=True)
    assert (row["net_qty"], row["sell_qty"], row["buy_qty"]) == (-195, 195, 0)
    assert row["avg_px"] == pytest.approx(110.0)
    assert row["unrealized"] == pytest.approx(-195 * 100.0 + 195 * 110.0)
    assert (row["expiry"], row["strike"], row["option_type"], row["ltp"]) == (DAY, 25_500.0, "CE", 99.0)


def test_margin_is_unknown_without_parameters(core):
    ledger = Ledger(charges())
    core.book.carry(CALL, -65, 0)
    quote(core, 1, 99.0, 101.0)
    ledger.value(NOW, core, None)
    assert math.isnan(ledger.rows[-1][-1])
