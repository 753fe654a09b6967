"""A session becomes a simulated day: the shipped sample, a recorded chain, what is missing."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pytest

from toolkit.calendar import ist_ns, to_ist
from toolkit.config import share
from toolkit.errors import BadData
from toolkit.sim.servers.load import load_world, read_at, warm
from toolkit.store.session import open_session, write_tables

DAY = dt.date(2026, 7, 13)


@pytest.fixture(scope="module")
def sample():
    return load_world(open_session(share("data", "sample")))


def test_the_sample_lists_both_exchanges(sample):
    assert len(sample.roster.rows) == 490
    assert {row.venue for row in sample.roster.rows} == {"NFO", "BFO", "NSE", "BSE"}
    assert sorted(sample.roster.spots) == ["NIFTY", "SENSEX"]
    assert sample.bounds == (ist_ns(DAY, dt.time(9, 15)), ist_ns(DAY, dt.time(15, 30)))


def test_closes_come_from_the_official_file(sample):
    known = ~np.isnan(sample.board.rows["close"])
    assert known.sum() > 400
    row = sample.roster.by_name["NFO", "NIFTY2671425500CE"]
    assert sample.row(row.key)["close"] == 68.6
    assert math.isnan(sample.row(sample.roster.spots["NIFTY"].key)["close"])


def test_the_default_start_is_where_the_market_ticks(sample):
    assert f"{to_ist(read_at(None, sample)):%H:%M}" == "11:01"


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("11:05", "11:05:00"),
        ("09:15:30", "09:15:30"),
        ("2026-07-13T11:05", "11:05:00"),
        ("2026-07-13T05:35:00+00:00", "11:05:00"),
    ],
)
def test_starting_times(sample, text, time):
    assert f"{to_ist(read_at(text, sample)):%H:%M:%S}" == time


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("noon", "must be a time"),
        ("25:00", "must be a time"),
        ("2026-07-14T11:05", "is not on the session's day 2026-07-13"),
    ],
)
def test_wrong_starting_times(sample, text, says):
    with pytest.raises(BadData, match=says):
        read_at(text, sample)


def test_another_day_is_refused_by_name():
    session = open_session(share("data", "sample"))
    with pytest.raises(BadData, match=r"2026-07-14 is not in session .* 2026-07-13 to 2026-07-13"):
        load_world(session, dt.date(2026, 7, 14))


@pytest.fixture(scope="module")
def two_days(tmp_path_factory):
    """The sample's day and the same day a session later, without an official file."""
    import polars as pl

    session = open_session(share("data", "sample"))
    path = tmp_path_factory.mktemp("two") / "store"
    tables = {}
    for name in ("chain", "spot"):
        frame = session.frame(name).filter(pl.col("underlying") == "NIFTY")
        frame = frame.filter(pl.col("ts").dt.minute() < 17).filter(pl.col("ts").dt.hour() == 9)
        later = frame.with_columns(pl.col("ts", "recv_ts").dt.offset_by("1d"))
        tables[name] = pl.concat([frame, later])
    tables["instruments"] = session.instruments().filter(pl.col("underlying") == "NIFTY")
    write_tables(path, tables, {"name": "two", "synthetic": True, "source": "test"})
    return open_session(path)


def test_the_last_day_is_the_default_and_the_day_before_gives_the_close(two_days):
    world = load_world(two_days)
    assert to_ist(world.bounds[0]).date() == dt.date(2026, 7, 14)
    spot = world.roster.spots["NIFTY"]
    first = load_world(two_days, DAY)
    first.advance(first.bounds[1])
    assert world.row(spot.key)["close"] == first.row(spot.key)["ltp"]


def test_an_official_file_of_the_day_before_gives_the_close_and_an_older_one_does_not(two_days, tmp_path):
    import polars as pl

    def close(days):
        path = tmp_path / f"store{days}"
        tables = {name: two_days.frame(name) for name in ("chain", "spot")}
        eod = open_session(share("data", "sample")).frame("eod").filter(pl.col("underlying") == "NIFTY").head(2)
        shifted = pl.col("date").dt.offset_by(f"{days}d")
        tables["eod"] = eod.with_columns(shifted, spot=pl.Series([None, 25_123.45], dtype=pl.Float64))
        tables["chain"] = tables["chain"].filter(pl.col("ts").dt.day() == 14)
        tables["spot"] = tables["spot"].filter(pl.col("ts").dt.day() == 14)
        write_tables(
            path, tables | {"instruments": two_days.instruments()}, {"name": "eod", "synthetic": True, "source": "test"}
        )
        world = load_world(open_session(path), dt.date(2026, 7, 14))
        return world.closes.get(world.roster.spots["NIFTY"].key)

    assert close(0) == 25_123.45
    assert close(-3) is None  # Friday's close is not Monday's


def test_without_ticks_it_starts_five_minutes_after_the_first_snapshot(two_days):
    world = load_world(two_days, DAY)
    assert read_at(None, world) == min(world.tape.first_ns + 300 * 10**9, world.tape.last_ns)


def test_a_recorded_chain_without_a_master_or_a_spot(shared):
    world = load_world(open_session(shared("data", "nse", "chain_NIFTY_20250827_20250829.parquet")))
    world.advance(world.bounds[1])
    assert world.roster.spots == {}
    assert 24_000 < world.spot("NIFTY") < 25_000
    assert all(0 < row.key < 2**32 for row in world.roster.rows)


def test_an_official_file_of_a_day_loads_in_seconds(shared):
    world = load_world(open_session(shared("data", "nse", "fo_udiff_eod_202502a.parquet")))
    assert len(world.roster.rows) > 4000
    assert world.spot("NIFTY") != world.spot("BANKNIFTY")


def test_warm_leaves_nothing_behind():
    assert warm() is None
