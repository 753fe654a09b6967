"""``tk.order``: a person's words to an order request."""

from __future__ import annotations

import datetime as dt
import secrets
import time
from collections.abc import Sequence

from toolkit import tables
from toolkit.calendar import ist_date
from toolkit.contracts import Contract, parse_symbol
from toolkit.errors import UnknownSymbol
from toolkit.orders.words import Asked, Unnamed, read_order, unlisted
from toolkit.types import OrderRequest

__all__ = ["lot_of", "order"]


def order(
    symbol: str,
    side: str,
    qty: int | None = None,
    *,
    lots: int | None = None,
    ord_type: str = "LIMIT",
    price: float | None = None,
    stop_px: float | None = None,
    time_in_force: str = "DAY",
    product: str = "NRML",
    exchange: str | None = None,
    account: str | None = None,
    broker: str | None = None,
    algo: str | None = None,
    order_source: str | None = None,
    cl_ord_id: str | None = None,
    note: str | None = None,
    confirm: Sequence[str] = (),
) -> OrderRequest:
    """Write an order; nothing is sent.

    Parameters
    ----------
    symbol : str
        ``NIFTY 25NOV2025 24500 CE``; with ``lots`` or without ``exchange`` it must be in this form.
    side : str
        BUY or SELL, any case.
    qty, lots : int
        Units, or lots of the dated table; one of the two.
    price, stop_px : float
        Rupees.
    cl_ord_id : str
        1 to 20 letters and digits, the broker's only tag; made up when left out.
    note : str
        Journaled, never sent.
    account, broker : str
        Where it is to go, and nowhere else; left out, a desk takes its own account, and paper its own.
    confirm : sequence of str
        What a denial asks a person to say: ``duplicate`` for a repeat that is meant, ``confirm_value`` for a large
        order.

    Returns
    -------
    OrderRequest

    Raises
    ------
    BadOrder
        For a field that cannot be part of an order, with the field, its limit and its value: in the same words as
        the API and the command line.

    Example
    -------
    >>> made = order("NIFTY 25NOV2025 24500 CE", "buy", 75, price=112.05)
    >>> made.order_qty, made.price_p, made.exchange
    (75, 11205, 'NSE')
    """
    said = {
        "symbol": symbol, "side": side, "order_qty": qty, "lots": lots, "ord_type": ord_type, "price": price,
        "stop_px": stop_px, "time_in_force": time_in_force, "product": product, "exchange": exchange,
        "account": account, "broker": broker, "algo": algo, "order_source": order_source, "cl_ord_id": cl_ord_id,
        "note": note, "confirm": confirm,
    }  # fmt: skip
    asked = read_order(said)
    contract = _contract(asked, needed=asked.lots is not None or asked.exchange is None)
    return OrderRequest(
        cl_ord_id=asked.cl_ord_id or "T" + secrets.token_hex(8).upper(),
        symbol=asked.symbol if contract is None else contract.symbol,
        side=asked.side,
        order_qty=asked.order_qty if asked.order_qty is not None else (asked.lots or 0) * _lot(contract, asked),
        exchange=asked.exchange or _exchange(contract),
        ord_type=asked.ord_type,
        price_p=asked.price_p,
        stop_px_p=asked.stop_px_p,
        time_in_force=asked.time_in_force,
        product=asked.product,
        account=asked.account or Unnamed.ACCOUNT,
        broker=asked.broker or Unnamed.BROKER,
        algo=asked.algo,
        order_source=asked.order_source,
        note=asked.note,
        confirm=asked.confirm,
    )


def lot_of(symbol: str) -> int:
    """Units in a lot of a contract, as the dated table has it today.

    Raises
    ------
    UnknownSymbol
        For a text that is not in our form, or a stock's contract, whose lot only a master knows.
    """
    return _units(parse_symbol(symbol))


def _contract(asked: Asked, *, needed: bool) -> Contract | None:
    try:
        return parse_symbol(asked.symbol)
    except UnknownSymbol as error:
        if needed:
            raise unlisted(asked, error) from None
        return None


def _units(contract: Contract | None) -> int:
    """Units a lot: as the table has it today, or on the expiry of a contract that is past."""
    if contract is None or contract.expiry is None:
        return 1
    on: dt.date = min(ist_date(time.time_ns()), contract.expiry)
    return tables.contracts().lot(contract.underlying, contract.expiry, on)


def _lot(contract: Contract | None, asked: Asked) -> int:
    try:
        return _units(contract)
    except UnknownSymbol as error:
        raise unlisted(asked, error) from None


def _exchange(contract: Contract | None) -> str:
    if contract is None or contract.expiry is None:
        return "NSE"
    return tables.contracts().exchange(contract.underlying)
