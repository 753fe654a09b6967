"""The newest tick of every instrument: order, conflation, growth, and what it becomes as rows."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.calendar import ist_ns
from toolkit.errors import BadData
from toolkit.market.kite_wire import FULL, INDEX_FULL, LTP, QUOTE, TICK
from toolkit.market.last_values import LastValues, chain_rows, depth, future_rows, quotes, spot_rows, tick_rows
from toolkit.market.schema import CHAIN, FUTURES, SPOT, TICKS
from toolkit.types import Instrument, Kind, OptionType

DAY = dt.date(2026, 7, 13)
NOW = ist_ns(DAY, dt.time(11, 0, 5))
SEC = NOW // 1_000_000_000


def tick(token: int, ltp: int = 10_000, kind: int = FULL, exch_s: int = SEC - 1, **fields: int) -> np.ndarray:
    out = np.zeros(1, TICK)
    out["token"], out["ltp"], out["kind"], out["exch_s"] = token, ltp, kind, exch_s
    out["divisor"], out["recv_ns"] = 100, NOW
    for name, value in fields.items():
        out[name] = value
    return out


def contract(
    token: int, kind: Kind = Kind.OPTION, strike_p: int | None = 2_400_000, cp: str | None = "CE"
) -> Instrument:
    return Instrument(
        instrument_id=token,
        symbol=f"NIFTY {token}",
        exchange="NSE",
        segment="NSE_FO",
        underlying="NIFTY",
        kind=kind,
        lot=65,
        tick_p=5,
        expiry=None if kind is Kind.INDEX else dt.date(2026, 7, 14),
        strike_p=strike_p if kind is Kind.OPTION else None,
        option_type=OptionType(cp) if kind is Kind.OPTION and cp else None,
        token=token,
    )


def test_the_newest_of_each_instrument_is_held_and_unknown_ones_are_taken_in() -> None:
    last = LastValues([5])
    assert last.row(5) is None
    last.apply(np.concatenate([tick(5, 1), tick(3, 2), tick(5, 3), tick(9, 4)]))
    assert last.rows()["token"].tolist() == [3, 5, 9]
    assert last.rows()["ltp"].tolist() == [2, 3, 4]
    assert len(last) == 3
    assert last.row(5)["ltp"] == 3
    assert last.row(4) is None
    assert last.row(10) is None


def test_changed_gives_each_change_once() -> None:
    last = LastValues()
    last.apply(np.concatenate([tick(1), tick(2)]))
    assert last.changed()["token"].tolist() == [1, 2]
    assert len(last.changed()) == 0
    last.apply(tick(2, 7))
    assert last.changed()["ltp"].tolist() == [7]


def test_a_late_tick_is_counted_and_changes_nothing() -> None:
    last = LastValues()
    last.apply(tick(1, 100, exch_s=50))
    last.apply(tick(1, 99, exch_s=49))
    assert last.row(1)["ltp"] == 100
    assert last.late == 1
    last.apply(np.concatenate([tick(1, 102, exch_s=60), tick(1, 101, exch_s=55)]))
    assert last.row(1)["ltp"] == 102, "the newer of one batch wins though it came first"
    last.apply(tick(1, 103, kind=LTP, exch_s=0))
    assert last.row(1)["ltp"] == 103, "a tick without a stamp is as new as its receipt"


def test_what_it_gives_is_a_copy() -> None:
    last = LastValues()
    last.apply(tick(1, 100))
    rows, row = last.rows(), last.row(1)
    rows["ltp"] = 1
    row["ltp"] = 1
    assert last.row(1)["ltp"] == 100


def test_keep_forgets_the_others() -> None:
    last = LastValues()
    last.apply(np.concatenate([tick(1), tick(2), tick(3)]))
    last.keep([2, 7])
    assert last.rows()["token"].tolist() == [2]
    last.apply(tick(3, 9))
    assert last.rows()["ltp"].tolist() == [10_000, 9]


@given(
    st.lists(
        st.lists(st.tuples(st.integers(1, 12), st.integers(1, 10**6), st.integers(1, 50)), max_size=20), max_size=8
    )
)
def test_it_equals_a_dictionary(batches) -> None:
    last, model, late = LastValues(), {}, 0
    for batch in batches:
        if not batch:
            continue
        last.apply(np.concatenate([tick(t, p, exch_s=s) for t, p, s in batch]))
        before = dict(model)
        for t, p, s in batch:
            if t in before and s < before[t][1]:
                late += 1
            elif t not in model or s >= model[t][1]:
                model[t] = (p, s)
    rows = last.rows()
    assert (
        dict(zip(rows["token"].tolist(), zip(rows["ltp"].tolist(), rows["exch_s"].tolist(), strict=True), strict=True))
        == model
    )
    assert last.late == late


def test_depth_is_five_levels_a_side_and_an_empty_level_is_unknown() -> None:
    row = tick(1)
    row["bid"]["price"][0, :2], row["bid"]["qty"][0, :2], row["bid"]["orders"][0, :2] = (
        [10_150, 10_145],
        [75, 150],
        [1, 2],
    )
    row["ask"]["price"][0, 0], row["ask"]["qty"][0, 0] = 10_155, 225
    book = depth(row[0])
    assert book.bid[:2].tolist() == [101.5, 101.45]
    assert np.isnan(book.bid[2:]).all()
    assert book.bid_qty.tolist() == [75, 150, 0, 0, 0]
    assert book.bid_orders.tolist() == [1, 2, 0, 0, 0]
    assert (book.ask[0], book.ask_qty[0], book.token) == (101.55, 225, 1)
    assert book.ts_ns == (SEC - 1) * 10**9
    with pytest.raises(BadData, match="token 2 has no depth; subscribe in mode full"):
        depth(tick(2, kind=QUOTE)[0])


def test_quotes_say_null_for_what_the_mode_does_not_carry() -> None:
    frame = quotes(
        np.concatenate(
            [
                tick(1, volume=75, oi=500, last_qty=75),
                tick(2, kind=QUOTE, exch_s=0, volume=7),
                tick(3, kind=LTP, exch_s=0),
            ]
        )
    )
    assert frame["volume"].to_list() == [75, 7, None]
    assert frame["oi"].to_list() == [500, None, None]
    assert frame["bid"].to_list() == [None, None, None]
    assert frame["stamped"].to_list() == [True, False, False]
    assert frame["ts"][0] < frame["recv_ts"][0]
    assert frame["ts"][1] == frame["recv_ts"][1]


def market() -> tuple[np.ndarray, dict[int, Instrument]]:
    contracts = {
        1: contract(1, strike_p=2_450_000, cp="PE"),
        2: contract(2, strike_p=2_400_000, cp="CE"),
        3: contract(3, Kind.FUTURE),
        4: contract(4, Kind.INDEX),
        5: contract(5, strike_p=2_500_000),
    }
    options = np.concatenate([tick(1, 5_000, oi=650, volume=130), tick(2, 60_000, oi=65, exch_s=SEC - 90)])
    options["bid"]["price"][:, 0], options["bid"]["qty"][:, 0] = [4_995, 59_990], 65
    options["ask"]["price"][:, 0], options["ask"]["qty"][:, 0] = [5_005, 60_010], 130
    others = np.concatenate(
        [tick(3, 2_552_000, oi=10), tick(4, 2_546_440, INDEX_FULL, open=2_540_000, high=2_550_000, low=2_530_000)]
    )
    return np.concatenate([options, others]), contracts


def test_a_chain_snapshot_has_one_stamp_and_only_what_has_ticked() -> None:
    rows, contracts = market()
    chain = chain_rows(rows, contracts, NOW, spot=25_464.4, future=25_520.0)
    assert dict(chain.schema) == dict(CHAIN)
    assert chain["strike_p"].to_list() == [2_400_000, 2_450_000]
    assert chain["option_type"].to_list() == ["CE", "PE"]
    assert chain["oi"].to_list() == [65, 650]
    assert chain["bid"].to_list() == [599.9, 49.95]
    assert chain["ask_qty"].to_list() == [130, 130]
    assert chain["lot"].to_list() == [65, 65]
    assert chain["ts"].dt.epoch("s").unique().to_list() == [SEC - 1], "the newest exchange stamp in it"
    assert chain["recv_ts"].dt.epoch("us").unique().to_list() == [NOW // 1000]
    assert chain["spot"].unique().to_list() == [25_464.4]


def test_a_stamp_ahead_of_the_clock_is_no_later_than_the_receipt() -> None:
    chain = chain_rows(tick(2, exch_s=SEC + 900), market()[1], NOW, spot=None, future=None)
    assert chain["ts"].to_list() == chain["recv_ts"].to_list()
    assert chain["spot"].to_list() == [None]


def test_futures_spot_and_ticks_have_their_schemas() -> None:
    rows, contracts = market()
    futures, spot = future_rows(rows, contracts, NOW), spot_rows(rows, contracts, NOW)
    assert dict(futures.schema) == dict(FUTURES)
    assert futures.select("ltp", "oi", "lot").rows() == [(25_520.0, 10, 65)]
    assert dict(spot.schema) == dict(SPOT)
    assert spot.select("underlying", "open", "high", "low", "ltp").rows() == [
        ("NIFTY", 25_400.0, 25_500.0, 25_300.0, 25_464.4)
    ]
    single = tick_rows(rows, pl.DataFrame({"token": [2, 4], "underlying": ["NIFTY", "NIFTY"]}))
    assert dict(single.schema) == dict(TICKS)
    assert single["token"].to_list() == [2, 4], "strangers are left out, the order stays"


def test_nothing_gives_empty_frames_in_their_schemas() -> None:
    none, contracts = np.empty(0, TICK), market()[1]
    assert dict(chain_rows(none, contracts, NOW, spot=None, future=None).schema) == dict(CHAIN)
    assert dict(future_rows(none, {}, NOW).schema) == dict(FUTURES)
    assert dict(spot_rows(none, {}, NOW).schema) == dict(SPOT)
