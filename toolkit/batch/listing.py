"""Contract terms of a day as the engine wants them."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl

from toolkit.contracts import instrument_id
from toolkit.errors import BadData
from toolkit.market.chain import DayChain
from toolkit.store.session import Session
from toolkit.types import Instrument, Kind, OptionType

__all__ = ["final_level", "listed"]


def listed(session: Session, chain: DayChain, on: dt.date) -> dict[str, Instrument]:
    """Give the options (and futures) of an underlying that trade on a day, by symbol.

    Raises
    ------
    BadData
        When the session names no contract of the underlying, or no tick size is known.
    """
    rows = session.instruments().filter(
        (pl.col("underlying") == chain.underlying)
        & (pl.col("valid_on") <= on)
        & pl.col("kind").is_in(["option", "future"])
        & ((pl.col("expiry") >= on) | pl.col("expiry").is_null())
    )
    rows = rows.sort("valid_on", "symbol").unique("symbol", keep="last", maintain_order=True)
    if not rows.height:
        raise BadData(f"session {session.name} names no contract of {chain.underlying} on {on}; import it again")
    found = {}
    for row in rows.sort("symbol").iter_rows(named=True):
        if row["tick_p"] is None:
            raise BadData(f"no tick size of {row['symbol']} on {on}; import the instruments of that day")
        found[row["symbol"]] = Instrument(
            instrument_id=instrument_id(row["segment"], row["token"], row["valid_on"]),
            symbol=row["symbol"],
            exchange=row["exchange"],
            segment=row["segment"],
            underlying=row["underlying"],
            kind=Kind(row["kind"]),
            lot=row["lot"],
            tick_p=row["tick_p"],
            expiry=row["expiry"],
            strike_p=row["strike_p"],
            option_type=None if row["option_type"] is None else OptionType(row["option_type"]),
            token=row["token"],
            freeze_qty=row["freeze_qty"],
        )
    return found


def final_level(session: Session, chain: DayChain, day: dt.date) -> tuple[float | None, str]:
    """Find the level at which the options that expire on a day are settled, and where it comes from.

    The official value of the end-of-day table goes first, then the last recorded spot, then
    the last forward of the expiring chain; None when there is none of them.
    """
    eod = session.frame("eod", chain.underlying).filter((pl.col("date") == day) & (pl.col("expiry") == day))
    official = eod["final_settlement"].drop_nulls()
    if len(official):
        return float(official[0]), "the official settlement value"
    spot = chain.spot[np.isfinite(chain.spot)]
    if len(spot):
        return float(spot[-1]), "the last recorded spot (no official value in the session)"
    expiring = chain.days.get(day)
    known = np.empty(0) if expiring is None else expiring.forward[np.isfinite(expiring.forward)]
    if len(known):
        return float(known[-1]), "the last forward (no spot in the session)"
    return None, ""
