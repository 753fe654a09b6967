"""Closes, settlement and end-of-day rows."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from toolkit.contracts import parse_contract_name, parse_symbol
from toolkit.sim.closing import UNKNOWN, close_prices
from toolkit.sim.setting import day_clock

NIFTY_EXPIRY, SENSEX_EXPIRY = dt.date(2026, 7, 14), dt.date(2026, 7, 16)


@pytest.fixture(scope="module")
def eod(week):
    return week.tables["eod"]


@pytest.fixture(scope="module")
def options(eod):
    return eod.filter(pl.col("kind") == "option")


def test_the_close_is_the_last_half_hours_weighted_price_on_the_tick(make_setting):
    clock = day_clock(make_setting())
    count = len(clock.stamps)
    late = clock.stamps >= clock.close_ns - 1_800 * 10**9
    ltp = np.tile(np.where(late, 20.0, 10.0)[:, None], (1, 4))
    ltp[-1] = 30.0
    traded = np.ones((count, 4), dtype=np.int64)
    traded[-1, 0] = int(late.sum()) - 1
    traded[late, 1] = 0
    traded[:, 2] = traded[:, 3] = 0
    ltp[:, 2] = ltp[:, 3] = np.nan
    found = close_prices(ltp, traded, clock, 5, np.array([1, 1, 77, UNKNOWN]))
    assert found.tolist() == [2500, 3000, 77, UNKNOWN]


def test_closes_lie_in_the_days_range_on_the_tick(options):
    traded = options.filter(pl.col("volume") > 0)
    assert traded.select(pl.col("close").is_between("low", "high").all()).item()
    assert traded.select(((pl.col("close") * 100).round().cast(pl.Int64) % 5 == 0).all()).item()
    assert traded.select(pl.col("open", "last").is_not_null().all()).row(0) == (True, True)


def test_a_contract_that_did_not_trade_has_no_range_and_keeps_its_close(options):
    still = options.filter(pl.col("volume") == 0)
    assert still.height > 0
    assert still.select(pl.col("open", "high", "low", "last").is_null().all()).row(0) == (True,) * 4
    assert still.filter(pl.col("close").ne_missing(pl.col("prev_close"))).is_empty()


def test_the_settlement_of_an_expired_option_is_the_index_close(options):
    for name, day in (("NIFTY", NIFTY_EXPIRY), ("SENSEX", SENSEX_EXPIRY)):
        today = options.filter((pl.col("underlying") == name) & (pl.col("date") == day))
        dead = today.filter(pl.col("expiry") == day)
        alive = today.filter(pl.col("expiry") > day)
        assert dead.height > 20
        assert (dead["settle"] == dead["spot"]).all()
        assert (dead["final_settlement"] == dead["spot"]).all()
        assert dead["oi"].sum() > 0
        assert alive["final_settlement"].null_count() == alive.height
        assert alive.filter(pl.col("settle").ne_missing(pl.col("close"))).is_empty()


def test_open_interest_and_its_change_agree_from_day_to_day(eod):
    rows = eod.filter(pl.col("kind") != "index").sort("token", "date")
    steps = rows.with_columns(before=pl.col("oi").shift(1).over("underlying", "token"))
    known = steps.drop_nulls("before")
    assert known.height > 800
    assert (known["oi"] - known["before"] == known["oi_change"]).all()
    first = dt.date(2026, 7, 13)
    new = steps.filter(pl.col("before").is_null() & (pl.col("date") > first))
    assert new.height > 0
    assert (new["oi"] == new["oi_change"]).all()


def test_the_change_never_exceeds_the_volume(eod):
    rows = eod.filter(pl.col("kind") != "index")
    assert (rows["oi_change"].abs() <= rows["volume"]).all()
    assert (rows["oi"] >= 0).all()


def test_the_previous_close_is_last_nights_close(eod):
    rows = eod.filter(pl.col("kind") != "index").sort("token", "date")
    steps = rows.with_columns(before=pl.col("close").shift(1).over("underlying", "token")).drop_nulls("before")
    assert steps.filter(pl.col("before").ne_missing(pl.col("prev_close"))).is_empty()


def test_turnover_is_units_times_strike_and_premium(options):
    rows = options.filter(pl.col("volume") > 0)
    premium = rows["turnover"] / rows["volume"] - rows["strike_p"] / 100
    assert (premium >= rows["low"] - 1e-6).all()
    assert (premium <= rows["high"] + 1e-6).all()
    assert (rows["trades"] <= rows["volume"] // rows["lot"]).all()


def test_the_index_has_its_own_row(eod):
    index = eod.filter(pl.col("kind") == "index").sort("underlying", "date")
    assert index.height == 8
    assert (index["low"] <= index["close"]).all()
    assert (index["close"] <= index["high"]).all()
    steps = index.with_columns(before=pl.col("close").shift(1).over("underlying")).drop_nulls("before")
    assert (steps["before"] == steps["prev_close"]).all()
    assert (steps["open"] != steps["prev_close"]).any()


def test_instruments_name_every_contract_in_both_grammars(week):
    instruments = week.tables["instruments"]
    chain = week.tables["chain"].select("underlying", "token", "expiry", "strike_p").unique()
    assert chain.join(instruments, on=["underlying", "token", "expiry", "strike_p"], how="anti").is_empty()
    for row in instruments.sample(60, seed=1).iter_rows(named=True):
        symbol = parse_symbol(row["symbol"])
        name = parse_contract_name(row["source_symbol"], row["underlying"])
        assert (symbol.expiry, symbol.strike_p) == (row["expiry"], row["strike_p"])
        assert (name.strike_p, name.year, name.month) == (symbol.strike_p, row["expiry"].year, row["expiry"].month)
        assert name.kind == symbol.kind == row["kind"]


def test_lots_ticks_and_freeze_quantities_are_those_of_the_tables(week):
    found = (
        week.tables["instruments"].group_by("underlying", "kind").agg(pl.col("lot", "tick_p", "freeze_qty").unique())
    )
    rows = {(r["underlying"], r["kind"]): (r["lot"], r["tick_p"], r["freeze_qty"]) for r in found.to_dicts()}
    assert rows == {
        ("NIFTY", "option"): ([65], [5], [1800]),
        ("NIFTY", "future"): ([65], [10], [1800]),
        ("SENSEX", "option"): ([20], [5], [1000]),
        ("SENSEX", "future"): ([20], [20], [1000]),
    }


def test_tokens_are_unique_and_stable(week):
    rows = week.tables["instruments"]
    per_token = rows.group_by("exchange", "token").agg(pl.col("symbol").n_unique())
    per_symbol = rows.group_by("symbol").agg(pl.col("token").n_unique())
    assert per_token["symbol"].max() == 1
    assert per_symbol["token"].max() == 1
    assert rows["token"].min() > 0
