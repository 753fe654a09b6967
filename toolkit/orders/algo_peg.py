"""Algorithms that follow the touch: best-limit (peg), chase with protection, sniper."""

from __future__ import annotations

from typing import ClassVar, Final

from toolkit.market.quotes import Quote
from toolkit.orders.algo import World
from toolkit.orders.algo_ledger import SECOND_NS, WORK, Line, rupees
from toolkit.orders.algo_price import cap_p, chase_p, far_p, far_qty, on_tick, own_p, styled_p, within, worse
from toolkit.orders.algo_work import Worker
from toolkit.strategies.protocol import Param
from toolkit.types import Order, TimeInForce

__all__ = ["CHASE", "BestLimit", "Chase", "Chasing", "Sniper"]

CHASE: Final[dict[str, Param]] = {
    "step_s": Param(default=2.0, unit="s", low=0.125, high=3600, doc="time between two steps of the price"),
    "step_ticks": Param(default=2, unit="ticks", low=1, high=1000, doc="size of a step toward the market"),
    "through_ticks": Param(default=2, unit="ticks", low=0, high=100, doc="how far past the far touch it may go"),
    "give_pct": Param(
        default=5.0, unit="%", low=0, high=50, doc="protection: furthest past the far touch of the start"
    ),
    "give_ticks": Param(default=20, unit="ticks", low=0, high=10_000, doc="the same in ticks; the larger counts"),
}
"""Parameters of a price chase."""


class Chasing(Worker):
    """A worker with the price of a chase: from the own touch, step by step, never past its protection.

    For each line ``m`` keeps when its chase began, the far touch then, on which the protection hangs, and the
    own touch then, from which the steps count (the own touch of now may be the chase's own order).
    """

    def chased_p(self, w: World, line: Line, quote: Quote, *, now: bool = False) -> int | None:
        """Price of a line's chase; ``now`` crosses at once. None while the far side is missing."""
        tick_p, far = w.instrument(line.symbol).tick_p, far_p(quote, line.side)
        own = own_p(quote, line.side)
        if far is None or (own is None and not now):
            self.say(f"waiting: nobody quotes the {'other' if far is None else 'own'} side of {line.symbol}")
            return None
        began_ns = self.m.setdefault(f"{line.key}.chase_ns", w.now_ns)
        anchor_p = self.m.setdefault(f"{line.key}.anchor_p", far)
        base_p = self.m.setdefault(f"{line.key}.base_p", far if own is None else own)
        ticks = (w.now_ns - began_ns) // round(self.p["step_s"] * SECOND_NS) * self.p["step_ticks"]
        through = self.p["through_ticks"]
        if now:
            price_p = styled_p(quote, line.side, tick_p, "cross", through)
        else:
            price_p = chase_p(quote, line.side, tick_p, base_p + line.side.sign * ticks * tick_p, through)
        if price_p is None:
            return None
        most_p = cap_p(anchor_p, line.side, tick_p, self.p["give_pct"], self.p["give_ticks"])
        if worse(far, most_p, line.side):
            self.say(f"{line.symbol} is past the protection price {rupees(most_p)}")
        return within(price_p, most_p, line.side)

    def anew(self, line: Line) -> None:
        """Begin a line's chase again at the next quote, with protection around the market of then."""
        for what in ("chase_ns", "anchor_p", "base_p"):
            self.m.pop(f"{line.key}.{what}", None)


class Chase(Chasing):
    """Join the own touch, then step toward the market until filled or at the protection price.

    Every ``step_s`` seconds ``step_ticks`` ticks nearer, at most ``through_ticks`` past the far touch, never past
    the parent's limit nor the larger of ``give_pct`` percent and ``give_ticks`` ticks from the far touch at the
    start; withdrawn after ``timeout_s`` seconds. Limits: in a market that runs away it rests at its protection.
    """

    name = "chase"
    params: ClassVar[dict[str, Param]] = {
        **WORK,
        **CHASE,
        "timeout_s": Param(default=120.0, unit="s", low=1, high=86400, doc="withdraw the rest after"),
    }

    def work(self, w: World) -> None:
        """Keep the whole quantity at the price of the chase."""
        line = self.lines[0]
        if self.filled(w, line) >= line.qty:
            self.finish("filled")
            return
        if self.since_ns(w) >= round(self.p["timeout_s"] * SECOND_NS):
            self.finish("time is up")
            return
        quote = self.fresh(w, line.symbol)
        price_p = None if quote is None else self.chased_p(w, line, quote)
        if price_p is not None:
            self.keep(w, line, line.qty, lambda order: price_p)


class BestLimit(Worker):
    """Rest at the own touch and follow it (a peg).

    ``offset_ticks`` ticks behind the touch (negative: better than it, short of the far touch), never past the
    parent's limit; runs until filled, canceled or the close. Limits: never takes, so it may never trade;
    where its own order is the touch it stays there.
    """

    name = "best_limit"
    params: ClassVar[dict[str, Param]] = {
        **WORK,
        "offset_ticks": Param(default=0, unit="ticks", low=-100, high=1000, doc="distance behind the own touch"),
    }

    def work(self, w: World) -> None:
        """Keep the whole quantity at the peg."""
        line = self.lines[0]
        if self.filled(w, line) >= line.qty:
            self.finish("filled")
            return
        quote = self.fresh(w, line.symbol)
        if quote is None:
            return
        own = own_p(quote, line.side)
        if own is None:
            self.say(f"waiting: nobody quotes the own side of {line.symbol}")
            return
        price_p = self._peg(w, line, quote, own)
        better = self.p["offset_ticks"] < 0

        def price(order: Order | None) -> int:
            """Stay when the touch to be bettered is our own order."""
            return own if better and order is not None and order.request.price_p == own else price_p

        self.keep(w, line, line.qty, price)

    def _peg(self, w: World, line: Line, quote: Quote, own: int) -> int:
        tick_p, far = w.instrument(line.symbol).tick_p, far_p(quote, line.side)
        price_p = on_tick(own - line.side.sign * self.p["offset_ticks"] * tick_p, line.side, tick_p)
        return price_p if far is None else within(price_p, far - line.side.sign * tick_p, line.side)


class Sniper(Worker):
    """Wait out of sight until the far touch is at the parent's limit or better, then take what is shown.

    Takes at most ``max_lots`` lots a shot, with IOC where the broker can, else with a DAY order that is withdrawn
    after ``hold_s`` seconds (an IOC parent never with a DAY order); needs ``min_lots`` lots on display. A quote without
    quantities counts as one lot.
    Limits: others may be faster; needs a limit price; the broker and the exchange see nothing before a shot.
    """

    name = "sniper"
    params: ClassVar[dict[str, Param]] = {
        **WORK,
        "min_lots": Param(default=1, unit="lots", low=1, high=10_000, doc="least on display"),
        "max_lots": Param(default=10, unit="lots", low=1, high=10_000, doc="most in one shot"),
        "hold_s": Param(default=1.0, unit="s", low=0, high=60, doc="life of a shot where there is no IOC"),
    }

    def work(self, w: World) -> None:
        """Shoot, or wait."""
        line = self.lines[0]
        if line.limit_p is None:
            self.finish("stopped: a sniper needs a LIMIT parent")
        elif self.filled(w, line) >= line.qty:
            self.finish("filled")
        elif self.idle(w, line):
            self._aim(w, line, line.limit_p)
        else:
            for ref, order in self.working(w, line):
                if w.now_ns - order.created_ns >= round(self.p["hold_s"] * SECOND_NS):
                    self.pull(w, ref, order)

    def _aim(self, w: World, line: Line, limit_p: int) -> None:
        quote, lot = self.fresh(w, line.symbol), w.instrument(line.symbol).lot
        if quote is None:
            return
        far, shown = far_p(quote, line.side), far_qty(quote, line.side)
        shown = lot if shown is None else shown
        if far is None or worse(far, limit_p, line.side) or shown < self.p["min_lots"] * lot:
            self.say(f"waiting for {line.symbol} at {rupees(limit_p)} or better")
            return
        ioc = w.can("ioc") or self.parent.time_in_force is TimeInForce.IOC
        tif = TimeInForce.IOC if ioc else TimeInForce.DAY
        self.send(w, line, min(shown, self.p["max_lots"] * lot), far, tif=tif)
