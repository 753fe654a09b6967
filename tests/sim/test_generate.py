"""Sessions of a plan: reproducible, plausible, free of arbitrage, with events where the list says."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from toolkit import pricing
from toolkit.errors import BadData
from toolkit.market.schema import INSTRUMENTS, TABLES
from toolkit.sim.generate import SAMPLE, SessionPlan, generate, generate_days
from toolkit.sim.planted import frame_of_records

NAMES = ("NIFTY", "SENSEX")
MINUTES = dt.timedelta(minutes=1)


@pytest.fixture(scope="module")
def fresh(sample):
    """Chain rows of the sample without second receipts."""
    return sample.tables["chain"].unique(["underlying", "ts", "token"], keep="first", maintain_order=True)


@pytest.fixture(scope="module")
def mids(fresh):
    """One row a strike with the mids of both sides."""
    rows = fresh.with_columns(mid=(pl.col("bid") + pl.col("ask")) / 2, k=pl.col("strike_p") / 100)
    keys = ["underlying", "ts", "expiry", "k", "spot"]
    return rows.pivot("option_type", index=keys, values="mid").sort("underlying", "ts", "expiry", "k")


def test_tables_have_the_stores_schemas(sample):
    for name, schema in {**TABLES, "instruments": INSTRUMENTS}.items():
        assert sample.tables[name].schema == schema, name
        assert sample.tables[name].height > 0, name


def test_the_same_plan_gives_the_same_rows(sample, calendars, rules):
    again = generate(SAMPLE, calendars, rules)
    for name, frame in sample.tables.items():
        assert frame.equals(again.tables[name]), name
    assert sample.planted.equals(again.planted)
    assert sample.meta == again.meta


def test_another_seed_gives_other_rows(sample, calendars, rules):
    other = generate(replace(SAMPLE, seed=1), calendars, rules)
    assert other.tables["spot"]["ltp"].to_list() != sample.tables["spot"]["ltp"].to_list()


def test_an_underlying_does_not_depend_on_its_company(sample, calendars, rules):
    alone = generate(replace(SAMPLE, underlyings=("NIFTY",)), calendars, rules)
    both = sample.tables["chain"].filter(pl.col("underlying") == "NIFTY")
    assert alone.tables["chain"].equals(both)


def test_more_days_do_not_change_the_first(week, small, calendars, rules):
    one = generate(replace(small, start=dt.date(2026, 7, 13)), calendars, rules)
    first = week.tables["chain"].filter(pl.col("ts").dt.date() == dt.date(2026, 7, 13))
    assert one.tables["chain"].equals(first)


def test_days_come_one_by_one(small, calendars, rules):
    days = list(generate_days(replace(small, days=2), calendars, rules))
    found = [(d.underlying, d.date.day) for d in days]
    assert found == [("NIFTY", 13), ("NIFTY", 14), ("SENSEX", 13), ("SENSEX", 14)]


def test_the_session_says_that_it_is_synthetic_and_how_to_make_it(sample):
    assert sample.meta["synthetic"] is True
    assert "synthetic" in sample.meta["name"]
    assert sample.meta["generator"]["seed"] == SAMPLE.seed
    assert frame_of_records(sample.meta["planted"]).equals(sample.planted)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"seed": -1}, "seed must not be negative, was -1"),
        ({"days": 0}, "days must be at least 1, was 0"),
        ({"underlyings": ()}, "at least one index"),
        ({"underlyings": ("NIFTY", "NIFTY")}, "must differ"),
        ({"underlyings": ("SENSEXX",)}, "did you mean 'SENSEX'"),
        ({"each_side": (3,)}, "at least 6 strikes, was 3"),
        ({"start": dt.date(2026, 7, 11)}, "no session of NSE; the next one is 2026-07-13"),
        ({"start": dt.date(2015, 7, 1)}, "not known on 2015-07-01"),
    ],
)
def test_bad_plans_are_refused_in_one_line(change, text, calendars, rules):
    with pytest.raises(BadData, match=text) as caught:
        generate(replace(SessionPlan(), **change), calendars, rules)
    assert "\n" not in str(caught.value)


def test_quotes_are_positive_uncrossed_and_on_the_tick(fresh):
    assert (fresh["bid"] < fresh["ask"]).all()
    assert fresh["bid"].min() >= 0.05
    paise = fresh.select((pl.col("bid", "ask") * 100).round(6))
    assert paise.select((pl.all() % 5 == 0).all()).row(0) == (True, True)
    for size in ("bid_qty", "ask_qty", "oi", "volume"):
        assert (fresh[size] % fresh["lot"] == 0).all(), size
    assert fresh.select(pl.col("bid_qty", "ask_qty").min() > 0).row(0) == (True, True)


def test_no_butterfly_costs_less_than_nothing_beyond_a_tick(mids):
    for side in ("CE", "PE"):
        wings = pl.col(side).shift(1) + pl.col(side).shift(-1) - 2 * pl.col(side)
        even = (pl.col("k").shift(-1) - pl.col("k")) == (pl.col("k") - pl.col("k").shift(1))
        over = ["underlying", "ts", "expiry"]
        found = mids.select(fly=wings.over(over), even=even.over(over)).filter(pl.col("even"))
        assert found.height > 10_000
        assert found["fly"].min() >= -0.05 - 1e-9


def test_a_later_expiry_is_never_cheaper(mids):
    calls = mids.sort("underlying", "ts", "k", "expiry").select(step=pl.col("CE").diff().over("underlying", "ts", "k"))
    assert calls.drop_nulls().height > 10_000
    assert calls["step"].min() >= -0.05


def test_calls_fall_with_strike_by_no_more_than_the_strike_does(mids):
    over = ["underlying", "ts", "expiry"]
    steps = mids.select(dc=pl.col("CE").diff().over(over), dk=pl.col("k").diff().over(over)).drop_nulls()
    assert (steps["dc"] <= 0.05).all()
    assert (steps["dc"] >= -steps["dk"] - 0.05).all()


def test_the_parity_forward_is_the_future_within_a_tick(sample, mids):
    futures = sample.tables["futures"].with_columns(fair=(pl.col("bid") + pl.col("ask")) / 2)
    near = mids.filter((pl.col("k") - pl.col("spot")).abs() < 400)
    forward = near.with_columns(f=pl.col("CE") - pl.col("PE") + pl.col("k"))
    both = forward.join(futures.select("underlying", "ts", "expiry", "fair"), on=["underlying", "ts", "expiry"])
    gap = both.group_by("underlying").agg((pl.col("f") - pl.col("fair")).abs().max().alias("gap"))
    found = dict(gap.iter_rows())
    assert set(found) == set(NAMES)
    assert found["NIFTY"] <= 0.10
    assert found["SENSEX"] <= 0.20


def test_implied_vol_is_a_smile_with_a_skew(fresh, rules, calendars):
    rows = fresh.filter((pl.col("underlying") == "NIFTY") & (pl.col("ts").dt.hour() == 13))
    rows = rows.filter(pl.col("ts") == pl.col("ts").min()).with_columns(mid=(pl.col("bid") + pl.col("ask")) / 2)
    expiry = rows["expiry"].unique().sort()[1]
    rows = rows.filter(pl.col("expiry") == expiry).sort("strike_p")
    now = rows["ts"].dt.epoch("ns")[0]
    tte = (calendars["NSE"].settlement_ns(expiry) - now) / (365 * 86_400e9)
    forward = rows["spot"][0] * np.exp(0.052 * tte)
    out = rows.filter(
        ((pl.col("option_type") == "CE") & (pl.col("strike_p") >= forward * 100))
        | ((pl.col("option_type") == "PE") & (pl.col("strike_p") < forward * 100))
    )
    cp = np.where(out["option_type"].cast(pl.String) == "CE", 1.0, -1.0)
    strike = out["strike_p"].to_numpy() / 100
    iv = pricing.implied_vol(cp, out["mid"].to_numpy(), forward, strike, tte)
    middle = iv[np.argmin(np.abs(strike - forward))]
    assert 0.07 < middle < 0.20
    assert iv[0] > middle + 0.01
    assert iv[0] - middle > iv[-1] - middle


def test_open_interest_comes_in_bursts_as_measured(fresh):
    for name in NAMES:
        rows = fresh.filter(pl.col("underlying") == name)
        near = rows.filter(pl.col("expiry") == rows["expiry"].min()).sort("token", "ts")
        changed = near.with_columns(ch=pl.col("oi").diff().over("token") != 0)
        strikes = changed.group_by("ts", "strike_p").agg(pl.col("ch").any())
        touched = strikes.group_by("ts").agg(pl.col("ch").mean()).sort("ts")[1:]
        assert (touched["ch"] == 0).mean() == pytest.approx(0.35, abs=0.08)
        full = touched.filter(pl.col("ch") > 0.25)["ts"].diff().dt.total_seconds().drop_nulls()
        found = [full.quantile(q) for q in (0.05, 0.25, 0.5, 0.75, 0.95)]
        assert found == pytest.approx([60, 120, 180, 210, 278], abs=45)


def test_volume_moves_in_every_step_and_never_falls(fresh):
    total = fresh.group_by("underlying", "ts").agg(pl.col("volume").sum()).sort("underlying", "ts")
    steps = total.select(pl.col("volume").diff().over("underlying")).drop_nulls()["volume"]
    assert (steps > 0).all()
    each = fresh.sort("token", "ts").select(pl.col("volume").diff().over("underlying", "token")).drop_nulls()
    assert each["volume"].min() >= 0


def test_open_interest_lags_volume_by_the_minute_and_never_over_the_day(fresh):
    rows = fresh.sort("token", "ts").with_columns(
        doi=pl.col("oi").diff().over("underlying", "token").abs(),
        dv=pl.col("volume").diff().over("underlying", "token"),
    )
    changed = rows.filter(pl.col("doi") > 0)
    assert 0.05 < (changed["doi"] > changed["dv"]).mean() < 0.5
    day = fresh.group_by("underlying", "token").agg(
        d=(pl.col("oi").last() - pl.col("oi").first()).abs(), v=pl.col("volume").last()
    )
    assert (day["d"] <= day["v"]).all()
    assert fresh["oi"].min() >= 0


def test_ratios_of_open_interest_are_usual(fresh):
    last = fresh.filter(pl.col("ts") == pl.col("ts").max().over("underlying"))
    near = last.filter(pl.col("expiry") == pl.col("expiry").min().over("underlying"))
    sums = near.pivot("option_type", index="underlying", values="oi", aggregate_function="sum")
    pcr = sums["PE"] / sums["CE"]
    assert pcr.is_between(0.4, 2.0).all()


def test_receipts_follow_stamps_and_never_go_back(sample):
    for name in NAMES:
        stamps = sample.tables["chain"].filter(pl.col("underlying") == name).select("ts", "recv_ts")
        delay = (stamps["recv_ts"] - stamps["ts"]).dt.total_milliseconds()
        assert stamps["recv_ts"].is_sorted()
        assert delay.min() >= 900
        assert 1000 < delay.median() < 2500


def _around(fresh, event):
    """Open interest by strike before an event and once it is published."""
    rows = fresh.filter(
        (pl.col("underlying") == event["underlying"])
        & (pl.col("expiry") == event["expiry"])
        & (pl.col("option_type") == event["side"])
    )
    before = rows.filter(pl.col("ts") < event["ts"])
    after = rows.filter(pl.col("ts") >= event["end_ts"] + 6 * MINUTES)
    before = before.filter(pl.col("ts") == before["ts"].max())
    after = after.filter(pl.col("ts") == after["ts"].min())
    return before.join(after, on="strike_p", suffix="_after").with_columns(
        move=pl.col("oi_after") - pl.col("oi"), by=(pl.col("oi_after") - pl.col("oi")).abs()
    )


def test_every_kind_of_event_is_planted_in_the_sample(sample):
    for name in NAMES:
        kinds = set(sample.planted.filter(pl.col("underlying") == name)["type"])
        shifts = {k for k in kinds if k.startswith("WALL_SHIFT_")}
        assert len(shifts) == 1
        assert kinds - shifts == {"WALL_UNWIND", "ROLL", "DATA_GAP", "DATA_NEW_STRIKE", "DATA_REPEAT"}


def test_planted_shifts_and_unwinds_are_the_largest_moves(sample, fresh):
    found = 0
    for event in sample.planted.filter(pl.col("type").str.starts_with("WALL")).to_dicts():
        table = _around(fresh, event).sort("by", descending=True)
        if event["type"] == "WALL_UNWIND":
            assert table["strike_p"][0] == event["from_p"]
            assert -table["move"][0] == pytest.approx(event["size"], rel=0.1)
        else:
            assert set(table["strike_p"][:2]) == {event["from_p"], event["to_p"]}
            assert table.sort("oi_after")["strike_p"][-1] == event["to_p"]
            assert table.sort("oi")["strike_p"][-1] == event["from_p"]
        found += 1
    assert found == 4


def test_planted_rolls_are_seen_in_both_series(sample, fresh):
    for event in sample.planted.filter(pl.col("type") == "ROLL").to_dicts():
        near = _around(fresh, event)["move"].sum()
        far = _around(fresh, event | {"expiry": event["to_expiry"]})["move"].sum()
        assert near < -0.5 * event["size"]
        assert far > 0.5 * event["size"]


def test_days_differ_when_not_every_event_is_asked_for(calendars, rules, small):
    plan = replace(small, every_event=False, days=8, underlyings=("NIFTY",), tick_start=None)
    found = generate(plan, calendars, rules).planted.with_columns(day=pl.col("ts").dt.date())
    kinds = found.filter(~pl.col("type").is_in(["DATA_REPEAT", "EXPIRY_DAY"])).group_by("day").agg("type")
    assert len({tuple(sorted(k)) for k in kinds["type"].to_list()}) > 2
    assert found.filter(pl.col("type") == "EXPIRY_DAY")["day"].to_list() == [dt.date(2026, 7, 14), dt.date(2026, 7, 21)]
