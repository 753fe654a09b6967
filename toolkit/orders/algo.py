"""The protocol of execution algorithms: one parent order, worked through child orders by a pure machine.

An algorithm sees a :class:`World` and returns intents; it holds no broker, clock or file. It names
each child with ``Place.ref``; the engine gives the child its id, sets ``parent_id`` and keeps the
name in the child's ``note``, so that ``World.children()`` finds it again after a restart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Protocol

import msgspec

from toolkit.market.quotes import Quote
from toolkit.strategies.protocol import Param, checked_params
from toolkit.types import Cancel, ExecutionReport, Instrument, Intent, Order, OrderRequest, Side

__all__ = ["IN_ITS_TIME", "Algo", "Ask", "World"]

IN_ITS_TIME: Final = frozenset({"collar", "stop_px", "untraded", "self_match"})
"""Rules that hold a price against the market of now, which are for the child alone when the price is for later."""


class Ask(msgspec.Struct, frozen=True):
    """A plain order that a parent must be allowed as, before its algorithm starts.

    ``aside`` are rules that only its children meet; ``adds`` says whether what is asked after it comes on top of it.
    """

    order: OrderRequest
    aside: frozenset[str] = frozenset()
    adds: bool = True


class World(Protocol):
    """What an algorithm may look at, as known at ``now_ns``."""

    @property
    def now_ns(self) -> int:
        """Now, nanoseconds UTC."""
        ...

    @property
    def session(self) -> tuple[int, int]:
        """Open and close of today's session, nanoseconds UTC."""
        ...

    def quote(self, symbol: str) -> Quote | None:
        """The newest fresh quote, None when there is none or it is stale."""
        ...

    def volume(self, symbol: str) -> int | None:
        """Units traded in the market today, None when the feed does not say."""
        ...

    def instrument(self, symbol: str) -> Instrument:
        """Contract terms as of today."""
        ...

    def net(self, symbol: str) -> int:
        """The account's net position in units by the broker's newest book and the fills since."""
        ...

    def open_qty(self, symbol: str, side: Side) -> int:
        """Units that all open orders of the account on one side may still trade, unknown ones in full."""
        ...

    def delta(self, symbol: str) -> float:
        """Black-76 delta of one unit (1 for a future, NaN when unknown)."""
        ...

    def children(self) -> Mapping[str, Order]:
        """This algorithm's child orders by the ``ref`` it gave each, oldest first."""
        ...

    def can(self, what: str) -> bool:
        """Whether the broker can: ``stop_limit``, ``ioc``, ``modify``."""
        ...


class Algo:
    """Base of every execution algorithm: parameters checked at construction, no-op callbacks.

    Parameters
    ----------
    parent : OrderRequest or sequence of OrderRequest
        What is to be done; several for a multi-leg order.
    **values
        Parameters by name; see ``params``.

    Attributes
    ----------
    alarms : list of str
        What somebody must be told now; whoever runs the algorithm takes them away.

    Raises
    ------
    BadData
        For a parameter that does not exist (names the nearest), of a wrong type or out of bounds.
    """

    name: ClassVar[str] = ""
    params: ClassVar[dict[str, Param]] = {}

    def __init__(self, parent: OrderRequest | Sequence[OrderRequest], **values: object) -> None:
        self.legs: tuple[OrderRequest, ...] = (parent,) if isinstance(parent, OrderRequest) else tuple(parent)
        self.p: dict[str, Any] = checked_params(f"algorithm '{self.name}'", self.params, values)
        self.done = False
        self.text = ""
        self.alarms: list[str] = []

    @property
    def parent(self) -> OrderRequest:
        """The first (or only) leg."""
        return self.legs[0]

    def on_start(self, world: World) -> Sequence[Intent]:
        """The parent was accepted and journaled."""
        return ()

    def on_quote(self, world: World) -> Sequence[Intent]:
        """Quotes of a wanted symbol changed (conflated)."""
        return ()

    def on_report(self, report: ExecutionReport, world: World) -> Sequence[Intent]:
        """Something happened to a child of this algorithm; denials and unknowns included."""
        return ()

    def on_clock(self, world: World) -> Sequence[Intent]:
        """A second has passed."""
        return ()

    def on_cancel(self, world: World) -> Sequence[Intent]:
        """A person cancels the parent: withdraw what works, place nothing new.

        ``done`` may come later, with the report that ends the last child.
        """
        self.done, self.text = True, "canceled"
        return [Cancel(cl_ord_id=order.cl_ord_id) for order in world.children().values() if order.is_open]

    def order_by_margin(self) -> str:
        """What its legs are (``entry``, ``exit``, ``auto``) where they follow each other and no order was said.

        An order found then comes as the parameter ``order`` and is journaled with the policy.
        """
        return ""

    def order_said(self) -> list[list[int]]:
        """The stages of its legs, by number from 0, where a person said them."""
        return []

    def asks(self, world: World) -> Sequence[Ask]:
        """The plain orders that the parent amounts to, buys first; each must pass the rules that hold for one."""
        return [Ask(leg) for leg in sorted(self.legs, key=lambda leg: leg.side is Side.SELL)]

    def wants(self) -> frozenset[str]:
        """Symbols whose quotes this algorithm needs."""
        return frozenset(leg.symbol for leg in self.legs)

    def bounds(self) -> dict[str, tuple[int, int]]:
        """Lowest and highest net units, by symbol, that its children may ever reach together.

        The account's last check holds each child to it, whatever the algorithm believes.
        """
        found: dict[str, tuple[int, int]] = {}
        for leg in self.legs:
            low, high = found.get(leg.symbol, (0, 0))
            buys = leg.side is Side.BUY
            found[leg.symbol] = (low, high + leg.order_qty) if buys else (low - leg.order_qty, high)
        return found

    def state(self) -> dict[str, Any]:
        """JSON-able state that :meth:`restore` takes back; journaled together with the decision's children."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what :meth:`state` gave."""
