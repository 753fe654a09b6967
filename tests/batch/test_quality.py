import datetime as dt

import numpy as np
import polars as pl
import pytest

from toolkit.batch.quality import QUALITY, day_quality, own_days, summed
from toolkit.calendar import ist_ns
from toolkit.market.chain import DayChain, ExpiryDay
from toolkit.market.schema import IST

DAY = dt.date(2025, 8, 29)
NEAR = dt.date(2025, 9, 2)
OPEN = ist_ns(DAY, dt.time(9, 15))
MINUTE = 60 * 10**9


def rows(*stamps):
    frame = pl.DataFrame(stamps, schema={"ts": pl.Datetime("us"), "recv_ts": pl.Datetime("us")}, orient="row")
    return frame.with_columns(pl.col("ts", "recv_ts").dt.replace_time_zone(IST))


def at(day, hour):
    return dt.datetime(2025, 8, day, hour)


def test_copies_of_a_closed_day_are_dropped_and_named():
    frame = rows((at(26, 15), at(27, 9)), (at(26, 15), at(27, 10)), (at(26, 14), at(26, 14)), (at(26, 15), at(28, 9)))
    kept, quality = own_days(frame, lambda day: day != dt.date(2025, 8, 27))
    assert kept.height == 1
    assert quality.schema == QUALITY
    assert list(quality.iter_rows()) == [
        ("stale_copy", 2, "received on 2025-08-27, which is no trading day"),
        ("stale_copy", 1, "received on 2025-08-28, a trading day"),
    ]


def test_rows_without_a_receive_stamp_are_their_own():
    frame = rows((at(26, 15), None))
    kept, quality = own_days(frame, lambda day: True)
    assert (kept.height, quality.height) == (1, 0)


def chain(minutes, present):
    n = len(minutes)
    ts = np.array([OPEN + m * MINUTE for m in minutes])
    shape = np.array(present, dtype=bool)
    one = ExpiryDay(
        underlying="NIFTY",
        exchange="NSE",
        expiry=NEAR,
        lot=75,
        strikes=np.arange(shape.shape[1]) * 50.0 + 24_000,
        ts_ns=ts,
        recv_ns=ts + MINUTE,
        row_of=np.arange(n),
        spot=np.full(n, np.nan),
        forward=np.full(n, np.nan),
        tte=np.zeros(n),
        token=np.zeros((n, 2, shape.shape[1]), dtype=np.int64),
        present=np.stack([shape, shape], axis=1),
        quotes={},
    )
    return DayChain(
        underlying="NIFTY",
        exchange="NSE",
        ts_ns=ts,
        recv_ns=ts + MINUTE,
        spot=one.spot,
        expiries=(NEAR,),
        days={NEAR: one},
    )


NO_QUOTES = pl.DataFrame({"bid": [1.0, 2.0, None], "ask": [2.0, 1.0, 1.0]})
SOUND = pl.DataFrame({"bid": [1.0, 0.0], "ask": [2.0, 0.0]})


def found(day, clean=SOUND, gap_s=600.0):
    return {rule: (count, detail) for rule, count, detail in day_quality(day, clean, DAY, gap_s).iter_rows()}


def test_a_quiet_day_has_nothing_to_tell():
    assert found(chain([0, 1, 2], [[1, 1]] * 3)) == {}


def test_gaps_are_counted_with_their_times():
    got = found(chain([0, 1, 20, 21, 50], [[1, 1]] * 5))
    assert got["gap"] == (2, "2025-08-29: 09:16:00 to 09:35:00 (19 min), 09:36:00 to 10:05:00 (29 min)")
    assert found(chain([0, 10], [[1]] * 2)) == {}


def test_strikes_that_appear_late_are_counted():
    got = found(chain([0, 1, 2], [[1, 0, 0], [1, 1, 0], [1, 1, 1]]))
    assert got["strike_listed_mid_day"][0] == 2
    assert "2025-09-02 24050 at 09:16:00" in got["strike_listed_mid_day"][1]


def test_crossed_quotes_and_early_receipts_are_counted():
    day = chain([0, 1], [[1]] * 2)
    got = found(day, NO_QUOTES)
    assert got["crossed_quote"][0] == 1
    early = DayChain(
        underlying="NIFTY",
        exchange="NSE",
        ts_ns=day.ts_ns,
        recv_ns=day.ts_ns - 1,
        spot=day.spot,
        expiries=day.expiries,
        days=day.days,
    )
    assert found(early)["received_before_stamped"][0] == 2


def part(*lines):
    return pl.DataFrame(lines, schema=QUALITY, orient="row")


def test_counts_add_up_and_empty_rules_go():
    got = summed([part(("gap", 1, "a"), ("adjusted", 0, "")), part(("gap", 2, "b"), ("gap", 1, "a")), part()])
    assert list(got.iter_rows()) == [("gap", 4, "a; b")]


@pytest.mark.parametrize("rule", ["repeated stamp", "received on a day that is no session", "backward stamp"])
def test_what_the_cleaning_counts_is_not_counted_twice(rule):
    assert summed([part((rule, 3, ""))]).height == 0


def test_nothing_is_an_empty_frame():
    assert summed([]).schema == QUALITY
