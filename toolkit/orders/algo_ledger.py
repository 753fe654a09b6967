"""What an algorithm knows of its own orders: read from the world, plus the little that cannot be seen there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import msgspec

from toolkit.errors import BadData, BadOrder
from toolkit.orders.algo import Algo, World
from toolkit.strategies.protocol import Param
from toolkit.types import Order, OrderRequest, OrdStatus, OrdType, Product, Side, TimeInForce

__all__ = ["SECOND_NS", "WORK", "Ledger", "Line", "rupees"]

SECOND_NS: Final = 1_000_000_000
_REFUSED: Final = frozenset({OrdStatus.DENIED, OrdStatus.REJECTED, OrdStatus.EXPIRED})

WORK: Final[dict[str, Param]] = {
    "min_reprice_s": Param(default=1.0, unit="s", low=0.125, high=3600, doc="least time between changes of one child"),
    "messages_per_s": Param(default=4, unit="1/s", low=1, high=8, doc="most orders and changes in a sliding second"),
    "repeat_s": Param(default=2.0, unit="s", low=0, high=60, doc="least time between two identical orders"),
    "retry_s": Param(default=5.0, unit="s", low=1, high=600, doc="wait after a refused child"),
    "max_refusals": Param(default=3, unit="orders", low=1, high=20, doc="refusals in a row that stop the algorithm"),
}
"""Parameters that every algorithm takes."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One stream of children: at most ``qty`` units of a contract on one side.

    ``key`` begins the ref of each child; ``limit_p`` is the worst price; ``reduce`` caps the line
    at the position that is left.
    """

    key: str
    symbol: str
    side: Side
    qty: int
    limit_p: int | None = None
    product: Product | None = None
    exchange: str | None = None
    reduce: bool = False


class Ledger(Algo):
    """Base of :class:`~toolkit.orders.algo_work.Worker`: lines, what was asked of them, state.

    Raises
    ------
    BadData
        For a wrong parameter or a wrong number of legs; what a leg may ask for is in ``algo_carries``.
    """

    least_legs: ClassVar[int] = 1
    most_legs: ClassVar[int] = 1

    def __init__(self, parent: OrderRequest | Sequence[OrderRequest], **values: object) -> None:
        super().__init__(parent, **values)
        if not self.least_legs <= len(self.legs) <= self.most_legs:
            most = f" to {self.most_legs}" if self.most_legs > self.least_legs else ""
            raise BadData(f"algorithm '{self.name}' takes {self.least_legs}{most} legs, was {len(self.legs)}")
        for leg in self.legs:
            if leg.order_qty <= 0:
                text = f"algorithm '{self.name}' needs a positive quantity of {leg.symbol}, was {leg.order_qty}"
                raise BadOrder("order_qty", 1, leg.order_qty, text)
        self.lines: tuple[Line, ...] = tuple(self.line_of(i, leg) for i, leg in enumerate(self.legs))
        self.m: dict[str, Any] = {}
        self._began: int | None = None
        self._ending = ""
        self._count: dict[str, int] = {}
        self._new: dict[str, list[Any]] = {}
        self._touched: dict[str, list[int]] = {}
        self._pulled: list[str] = []
        self._sent: list[int] = []
        self._restored = False
        self._kin: Mapping[str, Order] = {}
        self._kids: dict[str, list[tuple[str, Order]]] = {}

    def line_of(self, i: int, leg: OrderRequest) -> Line:
        """The line of a leg, a price without a trigger as its worst; a subclass may say that it reduces."""
        limit_p = leg.price_p if leg.ord_type in (OrdType.LIMIT, OrdType.MARKET) else None
        return Line(
            key=f"L{i}",
            symbol=leg.symbol,
            side=leg.side,
            qty=leg.order_qty,
            limit_p=limit_p,
            product=leg.product,
            exchange=leg.exchange,
        )

    def state(self) -> dict[str, Any]:
        """What the children cannot tell."""
        return {
            "m": dict(self.m),
            "began": self._began,
            "ending": self._ending,
            "new": {ref: list(entry) for ref, entry in self._new.items()},
            "touched": {ref: list(entry) for ref, entry in self._touched.items()},
            "pulled": list(self._pulled),
            "sent": list(self._sent),
            "done": self.done,
            "text": self.text,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue; a child that no journal holds never left and is forgotten."""
        self.m = dict(state["m"])
        self._began, self._ending = state["began"], state["ending"]
        self._count = {}
        self._new = {ref: list(entry) for ref, entry in state["new"].items()}
        self._touched = {ref: list(entry) for ref, entry in state["touched"].items()}
        self._pulled, self._sent = list(state["pulled"]), list(state["sent"])
        self.done, self.text = state["done"], state["text"]
        self._restored = True

    def _remember(self, w: World) -> None:
        """Read the children once a turn; take what has become visible off the list of what is only known here."""
        children = self._kin = w.children()
        self._kids = {}
        for ref, order in children.items():
            self._kids.setdefault(ref.rpartition(".")[0], []).append((ref, order))
        old_ns = w.now_ns - round(self.p["repeat_s"] * SECOND_NS)
        for ref, entry in list(self._new.items()):
            if (ref in children and entry[3] <= old_ns) or (ref not in children and self._restored):
                del self._new[ref]
        for ref in list(self._touched):
            if ref in children and not children[ref].is_open:
                del self._touched[ref]
        self._restored = False
        self._sent = [ts_ns for ts_ns in self._sent if ts_ns > w.now_ns - SECOND_NS]

    def since_ns(self, w: World) -> int:
        """Session time since the first look."""
        return w.now_ns - (w.now_ns if self._began is None else self._began)

    def kids(self, w: World, line: Line) -> list[tuple[str, Order]]:
        """Children of a line, oldest first."""
        return self._kids.get(line.key, [])

    def working(self, w: World, line: Line) -> list[tuple[str, Order]]:
        """Children of a line that may still trade, unknown ones too."""
        return [(ref, order) for ref, order in self.kids(w, line) if order.is_open]

    def filled(self, w: World, line: Line) -> int:
        """Units of a line that have traded."""
        return sum(order.cum_qty for _, order in self.kids(w, line))

    def exposed(self, w: World, line: Line) -> int:
        """Units of a line that have traded or may still trade: the worst case."""
        seen = sum(o.cum_qty + (o.leaves_qty if o.is_open else 0) for _, o in self.kids(w, line))
        return seen + self._hidden(w, line)

    def idle(self, w: World, line: Line) -> bool:
        """Whether no child of a line can trade any more."""
        return not self.working(w, line) and not self._hidden(w, line)

    def value_p(self, w: World, line: Line) -> int:
        """Exact sum of quantity x price of a line's fills."""
        return sum(order.traded_value_p for _, order in self.kids(w, line))

    def held(self, w: World, line: Line) -> int:
        """Units of the account's position that an order of this line's side would close."""
        return max(0, -line.side.sign * w.net(line.symbol))

    def room(self, w: World, line: Line) -> int:
        """Whole lots, in units, that the line may still ask for."""
        left = line.qty - self.exposed(w, line)
        if line.reduce:
            hidden = sum(e[2] for r, e in self._unseen(w) if e[0] == line.symbol and e[1] == line.side)
            left = min(left, self.held(w, line) - w.open_qty(line.symbol, line.side) - hidden)
        lot = w.instrument(line.symbol).lot
        return max(0, left) // lot * lot

    def refusals(self, w: World, line: Line) -> tuple[int, Order | None]:
        """How many of the newest children in a row were refused, and the newest of them."""
        count, newest = 0, None
        for ref, order in reversed(self.kids(w, line)):
            if order.is_open and order.cum_qty == 0:
                continue
            if order.cum_qty or not self._was_refused(ref, order):
                break
            count, newest = count + 1, newest or order
        return count, newest

    def _was_refused(self, ref: str, order: Order) -> bool:
        if order.ord_status in _REFUSED:
            return True
        mine = ref in self._pulled or order.request.time_in_force is TimeInForce.IOC
        return order.ord_status is OrdStatus.CANCELED and not mine and not order.busts

    def _open(self, w: World) -> list[tuple[str, Order]]:
        return [(ref, order) for ref, order in self._kin.items() if order.is_open]

    def _unseen(self, w: World) -> list[tuple[str, list[Any]]]:
        return [(ref, entry) for ref, entry in self._new.items() if ref not in self._kin]

    def _hidden(self, w: World, line: Line | None = None) -> int:
        """Units asked for that no child shows yet."""
        stem = "" if line is None else f"{line.key}."
        return sum(int(entry[2]) for ref, entry in self._unseen(w) if ref.startswith(stem))


def rupees(paise: float) -> str:
    """Paise as text for people."""
    return f"{paise / 100:.2f}"
