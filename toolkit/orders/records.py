"""What the journal's records carry, and the checks of an order's words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec

from toolkit.errors import BadData, nearest
from toolkit.risk.limits import Limits, TradingState
from toolkit.types import (
    Denial,
    Fill,
    Order,
    OrderRequest,
    OrdStatus,
    OrdType,
    Product,
    Side,
    TimeInForce,
)

__all__ = [
    "AlgoState",
    "Aligned",
    "Change",
    "Opening",
    "Placed",
    "RefusedAct",
    "check_words",
    "journalable",
    "rollup",
    "rollup_algo",
]

_WORDS: Final[dict[str, type[StrEnum]]] = {
    "side": Side,
    "ord_type": OrdType,
    "time_in_force": TimeInForce,
    "product": Product,
}
_RANK: Final = {
    OrdStatus.CANCELED: 1,
    OrdStatus.EXPIRED: 2,
    OrdStatus.REJECTED: 3,
    OrdStatus.FILLED: 0,
    OrdStatus.DENIED: 4,
}
_REFUSED: Final = (OrdStatus.DENIED, OrdStatus.REJECTED)


class Opening(msgspec.Struct):
    """The first record of a day."""

    account: str
    broker: str
    day: dt.date
    limits: Limits
    funds_p: int | None
    net: dict[str, int]
    cash_p: int
    state: TradingState
    reason: str
    under: tuple[TradingState, str] | None = None
    carried: dict[str, Any] = {}


class Placed(msgspec.Struct):
    """An order that may leave; ``children`` are the quantities it was cut into.

    ``sent`` is there when it is not what was asked for (a market order gets its protection price). The children's ids
    are numbered on from ``after``: those below may be kept for callers that still wait.
    """

    asked: OrderRequest
    sent: OrderRequest | None = None
    children: tuple[int, ...] = ()
    after: int = 0

    @property
    def order(self) -> OrderRequest:
        """What is sent."""
        return self.asked if self.sent is None else self.sent


class RefusedAct(msgspec.Struct):
    """An order that our own risk denied; ``legs`` are those of an execution algorithm's."""

    asked: OrderRequest
    denials: tuple[Denial, ...]
    legs: tuple[OrderRequest, ...] = ()


class Change(msgspec.Struct):
    """A change of the trading state.

    ``under`` is there when a guard or the disk took it: what a person, flatten or the file flag took last, which
    stands again when the demand ends.
    """

    state: TradingState
    reason: str
    under: tuple[TradingState, str] | None = None


class Aligned(msgspec.Struct):
    """A position brought to the broker's: the execution that explains the difference."""

    fill: Fill
    text: str


class AlgoState(msgspec.Struct):
    """A parent order of an execution algorithm: what was asked, and where the algorithm stands."""

    asked: OrderRequest
    legs: tuple[OrderRequest, ...]
    policy: dict[str, Any] | None = None
    state: dict[str, Any] = {}
    done: bool = False
    text: str = ""


def check_words(request: OrderRequest) -> None:
    """Check what has a closed list of words; numbers are left to the risk rules.

    Raises
    ------
    BadData
        Naming the field, its words and the nearest one.
    """
    for name, words in _WORDS.items():
        value = getattr(request, name)
        if not isinstance(value, words):
            known = [str(word) for word in words]
            raise BadData(f"{name} must be {', '.join(known)}, was {value!r}{nearest(str(value), known)}")
    for name in ("symbol", "exchange", "account", "broker"):
        if not isinstance(getattr(request, name), str):
            raise BadData(f"{name} must be text, was {getattr(request, name)!r}")


def journalable(request: OrderRequest) -> OrderRequest:
    """A denied order as JSON can carry it: numbers that are none become 0 or nothing; the denial shows them."""
    qty, price_p, stop_px_p = request.order_qty, request.price_p, request.stop_px_p
    fits = _whole(qty) == qty and _whole(price_p) == price_p and _whole(stop_px_p) == stop_px_p
    if fits and type(qty) is int:
        return request
    return msgspec.structs.replace(
        request, order_qty=_whole(qty) or 0, price_p=_whole(price_p), stop_px_p=_whole(stop_px_p)
    )


def _whole(value: object) -> int | None:
    return value if type(value) is int and abs(value) < 1 << 62 else None


def rollup(parent: Order, kin: Sequence[Order], ts_ns: int) -> Order:
    """State of an order cut in parts: the sums of its children, and of what was refused of it the first reason."""
    cum = sum(o.cum_qty for o in kin)
    states = [o.ord_status for o in kin]
    if all(not o.is_open for o in kin):
        status = OrdStatus.FILLED if cum >= parent.request.order_qty else max(states, key=lambda s: _RANK[s])
    elif OrdStatus.UNKNOWN in states:
        status = OrdStatus.UNKNOWN
    elif cum:
        status = OrdStatus.PARTIALLY_FILLED
    else:
        status = OrdStatus.PENDING_NEW if all(s is OrdStatus.PENDING_NEW for s in states) else OrdStatus.NEW
    refused = next((o for o in kin if o.ord_status in _REFUSED and o.text), None)
    told = "" if refused is None else f"{refused.request.cl_ord_id} {refused.ord_status}: {refused.text}"
    return msgspec.structs.replace(
        parent,
        ord_status=status,
        cum_qty=cum,
        leaves_qty=sum(o.leaves_qty for o in kin),
        traded_value_p=sum(o.traded_value_p for o in kin),
        text=parent.text if told in parent.text else "; ".join(filter(None, (told, parent.text))),
        updated_ns=max(parent.updated_ns, ts_ns),
    )


def rollup_algo(parent: Order, algo: AlgoState, kin: Iterable[Order], ts_ns: int) -> Order:
    """State of an algorithm's order: what its children traded of its legs; closed only once the algorithm is done."""
    done: dict[tuple[str, Side], tuple[int, int]] = {}
    unknown = open_left = False
    for child in kin:
        key = (child.request.symbol, child.request.side)
        qty, value_p = done.get(key, (0, 0))
        done[key] = (qty + child.cum_qty, value_p + child.traded_value_p)
        unknown = unknown or child.ord_status is OrdStatus.UNKNOWN
        open_left = open_left or child.is_open
    cum = value = 0
    for leg in algo.legs:
        qty, value_p = done.pop((leg.symbol, leg.side), (0, 0))
        cum += min(qty, leg.order_qty)
        value += value_p
    target = parent.request.order_qty
    if algo.done and not open_left:
        status = OrdStatus.FILLED if cum >= target else OrdStatus.CANCELED
    elif unknown:
        status = OrdStatus.UNKNOWN
    else:
        status = OrdStatus.PARTIALLY_FILLED if cum else OrdStatus.NEW
    closed = status in (OrdStatus.FILLED, OrdStatus.CANCELED)
    return msgspec.structs.replace(
        parent,
        ord_status=status,
        cum_qty=cum,
        leaves_qty=0 if closed else max(0, target - cum),
        traded_value_p=value,
        text=algo.text or parent.text,
        updated_ns=max(parent.updated_ns, ts_ns),
    )
