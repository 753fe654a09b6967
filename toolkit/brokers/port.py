"""The port: what the engine asks of any broker, and what each one can do.

Every call is asynchronous and ends in one of the errors of :mod:`toolkit.errors`: ``Refused``
(certainly not placed), ``Unknown`` (may be placed), ``Retryable`` (a read), ``AuthExpired``.
A broker's own exceptions and field names stay behind it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol, runtime_checkable

import msgspec
import numpy as np
import numpy.typing as npt

from toolkit.market.quotes import Quote
from toolkit.risk.margin import Margin
from toolkit.types import (
    ExecutionReport,
    Fill,
    Instrument,
    Modify,
    Order,
    OrderRequest,
    OrdType,
    Product,
    TimeInForce,
)

__all__ = ["CAPABILITIES", "TICK", "Broker", "Capability", "DayTerms", "Funds", "Held", "MarketFeed", "Profile"]

TICK: Final = np.dtype(
    [
        ("key", "<i8"),
        ("recv_ns", "<i8"),
        ("ltp", "<f8"),
        ("bid", "<f8"),
        ("bid_qty", "<f8"),
        ("ask", "<f8"),
        ("ask_qty", "<f8"),
    ]
)
"""One quote of a feed that has no wire format of its own: rupees and units, NaN is unknown."""


class DayTerms(msgspec.Struct, frozen=True):
    """What holds of a contract for the day, paise: its previous close, the exchange's price band; None is unknown."""

    close_p: int | None = None
    low_p: int | None = None
    high_p: int | None = None


class Capability(msgspec.Struct, frozen=True, kw_only=True):
    """What one broker can do. A False or a short list is a fact to route around, not an error.

    ``margin_holds_book``: a basket's margin is that of the positions with the basket on top, not the basket's own.
    """

    ord_types: tuple[OrdType, ...]
    time_in_force: tuple[TimeInForce, ...]
    products: tuple[Product, ...]
    exchanges: tuple[str, ...]
    max_orders_per_s: int
    max_slices: int
    tag_length: int
    pushes_updates: bool
    has_feed: bool
    basket_margin: bool
    margin_holds_book: bool
    converts: bool
    client_orders: bool
    loopback_only: bool


CAPABILITIES: Final[Mapping[str, Capability]] = MappingProxyType(
    {
        "paper": Capability(
            ord_types=(OrdType.LIMIT, OrdType.MARKET, OrdType.STOP_LIMIT),
            time_in_force=(TimeInForce.DAY, TimeInForce.IOC),
            products=(Product.NRML, Product.MIS),
            exchanges=("NSE", "BSE"),
            max_orders_per_s=10,
            max_slices=10,
            tag_length=20,
            pushes_updates=True,
            has_feed=True,
            basket_margin=True,
            margin_holds_book=True,
            converts=False,
            client_orders=False,
            loopback_only=True,
        ),
        "kite": Capability(
            ord_types=(OrdType.LIMIT, OrdType.MARKET, OrdType.STOP_LIMIT, OrdType.STOP),
            time_in_force=(TimeInForce.DAY, TimeInForce.IOC),
            products=(Product.NRML, Product.MIS, Product.CNC),
            exchanges=("NSE", "BSE"),
            max_orders_per_s=10,
            max_slices=10,
            tag_length=20,
            pushes_updates=True,
            has_feed=True,
            basket_margin=True,
            margin_holds_book=False,
            converts=True,
            client_orders=False,
            loopback_only=False,
        ),
        **{
            name: Capability(
                ord_types=(OrdType.LIMIT, OrdType.MARKET, OrdType.STOP_LIMIT, OrdType.STOP),
                time_in_force=(TimeInForce.DAY, TimeInForce.IOC),
                products=(Product.NRML, Product.MIS, Product.CNC),
                exchanges=("NSE", "BSE"),
                max_orders_per_s=10,
                max_slices=1,
                tag_length=20,
                pushes_updates=True,
                has_feed=True,
                basket_margin=True,
                margin_holds_book=False,
                converts=True,
                client_orders=name == "xts-client",
                loopback_only=False,
            )
            for name in ("xts-pro", "xts-client")
        },
    }
)
"""Capabilities by broker name."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Who is logged in."""

    broker: str
    account: str
    name: str
    products: tuple[Product, ...]
    exchanges: tuple[str, ...]


class Funds(msgspec.Struct, frozen=True, kw_only=True):
    """The account's money in paise; ``available_p`` = cash - used. None is what the broker does not say.

    ``collateral_p`` is the part of ``cash_p`` that is pledged shares and funds, after their haircut.
    """

    cash_p: int | None
    used_p: int | None
    available_p: int | None = None
    collateral_p: int | None = None


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One position or holding as the broker's book states it: units and rupees."""

    symbol: str
    exchange: str
    product: Product
    net_qty: int
    avg_px: float
    realized: float = 0.0


@runtime_checkable
class MarketFeed(Protocol):
    """A stream of quotes. ``want`` is the whole wish: what is no longer in it is unsubscribed."""

    def want(self, modes: Mapping[int, str]) -> None:
        """State the keys wanted and each one's mode (``ltp``, ``quote`` or ``full``)."""
        ...

    def ticks(self) -> AsyncIterator[npt.NDArray[np.void]]:
        """Batches of quotes as structured arrays."""
        ...

    @property
    def state(self) -> str:
        """``idle``, ``connecting``, ``live``, ``down``, ``auth_expired`` or ``closed``."""
        ...

    @property
    def stats(self) -> Mapping[str, int]:
        """Counters: batches, quotes, dropped."""
        ...


@runtime_checkable
class Broker(Protocol):
    """One account at one broker."""

    @property
    def name(self) -> str:
        """The factory's name for it."""
        ...

    @property
    def capabilities(self) -> Capability:
        """What it can do."""
        ...

    @property
    def clock(self) -> Callable[[], int]:
        """Now, nanoseconds UTC: the wall's time, or the simulated venue's."""
        ...

    async def profile(self) -> Profile:
        """Who is logged in."""
        ...

    async def instruments(self) -> Sequence[Instrument]:
        """Contracts listed today."""
        ...

    async def resolve(self, symbol: str, exchange: str | None = None) -> Instrument:
        """The one live contract that a text names. Raises UnknownSymbol with the candidates."""
        ...

    async def quote(self, symbols: Sequence[str]) -> Mapping[str, Quote]:
        """Newest quotes; a symbol without one is absent."""
        ...

    async def day_terms(self, symbols: Sequence[str]) -> Mapping[str, DayTerms]:
        """Previous closes and price bands of the day; a symbol that is not one contract's is absent."""
        ...

    async def place(self, request: OrderRequest) -> str:
        """Send a new order and return the broker's order id. Raises Refused or Unknown."""
        ...

    async def modify(self, modify: Modify) -> None:
        """Send the full new statement of an order. Raises Refused or Unknown."""
        ...

    async def cancel(self, cl_ord_id: str) -> None:
        """Send a cancel. Raises Refused or Unknown."""
        ...

    async def orders(self) -> Sequence[Order]:
        """The day's orders as the broker's book states them."""
        ...

    async def order_history(self, cl_ord_id: str) -> Sequence[ExecutionReport]:
        """Everything that happened to one order, oldest first."""
        ...

    async def trades(self) -> Sequence[Fill]:
        """The day's executions."""
        ...

    async def positions(self) -> Sequence[Held]:
        """Open positions."""
        ...

    async def holdings(self) -> Sequence[Held]:
        """Delivered shares."""
        ...

    async def margins(self) -> Funds:
        """The account's money."""
        ...

    async def order_margins(self, requests: Sequence[OrderRequest]) -> Margin:
        """Margin of a basket as the broker computes it."""
        ...

    async def convert(self, symbol: str, qty: int, product: Product, to: Product) -> None:
        """Move a position from one product to another. Raises Refused."""
        ...

    def updates(self) -> AsyncIterator[ExecutionReport]:
        """Everything the broker says about orders, from now on."""
        ...

    def feed(self) -> MarketFeed:
        """The broker's market feed."""
        ...

    async def close(self) -> None:
        """Let go of every connection; :meth:`updates` ends."""
        ...
