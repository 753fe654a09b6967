"""The frames of a session store: one polars schema a table.

Units are in the names or fixed here: ``oi``, ``volume``, ``bid_qty`` and ``ask_qty``
in units (never contracts), ``strike_p`` in paise, prices float64 rupees, volatilities
fractions. ``ts`` is the exchange's stamp, ``recv_ts`` the receiver's; both IST-aware.
Null is unknown, 0 is zero.
"""

from __future__ import annotations

from typing import Any, Final

import polars as pl

__all__ = [
    "CHAIN",
    "EOD",
    "FUTURES",
    "INSTRUMENTS",
    "IST",
    "MARGINS",
    "OPTION_TYPE",
    "PARTICIPANTS",
    "SCHEMA_VERSION",
    "SPOT",
    "TABLES",
    "TICKS",
]

SCHEMA_VERSION: Final = 1
IST: Final = "Asia/Kolkata"
TS: Final[Any] = pl.Datetime("us", IST)
OPTION_TYPE: Final[Any] = pl.Enum(["CE", "PE"])

CHAIN: Final = pl.Schema(
    {
        "ts": TS,
        "recv_ts": TS,
        "underlying": pl.String,
        "expiry": pl.Date,
        "strike_p": pl.Int64,
        "option_type": OPTION_TYPE,
        "token": pl.Int64,
        "oi": pl.Int64,
        "volume": pl.Int64,
        "lot": pl.Int32,
        "ltp": pl.Float64,
        "bid": pl.Float64,
        "ask": pl.Float64,
        "bid_qty": pl.Int64,
        "ask_qty": pl.Int64,
        "source_iv": pl.Float64,
        "spot": pl.Float64,
        "futures": pl.Float64,
    }
)

FUTURES: Final = pl.Schema(
    {
        "ts": TS,
        "recv_ts": TS,
        "underlying": pl.String,
        "expiry": pl.Date,
        "token": pl.Int64,
        "oi": pl.Int64,
        "volume": pl.Int64,
        "lot": pl.Int32,
        "ltp": pl.Float64,
        "bid": pl.Float64,
        "ask": pl.Float64,
        "bid_qty": pl.Int64,
        "ask_qty": pl.Int64,
        "settle": pl.Float64,
    }
)

SPOT: Final = pl.Schema(
    {
        "ts": TS,
        "recv_ts": TS,
        "underlying": pl.String,
        "open": pl.Float64,
        "high": pl.Float64,
        "low": pl.Float64,
        "ltp": pl.Float64,
    }
)

EOD: Final = pl.Schema(
    {
        "date": pl.Date,
        "underlying": pl.String,
        "exchange": pl.String,
        "kind": pl.String,
        "expiry": pl.Date,
        "strike_p": pl.Int64,
        "option_type": OPTION_TYPE,
        "token": pl.Int64,
        "lot": pl.Int32,
        "open": pl.Float64,
        "high": pl.Float64,
        "low": pl.Float64,
        "close": pl.Float64,
        "last": pl.Float64,
        "prev_close": pl.Float64,
        "settle": pl.Float64,
        "final_settlement": pl.Float64,
        "spot": pl.Float64,
        "oi": pl.Int64,
        "oi_change": pl.Int64,
        "volume": pl.Int64,
        "turnover": pl.Float64,
        "trades": pl.Int64,
    }
)

TICKS: Final = pl.Schema(
    {
        "ts": TS,
        "recv_ts": TS,
        "underlying": pl.String,
        "token": pl.Int64,
        "ltp": pl.Float64,
        "last_qty": pl.Int64,
        "bid": pl.Float64,
        "ask": pl.Float64,
        "bid_qty": pl.Int64,
        "ask_qty": pl.Int64,
        "volume": pl.Int64,
        "oi": pl.Int64,
    }
)

INSTRUMENTS: Final[Any] = pl.Schema(
    {
        "valid_on": pl.Date,
        "token": pl.Int64,
        "symbol": pl.String,
        "source_symbol": pl.String,
        "exchange": pl.String,
        "segment": pl.String,
        "underlying": pl.String,
        "kind": pl.String,
        "expiry": pl.Date,
        "strike_p": pl.Int64,
        "option_type": OPTION_TYPE,
        "lot": pl.Int32,
        "tick_p": pl.Int32,
        "freeze_qty": pl.Int64,
    }
)

PARTICIPANTS: Final = pl.Schema(
    {
        "date": pl.Date,
        "measure": pl.String,
        "who": pl.String,
        "instrument": pl.String,
        "side": pl.String,
        "contracts": pl.Int64,
        "crore": pl.Float64,
    }
)

_OF_FILE: Final = {"date": pl.Date, "underlying": pl.String, "exchange": pl.String, "revision": pl.String}
_OF_CONTRACT: Final = {
    "kind": pl.String,
    "expiry": pl.Date,
    "strike_p": pl.Int64,
    "option_type": OPTION_TYPE,
}
MARGINS: Final[dict[str, Any]] = {
    "margin": pl.Schema(
        {
            **_OF_FILE,
            "source": pl.String,
            "spot": pl.Float64,
            "price_scan": pl.Float64,
            "vol": pl.Float64,
            "vol_scan": pl.Float64,
            "rate": pl.Float64,
            "short_option_minimum": pl.Float64,
        }
    ),
    "margin_arrays": pl.Schema(
        {
            **_OF_FILE,
            **_OF_CONTRACT,
            "price": pl.Float64,
            "composite_delta": pl.Float64,
            "losses": pl.List(pl.Float64),
        }
    ),
    "margin_spreads": pl.Schema(
        {**_OF_FILE, "priority": pl.Int64, "near": pl.Date, "far": pl.Date, "rate": pl.Float64}
    ),
    "margin_rates": pl.Schema({**_OF_FILE, **_OF_CONTRACT, "source": pl.String, "rate": pl.Float64}),
}
"""Parameters of the clearing corporation: rupees a long unit, rates as fractions, one set a file's revision."""

TABLES: Final = {"chain": CHAIN, "futures": FUTURES, "spot": SPOT, "eod": EOD, "ticks": TICKS}
