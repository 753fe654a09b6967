import datetime as dt
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit import pricing
from toolkit.calendar import ist_ns
from toolkit.errors import BadData
from toolkit.market.chain import build_day
from toolkit.market.schema import CHAIN, IST

DAY = dt.date(2025, 8, 29)
NEAR, FAR = dt.date(2025, 9, 2), dt.date(2025, 9, 30)
STRIKES = [24000, 24200, 24400, 24500, 24600, 24700, 24800, 25000]


def settles(expiry):
    return ist_ns(expiry, dt.time(15, 30))


def stamp(minute, second=0):
    return dt.datetime(2025, 8, 29, 9, 30, second) + dt.timedelta(minutes=minute)


def rows(minute, expiry=NEAR, *, forward=24576.0, iv=0.11, strikes=STRIKES, recv_s=70, **changes):
    """One snapshot of an expiry, priced by Black-76 and quoted 10 paise across."""
    ts = stamp(minute)
    tte = (settles(expiry) - ist_ns(DAY, ts.time())) / (365 * 86_400 * 10**9)
    out = []
    for strike in strikes:
        for kind in ("CE", "PE"):
            price = float(pricing.price(kind, forward, float(strike), tte, iv))
            row = {
                "ts": ts,
                "recv_ts": ts + dt.timedelta(seconds=recv_s),
                "underlying": "NIFTY",
                "expiry": expiry,
                "strike_p": strike * 100,
                "option_type": kind,
                "token": -(strike * 10 + (kind == "PE") + 1_000_000 * expiry.month),
                "oi": strike * 75,
                "volume": 7_500,
                "lot": 75,
                "ltp": price,
                "bid": price - 0.05,
                "ask": price + 0.05,
                "bid_qty": 750,
                "ask_qty": 1_500,
                "source_iv": None,
                "spot": None,
                "futures": None,
            }
            row.update(changes)
            out.append(row)
    return out


def frame(*parts):
    data = [row for part in parts for row in part]
    naive = {name: (pl.Datetime("us") if name in ("ts", "recv_ts") else kind) for name, kind in CHAIN.items()}
    made = pl.DataFrame(data, schema=naive)
    return made.with_columns(pl.col("ts", "recv_ts").dt.replace_time_zone(IST))


def same(one, two):
    for name in ("strikes", "forward", "tte", "spot", "ts_ns", "recv_ns"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)
    for side in ("ce", "pe"):
        for name in type(one.ce).__slots__:
            np.testing.assert_array_equal(getattr(getattr(one, side), name), getattr(getattr(two, side), name))


def test_a_slice_recovers_forward_and_volatility():
    day = build_day(frame(rows(0), rows(0, FAR, forward=24700.0, iv=0.13)), settles)
    assert (day.underlying, day.exchange, len(day), day.expiries) == ("NIFTY", "NSE", 1, (NEAR, FAR))
    for expiry, forward, iv in ((NEAR, 24576.0, 0.11), (FAR, 24700.0, 0.13)):
        chain = day.slice_at(0, expiry)
        assert chain.forward == pytest.approx(forward, abs=1e-6)
        assert chain.ce.iv == pytest.approx(iv, abs=1e-6)
        assert chain.pe.iv == pytest.approx(iv, abs=1e-6)
        assert chain.ce.delta - chain.pe.delta == pytest.approx(1.0)
        assert chain.ce.oi[3] == 24500 * 75
        assert chain.lot == 75
        assert chain.symbol(3, "CE").endswith("24500 CE")
        want = pricing.greeks("CE", forward, 24500.0, chain.tte, iv)
        assert chain.ce.vega[3] == pytest.approx(want.vega, rel=1e-4)
        assert chain.ce.theta[3] == pytest.approx(want.theta, rel=1e-4)


def test_time_to_expiry_runs_from_the_exchange_stamp_and_ends_at_zero():
    day = build_day(frame(rows(0)), settles)
    assert day.slice_at(0, NEAR).tte == pytest.approx((4 * 86_400 + 6 * 3600) / (365 * 86_400))
    late = build_day(frame(rows(0)), lambda expiry: ist_ns(DAY, dt.time(9, 0)))
    chain = late.slice_at(0, NEAR)
    assert chain.tte == 0.0
    assert np.isnan(chain.ce.iv).all()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"bid": 0.0}, "bid"),
        ({"ask": None}, "ask"),
        ({"ltp": 0.0}, "ltp"),
        ({"bid": -1.0}, "bid"),
        ({"oi": None}, "oi"),
    ],
)
def test_empty_and_unknown_figures_are_nan_never_zero(change, field):
    chain = build_day(frame(rows(0, **change)), settles).slice_at(0, NEAR)
    assert np.isnan(getattr(chain.ce, field)).all()


def test_a_crossed_pair_is_no_quote():
    chain = build_day(frame(rows(0, bid=10.0, ask=9.0)), settles).slice_at(0, NEAR)
    assert np.isnan(chain.ce.bid).all()
    assert np.isnan(chain.ce.ask).all()
    assert math.isnan(chain.forward)
    assert chain.atm == -1


def test_a_side_without_quotes_takes_the_volatility_of_the_other():
    data = rows(0)
    for row in data:
        if row["option_type"] == "CE" and row["strike_p"] == 2_400_000:
            row["bid"] = None
    chain = build_day(frame(data), settles).slice_at(0, NEAR)
    assert math.isnan(chain.ce.bid[0])
    assert chain.ce.iv[0] == chain.pe.iv[0]
    assert math.isfinite(chain.ce.delta[0])


def test_a_strike_appears_only_when_it_is_listed():
    day = build_day(frame(rows(0, strikes=STRIKES[1:]), rows(1)), settles)
    first, second = day.slice_at(0, NEAR), day.slice_at(1, NEAR)
    assert first.strikes.tolist() == [float(k) for k in STRIKES[1:]]
    assert second.strikes.tolist() == [float(k) for k in STRIKES]
    same(first, build_day(frame(rows(0, strikes=STRIKES[1:])), settles).slice_at(0, NEAR))


def test_rows_are_known_from_their_receive_stamp_on():
    late = rows(1, FAR, recv_s=200)
    day = build_day(frame(rows(0), rows(1), late, rows(2)), settles)
    assert len(day) == 4
    assert day.recv_ns.tolist() == sorted(day.recv_ns.tolist())
    assert [day.slice_at(i, FAR) is None for i in range(4)] == [True, True, True, False]
    assert [e for e, _ in day.fresh(3)] == [FAR]
    assert day.slice_at(3, NEAR).ts_ns == ist_ns(DAY, stamp(2).time())


def test_without_a_receive_stamp_the_exchange_stamp_counts():
    data = [{**row, "recv_ts": None} for row in rows(0)]
    day = build_day(frame(data), settles)
    assert day.recv_ns[0] == day.ts_ns[0] == ist_ns(DAY, dt.time(9, 30))


def test_spot_is_carried_forward_never_back():
    day = build_day(frame(rows(0), rows(1, spot=24500.0), rows(2)), settles)
    assert math.isnan(day.spot[0])
    assert day.spot[1:].tolist() == [24500.0, 24500.0]


@pytest.mark.parametrize("bad", ["empty", "two"])
def test_a_day_needs_rows_of_one_underlying(bad):
    made = frame() if bad == "empty" else frame(rows(0), rows(0, underlying="SENSEX"))
    with pytest.raises(BadData, match="exactly one underlying, was"):
        build_day(made, settles)


def test_a_chain_without_lots_is_refused():
    with pytest.raises(BadData, match="no lot size in the chain of NIFTY 2025-09-02"):
        build_day(frame(rows(0, lot=None)), settles)


def test_slices_cannot_be_written_to():
    chain = build_day(frame(rows(0)), settles).slice_at(0, NEAR)
    for array in (chain.strikes, chain.ce.bid, chain.pe.iv, chain.ce.token):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@settings(max_examples=25, deadline=None)
@given(
    cut=st.integers(1, 5),
    forwards=st.lists(st.floats(24300, 24800), min_size=6, max_size=6),
    dropped=st.sets(st.tuples(st.integers(0, 5), st.integers(0, 7)), max_size=12),
    order=st.permutations(range(6)),
)
def test_no_slice_depends_on_a_row_received_later(cut, forwards, dropped, order):
    parts = [
        rows(m, forward=forwards[m], strikes=[k for i, k in enumerate(STRIKES) if (m, i) not in dropped])
        for m in range(6)
    ]
    whole = build_day(frame(*[parts[m] for m in order]), settles)
    part = build_day(frame(*parts[:cut]), settles)
    for moment in range(len(part)):
        one, two = part.slice_at(moment, NEAR), whole.slice_at(moment, NEAR)
        assert (one is None) == (two is None)
        if one is not None:
            same(one, two)


def test_the_real_day(shared):
    from toolkit.store.session import open_session

    session = open_session(shared("data", "nse", "chain_NIFTY_20250827_20250829.parquet"))
    day = build_day(session.frame("chain", "NIFTY", DAY), settles)
    assert (len(day), len(day.expiries)) == (306, 18)
    chain = day.slice_at(305, dt.date(2025, 9, 30))
    at = int(np.searchsorted(chain.strikes, 25000.0))
    assert chain.ce.oi[at] / chain.lot == 76_618
    assert chain.pe.oi[at] / chain.lot == 58_824
    assert chain.pe.oi.sum() / chain.ce.oi.sum() == pytest.approx(1.176069, abs=5e-7)
    nearest = day.slice_at(305, NEAR)
    assert nearest.forward == pytest.approx(24_470, abs=25)
    near_money = np.abs(nearest.strikes - nearest.forward) < 300
    assert np.nanmax(np.abs(nearest.ce.iv - nearest.pe.iv)[near_money]) < 0.03
    late = day.days[dt.date(2025, 9, 23)]
    assert 25300.0 not in late.slice_of_row(0).strikes
    assert 25300.0 in late.slice_of_row(len(late.ts_ns) - 1).strikes
