"""Contract terms of a day as the engine wants them."""

from __future__ import annotations

import datetime as dt

import polars as pl

from toolkit.contracts import instrument_id
from toolkit.errors import BadData
from toolkit.market.chain import DayChain
from toolkit.store.session import Session
from toolkit.types import Instrument, Kind, OptionType

__all__ = ["listed"]


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
