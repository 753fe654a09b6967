"""An account's risk book as positions: what the Greeks, the scenario grid and the closing cost are asked of."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping

from toolkit import pricing
from toolkit.market.quotes import key_of
from toolkit.risk.book import RiskBook
from toolkit.risk.closing import Touch
from toolkit.risk.exposure import Position
from toolkit.types import Instrument, Kind

__all__ = ["held_positions", "touches_of"]


def held_positions(
    book: RiskBook,
    now_ns: int,
    forwards: Mapping[tuple[str, dt.date], float],
    *,
    account: str = "",
    strategies: Mapping[str, str] | None = None,
    clock: str = "calendar",
) -> list[Position]:
    """Turn net positions into :class:`~toolkit.risk.exposure.Position`, in order of symbol.

    Parameters
    ----------
    book : RiskBook
        Net quantities, terms and quotes.
    now_ns : int
        Now, nanoseconds UTC; time to expiry is ``pricing.tte`` on ``clock``.
    forwards : mapping by (underlying, expiry)
        Rupees, as put-call parity gives them; a future stands at its own mark. What is missing is unknown.
    account : str
        Written on each position.
    strategies : mapping by symbol, optional
        Whose a position is.

    Returns
    -------
    list of Position
        Also of contracts without terms today: unknown in everything but the quantity, and counted so.
    """
    made = []
    for symbol, qty in sorted(book.net.items()):
        instrument = book.instruments.get(symbol)
        strategy = (strategies or {}).get(symbol, "")
        if instrument is None:
            made.append(Position(symbol=symbol, underlying="", cp=0, qty=qty, account=account, strategy=strategy))
        else:
            made.append(_position(book, instrument, qty, now_ns, forwards, account, strategy, clock))
    return made


def _position(
    book: RiskBook,
    instrument: Instrument,
    qty: int,
    now_ns: int,
    forwards: Mapping[tuple[str, dt.date], float],
    account: str,
    strategy: str,
    clock: str,
) -> Position:
    mark = book.mark(instrument)
    option = instrument.kind is Kind.OPTION
    forward = mark
    if option:
        assert instrument.expiry is not None
        forward = forwards.get((instrument.underlying, instrument.expiry), math.nan)
    return Position(
        symbol=instrument.symbol,
        underlying=instrument.underlying,
        cp=0 if instrument.option_type is None else instrument.option_type.cp,
        qty=qty,
        strike=(instrument.strike_p or 0) / 100.0,
        expiry=instrument.expiry,
        tte=0.0 if instrument.expiry is None else float(pricing.tte(now_ns, instrument.expiry, clock)),
        forward=forward,
        mark=mark,
        account=account,
        strategy=strategy,
    )


def touches_of(book: RiskBook) -> dict[str, Touch]:
    """Best quotes of what is held, rupees and units; a side that is not there is None."""
    found = {}
    for symbol in sorted(book.net):
        instrument = book.instruments.get(symbol)
        quote = None if instrument is None else book.quotes.quote(key_of(instrument))
        if quote is not None:
            found[symbol] = Touch(
                None if quote.bid_p is None else quote.bid_p / 100.0,
                None if quote.ask_p is None else quote.ask_p / 100.0,
                quote.bid_qty or None,
                quote.ask_qty or None,
            )
    return found
