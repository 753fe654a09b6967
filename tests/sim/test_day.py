"""One generated day: its rows, and what it hands on to the next."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from toolkit.calendar import ist_ns
from toolkit.errors import BadData
from toolkit.sim.day import generate_day

FIRST, SECOND = dt.date(2026, 7, 13), dt.date(2026, 7, 14)


@pytest.fixture(scope="module")
def two(make_setting):
    first = generate_day(make_setting(day=FIRST), None)
    return first, generate_day(make_setting(day=SECOND), first.state)


def chain(day):
    return day.tables["chain"].unique(["ts", "token"], keep="first", maintain_order=True)


def test_the_same_state_gives_the_same_day(two, make_setting):
    again = generate_day(make_setting(day=SECOND), two[0].state)
    for name, frame in two[1].tables.items():
        assert frame.equals(again.tables[name]), name
    assert again.events == two[1].events


def test_the_state_is_not_changed_by_use(two, make_setting):
    before = dict(two[0].state.options)
    generate_day(make_setting(day=SECOND), two[0].state)
    assert before == dict(two[0].state.options)


def test_contracts_keep_token_open_interest_and_strikes_overnight(two):
    first, second = two
    night = first.tables["eod"].filter(pl.col("kind") == "option").select("token", "oi", "strike_p")
    morning = chain(second).group_by("token", maintain_order=True).agg(pl.col("oi", "strike_p", "volume").first())
    both = night.join(morning, on="token")
    assert both.height == night.height
    assert (both["oi"] == both["oi_right"]).all()
    assert (both["strike_p"] == both["strike_p_right"]).all()


def test_the_expired_series_is_gone_from_the_state(two):
    assert SECOND in {key.expiry for key in two[0].state.options}
    assert SECOND not in {key.expiry for key in two[1].state.options}


def test_the_index_opens_near_last_nights_close(two):
    night, morning = two[0].state.spot, two[1].tables["spot"]["open"][0]
    assert night == two[0].tables["spot"]["ltp"][-1]
    assert 0.0 < abs(morning / night - 1) < 0.03


def test_premiums_of_the_first_minutes_are_near_last_nights_closes(two):
    morning = chain(two[1]).filter(pl.col("ts") == pl.col("ts").min())
    night = two[0].tables["eod"].select("token", "close")
    far = morning.filter(pl.col("expiry") > SECOND).join(night, on="token").drop_nulls("close")
    gap = (far["bid"] + far["ask"]) / 2 - far["close"]
    assert far.height > 50
    assert gap.abs().median() < 0.006 * morning["spot"][0]


def test_repeats_are_second_receipts_of_one_stamp(two):
    differing = 0
    for day in two:
        rows = day.tables["chain"]
        stamps = rows.select("ts", "recv_ts").unique().sort("recv_ts")
        repeats = stamps.filter(pl.col("ts").is_duplicated())
        listed = [e for e in day.events if e.type == "DATA_REPEAT"]
        assert repeats.height == 2 * len(listed) > 0
        assert stamps["recv_ts"].n_unique() == stamps.height
        assert stamps["ts"].is_sorted()
        again = rows.filter(pl.col("recv_ts") == repeats["recv_ts"][1])
        first = rows.filter(pl.col("recv_ts") == repeats["recv_ts"][0])
        assert again.height == first.height == listed[0].size
        differing += (again["volume"] != first["volume"]).sum()
        assert (again["volume"] >= first["volume"]).all()
        assert (again["bid"] == first["bid"]).all()
    assert 0 < differing < 30


def test_an_outage_has_no_rows_in_any_table(two):
    for day in two:
        (gap,) = [e for e in day.events if e.type == "DATA_GAP"]
        for name in ("chain", "futures", "spot", "ticks"):
            ns = day.tables[name]["ts"].dt.epoch("ns")
            assert not ((ns >= gap.start_ns) & (ns < gap.end_ns)).any(), name
        gaps = day.tables["spot"]["ts"].diff().dt.total_seconds()
        assert gaps.max() >= (gap.end_ns - gap.start_ns) / 10**9 - 240
        assert 5 <= gap.size <= 25


def test_a_late_strike_starts_at_nothing_and_accounts_for_itself(two):
    for day in two:
        (late,) = [e for e in day.events if e.type == "DATA_NEW_STRIKE"]
        rows = chain(day).filter((pl.col("expiry") == late.expiry) & (pl.col("strike_p") == late.to_p))
        assert rows["ts"].min().hour >= 9
        assert rows["ts"].dt.epoch("ns").min() == late.start_ns > ist_ns(rows["ts"][0].date(), dt.time(9, 44))
        opening = rows.filter(pl.col("ts") == pl.col("ts").min())
        assert opening["option_type"].to_list() == ["CE", "PE"]
        assert opening["oi"].to_list() == [0, 0]
        assert (rows["oi"] <= rows["volume"]).all()


def test_expiry_day_is_listed_with_what_expires(two):
    assert not [e for e in two[0].events if e.type == "EXPIRY_DAY"]
    (event,) = [e for e in two[1].events if e.type == "EXPIRY_DAY"]
    dead = two[1].tables["eod"].filter((pl.col("kind") == "option") & (pl.col("expiry") == SECOND))
    assert event.expiry == SECOND
    assert event.size == dead["oi"].sum() > 0


def test_options_end_an_expiry_day_at_their_intrinsic_value(two):
    rows = chain(two[1]).filter((pl.col("ts") == pl.col("ts").max()) & (pl.col("expiry") == SECOND))
    cp = rows["option_type"].cast(pl.String).replace_strict({"CE": 1.0, "PE": -1.0})
    intrinsic = (cp * (rows["spot"] - rows["strike_p"] / 100)).clip(lower_bound=0.0)
    away = (rows["spot"] - rows["strike_p"] / 100).abs() > 80
    mid = (rows["bid"] + rows["ask"]) / 2
    assert ((mid - intrinsic).abs().filter(away) < 1.0).all()


def test_a_day_that_re_dates_its_contracts_is_refused(two, make_setting):
    with pytest.raises(BadData, match="re-dated before 2026-07-15"):
        generate_day(make_setting(day=dt.date(2026, 7, 15)), two[0].state)


def test_spot_rows_are_bars_that_join(two):
    for day in two:
        spot = day.tables["spot"]
        assert (spot["low"] <= spot["ltp"]).all()
        assert (spot["ltp"] <= spot["high"]).all()
        whole = spot.filter(pl.col("ts").diff().dt.total_seconds() <= 120)
        joined = spot.with_columns(before=pl.col("ltp").shift(1)).join(whole.select("ts"), on="ts")
        assert (joined["open"] == joined["before"]).all()
