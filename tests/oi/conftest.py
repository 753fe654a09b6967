"""Frames that several tests of this room use: small chains made here, real files through ``shared``."""

from __future__ import annotations

import datetime as dt
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

IST = ZoneInfo("Asia/Kolkata")


def make_chain(
    oi,
    *,
    start="2025-08-29 09:15:00",
    step_s=60,
    strikes=None,
    expiry=dt.date(2025, 9, 2),
    underlying="NIFTY",
    lot=75,
    volume=None,
    price=None,
    spot=None,
    token=1,
    stamps=None,
):
    """Chain rows from OI in lots of shape (T, 2, n); an entry below 0 is an absent contract."""
    oi = np.asarray(oi, dtype=np.int64)
    steps, _, n = oi.shape
    strikes = 24000.0 + 50.0 * np.arange(n) if strikes is None else np.asarray(strikes, dtype=float)
    first = dt.datetime.fromisoformat(start).replace(tzinfo=IST)
    times = stamps or [first + dt.timedelta(seconds=step_s * t) for t in range(steps)]
    rows = []
    for t in range(steps):
        for i in range(n):
            for s, side in enumerate(("CE", "PE")):
                if oi[t, s, i] < 0:
                    continue
                traded = oi[t, s, i] * 10 * lot if volume is None else int(volume[t][s][i]) * lot
                px = None if price is None else float(price[t][s][i])
                rows.append(
                    (
                        times[t],
                        underlying,
                        expiry,
                        round(strikes[i] * 100),
                        side,
                        token + 2 * i + s,
                        int(oi[t, s, i]) * lot,
                        traded,
                        lot,
                        px,
                        spot,
                    )
                )
    schema = {
        "ts": pl.Datetime("us", "Asia/Kolkata"),
        "underlying": pl.String,
        "expiry": pl.Date,
        "strike_p": pl.Int64,
        "option_type": pl.Enum(["CE", "PE"]),
        "token": pl.Int64,
        "oi": pl.Int64,
        "volume": pl.Int64,
        "lot": pl.Int32,
        "ltp": pl.Float64,
        "spot": pl.Float64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


@pytest.fixture
def chain():
    """``chain(oi, ...)``: chain rows from OI in lots of shape (T, 2, n)."""
    return make_chain


@pytest.fixture(scope="session")
def walk():
    """``walk(seed, T, n)``: OI in lots that wanders, with still bursts."""

    def make(seed=0, steps=40, n=11, scale=400):
        rng = np.random.default_rng(seed)
        start = rng.integers(0, scale, (2, n))
        moves = rng.integers(-20, 22, (steps, 2, n)) * (rng.random((steps, 1, 1)) > 0.3)
        return np.maximum(start + np.cumsum(moves, axis=0), 0)

    return make


@cache
def _read(path):
    from toolkit.store.session import open_session

    return open_session(path)


@pytest.fixture(scope="session")
def real(shared):
    """``real(name)``: the session of a real file, opened once."""
    return lambda name: _read(shared("data", "nse", name))


@pytest.fixture(scope="session")
def calendar():
    """The exchange's sessions."""
    from toolkit import tables

    return tables.calendar()


DAY = "chain_NIFTY_20250827_20250829.parquet"


@pytest.fixture(scope="session")
def day_frame(real):
    """All chain rows of the recorded NIFTY day."""
    return real(DAY).frame("chain")


@pytest.fixture(scope="session")
def day_result(day_frame, calendar):
    """Open-interest shift of the recorded NIFTY day, once for all tests."""
    from toolkit import oi

    return oi.oi_shift(day_frame, oi.OIConfig(calendar=calendar))
