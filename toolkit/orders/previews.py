"""What a preview says beside the engine's own answer, and the times that callers name. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import polars as pl

from toolkit.calendar import ist_date, ist_ns, read_clock
from toolkit.errors import BadData, ToolkitError
from toolkit.portfolio import charges
from toolkit.portfolio.positions import fills_frame
from toolkit.types import OrderRequest

__all__ = ["charges_of", "confirm_text", "read_base", "read_date", "read_instant", "request_words", "summary"]

_S: Final = 1_000_000_000
_FILL: Final = {"order_id": "", "cl_ord_id": ""}


def charges_of(made: Sequence[OrderRequest], mark: Callable[[str], float], now_ns: int) -> dict[str, Any]:
    """Taxes and fees if every order traded at its price, or at the mark; nothing when a price is unknown."""
    rows = []
    for number, request in enumerate(made):
        px = mark(request.symbol) if request.price_p is None else request.price_p / 100.0
        if px != px:
            return {}
        figures = {"last_qty": request.order_qty, "last_px": px, "exec_ns": now_ns, "exec_id": f"preview{number}"}
        rows.append({**_FILL, **request_words(request), **figures})
    frame = pl.DataFrame([{name: row[name] for name in fills_frame([]).columns} for row in rows])
    try:
        note = charges(frame, ist_date(now_ns))
    except ToolkitError:
        return {}
    found: dict[str, Any] = note.select(pl.col(c).sum() for c in note.columns if note[c].dtype.is_numeric()).to_dicts()[
        0
    ]
    return found


def summary(made: Sequence[OrderRequest], mark: Callable[[str], float], now_ns: int, mode: str) -> dict[str, Any]:
    """The orders in the surface's words, their charges, and the line that a person confirms."""
    return {
        "orders": [request_words(request) for request in made],
        "charges": charges_of(made, mark, now_ns),
        "confirm": "; ".join(confirm_text(request, request.account, mode) for request in made),
    }


def request_words(request: OrderRequest) -> dict[str, Any]:
    """A request in the surface's words: rupees, what is unknown left out."""
    row = {k: v for k, v in msgspec.to_builtins(request).items() if v is not None}
    for name in ("price", "stop_px"):
        value = row.pop(f"{name}_p", None)
        if value is not None:
            row[name] = value / 100.0
    return row


def confirm_text(request: OrderRequest, account: str, mode: str) -> str:
    """What a person confirms, in one line.

    >>> from toolkit.types import Side
    >>> asked = OrderRequest(cl_ord_id="A", symbol="X", side=Side.BUY, order_qty=75, price_p=11205)
    >>> confirm_text(asked, "ACC1", "paper")
    'BUY 75 X @ 112.05 on ACC1 PAPER'
    """
    price = str(request.ord_type) if request.price_p is None else f"@ {request.price_p / 100:.2f}"
    return f"{request.side} {request.order_qty} {request.symbol} {price} on {account} {mode.upper()}"


def read_date(text: str) -> dt.date:
    """Read an ISO date.

    Raises
    ------
    BadData
        When it is none.
    """
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise BadData(f"a date looks like 2025-11-25, was '{text[:40]}'") from None


def read_instant(name: str, text: str, now_ns: int) -> int:
    """A time of the Indian day (11:05, 11:05:30), or a full ISO moment."""
    try:
        if len(text) <= 8:
            return ist_ns(ist_date(now_ns), read_clock(text))
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise BadData(f"{name} must be a time such as 11:05 or an ISO moment, was '{text[:40]}'") from None
    if moment.tzinfo is None:
        return ist_ns(moment.date(), moment.time())
    return int(moment.timestamp() * 1_000_000) * 1000


def read_base(base: str | None, at_ns: int, now_ns: int) -> int:
    """The moment that changes are measured against: ``open`` (09:20), ``N min`` before, or a time."""
    words = (base or "open").strip().lower()
    if words == "open":
        return ist_ns(ist_date(at_ns), dt.time(9, 20))
    number, _, unit = words.partition("min")
    if words.endswith("min") and number.strip().isdecimal() and not unit:
        return at_ns - int(number) * 60 * _S
    return read_instant("base", base or "", now_ns)
