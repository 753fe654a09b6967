"""Implied volatility and Greeks as columns of a chain frame."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl

from toolkit.errors import BadData
from toolkit.pricing.black import greeks
from toolkit.pricing.clock import SessionCalendar, tte
from toolkit.pricing.forward import parity_forward
from toolkit.pricing.implied import implied_vol

__all__ = ["with_greeks", "with_iv"]

_KEY: Final = ["ts", "underlying", "expiry"]
_NEEDS: Final = (*_KEY, "strike_p", "option_type", "bid", "ask", "ltp")


def with_iv(
    frame: pl.DataFrame,
    *,
    rate: float = 0.0,
    clock: str = "calendar",
    calendar: SessionCalendar | None = None,
    quote: str = "mid",
    max_age_s: float | None = None,
) -> pl.DataFrame:
    """Add ``forward, forward_error, tte, quote, iv`` to a chain frame; the rows keep their order.

    The quote used is ``bid``, ``ask``, ``mid`` or ``ltp`` as asked. A crossed book (bid above ask) and a
    missing or non-positive price are null; ``mid`` needs both sides; ``ltp`` of a contract that has not
    traded today (``volume`` 0) is stale, hence null, and so is every quote of a row that was received
    more than ``max_age_s`` seconds after its exchange stamp, where that is given. The forward of each
    (ts, underlying, expiry) is :func:`toolkit.pricing.parity_forward` over its two-sided strikes; without
    one it is the frame's ``futures`` price, else null.

    Parameters
    ----------
    frame : polars.DataFrame
        Columns of the chain schema; ``strike_p`` in paise, prices in rupees, ``ts`` IST-aware.
    rate : float
        Continuous discount rate per year.
    clock, calendar
        As in :func:`toolkit.pricing.tte`.
    quote : {"mid", "bid", "ask", "ltp"}
    max_age_s : float, optional
        Needs the column ``recv_ts``; an unknown receive stamp counts as fresh.

    Raises
    ------
    BadData
        When a column is missing or ``quote`` is unknown.
    """
    missing = [name for name in _NEEDS if name not in frame.columns]
    if missing:
        raise BadData(f"chain frame lacks {', '.join(missing)}; it needs {', '.join(_NEEDS)}")
    if quote not in ("mid", "bid", "ask", "ltp"):
        raise BadData(f"quote must be mid, bid, ask or ltp, was {quote!r}")
    added = ("forward", "forward_error", "tte", "quote", "iv")
    frame = frame.drop([name for name in added if name in frame.columns])
    years = _years(frame, clock, calendar)
    frame = frame.join(years, on=["ts", "expiry"], how="left", maintain_order="left")
    frame = frame.join(_forwards(frame, rate), on=_KEY, how="left", maintain_order="left")
    if "futures" in frame.columns:
        frame = frame.with_columns(pl.coalesce("forward", "futures").alias("forward"))
    frame = frame.with_columns(_fresh(frame, _quote(quote), quote, max_age_s).alias("quote"))
    iv = implied_vol(
        _sign(frame),
        frame["quote"].to_numpy(),
        frame["forward"].to_numpy(),
        frame["strike_p"].to_numpy() / 100.0,
        frame["tte"].to_numpy(),
        rate,
    )
    return frame.with_columns(pl.Series("iv", np.where(np.isfinite(iv) & (iv > 0.0), iv, np.nan)).fill_nan(None))


def with_greeks(frame: pl.DataFrame, *, rate: float = 0.0, **options: Any) -> pl.DataFrame:
    """Add ``delta, gamma, vega, theta, rho`` (and what :func:`with_iv` adds, where ``iv`` is absent).

    Null where ``iv`` is null. ``options`` go to :func:`with_iv`.
    """
    if not {"iv", "forward", "tte"} <= set(frame.columns):
        frame = with_iv(frame, rate=rate, **options)
    values = greeks(
        _sign(frame),
        frame["forward"].to_numpy(),
        frame["strike_p"].to_numpy() / 100.0,
        frame["tte"].to_numpy(),
        frame["iv"].to_numpy(),
        rate,
    )
    return frame.with_columns(
        pl.Series(name, column).fill_nan(None) for name, column in zip(values._fields, values, strict=True)
    )


def _sign(frame: pl.DataFrame) -> Any:
    return frame.select(pl.when(pl.col("option_type").cast(pl.String) == "CE").then(1.0).otherwise(-1.0))[
        :, 0
    ].to_numpy()


def _quote(name: str) -> pl.Expr:
    crossed = (pl.col("bid") > pl.col("ask")).fill_null(False)
    if name == "mid":
        price = pl.when((pl.col("bid") > 0) & (pl.col("ask") > 0)).then((pl.col("bid") + pl.col("ask")) / 2.0)
    else:
        price = pl.when(pl.col(name) > 0).then(pl.col(name))
    return pl.when(~crossed).then(price) if name != "ltp" else price


def _fresh(frame: pl.DataFrame, price: pl.Expr, name: str, max_age_s: float | None) -> pl.Expr:
    if name == "ltp" and "volume" in frame.columns:
        price = pl.when((pl.col("volume") == 0).fill_null(False)).then(None).otherwise(price)
    if max_age_s is not None:
        if "recv_ts" not in frame.columns:
            raise BadData("max_age_s needs the column recv_ts; leave max_age_s out or add the receive stamps")
        age_s = (pl.col("recv_ts") - pl.col("ts")).dt.total_milliseconds() / 1000.0
        price = pl.when((age_s > max_age_s).fill_null(False)).then(None).otherwise(price)
    return price


def _years(frame: pl.DataFrame, clock: str, calendar: SessionCalendar | None) -> pl.DataFrame:
    pairs = frame.select("ts", "expiry").unique(maintain_order=True)
    now = pairs["ts"].dt.timestamp("ns").to_list()
    days = pairs["expiry"].to_list()
    values = [tte(n, day, clock, calendar=calendar) for n, day in zip(now, days, strict=True)]
    return pairs.with_columns(tte=pl.Series(values, dtype=pl.Float64))


def _forwards(frame: pl.DataFrame, rate: float) -> pl.DataFrame:
    sides = frame.select(*_KEY, "tte", "strike_p", pl.col("option_type").cast(pl.String), "bid", "ask")
    call = sides.filter(pl.col("option_type") == "CE").drop("option_type")
    put = sides.filter(pl.col("option_type") == "PE").drop("option_type", "tte")
    both = call.join(put, on=[*_KEY, "strike_p"], suffix="_put", maintain_order="left")
    rows = []
    for key, part in both.group_by(_KEY, maintain_order=True):
        fit = parity_forward(
            part["strike_p"].to_numpy() / 100.0,
            part["bid"].to_numpy(),
            part["ask"].to_numpy(),
            part["bid_put"].to_numpy(),
            part["ask_put"].to_numpy(),
            float(np.exp(-rate * part["tte"][0])),
        )
        rows.append((*key, fit.forward, fit.error))
    schema = {name: frame.schema[name] for name in _KEY} | {"forward": pl.Float64, "forward_error": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        pl.col("forward", "forward_error").fill_nan(None)
    )
