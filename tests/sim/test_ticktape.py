"""Ticks agree with the snapshots around them."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import polars as pl
import pytest

from toolkit.sim.generate import generate

SHARED = ("ltp", "bid", "ask", "bid_qty", "ask_qty", "volume", "oi")


@pytest.fixture(scope="module", params=["NIFTY", "SENSEX"])
def pair(request, sample):
    chain = sample.tables["chain"].filter(pl.col("underlying") == request.param)
    chain = chain.unique(["ts", "token"], keep="first", maintain_order=True)
    return chain, sample.tables["ticks"].filter(pl.col("underlying") == request.param)


def test_at_every_snapshot_the_tick_is_the_snapshot(pair):
    chain, ticks = pair
    both = chain.join(ticks, on=["ts", "token"])
    assert both.height > 15 * 45
    assert both.select(pl.all_horizontal(pl.col(c).eq_missing(pl.col(f"{c}_right")) for c in SHARED).all()).item()


def test_every_snapshot_inside_the_hour_has_its_ticks(pair):
    chain, ticks = pair
    inside = chain.filter(pl.col("ts").is_between(ticks["ts"].min(), ticks["ts"].max()))
    assert set(inside["ts"].unique()) - {inside["ts"].min()} <= set(ticks["ts"].unique())


def test_ticks_fill_an_hour_of_the_nearest_series(pair):
    chain, ticks = pair
    assert ticks["ts"].dt.hour().unique().to_list() == [11]
    assert ticks["ts"].max() - ticks["ts"].min() > dt.timedelta(minutes=57)
    assert ticks["token"].n_unique() == 18
    near = chain.filter(pl.col("token").is_in(ticks["token"].unique().implode()))
    assert near["expiry"].unique().to_list() == [chain["expiry"].min()]


def test_volume_never_falls_and_moves_by_whole_lots(pair):
    chain, ticks = pair
    lot = chain["lot"][0]
    steps = ticks.select(pl.col("volume").diff().over("token")).drop_nulls()["volume"]
    assert steps.min() >= 0
    assert (steps % lot == 0).all()
    assert ticks.filter(pl.col("last_qty") % lot != 0).is_empty()
    assert ticks["last_qty"].min() > 0


def test_the_last_price_moves_only_with_volume(pair):
    _, ticks = pair
    moved = ticks.with_columns(dv=pl.col("volume").diff().over("token"), dp=pl.col("ltp").diff().over("token")).filter(
        pl.col("dp") != 0
    )
    assert moved.height > 1000
    assert (moved["dv"] > 0).all()


def test_quotes_are_on_the_grid_and_not_crossed(pair):
    _, ticks = pair
    paise = ticks.select((pl.col("bid", "ask", "ltp") * 100).round().cast(pl.Int64))
    assert paise.select((pl.all() % 5 == 0).all()).row(0) == (True, True, True)
    assert (ticks["bid"] < ticks["ask"]).all()


def test_receipts_are_in_order_and_under_a_second(pair):
    _, ticks = pair
    delay = (ticks["recv_ts"] - ticks["ts"]).dt.total_milliseconds()
    assert ticks["recv_ts"].is_sorted()
    assert 80 <= delay.min() <= delay.max() < 700


def test_open_interest_changes_only_in_bursts(pair):
    _, ticks = pair
    changed = ticks.filter(pl.col("oi").diff().over("token") != 0)
    assert 0 < changed.height < 0.1 * ticks.height


def test_an_outage_of_the_feed_stops_the_ticks_too(calendars, rules, small):
    probe = generate(replace(small, underlyings=("NIFTY",), tick_start=None), calendars, rules)
    gap = probe.planted.filter(pl.col("type") == "DATA_GAP").row(0, named=True)
    plan = replace(small, underlyings=("NIFTY",), tick_start=gap["ts"].time().replace(second=0, minute=0))
    ticks = generate(plan, calendars, rules).tables["ticks"]
    assert ticks.height > 0
    assert ticks.filter(pl.col("ts").is_between(gap["ts"], gap["end_ts"])).is_empty()


def test_no_hour_means_no_ticks(calendars, rules, small):
    found = generate(replace(small, underlyings=("NIFTY",), tick_start=None), calendars, rules)
    assert found.tables["ticks"].is_empty()


def test_ticks_do_not_change_the_chain(calendars, rules, small):
    plan = replace(small, underlyings=("NIFTY",))
    with_ticks = generate(plan, calendars, rules).tables["chain"]
    without = generate(replace(plan, tick_start=None), calendars, rules).tables["chain"]
    assert with_ticks.equals(without)
