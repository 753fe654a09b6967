"""Chain frames: quotes by rule, forwards, vols and Greeks; the exchange's own vols on a real day."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from toolkit import pricing
from toolkit.errors import BadData
from toolkit.market.schema import CHAIN, IST

EXPIRY = dt.date(2025, 9, 2)
TS = dt.datetime(2025, 8, 29, 10, 30)
FORWARD = 24513.0


def chain(**change):
    rows = []
    stamp = int(dt.datetime(2025, 8, 29, 5, 0, tzinfo=dt.UTC).timestamp()) * 10**9
    tte = pricing.tte(stamp, EXPIRY)
    for strike in range(24000, 25001, 100):
        for side in ("CE", "PE"):
            value = pricing.price(side, FORWARD, strike, tte, 0.12)
            row = {"ts": TS, "recv_ts": TS + dt.timedelta(seconds=70), "underlying": "NIFTY", "expiry": EXPIRY}
            row |= {"strike_p": strike * 100, "option_type": side, "bid": value - 0.2, "ask": value + 0.2, "ltp": value}
            rows.append(row | {"volume": 75, "futures": 24600.0})
    schema = {name: kind for name, kind in CHAIN.items() if name in rows[0]} | {
        "ts": pl.Datetime("us"),
        "recv_ts": pl.Datetime("us"),
    }
    frame = pl.DataFrame(rows, schema=schema)
    return frame.with_columns(pl.col("ts", "recv_ts").dt.replace_time_zone(IST)).with_columns(**change)


def test_adds_forward_time_quote_and_iv():
    got = pricing.with_iv(chain())
    assert got.columns[-5:] == ["tte", "forward", "forward_error", "quote", "iv"]
    assert got["forward"].to_numpy() == pytest.approx(np.full(22, FORWARD), abs=1e-8)
    assert got["iv"].to_numpy() == pytest.approx(np.full(22, 0.12), rel=1e-9)
    assert 0.0 < got["forward_error"][0] < 0.5


def test_greeks_are_those_of_the_arrays():
    got = pricing.with_greeks(chain())
    want = pricing.greeks(
        got["option_type"].to_list(), FORWARD, got["strike_p"].to_numpy() / 100, got["tte"].to_numpy(), 0.12
    )
    for name, column in want._asdict().items():
        assert got[name].to_numpy() == pytest.approx(column, rel=1e-6), name


def test_rows_keep_their_order_and_columns_are_replaced():
    frame = chain().sample(fraction=1.0, shuffle=True, seed=3)
    once = pricing.with_iv(frame)
    assert once["strike_p"].to_list() == frame["strike_p"].to_list()
    assert pricing.with_iv(once).equals(once)


@pytest.mark.parametrize("quote", ["bid", "ask", "mid", "ltp"])
def test_quote_is_the_one_asked_for(quote):
    got = pricing.with_iv(chain(), quote=quote)
    frame = chain()
    want = (frame["bid"] + frame["ask"]) / 2 if quote == "mid" else frame[quote]
    assert got.filter(pl.col("quote") > 0)["quote"].to_list() == pytest.approx(want.filter(want > 0).to_list())


def test_crossed_missing_and_stale_are_null():
    first = pl.int_range(pl.len()) == 0
    crossed = pricing.with_iv(chain(bid=pl.when(first).then(9999.0).otherwise(pl.col("bid"))))
    assert crossed["quote"][0] is None
    assert crossed["iv"][0] is None
    assert pricing.with_iv(chain(ask=pl.when(first).then(None).otherwise(pl.col("ask"))))["iv"][0] is None
    untraded = chain(volume=pl.when(first).then(0).otherwise(pl.col("volume")))
    assert pricing.with_iv(untraded, quote="ltp")["iv"][0] is None
    assert pricing.with_iv(untraded)["iv"][0] is not None
    assert pricing.with_iv(chain(), max_age_s=60)["iv"].null_count() == 22
    assert pricing.with_iv(chain(), max_age_s=80)["iv"].null_count() == 0


def test_below_intrinsic_is_null_and_greeks_with_it():
    deep = chain(
        bid=pl.when(pl.col("strike_p") == 2400000).then(1.0).otherwise("bid"),
        ask=pl.when(pl.col("strike_p") == 2400000).then(1.2).otherwise("ask"),
    )
    got = pricing.with_greeks(deep)
    call = got.filter((pl.col("strike_p") == 2400000) & (pl.col("option_type").cast(pl.String) == "CE"))
    assert call["iv"][0] is None
    assert call["delta"][0] is None


def test_without_two_sided_quotes_the_future_is_the_forward():
    got = pricing.with_iv(chain(bid=pl.lit(None, pl.Float64)), quote="ltp")
    assert got["forward"].unique().to_list() == [24600.0]
    bare = chain(bid=pl.lit(None, pl.Float64)).drop("futures")
    assert pricing.with_iv(bare, quote="ltp")["iv"].null_count() == 22


def test_empty_frame():
    got = pricing.with_greeks(chain().clear())
    assert got.height == 0
    assert {"iv", "delta", "rho"} <= set(got.columns)


def test_bad_frames_are_named():
    with pytest.raises(BadData, match="chain frame lacks bid, ltp"):
        pricing.with_iv(chain().drop("bid", "ltp"))
    with pytest.raises(BadData, match="quote must be mid, bid, ask or ltp, was 'best'"):
        pricing.with_iv(chain(), quote="best")
    with pytest.raises(BadData, match="max_age_s needs the column recv_ts"):
        pricing.with_iv(chain().drop("recv_ts"), max_age_s=1)


@pytest.fixture(scope="module")
def real_day(shared):
    from toolkit.store.session import open_session

    session = open_session(shared("data", "nse", "chain_NIFTY_20250827_20250829.parquet"))
    return session.frame("chain", "NIFTY", dt.date(2025, 8, 29)).filter(pl.col("expiry") == EXPIRY)


def liquid(frame):
    """Out-of-the-money contracts of more than 10,000 lots traded that day."""
    traded = (pl.col("volume") > 10_000 * 75) & (pl.col("source_iv") > 0) & (pl.col("delta").abs() < 0.5)
    return frame.filter(traded)


def test_published_iv_is_reproduced_with_its_clock_and_our_forward(real_day):
    stamp = real_day["ts"].unique().sort().to_list()
    noon = min(stamp, key=lambda t: abs(t - t.replace(hour=12, minute=34, second=51)))
    got = liquid(pricing.with_greeks(real_day.filter(pl.col("ts") == noon), clock="days", quote="ltp", rate=0.10))
    off = 100 * (got["iv"] - got["source_iv"]).abs().median()
    assert got.height > 20
    assert off <= 0.06
    ours = liquid(pricing.with_greeks(real_day.filter(pl.col("ts") == noon), quote="ltp", rate=0.10))
    assert 100 * (ours["iv"] - ours["source_iv"]).abs().median() > 0.2


def test_published_iv_through_the_day_with_the_forward_left_free(real_day):
    stamps = real_day["ts"].unique().sort().to_list()
    medians = []
    for stamp in stamps[5::25]:
        rows = liquid(pricing.with_greeks(real_day.filter(pl.col("ts") == stamp), clock="days", quote="ltp", rate=0.10))
        sign = np.where(rows["option_type"].cast(pl.String) == "CE", 1.0, -1.0)
        arrays = (rows["strike_p"].to_numpy() / 100, rows["tte"].to_numpy(), 0.10)
        around = rows["forward"][0] + np.arange(-60.0, 60.0, 0.5)
        off = [
            np.nanmedian(
                np.abs(pricing.implied_vol(sign, rows["ltp"].to_numpy(), f, *arrays) - rows["source_iv"].to_numpy())
            )
            for f in around
        ]
        medians.append(100 * min(off))
    assert len(medians) > 10
    assert np.median(medians) <= 0.06
