"""The account in rows: what is unknown is None, never 0, and makes what is built on it unknown."""

from __future__ import annotations

import datetime as dt
import math

import msgspec
import numpy as np
import polars as pl
import pytest

from toolkit import oi, pricing
from toolkit.market.view import ChainSlice, LegArrays
from toolkit.orders.views import chain_view, heat_since, leg_greeks, pnl_row, position_rows
from toolkit.portfolio.positions import PositionBook
from toolkit.types import Fill, Instrument, Kind, OptionType, Side

EXPIRY = dt.date(2025, 9, 2)
STRIKES = np.arange(24_000.0, 25_050.0, 100.0)
FORWARD, TTE = 24_520.0, 4 / 365
CALL = "NIFTY 02SEP2025 24500 CE"
FUTURE = "NIFTY 30SEP2025 FUT"


def contract(symbol=CALL, kind=Kind.OPTION, strike_p=2_450_000, option_type=OptionType.CE, expiry=EXPIRY):
    return Instrument(
        instrument_id=1, symbol=symbol, exchange="NSE", segment="NSE_FO", underlying="NIFTY", kind=kind, lot=75,
        tick_p=5, expiry=expiry, strike_p=strike_p, option_type=option_type, token=1, freeze_qty=1800,
    )  # fmt: skip


def legs(side, **columns):
    vol = np.full(STRIKES.size, 0.14) + np.abs(STRIKES - FORWARD) / 1e5
    price = np.asarray(pricing.price(side, FORWARD, STRIKES, TTE, vol))
    ones = np.ones(STRIKES.size)
    known = pricing.greeks(side, FORWARD, STRIKES, TTE, vol)
    greeks = {"delta": known.delta, "gamma": known.gamma, "vega": known.vega}
    made = {"oi": 1000 * ones, "volume": 50 * ones, "bid_qty": 75 * ones, "ask_qty": 75 * ones, "iv": vol, **greeks}
    made |= {"ltp": price, "bid": price - 0.5, "ask": price + 0.5, "theta": -3650.0 * ones}
    return LegArrays(token=np.arange(STRIKES.size), **made | columns)


def chain(**more):
    fields = {"spot": 24_500.0, "forward": FORWARD, "tte": TTE, "ce": legs("CE"), "pe": legs("PE"), "lot": 75}
    base = {"underlying": "NIFTY", "exchange": "NSE", "expiry": EXPIRY, "ts_ns": 1, "recv_ns": 2, "strikes": STRIKES}
    return ChainSlice(**base | fields | more)


def bought(*fills, symbol=CALL):
    book = PositionBook("average")
    for n, (qty, px_p) in enumerate(fills):
        side = Side.BUY if qty > 0 else Side.SELL
        book.apply(
            Fill(
                exec_id=f"E{n}", cl_ord_id=f"A{n}", order_id=f"{n}", account="ACC", broker="paper", symbol=symbol,
                exchange="NSE", side=side, last_qty=abs(qty), last_px_p=px_p, exec_ns=n,
            )
        )  # fmt: skip
    return book


def rows_of(net, book, instruments=None, last=120.0, found=None):
    known = {CALL: contract()} if instruments is None else instruments
    return position_rows("ACC", "paper", net, book, known, lambda symbol: last, lambda instrument: found)


def test_a_future_moves_one_for_one_and_an_option_as_its_strike_in_the_chain():
    future = contract(FUTURE, Kind.FUTURE, None, None)
    assert leg_greeks(future, None) == {"delta": 1.0, "gamma": 0.0, "vega": 0.0, "theta": 0.0}
    found = leg_greeks(contract(), chain())
    assert found["delta"] == chain().ce.delta[5] == pytest.approx(0.52, abs=0.03)
    assert leg_greeks(contract(option_type=OptionType.PE), chain())["delta"] == chain().pe.delta[5] < 0


@pytest.mark.parametrize("strike_p", [2_452_500, 2_600_000, None])
def test_a_strike_that_the_chain_has_not_has_unknown_greeks(strike_p):
    assert all(math.isnan(v) for v in leg_greeks(contract(strike_p=strike_p), chain()).values())


def test_without_a_chain_greeks_are_unknown():
    assert all(math.isnan(v) for v in leg_greeks(contract(), None).values())


def test_a_position_with_cost_mark_and_greeks():
    (row,) = rows_of({CALL: 75}, bought((150, 10_000), (-75, 11_000)), found=chain())
    assert (row["net_qty"], row["avg_px"], row["ltp"], row["lot"]) == (75, 100.0, 120.0, 75)
    assert (row["realized"], row["unrealized"]) == (750.0, 1500.0)
    assert row["delta"] == 75 * chain().ce.delta[5]
    assert row["theta_day"] == -750.0
    assert (row["exchange"], row["underlying"], row["expiry"]) == ("NSE", "NIFTY", "2025-09-02")


def test_a_short_position_gains_when_the_mark_falls():
    (row,) = rows_of({CALL: -75}, bought((-75, 13_000)))
    assert (row["avg_px"], row["unrealized"]) == (130.0, 750.0)


def test_what_the_fills_do_not_explain_has_no_cost():
    (row,) = rows_of({CALL: 225}, bought((75, 10_000)), found=chain())
    assert (row["net_qty"], row["avg_px"], row["unrealized"], row["realized"]) == (225, None, None, 0.0)
    (carried,) = rows_of({CALL: 75}, PositionBook("average"))
    assert (carried["avg_px"], carried["unrealized"], carried["realized"]) == (None, None, None)


def test_an_unknown_mark_makes_the_open_profit_unknown_and_a_flat_line_keeps_its_own():
    (held,) = rows_of({CALL: 75}, bought((75, 10_000)), last=math.nan)
    assert (held["ltp"], held["unrealized"], held["delta"], held["theta_day"]) == (None, None, None, None)
    (flat,) = rows_of({}, bought((75, 10_000), (-75, 9_000)), last=math.nan)
    assert (flat["net_qty"], flat["unrealized"], flat["realized"], flat["delta"]) == (0, 0.0, -750.0, 0.0)


def test_a_contract_that_is_not_listed_is_shown_with_what_the_fills_say():
    (row,) = rows_of({CALL: 75}, bought((75, 10_000)), instruments={})
    assert (row["exchange"], row["underlying"], row["lot"], row["delta"]) == ("NSE", None, None, None)


def test_a_share_of_two_exchanges_has_a_row_for_each_and_loses_no_profit():
    share, book = "RELIANCE EQ", PositionBook("average")
    for n, (exchange, side, qty, px_p) in enumerate(
        [("NSE", Side.BUY, 100, 140_000), ("NSE", Side.SELL, 40, 141_000), ("BSE", Side.SELL, 25, 140_500)]
    ):
        book.apply(
            Fill(
                exec_id=f"E{n}", cl_ord_id=f"A{n}", order_id=f"{n}", account="ACC", broker="paper", symbol=share,
                exchange=exchange, side=side, last_qty=qty, last_px_p=px_p, exec_ns=n,
            )
        )  # fmt: skip
    assert book.net() == {share: 35}
    rows = rows_of({share: 35}, book, instruments={}, last=1402.0)
    assert [(r["exchange"], r["net_qty"], r["avg_px"], r["realized"], r["unrealized"]) for r in rows] == [
        ("BSE", -25, 1405.0, 0.0, 75.0), ("NSE", 60, 1400.0, 400.0, 120.0),
    ]  # fmt: skip
    assert pnl_row("ACC", "paper", rows, 0.0)["realized"] == 400.0
    (whole,) = rows_of({share: 50}, book, instruments={}, last=1402.0)  # what the broker counts is something else
    assert (whole["net_qty"], whole["avg_px"], whole["unrealized"], whole["realized"]) == (50, None, None, 400.0)


def test_another_accounts_fills_are_not_shown():
    book = bought((75, 10_000))
    assert position_rows("OTHER", "paper", {}, book, {}, lambda s: 1.0, lambda i: None) == []


def test_profit_is_whole_or_unknown():
    rows = rows_of({CALL: 75}, bought((150, 10_000), (-75, 11_000)))
    row = pnl_row("ACC", "paper", rows, 50.25)
    assert row == {
        "account": "ACC", "broker": "paper", "realized": 750.0, "unrealized": 1500.0, "gross": 2250.0,
        "charges": 50.25, "net": 2199.75,
    }  # fmt: skip
    assert pnl_row("ACC", "paper", rows, None)["net"] is None
    unknown = rows_of({CALL: 75}, bought((75, 10_000)), last=math.nan)
    lost = pnl_row("ACC", "paper", unknown, 1.0)
    assert (lost["unrealized"], lost["gross"], lost["net"]) == (None, None, None)
    assert pnl_row("ACC", "paper", [], 0.0)["net"] == 0.0


def test_a_chain_row_a_strike_with_the_own_position_and_the_whole():
    shown = chain_view(chain(), {CALL: -75}, stale=True)
    assert [row["strike"] for row in shown["rows"]] == STRIKES.tolist()
    middle = shown["rows"][5]
    assert (middle["ce_symbol"], middle["ce_position"], middle["pe_position"]) == (CALL, -75, 0)
    assert middle["ce_theta_day"] == -10.0
    assert middle["ce_vega_pt"] == pytest.approx(chain().ce.vega[5] / 100)
    assert (shown["stale"], shown["expiry"], shown["atm_iv"]) == (True, "2025-09-02", chain().ce.iv[5])
    mids = chain()
    assert shown["straddle"]["price"] == oi.straddle(STRIKES, mids.ce.mid, mids.pe.mid, FORWARD).price
    assert shown["pcr"] == 1.0
    assert shown["max_pain"] == oi.max_pain(STRIKES, mids.ce.oi, mids.pe.oi, FORWARD).strike
    assert msgspec.json.decode(msgspec.json.encode(shown)) == shown


def test_the_smile_prices_every_strike_near_the_market():
    shown = chain_view(chain(), {}, stale=False)
    assert shown["smile"]["model"] == "svi"
    assert shown["smile"]["iv"] == pytest.approx(chain().ce.iv.tolist(), abs=0.005)
    theo = [row["ce_theo"] for row in shown["rows"]]
    assert theo == pytest.approx(chain().ce.ltp.tolist(), abs=6.0)


def test_what_a_chain_does_not_know_is_null_in_json():
    blank = np.full(STRIKES.size, np.nan)
    shown = chain_view(
        chain(spot=math.nan, ce=legs("CE", oi=blank, iv=blank, ltp=blank), pe=legs("PE", iv=blank)), {}, stale=False
    )
    assert (shown["spot"], shown["pcr"], shown["max_pain"], shown["smile"], shown["atm_iv"]) == (None,) * 5
    assert {row["ce_ltp"] for row in shown["rows"]} == {row["ce_theo"] for row in shown["rows"]} == {None}
    nowhere = chain_view(chain(forward=math.nan), {}, stale=False)
    assert (nowhere["forward"], nowhere["atm_iv"]) == (None, None)


def snapshots(*bursts):
    """Chain snapshots of (minute, {(strike, side): oi})."""
    rows = [
        {
            "ts": dt.datetime(2025, 8, 29, 9, minute), "expiry": EXPIRY, "strike_p": strike * 100,
            "option_type": side, "oi": units,
        }
        for minute, found in bursts
        for (strike, side), units in found.items()
    ]  # fmt: skip
    frame = pl.DataFrame(rows, schema_overrides={"oi": pl.Int64, "strike_p": pl.Int64})
    return frame.with_columns(pl.col("ts").dt.replace_time_zone("UTC").cast(pl.Datetime("us", "UTC")))


def at(minute):
    return int(dt.datetime(2025, 8, 29, 9, minute, tzinfo=dt.UTC).timestamp()) * 10**9


def test_heat_is_the_change_since_the_base_by_contract():
    frame = snapshots(
        (20, {(24500, "CE"): 100, (24500, "PE"): 50}),
        (21, {(24500, "CE"): 130, (24500, "PE"): 50}),
        (22, {(24500, "CE"): 90, (24500, "PE"): 75, (24600, "CE"): 10}),
    )
    rows, base = heat_since(frame, at(21))
    assert base == at(21)
    assert [(r["strike"], r["option_type"], r["oi"], r["oi_change"]) for r in rows] == [
        (24500.0, "CE", 90, -40), (24500.0, "PE", 75, 25), (24600.0, "CE", 10, None),
    ]  # fmt: skip


def test_a_base_after_the_last_snapshot_falls_back_to_the_first_and_nothing_gives_nothing():
    frame = snapshots((20, {(24500, "CE"): 100}), (22, {(24500, "CE"): 90}))
    assert heat_since(frame, at(50)) == (heat_since(frame, at(1))[0], at(20))
    assert heat_since(frame.clear(), at(20)) == ([], None)
