"""What every execution algorithm stands on: children that can never add up to more than was asked.

A :class:`Line` is one leg, or part of one, with its bound. A :class:`Worker` looks at the world once
a callback and keeps its lines: everything it knows of its orders it reads from ``World.children()``,
so that any report in any order, repeated or missing, leads to the same place. Only what cannot be
seen there is state: when it began, what it asked for and when.

The rules, the same for every algorithm:

- an open child counts in full until it is closed, an ``unknown`` one too: nothing is placed in its stead;
- a child that was denied, rejected, or withdrawn by somebody else is a refusal: the next child waits
  ``retry_s``, and after ``max_refusals`` in a row the algorithm stops (an algorithm may state another end);
- no order outside the session, none on a missing, stale or crossed quote: it waits and says so;
- one child is re-priced at most every ``min_reprice_s`` and 20 times (brokers allow about 25), then
  withdrawn and placed anew; at most ``messages_per_s`` orders and changes leave in a sliding second;
- the same order twice within ``repeat_s`` waits, as the account's duplicate rule asks;
- a reducing line never holds more than the position that is left, less what other orders may close.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final

from toolkit.market.quotes import Quote
from toolkit.orders.algo import World
from toolkit.orders.algo_ledger import SECOND_NS, Ledger, Line
from toolkit.orders.algo_price import on_tick, within
from toolkit.orders.slicing import legal_max, slices
from toolkit.types import (
    Cancel,
    ExecutionReport,
    Intent,
    Modify,
    Order,
    OrderRequest,
    OrdStatus,
    OrdType,
    Place,
    TimeInForce,
)

__all__ = ["Worker"]

_MODIFIES: Final = 20
_CANCELS_PER_S: Final = 8
_WORKING: Final = frozenset({OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED})
_CANCELLABLE: Final = _WORKING | {OrdStatus.PENDING_REPLACE}

Pricing = Callable[[Order | None], int | None]


class Worker(Ledger, ABC):
    """Base of the shipped algorithms; a subclass writes :meth:`work`."""

    def __init__(self, parent: OrderRequest | Sequence[OrderRequest], **values: object) -> None:
        super().__init__(parent, **values)
        self._out: list[Intent] = []
        self._notes: list[str] = []

    # ---- callbacks: each is one look at the world

    def on_start(self, world: World) -> Sequence[Intent]:
        """Begin; before the session opens it waits."""
        return self._turn(world)

    def on_quote(self, world: World) -> Sequence[Intent]:
        """Look again."""
        return self._turn(world)

    def on_report(self, report: ExecutionReport, world: World) -> Sequence[Intent]:
        """Look again: the report has changed ``world.children()``."""
        return self._turn(world)

    def on_clock(self, world: World) -> Sequence[Intent]:
        """Look again."""
        return self._turn(world)

    def on_cancel(self, world: World) -> Sequence[Intent]:
        """Withdraw every child and place nothing new; done when the last one is closed."""
        if not self.done:
            self._ending = "canceled"
        return self._turn(world)

    @abstractmethod
    def work(self, world: World) -> None:
        """Decide, in session time and while not ending."""

    def _turn(self, w: World) -> tuple[Intent, ...]:
        if self.done:
            return ()
        self._out, self._notes = [], []
        self._remember(w)
        open_ns, close_ns = w.session
        if w.now_ns >= close_ns:
            self._after_close(w)
        elif w.now_ns < open_ns and not self._ending:
            self.say("waiting for the session to open")
        else:
            if not self._ending:
                self._began = w.now_ns if self._began is None else self._began
                if self._whole_lots(w):
                    self.work(w)
            if self._ending:
                self._withdraw(w)
        if not self.done:
            self.text = "; ".join(dict.fromkeys([self.progress(w), *self._notes]))
        return tuple(self._out)

    def _whole_lots(self, w: World) -> bool:
        for line in self.lines:
            lot = w.instrument(line.symbol).lot
            if line.qty % lot:
                self.finish(f"stopped: quantity of {line.symbol} must be a multiple of the lot {lot}, was {line.qty}")
                return False
        return True

    def _after_close(self, w: World) -> None:
        left = self._open(w)
        if left or self._hidden(w):
            self.say(f"the session closed; {len(left)} orders still open{_unknown(left)}")
            return
        self.done = True
        self.text = f"{self._ending or 'the session closed'}; {self.progress(w)}"

    def _withdraw(self, w: World) -> None:
        left = self._open(w)
        for ref, order in left:
            self.pull(w, ref, order)
        if left or self._hidden(w):
            self.say(f"{self._ending}; withdrawing {len(left)} orders{_unknown(left)}")
            return
        self.done = True
        self.text = f"{self._ending}; {self.progress(w)}"

    # ---- what a subclass asks

    def say(self, text: str) -> None:
        """Add to what ``text`` tells."""
        self._notes.append(text)

    def finish(self, text: str) -> None:
        """End: withdraw what still works, then be done."""
        self._ending = self._ending or text

    def progress(self, w: World) -> str:
        """How far it is, in units."""
        return ", ".join(f"{self.filled(w, line)} of {line.qty} {line.symbol}" for line in self.lines)

    def fresh(self, w: World, symbol: str) -> Quote | None:
        """A fresh quote that is not crossed; otherwise say that it waits."""
        quote = w.quote(symbol)
        crossed = quote is not None and quote.bid_p is not None and quote.ask_p is not None and not quote.two_sided
        if quote is None or crossed:
            self.say(f"waiting: {'crossed' if crossed else 'no fresh'} quote of {symbol}")
            return None
        return quote

    def refused(self, w: World, line: Line, count: int, order: Order) -> None:
        """What to do after ``max_refusals`` in a row: stop; a subclass may state another rule."""
        self.finish(f"stopped: {count} orders in {line.symbol} refused in a row: {order.text or order.ord_status}")

    # ---- acts

    def keep(self, w: World, line: Line, most: int, price: Pricing) -> None:
        """Keep children for ``most`` units of a line, filled ones included, at the price of each.

        ``price`` is asked for each working child, and with None for a new one; it answers None to wait.
        """
        self.trim(w, line, most)
        for ref, order in self.working(w, line):
            price_p = price(order)
            if price_p is not None:
                self.move(w, ref, order, price_p=self._bound(w, line, price_p))
        want = most - self.exposed(w, line)
        price_p = price(None) if want > 0 else None
        if price_p is not None:
            self.send(w, line, want, price_p)

    def trim(self, w: World, line: Line, most: int) -> None:
        """Take back what stands above ``most`` units, or above what a reducing line can still close."""
        over = self.exposed(w, line) - most
        mine = self.working(w, line)
        if line.reduce:
            over = max(over, sum(o.leaves_qty for _, o in mine) - self.held(w, line))
        lot = w.instrument(line.symbol).lot
        for ref, order in reversed(mine):
            if over <= 0:
                return
            stay = max(0, order.leaves_qty - over) // lot * lot
            over -= order.leaves_qty - stay
            if stay == 0:
                self.pull(w, ref, order)
            else:
                self.move(w, ref, order, qty=order.request.order_qty - order.leaves_qty + stay)

    def send(
        self,
        w: World,
        line: Line,
        qty: int,
        price_p: int,
        *,
        stop_px_p: int | None = None,
        tif: TimeInForce = TimeInForce.DAY,
    ) -> int:
        """Place legal slices for up to ``qty`` units; returns the units placed now (the rest waits its turn)."""
        want = min(qty, self.room(w, line))
        terms = w.instrument(line.symbol)
        want = want // terms.lot * terms.lot
        if want <= 0 or self._waits(w, line):
            return 0
        if terms.freeze_qty is not None and terms.freeze_qty < terms.lot:
            self.say(f"waiting: the freeze quantity of {line.symbol} is below one lot")
            return 0
        parts = (want,) if terms.freeze_qty is None else slices(want, legal_max(terms.freeze_qty, terms.lot))
        price_p = self._bound(w, line, price_p)
        placed = 0
        for part in parts:
            size = self._unlike(w, line, part, price_p, stop_px_p, terms.lot, sliced=len(parts) > 1)
            if size == 0 or not self._message(w):
                break
            self._place(w, line, size, price_p, stop_px_p, tif)
            placed += size
        return placed

    def move(
        self,
        w: World,
        ref: str,
        order: Order,
        *,
        price_p: int | None = None,
        qty: int | None = None,
        stop_px_p: int | None = None,
    ) -> bool:
        """Change a working child; withdraw it where the broker cannot change it (any more)."""
        now = order.request
        price_p = now.price_p if price_p is None else price_p
        stop_px_p = now.stop_px_p if stop_px_p is None else stop_px_p
        total = now.order_qty if qty is None else qty
        if (total, price_p, stop_px_p) == (now.order_qty, now.price_p, now.stop_px_p):
            return True
        if order.ord_status not in _WORKING:
            return False
        touched = self._touched.setdefault(ref, [-SECOND_NS * 10**6, 0, -SECOND_NS * 10**6])
        if qty is None and w.now_ns - touched[0] < round(self.p["min_reprice_s"] * SECOND_NS):
            return False
        if not w.can("modify") or touched[1] >= _MODIFIES:
            self.pull(w, ref, order)
            return True
        if w.now_ns == touched[0] or not self._message(w):
            return False
        touched[0], touched[1] = w.now_ns, touched[1] + 1
        self._out.append(Modify(cl_ord_id=order.cl_ord_id, order_qty=total, price_p=price_p, stop_px_p=stop_px_p))
        return True

    def pull(self, w: World, ref: str, order: Order) -> None:
        """Withdraw a child that the broker holds; one in flight is withdrawn when it is known."""
        if order.ord_status not in _CANCELLABLE:
            return
        touched = self._touched.setdefault(ref, [-SECOND_NS * 10**6, 0, -SECOND_NS * 10**6])
        if w.now_ns - touched[2] < max(SECOND_NS, round(self.p["min_reprice_s"] * SECOND_NS)):
            return
        if len(self._sent) >= _CANCELS_PER_S:
            self.say("waiting: message budget")
            return
        self._sent.append(w.now_ns)
        touched[2] = w.now_ns
        self._pulled = [*self._pulled[-63:], ref]
        self._out.append(Cancel(cl_ord_id=order.cl_ord_id))

    def clear(self, w: World, line: Line) -> bool:
        """Withdraw a line's children; True when none is left that can trade."""
        for ref, order in self.working(w, line):
            self.pull(w, ref, order)
        return self.idle(w, line)

    # ---- inside

    def _place(self, w: World, line: Line, qty: int, price_p: int, stop_px_p: int | None, tif: TimeInForce) -> None:
        seen = [int(ref.rsplit(".", 1)[1]) for ref, _ in self.kids(w, line)]
        count = max([self._count.get(line.key, 0), *seen]) + 1
        self._count[line.key] = count
        ref = f"{line.key}.{count}"
        self._new[ref] = [line.symbol, str(line.side), qty, w.now_ns, price_p, stop_px_p]
        self._out.append(
            Place(
                symbol=line.symbol,
                side=line.side,
                order_qty=qty,
                ord_type=OrdType.LIMIT if stop_px_p is None else OrdType.STOP_LIMIT,
                price_p=price_p,
                stop_px_p=stop_px_p,
                time_in_force=tif,
                ref=ref,
                product=line.product,
                exchange=line.exchange,
            )
        )

    def _unlike(
        self, w: World, line: Line, part: int, price_p: int, stop_px_p: int | None, lot: int, *, sliced: bool
    ) -> int:
        """The quantity, or with several slices a lot less, that no order of the last seconds had; 0 is wait.

        Slices of one decision are no accidental repeats, yet the account's duplicate rule cannot tell.
        """
        since_ns = w.now_ns - round(self.p["repeat_s"] * SECOND_NS)
        like = [line.symbol, str(line.side), price_p, stop_px_p]
        taken = {e[2] for e in self._new.values() if e[3] > since_ns and [e[0], e[1], e[4], e[5]] == like}
        size = part
        while size in taken and sliced and size > lot:
            size -= lot
        if size in taken:
            self.say("waiting: the same order left a moment ago")
            return 0
        return size

    def _waits(self, w: World, line: Line) -> bool:
        count, order = self.refusals(w, line)
        if order is None:
            return False
        if count >= self.p["max_refusals"]:
            self.refused(w, line, count, order)
            if self._ending:
                return True
        until_ns = order.updated_ns + round(self.p["retry_s"] * SECOND_NS)
        if w.now_ns < until_ns:
            self.say(f"waiting after a refusal: {order.text or order.ord_status}")
            return True
        return False

    def _message(self, w: World) -> bool:
        if len(self._sent) >= self.p["messages_per_s"]:
            self.say("waiting: message budget")
            return False
        self._sent.append(w.now_ns)
        return True

    def _bound(self, w: World, line: Line, price_p: int) -> int:
        tick_p = w.instrument(line.symbol).tick_p
        return on_tick(within(price_p, line.limit_p, line.side), line.side, tick_p)


def _unknown(orders: list[tuple[str, Order]]) -> str:
    count = sum(1 for _, order in orders if order.ord_status is OrdStatus.UNKNOWN)
    return f", {count} of them unknown: reconcile" if count else ""
