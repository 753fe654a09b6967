"""The heatmap frame and the day-over-day table from frames whose answer is known."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from toolkit import oi
from toolkit.errors import BadData


def test_the_heatmap_is_change_since_the_base_at_fresh_stamps(chain):
    units = np.full((6, 2, 3), 100)
    units[1:] += 10  # 09:20 is the base
    units[2:] += 5
    units[4:, 0, 1] += 7
    heat = oi.heatmap(chain(units, start="2025-08-29 09:19:00"), config=oi.OIConfig())
    stamps = heat["ts"].dt.strftime("%H:%M").unique().sort().to_list()
    assert stamps == ["09:19", "09:20", "09:21", "09:23"]
    cell = heat.filter((pl.col("strike") == 24050.0) & (pl.col("option_type") == "CE")).sort("ts")
    assert cell["oi"].to_list() == [7500, 8250, 8625, 9150]
    assert cell["oi_change"].to_list() == [None, None, 375, 900]


def test_the_heatmap_agrees_with_the_levels(day_frame, day_result, calendar):
    expiry = dt.date(2025, 9, 2)
    heat = oi.heatmap(day_frame, "NIFTY", expiry, oi.OIConfig(calendar=calendar))
    sums = heat.group_by("ts", "option_type").agg(pl.col("oi").sum(), pl.col("oi_change").sum())
    levels = day_result.levels.filter((pl.col("expiry") == expiry) & (pl.col("fresh") == 1))
    for side, total, change in (("CE", "ce_oi", "ce_oi_change"), ("PE", "pe_oi", "pe_oi_change")):
        both = levels.join(sums.filter(pl.col("option_type") == side), on="ts")
        assert both.height == levels.height
        assert (both[total] == both["oi"]).all()
        known = both.filter(pl.col(change).is_not_null())
        assert (known[change] == known["oi_change"]).all()
    with pytest.raises(BadData, match="no chain rows of BANKNIFTY"):
        oi.heatmap(day_frame, "BANKNIFTY")


def eod(rows):
    names = ("date", "underlying", "token", "expiry", "strike_p", "option_type", "oi", "oi_change")
    return pl.DataFrame(rows, schema=names, orient="row")


D = [dt.date(2026, 1, d) for d in (1, 2, 5)]
E1, E2 = dt.date(2026, 1, 2), dt.date(2026, 1, 27)


def test_day_over_day_knows_new_same_restated_redated_and_reused():
    rows = eod(
        [
            (D[0], "NIFTY", 1, E2, 100, "CE", 500, 500),
            (D[0], "NIFTY", 2, E1, 100, "CE", 900, 10),
            (D[1], "NIFTY", 1, E2, 100, "CE", 650, 150),
            (D[1], "NIFTY", 2, E1, 100, "CE", 800, -100),
            (D[1], "NIFTY", 3, E2, 200, "PE", 70, 70),
            (D[2], "NIFTY", 1, dt.date(2026, 1, 28), 100, "CE", 700, 700),
            (D[2], "NIFTY", 2, E2, 100, "CE", 40, 40),  # the token of a contract that expired
            (D[2], "NIFTY", 3, E2, 200, "PE", 90, 25),
        ]
    )
    found = oi.day_over_day(rows).collect().sort("date", "token")
    assert found["status"].to_list() == ["first", "first", "same", "same", "new", "redated", "new", "restated"]
    assert found["change"].to_list() == [None, None, 150, -100, 70, 50, 40, 20]
    with pytest.raises(BadData, match="no column 'oi_change'"):
        oi.day_over_day(rows.drop("oi_change"))


def test_the_anchor_is_the_last_close_before_a_day(real):
    eod_rows = real("fo_udiff_eod_202502a.parquet").frame("eod", "NIFTY")
    rows = oi.anchor_rows(eod_rows, dt.date(2025, 2, 12))
    assert rows["ts"].unique().dt.strftime("%Y-%m-%d %H:%M").to_list() == ["2025-02-11 15:30"]
    result = oi.oi_shift(
        real("fo_udiff_eod_202502a.parquet").frame("chain", "NIFTY", dt.date(2025, 2, 12)), anchor=rows
    )
    whole = oi.oi_shift(real("fo_udiff_eod_202502a.parquet").frame("chain", "NIFTY"))
    day = pl.col("ts").dt.date() == dt.date(2025, 2, 12)
    columns = ["expiry", "side", "created", "destroyed", "total_before", "total_after"]
    assert result.shifts.select(columns).equals(whole.shifts.filter(day).select(columns))
    with pytest.raises(BadData, match="no end-of-day rows before"):
        oi.anchor_rows(eod_rows, dt.date(2025, 1, 1))


def test_the_term_structure_flags_calendar_arbitrage():
    ts = dt.datetime(2025, 8, 29, 10, 0)
    levels = pl.DataFrame(
        {
            "ts": pl.Series([ts] * 4).dt.replace_time_zone("Asia/Kolkata").cast(pl.Datetime("us", "Asia/Kolkata")),
            "underlying": ["NIFTY"] * 4,
            "expiry": [dt.date(2025, 9, 2), dt.date(2025, 9, 9), dt.date(2025, 9, 16), dt.date(2025, 8, 28)],
            "atm_iv": [0.20, 0.22, 0.10, 0.5],
        }
    )
    found = oi.term_structure(levels)
    assert found["expiry"].to_list() == levels["expiry"].to_list()[:3]
    t = found["tte"].to_list()
    assert t[0] == pytest.approx((4 * 24 + 5.5) / 24 / 365)
    want = (0.22**2 * t[1] - 0.20**2 * t[0]) / (t[1] - t[0])
    assert found["forward_variance"].to_list()[:2] == [None, pytest.approx(want)]
    assert found["arbitrage"].to_list() == [None, False, True]
    with pytest.raises(BadData, match="no column 'atm_iv'"):
        oi.term_structure(levels.drop("atm_iv"))


def test_the_term_structure_of_the_recorded_day(day_result, calendar):
    found = oi.term_structure(day_result.levels, oi.OIConfig(calendar=calendar))
    assert found["tte"].min() > 0
    assert found["atm_iv"].is_between(0.03, 0.5).mean() > 0.95
    assert (found.group_by("ts").agg(pl.col("forward_variance").null_count().alias("n"))["n"] == 1).all()
