"""What must hold for any seed and on the awkward days of the calendar."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolkit.calendar import ist_ns
from toolkit.sim.generate import generate

DAYS = {
    "NIFTY expires": ("NIFTY", dt.date(2026, 7, 14)),
    "SENSEX expires": ("SENSEX", dt.date(2026, 7, 16)),
    "both monthlies near": ("NIFTY", dt.date(2026, 7, 28)),
    "expiry moved to Monday by a holiday": ("NIFTY", dt.date(2026, 3, 2)),
    "last day that closed at 15:30": ("SENSEX", dt.date(2026, 7, 31)),
    "first day that closes at 15:40": ("NIFTY", dt.date(2026, 8, 3)),
    "expiry after the closing auction came": ("NIFTY", dt.date(2026, 8, 4)),
    "Thursday expiries, lot 75": ("NIFTY", dt.date(2025, 8, 7)),
    "full Sunday session": ("NIFTY", dt.date(2026, 2, 1)),
}


def make(small, calendars, rules, name, day, seed, **changes):
    plan = replace(small, seed=seed, start=day, underlyings=(name,), weeklies=(2,), monthlies=(1,), **changes)
    return generate(plan, calendars, rules)


@pytest.mark.parametrize("label", sorted(DAYS))
@settings(deadline=None, max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**63))
def test_rows_hold_together(small, calendars, rules, label, seed):
    name, day = DAYS[label]
    found = make(small, calendars, rules, name, day, seed)
    calendar = calendars[rules.exchange(name)]
    open_ns, close_ns = calendar.bounds_ns(day)
    chain = found.tables["chain"]
    ns = chain["ts"].dt.epoch("ns")
    assert open_ns < ns.min() < ns.max() < close_ns
    assert (chain["recv_ts"] > chain["ts"]).all()
    assert chain["recv_ts"].is_sorted()
    assert (chain["bid"] < chain["ask"]).all()
    assert chain["bid"].min() >= 0.05
    assert chain["oi"].min() >= 0
    assert not chain.select("recv_ts", "token").is_duplicated().any()
    eod = found.tables["eod"]
    traded = eod.filter(pl.col("kind") != "index")
    assert (traded["oi_change"].abs() <= traded["volume"]).all()
    expected = {e: rules.lot(name, e, day) for e in chain["expiry"].unique()}
    lots = dict(chain.group_by("expiry").agg(pl.col("lot").unique().first()).iter_rows())
    assert lots == expected


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**63), label=st.sampled_from(sorted(DAYS)))
def test_every_planted_wall_event_is_the_largest_move_of_its_side(small, calendars, rules, seed, label):
    name, day = DAYS[label]
    found = make(small, calendars, rules, name, day, seed, tick_start=None)
    chain = found.tables["chain"].unique(["ts", "token"], keep="first", maintain_order=True)
    events = found.planted.filter(pl.col("type").str.starts_with("WALL")).to_dicts()
    assert len(events) == 2
    for event in events:
        rows = chain.filter((pl.col("expiry") == event["expiry"]) & (pl.col("option_type") == event["side"]))
        before = rows.filter(pl.col("ts") < event["ts"])
        after = rows.filter(pl.col("ts") >= event["end_ts"] + dt.timedelta(minutes=6))
        before = before.filter(pl.col("ts") == before["ts"].max())
        after = after.filter(pl.col("ts") == after["ts"].min())
        moves = before.join(after, on="strike_p").select("strike_p", by=pl.col("oi_right") - pl.col("oi"))
        largest = moves.sort(pl.col("by").abs(), descending=True)
        top = set(largest["strike_p"][: 1 if event["to_p"] is None else 2])
        assert top == {event["from_p"], event["to_p"]} - {None}
        assert event["size"] > 0


@pytest.mark.parametrize(
    ("name", "day", "expiry"),
    [
        ("NIFTY", dt.date(2026, 7, 13), dt.date(2026, 7, 14)),
        ("SENSEX", dt.date(2026, 7, 13), dt.date(2026, 7, 16)),
        ("NIFTY", dt.date(2026, 2, 27), dt.date(2026, 3, 2)),
        ("NIFTY", dt.date(2025, 8, 6), dt.date(2025, 8, 7)),
        ("SENSEX", dt.date(2025, 8, 4), dt.date(2025, 8, 5)),
    ],
)
def test_the_nearest_expiry_is_the_rules_own(small, calendars, rules, name, day, expiry):
    found = make(small, calendars, rules, name, day, 3, tick_start=None)
    assert found.tables["chain"]["expiry"].min() == expiry


@pytest.mark.parametrize("label", ["NIFTY expires", "SENSEX expires", "expiry after the closing auction came"])
def test_expiry_day_settles_at_the_index(small, calendars, rules, label):
    name, day = DAYS[label]
    found = make(small, calendars, rules, name, day, 5, tick_start=None)
    dead = found.tables["eod"].filter((pl.col("expiry") == day) & (pl.col("kind") == "option"))
    spot = found.tables["spot"]["ltp"][-1]
    assert dead.height > 30
    assert dead["final_settlement"].unique().to_list() == [spot]
    assert "EXPIRY_DAY" in found.planted["type"].to_list()


def test_the_frozen_index_of_the_auction_does_not_freeze_the_options(small, calendars, rules):
    day = dt.date(2026, 8, 3)
    found = make(small, calendars, rules, "NIFTY", day, 5, tick_start=None)
    rows = found.tables["chain"].unique(["ts", "token"], keep="first", maintain_order=True)
    ns = rows["ts"].dt.epoch("ns")
    auction = rows.filter((ns >= ist_ns(day, dt.time(15, 15))) & (ns < ist_ns(day, dt.time(15, 35))))
    assert auction["spot"].n_unique() == 1
    assert auction["futures"].n_unique() > 5
    middle = auction.filter((pl.col("strike_p") / 100 - pl.col("spot")).abs() < 60)
    assert middle.group_by("token").agg(pl.col("bid").n_unique())["bid"].min() > 3
    late = rows.filter(ns >= ist_ns(day, dt.time(15, 35)))
    assert late.height > 0
    assert late["spot"].n_unique() == 1


def test_lots_differ_on_one_day_where_the_tables_say_so(small, calendars, rules):
    found = make(small, calendars, rules, "NIFTY", dt.date(2025, 12, 24), 5, tick_start=None, each_side=(8,))
    lots = dict(found.tables["chain"].group_by("expiry").agg(pl.col("lot").unique().first()).iter_rows())
    assert lots[dt.date(2025, 12, 30)] == 75
    assert lots[dt.date(2026, 1, 6)] == 65
