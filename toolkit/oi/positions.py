"""Who did what, as far as public figures tell: writers by premium, trapped writers, rolls, participants."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import polars as pl

from toolkit.errors import BadData
from toolkit.oi.arrays import Floats, Ints
from toolkit.oi.config import OIConfig
from toolkit.oi.jit import kernel
from toolkit.oi.layout import Block, blocks
from toolkit.oi.prepare import prepare_chain

__all__ = ["participant_positions", "roll_over", "trapped_writers", "writer_class"]

IST: Final = "Asia/Kolkata"
SIDES: Final[Any] = pl.Enum(["CE", "PE"])
WRITERS: Final = ("writing", "buying", "covering", "liquidation", "neutral")
OI_BAND: Final = 0.001
PRICE_BAND: Final = 0.0005


def writer_class(frame: pl.DataFrame, config: OIConfig | None = None) -> pl.DataFrame:
    """Name who was active in each contract between consecutive bursts, by OI and premium.

    The premium is taken net of delta times the forward's move: a call gains merely because the spot rose. OI up
    with a net premium down is "writing", up with up "buying", down with up "covering", down with down
    "liquidation"; "neutral" inside the dead bands (0.1 % of OI, 0.05 % of premium). A hypothesis: every contract
    has a buyer and a writer.

    Parameters
    ----------
    frame : polars.DataFrame
        Chain rows of at least two bursts.
    config : OIConfig, optional

    Returns
    -------
    polars.DataFrame
        ``ts underlying expiry strike_p option_type oi_change premium_change net_premium_change class``; null where
        either burst does not know the contract or its volatility.
    """
    chosen = OIConfig() if config is None else config
    parts = []
    for block in blocks(prepare_chain(frame, chosen).frame, chosen.calendar, chosen.rate):
        if block.ts_ns.size < 2:
            continue
        codes, net, raw = writer_rows(
            block.strikes_p / 100.0, block.oi, block.price, block.iv, block.forward, block.tte, OI_BAND, PRICE_BAND
        )
        seen = (block.oi[1:] >= 0) & (block.oi[:-1] >= 0)
        t, s, i = np.nonzero(seen)
        names = np.array([*WRITERS, None], dtype=object)
        parts.append(
            _contract_columns(block, t + 1, s, i).with_columns(
                pl.Series("oi_change", (block.oi[1:] - block.oi[:-1])[t, s, i]),
                pl.Series("premium_change", raw[t, s, i]).fill_nan(None),
                pl.Series("net_premium_change", net[t, s, i]).fill_nan(None),
                pl.Series("class", names[codes[t, s, i]].tolist(), dtype=pl.String),
            )
        )
    if not parts:
        raise BadData("writer_class compares bursts: the frame must hold at least two stamps of an expiry, had one")
    return pl.concat(parts).sort("ts", "underlying", "expiry", "strike_p", "option_type")


def _contract_columns(block: Block, t: Any, s: Any, i: Any) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "ts": pl.Series(block.ts_ns[t] // 1000).cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(IST),
            "underlying": pl.Series([block.underlying], dtype=pl.String).new_from_index(0, len(t)),
            "expiry": pl.Series([block.expiry], dtype=pl.Date).new_from_index(0, len(t)),
            "strike_p": pl.Series(block.strikes_p[i]),
            "option_type": pl.Series(np.array(["CE", "PE"])[s], dtype=pl.String).cast(SIDES),
        }
    )


@kernel
def writer_rows(
    k: Floats, oi: Ints, price: Floats, iv: Floats, forward: Floats, tte: Floats, oi_band: float, price_band: float
) -> tuple[Ints, Floats, Floats]:
    """Class codes (index in ``WRITERS``, 5 unknown), net and raw premium changes of consecutive bursts."""
    steps, n = oi.shape[0] - 1, k.size
    codes = np.full((steps, 2, n), 5, dtype=np.int64)
    net = np.full((steps, 2, n), math.nan)
    raw = np.full((steps, 2, n), math.nan)
    for t in range(steps):
        move = forward[t + 1] - forward[t]
        root = math.sqrt(tte[t]) if tte[t] > 0.0 else math.nan
        for s in range(2):
            for i in range(n):
                a, b = oi[t, s, i], oi[t + 1, s, i]
                if a < 0 or b < 0:
                    continue
                raw[t, s, i] = price[t + 1, s, i] - price[t, s, i]
                sd = iv[t, s, i] * root
                d1 = math.log(forward[t] / k[i]) / sd + 0.5 * sd
                delta = 0.5 * math.erfc(-d1 / math.sqrt(2.0)) - s
                change = raw[t, s, i] - delta * move
                net[t, s, i] = change
                if math.isnan(change):
                    continue
                if abs(b - a) <= oi_band * a or abs(change) <= price_band * price[t, s, i]:
                    codes[t, s, i] = 4
                elif b > a:
                    codes[t, s, i] = 0 if change < 0 else 1
                else:
                    codes[t, s, i] = 2 if change > 0 else 3
    return codes, net, raw


def trapped_writers(frame: pl.DataFrame, config: OIConfig | None = None) -> pl.DataFrame:
    """Find contracts opened since the first burst of the frame whose premium now stands above their entry.

    Parameters
    ----------
    frame : polars.DataFrame
        Chain rows of one session or part of one: the reference is its first burst.
    config : OIConfig, optional

    Returns
    -------
    polars.DataFrame
        One row a contract with opened units: ``underlying expiry strike_p option_type opened entry price pain``;
        ``pain`` rupees, sum of opened units x (price - OI-weighted entry), negative where writers gain. The entry
        is an estimate: OI is published minutes late.
    """
    chosen = OIConfig() if config is None else config
    parts = []
    for block in blocks(prepare_chain(frame, chosen).frame, chosen.calendar, chosen.rate):
        entry = entries_of(block.oi, block.price)
        s, i = np.nonzero(entry[0] > 0)
        average = entry[1, s, i] / entry[0, s, i]
        price = entry[2, s, i]
        parts.append(
            _contract_columns(block, np.full(s.size, block.ts_ns.size - 1), s, i)
            .drop("ts")
            .with_columns(
                pl.Series("opened", np.rint(entry[0, s, i]).astype(np.int64)),
                pl.Series("entry", average),
                pl.Series("price", price).fill_nan(None),
                pl.Series("pain", entry[0, s, i] * (price - average)).fill_nan(None),
            )
        )
    if not parts:
        raise BadData("trapped_writers got an empty frame; give chain rows of a session")
    return pl.concat(parts).sort("underlying", "expiry", "strike_p", "option_type")


@kernel
def entries_of(oi: Ints, price: Floats) -> Floats:
    """Units opened since the first burst, their premium in rupees, and the newest price: (3, 2, n)."""
    n = oi.shape[2]
    out = np.zeros((3, 2, n))
    out[2] = math.nan
    for s in range(2):
        for i in range(n):
            held = -1
            for t in range(oi.shape[0]):
                px = price[t, s, i]
                if px > 0.0:
                    out[2, s, i] = px
                v = oi[t, s, i]
                if v < 0:
                    continue
                change = v - held if held >= 0 else 0
                held = v
                if change > 0 and px > 0.0:
                    out[0, s, i] += change
                    out[1, s, i] += change * px
                elif change < 0 and out[0, s, i] > 0.0:
                    left = max(out[0, s, i] + change, 0.0) / out[0, s, i]
                    out[0, s, i] *= left
                    out[1, s, i] *= left
    return out


def roll_over(frame: pl.DataFrame) -> pl.DataFrame:
    """Measure the roll from the nearest expiry to the next, stamp by stamp.

    Parameters
    ----------
    frame : polars.DataFrame
        Futures rows (``ts underlying expiry oi`` and ``settle`` or ``ltp``), or chain rows, whose OI is summed.

    Returns
    -------
    polars.DataFrame
        ``ts underlying near next near_oi next_oi share carry near_change next_change rolled``: ``share`` next /
        (near + next); ``carry`` ln(F2 / F1) per year between the expiries (null without futures prices);
        ``rolled`` the smaller of what left the near and came to the next since the stamp before, 0 unless both.
        The nearest expiry is the earliest not before the stamp's date: an expiry itself is no unwinding.
    """
    missing = [c for c in ("ts", "underlying", "expiry", "oi") if c not in frame.columns]
    if missing:
        raise BadData(f"roll_over needs columns ts, underlying, expiry, oi; {', '.join(missing)} is missing")
    prices = [c for c in ("settle", "ltp") if c in frame.columns and "strike_p" not in frame.columns]
    price = pl.coalesce([pl.col(c).cast(pl.Float64) for c in prices]) if prices else pl.lit(None, dtype=pl.Float64)
    totals = (
        frame.filter(pl.col("expiry") >= pl.col("ts").dt.date())
        .group_by("ts", "underlying", "expiry")
        .agg(pl.col("oi").sum(), price.first().alias("price"))
        .sort("underlying", "ts", "expiry")
        .with_columns(
            pl.col("oi").diff().over("underlying", "expiry", order_by="ts").alias("change"),
            pl.int_range(pl.len()).over("underlying", "ts").alias("rank"),
        )
    )
    near = totals.filter(pl.col("rank") == 0).drop("rank")
    far = totals.filter(pl.col("rank") == 1).drop("rank")
    both = near.join(far, on=["ts", "underlying"], suffix="_next")
    years = (pl.col("expiry_next") - pl.col("expiry")).dt.total_days() / 365.0
    both = both.with_columns((pl.col("oi") + pl.col("oi_next")).alias("sum"))
    return both.select(
        "ts",
        "underlying",
        pl.col("expiry").alias("near"),
        pl.col("expiry_next").alias("next"),
        pl.col("oi").alias("near_oi"),
        pl.col("oi_next").alias("next_oi"),
        pl.when(pl.col("sum") > 0).then(pl.col("oi_next") / pl.col("sum")).alias("share"),
        pl.when((pl.col("price") > 0) & (pl.col("price_next") > 0))
        .then((pl.col("price_next") / pl.col("price")).log() / years)
        .alias("carry"),
        pl.col("change").alias("near_change"),
        pl.col("change_next").alias("next_change"),
        pl.when((pl.col("change") < 0) & (pl.col("change_next") > 0))
        .then(pl.min_horizontal(-pl.col("change"), pl.col("change_next")))
        .when(pl.col("change").is_not_null() & pl.col("change_next").is_not_null())
        .then(0)
        .alias("rolled"),
    ).sort("underlying", "ts")


_PRODUCTS: Final = (
    ("Future Index", "future_index"),
    ("Future Stock", "future_stock"),
    ("Option Index Call", "option_index_call"),
    ("Option Index Put", "option_index_put"),
    ("Option Stock Call", "option_stock_call"),
    ("Option Stock Put", "option_stock_put"),
)


def participant_positions(frame: pl.DataFrame) -> pl.DataFrame:
    """Turn the exchange's participant table into positions by class and product.

    Parameters
    ----------
    frame : polars.DataFrame
        The published columns (``Client Type``, ``Future Index Long``, ...), padded headers and all, or the session
        store's ``participants`` table (``date who instrument side contracts``).

    Returns
    -------
    polars.DataFrame
        ``[date] who product long short net long_share short_share total_gap_long total_gap_short`` in contracts;
        shares of the classes' sum; the gaps are published TOTAL less that sum (a real file misses by 1).
    """
    long = _participant_rows(frame)
    by = ["date", "product"] if "date" in long.columns else ["product"]
    total = long.filter(pl.col("who") == "TOTAL").select(*by, pl.col("long").alias("tl"), pl.col("short").alias("ts"))
    classes = long.filter(pl.col("who") != "TOTAL")
    summed = classes.join(total, on=by, how="left", maintain_order="left").with_columns(
        pl.col("long").sum().over(by).alias("sl"), pl.col("short").sum().over(by).alias("ss")
    )
    return summed.select(
        *(c for c in ("date", "who", "product", "long", "short") if c in summed.columns),
        (pl.col("long") - pl.col("short")).alias("net"),
        pl.when(pl.col("sl") > 0).then(pl.col("long") / pl.col("sl")).alias("long_share"),
        pl.when(pl.col("ss") > 0).then(pl.col("short") / pl.col("ss")).alias("short_share"),
        (pl.col("tl") - pl.col("sl")).alias("total_gap_long"),
        (pl.col("ts") - pl.col("ss")).alias("total_gap_short"),
    )


def _participant_rows(frame: pl.DataFrame) -> pl.DataFrame:
    names = {c: " ".join(c.replace('"', "").replace("\ufeff", "").split()) for c in frame.columns}
    clean = frame.rename(names)
    if {"who", "instrument", "side", "contracts"} <= set(clean.columns):
        if "measure" in clean.columns:
            # the store keeps traded volume beside open interest; positions are the latter
            clean = clean.filter(pl.col("measure") == "oi")
        clean = clean.filter(pl.col("instrument") != "total")
        keys = [c for c in ("date", "who", "instrument") if c in clean.columns]
        sides = [
            pl.col("contracts").filter(pl.col("side").cast(pl.String).str.to_lowercase() == side).sum().alias(side)
            for side in ("long", "short")
        ]
        wide = clean.group_by(keys, maintain_order=True).agg(sides).rename({"instrument": "product"})
        return wide.with_columns(
            pl.when(pl.col("who").str.to_uppercase() == "TOTAL").then(pl.lit("TOTAL")).otherwise("who").alias("who")
        )
    wanted = ["Client Type", *(f"{p} {s}" for p, _ in _PRODUCTS for s in ("Long", "Short"))]
    missing = [c for c in wanted if c not in clean.columns]
    if missing:
        raise BadData(f"participant table has no column {missing[0]!r}; it needs the exchange's headers")
    parts = [
        clean.select(
            pl.col("Client Type").cast(pl.String).str.strip_chars().alias("who"),
            pl.lit(name).alias("product"),
            *(
                pl.col(f"{title} {s}").cast(pl.String).str.replace_all(r"[, ]", "").cast(pl.Int64).alias(s.lower())
                for s in ("Long", "Short")
            ),
        )
        for title, name in _PRODUCTS
    ]
    return pl.concat(parts)
