"""P&L of a position book: realized, unrealized, gross, charges, net; and expiry settlement."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import msgspec

from toolkit.errors import BadData
from toolkit.portfolio.positions import Position, PositionBook
from toolkit.types import Fill, Instrument, Kind, OptionType, Side

__all__ = ["Pnl", "expiry_fills", "pnl", "settlement_value_p", "unrealized"]


class Pnl(msgspec.Struct, frozen=True):
    """Rupees. ``unmarked`` names open positions without a mark: then unrealized, gross and net are NaN."""

    realized: float
    unrealized: float
    gross: float
    charges: float
    net: float
    unmarked: tuple[str, ...] = ()


def unrealized(position: Position, mark: float) -> float:
    """P&L of the open units at ``mark`` (rupees); 0 when flat, NaN when the mark is unknown."""
    if not position.net_qty:
        return 0.0
    return position.net_qty * mark - position.open_cost_p / 100.0


def pnl(book: PositionBook, marks: Mapping[str, float], charges: float = 0.0) -> Pnl:
    """Value a book.

    Parameters
    ----------
    book : PositionBook
        Positions with their exact costs.
    marks : mapping of symbol to rupees
        Prices of the open contracts; missing or NaN is unknown, never 0.
    charges : float
        Charges so far, rupees.

    Returns
    -------
    Pnl
        gross = realized + unrealized; net = gross - charges.
    """
    realized = book.realized_p / 100.0
    total, unmarked = 0.0, []
    for position in book.held():
        value = unrealized(position, marks.get(position.symbol, math.nan))
        if math.isnan(value):
            unmarked.append(position.symbol)
        total += value
    gross = realized + total
    return Pnl(realized, total, gross, charges, gross - charges, tuple(unmarked))


def settlement_value_p(instrument: Instrument, final_p: int) -> int:
    """Value of one expired unit in paise: intrinsic value of an option, the final price of a future.

    Parameters
    ----------
    instrument : Instrument
        An expired, cash-settled contract.
    final_p : int
        Final settlement value of the underlying in paise.

    Raises
    ------
    BadData
        When the contract does not expire, or the value is not positive.
    """
    if final_p <= 0:
        raise BadData(f"final settlement value of {instrument.underlying} must be positive paise, was {final_p}")
    if instrument.kind is Kind.FUTURE:
        return final_p
    if instrument.kind is not Kind.OPTION or instrument.strike_p is None or instrument.option_type is None:
        raise BadData(f"{instrument.symbol} does not expire; only options and futures are settled")
    sign = 1 if instrument.option_type is OptionType.CE else -1
    return max(0, sign * (final_p - instrument.strike_p))


def expiry_fills(
    book: Iterable[Position], instruments: Mapping[str, Instrument], final_p: int, now_ns: int, broker: str = "paper"
) -> tuple[Fill, ...]:
    """Make the fills that close expired positions at their settlement value.

    Parameters
    ----------
    book : iterable of Position
        Open positions, all in contracts of one underlying and expiry.
    instruments : mapping by symbol
        Their terms.
    final_p : int
        Final settlement value of the underlying in paise.
    now_ns : int
        The instant of settlement.

    Returns
    -------
    tuple of Fill
        One a position, ``exec_id`` ``EXPIRY-account-symbol``: booking it twice changes nothing.
        An option that expires worthless is closed at 0.
    """
    fills = []
    for position in book:
        if not position.net_qty:
            continue
        instrument = instruments.get(position.symbol)
        if instrument is None:
            raise BadData(f"no terms for the expired position in {position.symbol}; import the instruments of that day")
        fills.append(
            Fill(
                exec_id=f"EXPIRY-{position.account}-{position.symbol}",
                cl_ord_id="EXPIRY",
                order_id="EXPIRY",
                account=position.account,
                broker=broker,
                symbol=position.symbol,
                exchange=position.exchange,
                side=Side.SELL if position.net_qty > 0 else Side.BUY,
                last_qty=abs(position.net_qty),
                last_px_p=settlement_value_p(instrument, final_p),
                exec_ns=now_ns,
            )
        )
    return tuple(fills)
