"""Margin of accounts: what is unknown, shares, debits and collateral, and the worst of each minute."""

from __future__ import annotations

import datetime as dt
import math
from types import SimpleNamespace

import pytest

from toolkit import defaults
from toolkit.brokers.port import Funds
from toolkit.calendar import ist_ns
from toolkit.orders.live_margin import Margins, Shots
from toolkit.risk.book import RiskBook
from toolkit.risk.margin import default_params
from toolkit.types import Instrument, Kind, OptionType, OrderRequest, OrdType, Side

DAY = dt.date(2026, 7, 13)
CE, SHARE = "NIFTY 14JUL2026 25000 CE", "RELIANCE EQ"
RATES = defaults.get("margins")


def at(text):
    return ist_ns(DAY, dt.time.fromisoformat(text))


def listed(symbol, **more):
    fields = {"exchange": "NSE", "segment": "NSE_FO", "underlying": symbol.split()[0], "tick_p": 5, "lot": 1}
    return Instrument(instrument_id=len(symbol), symbol=symbol, **{**fields, **more})


CONTRACTS = [
    listed(CE, kind=Kind.OPTION, lot=65, expiry=dt.date(2026, 7, 14), strike_p=2_500_000, option_type=OptionType.CE),
    listed("SENSEX 16JUL2026 FUT", kind=Kind.FUTURE, lot=20, expiry=dt.date(2026, 7, 16), exchange="BSE"),
    listed(SHARE, kind=Kind.EQUITY, segment="NSE_CM"),
]


class Rig:
    """One paper-like account with a book of its own; its broker says what ``funds`` says."""

    def __init__(self, **net):
        self.funds = Funds(cash_p=10**8, used_p=0, available_p=10**8, collateral_p=0)
        self.now_ns, self.marks = at("11:05"), {CE: 100.0}
        book = RiskBook()
        book.add(CONTRACTS)
        book.net = net
        self.books = {}

        async def margins():
            return self.funds

        async def order_margins(requests):
            return SimpleNamespace(total=42.0)

        broker = SimpleNamespace(name="paper", margins=margins, order_margins=order_margins)
        figures = SimpleNamespace(money=self.funds, strategies=lambda: self.books)
        engine = SimpleNamespace(core=SimpleNamespace(book=book), figures=figures, broker=broker)
        self.seat = SimpleNamespace(engine=engine, account="A", broker="paper")
        hub = SimpleNamespace(mark=lambda symbol: self.marks.get(symbol, math.nan))
        params = {"NIFTY": default_params(25_000.0, 0.12)}
        self.margins = Margins(hub, lambda: self.now_ns, lambda names: params)


def asked(symbol=CE, side=Side.SELL, qty=65, **more):
    return OrderRequest(cl_ord_id="A1", symbol=symbol, side=side, order_qty=qty, account="A", **more)


async def test_a_position_without_parameters_makes_the_figure_unknown_and_says_whose():
    rig = Rig(**{"SENSEX 16JUL2026 FUT": 20, CE: -65})
    row = await rig.margins.row(rig.seat)
    assert (row["ours"], row["parts"], row["funding"], row["peak"]) == (None, None, None, None)
    assert row["label"] == "unknown: no margin parameters for SENSEX"
    assert row["strategies"] == {"manual": None}
    order = await rig.margins.order(rig.seat, [asked(price_p=10_000)])
    assert order == {"total": None, "label": "unknown: no margin parameters for SENSEX", "broker_total": 42.0}


async def test_strategies_stand_by_themselves_and_the_rest_is_by_hand():
    rig = Rig(**{CE: -195})
    rig.books = {"straddle": SimpleNamespace(net=lambda: {CE: -130})}
    row = await rig.margins.row(rig.seat)
    assert row["strategies"]["straddle"] == pytest.approx(2 * row["strategies"]["manual"])
    assert sum(row["strategies"].values()) == pytest.approx(row["ours"])


async def test_shares_are_paid_for_in_full_in_cash():
    rig = Rig(**{SHARE: 10})
    row = await rig.margins.row(rig.seat)
    assert row["ours"] == 0.0
    buy = asked(SHARE, Side.BUY, 100, price_p=140_000)
    order = await rig.margins.order(rig.seat, [buy, asked(price_p=10_000)])
    alone = await rig.margins.order(rig.seat, [asked(price_p=10_000)])
    assert order["shares"] == 140_000.0
    assert order["total"] == pytest.approx(alone["total"] + 140_000.0)
    assert order["funding"]["premium"] == 140_000.0
    sold = await rig.margins.order(rig.seat, [asked(SHARE, Side.SELL, 10, price_p=140_000)])
    assert (sold["total"], sold["broker_text"]) == (
        0.0,
        "shares are paid for in full; there is nothing to compare with",
    )
    unknown = await rig.margins.order(rig.seat, [asked(SHARE, Side.BUY, 1, ord_type=OrdType.MARKET)])
    assert (unknown["total"], unknown["label"]) == (None, "unknown: a share without a price")


async def test_half_in_cash_the_rest_may_be_pledged_and_a_debit_is_still_to_be_paid():
    rig = Rig(**{CE: -65})
    need = (await rig.margins.row(rig.seat))["ours"]
    rig.funds = Funds(cash_p=round(need * 80), used_p=0, collateral_p=round(need * 80))
    covered = (await rig.margins.row(rig.seat))["funding"]
    assert covered["cash_short"] == pytest.approx(need / 2)
    assert covered["short"] == pytest.approx(0.2 * need, abs=0.02)
    rig.funds = Funds(cash_p=round(need * 70), used_p=0, collateral_p=round(need * 80))
    debit = (await rig.margins.row(rig.seat))["funding"]
    assert debit["short"] == pytest.approx(0.3 * need, abs=0.02)
    rig.funds = Funds(cash_p=10**8, used_p=0)
    assert (await rig.margins.row(rig.seat))["funding"] is None  # nobody says what of it is pledged


def test_the_worst_of_a_minute_is_kept_and_a_day_begins_anew():
    shots = Shots()
    assert shots.view(at("11:00"), RATES) is None
    shots.take(at("10:58:10"), 100.0, 90.0)
    for second, required, available in ((5, 50.0, 90.0), (20, 1000.0, 900.0), (40, 2000.0, 2000.0)):
        shots.take(at(f"11:00:{second:02d}"), required, available)
    shots.take(at("11:31:01"), 10_000.0, 0.0)  # after the window
    assert [shot.required for shot in shots.kept] == [100.0, 1000.0, 10_000.0]
    found = shots.view(at("11:40"), RATES)
    assert found == {
        "required": 1000.0, "shortfall": 100.0, "penalty": pytest.approx(1.0), "window": "11:00-11:30",
        "at_ns": at("11:00"), "since_ns": at("10:58:10"),
    }  # fmt: skip
    assert shots.view(at("11:40") + 86_400 * 10**9, RATES) is None
    shots.take(at("09:20") + 86_400 * 10**9, 7.0, 9.0)
    assert [shot.required for shot in shots.kept] == [7.0]
    assert shots.view(at("09:21") + 86_400 * 10**9, RATES)["window"] is None


async def test_what_is_noted_is_margin_and_money_and_nothing_while_one_is_unknown():
    rig = Rig(**{CE: -65})
    await rig.margins.note(rig.seat)
    (shot,) = rig.margins._shots["A"].kept
    assert shot.required > 0
    assert shot.available == 1_000_000.0
    blind = Rig(**{"SENSEX 16JUL2026 FUT": 20})
    await blind.margins.note(blind.seat)
    poor = Rig(**{CE: -65})
    poor.seat.engine.figures.money = None
    await poor.margins.note(poor.seat)
    assert blind.margins._shots == poor.margins._shots == {}


async def test_cash_is_unknown_from_the_first_leg_on_that_has_no_price():
    rig = Rig()
    rig.marks = {}
    future = asked("SENSEX 16JUL2026 FUT", Side.BUY, 20, ord_type=OrdType.MARKET)
    rig.margins._params = lambda names: dict.fromkeys(("NIFTY", "SENSEX"), default_params(25_000.0, 0.12))
    legs = [future, asked(side=Side.BUY, price_p=10_000), asked(side=Side.BUY, ord_type=OrdType.MARKET)]
    found = (await rig.margins.change(rig.seat, legs))["leg_order"]
    assert [row["premium_paid"] for row in found] == [0.0, 6_500.0, None]
    assert [row["needed"] is None for row in found] == [False, False, True]
