"""``tk.order``: a person's words to an order request."""

from __future__ import annotations

import datetime as dt
import secrets
import time
from collections.abc import Sequence
from enum import StrEnum
from typing import TypeVar

from toolkit import tables
from toolkit.calendar import ist_date
from toolkit.contracts import Contract, parse_symbol
from toolkit.errors import BadData, UnknownSymbol, nearest
from toolkit.orders import ids
from toolkit.types import OrderRequest, OrdType, Product, Side, TimeInForce, to_paise

__all__ = ["lot_of", "order"]

W = TypeVar("W", bound=StrEnum)


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
    account: str = "PAPER",
    broker: str = "paper",
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
    confirm : sequence of str
        What a denial asks a person to say: ``duplicate`` for a repeat that is meant, ``confirm_value`` for a large
        order.

    Returns
    -------
    OrderRequest

    Raises
    ------
    BadData
        For a word, a quantity or a price that is none.

    Example
    -------
    >>> made = order("NIFTY 25NOV2025 24500 CE", "buy", 75, price=112.05)
    >>> made.order_qty, made.price_p, made.exchange
    (75, 11205, 'NSE')
    """
    if (qty is None) == (lots is None):
        raise BadData(f"give either qty or lots, was qty={qty!r} and lots={lots!r}")
    for name, value in (("qty", qty), ("lots", lots)):
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value <= 0):
            raise BadData(f"{name} must be a whole number from 1, was {value!r}")
    made = cl_ord_id if cl_ord_id is not None else "T" + secrets.token_hex(8).upper()
    ids.check(made)
    contract = _contract(symbol, needed=lots is not None or exchange is None)
    return OrderRequest(
        cl_ord_id=made,
        symbol=symbol if contract is None else contract.symbol,
        side=_word(Side, "side", side),
        order_qty=qty if qty is not None else (lots or 0) * _lot(contract),
        exchange=exchange if exchange is not None else _exchange(contract),
        ord_type=_word(OrdType, "ord_type", ord_type),
        price_p=None if price is None else to_paise(price),
        stop_px_p=None if stop_px is None else to_paise(stop_px),
        time_in_force=_word(TimeInForce, "time_in_force", time_in_force),
        product=_word(Product, "product", product),
        account=account,
        broker=broker,
        algo=algo,
        order_source=order_source,
        note=note,
        confirm=tuple(confirm),
    )


def lot_of(symbol: str) -> int:
    """Units in a lot of a contract, as the dated table has it today.

    Raises
    ------
    UnknownSymbol
        For a text that is not in our form, or a stock's contract, whose lot only a master knows.
    """
    return _lot(parse_symbol(symbol))


def _contract(symbol: str, *, needed: bool) -> Contract | None:
    try:
        return parse_symbol(symbol)
    except UnknownSymbol:
        if needed:
            raise
        return None


def _lot(contract: Contract | None) -> int:
    """Units a lot: as the table has it today, or on the expiry of a contract that is past."""
    if contract is None or contract.expiry is None:
        return 1
    on: dt.date = min(ist_date(time.time_ns()), contract.expiry)
    return tables.contracts().lot(contract.underlying, contract.expiry, on)


def _exchange(contract: Contract | None) -> str:
    if contract is None or contract.expiry is None:
        return "NSE"
    return tables.contracts().exchange(contract.underlying)


def _word(kind: type[W], name: str, text: str) -> W:
    try:
        return kind(str(text).upper())
    except ValueError:
        known = [str(word) for word in kind]
        near = nearest(str(text).upper(), known)
        raise BadData(f"{name} must be one of {', '.join(known)}, was {text!r}{near}") from None
