"""Clean chain frames as dense arrays, one block an (underlying, expiry): a single pass over the rows."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import polars as pl

from toolkit.oi.arrays import UNKNOWN, Floats, Ints
from toolkit.oi.config import SessionDays
from toolkit.oi.jit import kernel
from toolkit.oi.premium import parity_forward

__all__ = ["Block", "blocks", "settlement_ns", "tte_years", "with_prices"]

EPOCH: Final = dt.date(1970, 1, 1)
YEAR_NS: Final = 365.0 * 86_400e9
CLOSE_NS: Final = (15 * 3600 + 30 * 60) * 1_000_000_000 - 19_800_000_000_000  # 15:30 IST from the UTC midnight
MAX_IV: Final = 5.0


@dataclass(slots=True)
class Block:
    """T bursts of one (underlying, expiry) over n strikes; sides are calls 0 and puts 1, -1 or NaN unknown.

    ``ts_ns`` (T,), ``strikes_p`` (n,) paise, ``oi volume`` (T, 2, n) units, ``price iv`` (T, 2, n), ``spot
    futures forward tte`` (T,), ``token`` (2, n) with 0 for none, ``feed_change`` (T, 2, n) the feed's own change of
    OI in units, smallest int64 where it gave none.
    """

    underlying: str
    expiry: dt.date
    ts_ns: Ints
    strikes_p: Ints
    oi: Ints
    volume: Ints
    price: Floats
    iv: Floats
    spot: Floats
    futures: Floats
    forward: Floats
    tte: Floats
    token: Ints
    feed_change: Ints | None


NO_CHANGE: Final = np.iinfo(np.int64).min


def settlement_ns(expiry: dt.date, calendar: SessionDays | None) -> int:
    """The instant the settlement value is determined: the calendar's, else 15:30 IST."""
    if calendar is not None:
        return calendar.settlement_ns(expiry)
    return (expiry - EPOCH).days * 86_400_000_000_000 + CLOSE_NS


def tte_years(ts_ns: Ints, expiry: dt.date, calendar: SessionDays | None) -> Floats:
    """ACT/365 years to settlement, NaN from the settlement on."""
    years = (settlement_ns(expiry, calendar) - ts_ns) / YEAR_NS
    return np.where(years > 0, years, np.nan)


def blocks(frame: pl.DataFrame, calendar: SessionDays | None, rate: float) -> list[Block]:
    """Lay a prepared frame out, blocks in the order of their first stamp, then expiry."""
    if frame.height == 0:
        return []
    names = frame["underlying"].rle_id().to_numpy()
    expiry = frame["expiry"].to_physical().to_numpy()
    edges = np.flatnonzero((names[1:] != names[:-1]) | (expiry[1:] != expiry[:-1])) + 1
    bounds = np.concatenate(([0], edges, [frame.height]))
    columns = _columns(frame)
    found = [_block(frame, columns, int(a), int(b)) for a, b in pairwise(bounds)]
    for block in found:
        with_prices(block, calendar, rate)
    return sorted(found, key=lambda b: (b.underlying, int(b.ts_ns[0]), b.expiry))


def _columns(frame: pl.DataFrame) -> dict[str, Any]:
    # Mid where both sides are quoted, else the last price: a stale LTP is not today's premium
    bid, ask = pl.col("bid"), pl.col("ask")
    price = pl.when((bid > 0) & (ask >= bid)).then((bid + ask) / 2).otherwise(pl.col("ltp"))
    made = frame.select(
        pl.col("ts").dt.epoch("us").alias("ts"),
        "strike_p",
        pl.col("option_type").to_physical().cast(pl.Int64).alias("side"),
        pl.col("token").fill_null(0),
        pl.col("oi").fill_null(UNKNOWN),
        pl.col("volume").fill_null(UNKNOWN),
        pl.when(price > 0).then(price).cast(pl.Float64).fill_null(float("nan")).alias("price"),
        *(pl.col(name).fill_null(float("nan")) for name in ("iv", "spot", "futures")),
    )
    out = {name: made[name].to_numpy() for name in made.columns}
    if "oi_change" in frame.columns:
        out["feed"] = frame["oi_change"].cast(pl.Int64).fill_null(NO_CHANGE).to_numpy()
    return out


def _block(frame: pl.DataFrame, columns: dict[str, Any], a: int, b: int) -> Block:
    part = {name: values[a:b] for name, values in columns.items()}
    ts = part["ts"]
    starts = np.concatenate(([0], np.flatnonzero(ts[1:] != ts[:-1]) + 1))
    stamps = ts[starts]
    strikes_p = np.unique(part["strike_p"])
    steps, n = stamps.size, strikes_p.size
    oi = np.full((steps, 2, n), UNKNOWN, dtype=np.int64)
    volume = np.full((steps, 2, n), UNKNOWN, dtype=np.int64)
    price = np.full((steps, 2, n), np.nan)
    iv = np.full((steps, 2, n), np.nan)
    token = np.zeros((2, n), dtype=np.int64)
    spot = np.full(steps, np.nan)
    futures = np.full(steps, np.nan)
    scatter(
        ts,
        part["strike_p"],
        part["side"],
        part["token"],
        part["oi"],
        part["volume"],
        part["price"],
        part["iv"],
        part["spot"],
        part["futures"],
        strikes_p,
        oi,
        volume,
        price,
        iv,
        token,
        spot,
        futures,
    )
    feed = None
    if "feed" in part:
        feed = np.full((steps, 2, n), NO_CHANGE, dtype=np.int64)
        feed[np.searchsorted(stamps, ts), part["side"], np.searchsorted(strikes_p, part["strike_p"])] = part["feed"]
    blank = np.full(steps, np.nan)
    return Block(
        str(frame["underlying"][a]),
        frame["expiry"][a],
        stamps * 1000,
        strikes_p,
        oi,
        volume,
        price,
        iv,
        spot,
        futures,
        blank,
        blank,
        token,
        feed,
    )


@kernel
def scatter(
    ts: Ints,
    strike: Ints,
    side: Ints,
    tokens: Ints,
    ois: Ints,
    volumes: Ints,
    prices: Floats,
    ivs: Floats,
    spots: Floats,
    future_prices: Floats,
    strikes: Ints,
    oi: Ints,
    volume: Ints,
    price: Floats,
    iv: Floats,
    token: Ints,
    spot: Floats,
    futures: Floats,
) -> None:
    """Write rows, ordered by stamp then strike, into their dense places; one merge-like pass."""
    t = -1
    k = 0
    for r in range(ts.size):
        if t < 0 or ts[r] != ts[r - 1]:
            t += 1
            k = 0
        while strikes[k] < strike[r]:
            k += 1
        s = side[r]
        oi[t, s, k] = ois[r]
        volume[t, s, k] = volumes[r]
        price[t, s, k] = prices[r]
        iv[t, s, k] = ivs[r]
        if tokens[r] != 0:
            token[s, k] = tokens[r]
        if spots[r] == spots[r]:
            spot[t] = spots[r]
        if future_prices[r] == future_prices[r]:
            futures[t] = future_prices[r]


def with_prices(block: Block, calendar: SessionDays | None, rate: float) -> None:
    """Fill forward, time to expiry and the volatilities the frame lacks, in place.

    The forward is put-call parity's over the five most traded strikes near the money, else the future, else the
    spot. A strike's two options share one volatility, that of the out-of-the-money one, where the frame has none.
    """
    block.tte = tte_years(block.ts_ns, block.expiry, calendar)
    k = block.strikes_p / 100.0
    block.forward = forward_rows(k, block.price, block.volume, block.spot, block.futures, block.tte, rate)
    if not np.isnan(block.iv).any():
        return
    from toolkit.pricing import implied_vol

    call = k[None, :] >= block.forward[:, None]
    otm = np.where(call, block.price[:, 0], block.price[:, 1])
    with np.errstate(invalid="ignore"):
        iv = implied_vol(np.where(call, 1.0, -1.0), otm, block.forward[:, None], k[None, :], block.tte[:, None], rate)
        iv = np.where((iv > 0) & (iv < MAX_IV), iv, np.nan)
    block.iv = np.where(np.isnan(block.iv), iv[:, None, :], block.iv)


@kernel
def forward_rows(
    k: Floats, price: Floats, volume: Ints, spot: Floats, futures: Floats, tte: Floats, rate: float
) -> Floats:
    """Forward of each burst; see :func:`with_prices`."""
    out = np.empty(spot.size)
    for t in range(spot.size):
        df = np.exp(-rate * tte[t]) if tte[t] > 0.0 else 1.0
        out[t] = parity_forward(k, price[t, 0], price[t, 1], volume[t, 0], volume[t, 1], spot[t], df)
        if np.isnan(out[t]):
            out[t] = futures[t]
        if np.isnan(out[t]):
            out[t] = spot[t]
    return out
