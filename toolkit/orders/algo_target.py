"""Algorithms that bring a figure to a target: the net position of a contract, the delta of a set of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Final

import msgspec

from toolkit.orders.algo import Ask, World
from toolkit.orders.algo_ledger import SECOND_NS, WORK, Line
from toolkit.orders.algo_peg import CHASE, Chasing
from toolkit.strategies.protocol import Param
from toolkit.types import OrderRequest, Side

__all__ = ["DeltaHedge", "TargetPosition"]


_UNTRADED: Final = frozenset({"untraded"})
_OF_POSITION: Final = frozenset(
    {"reducing", "max_open_value", "max_net_lots", "max_gross_lots", "margin", "max_capital", "self_match"}
)
"""Rules over what the account holds and has open, which the whole quantity need not pass where less will trade."""


class _Gap(Chasing):
    """Two lines, one a side, of which the one that closes the gap works; both together are bounded by the parent."""

    def lines_of(self) -> tuple[Line, Line]:
        """The buying and the selling line of the parent's contract."""
        base = msgspec.structs.replace(self.lines[0], limit_p=None)
        return (
            msgspec.structs.replace(base, key="B", side=Side.BUY),
            msgspec.structs.replace(base, key="S", side=Side.SELL),
        )

    def line_of(self, i: int, leg: OrderRequest) -> Line:
        """The parent's side and price say nothing here."""
        return msgspec.structs.replace(super().line_of(i, leg), limit_p=None)

    def asks(self, w: World) -> list[Ask]:
        """The parent's quantity on either side: a hedge may trade it all in each."""
        return [
            Ask(msgspec.structs.replace(self.parent, side=side), _UNTRADED, adds=False)
            for side in (Side.BUY, Side.SELL)
        ]

    def bounds(self) -> dict[str, tuple[int, int]]:
        """The parent's quantity either way, in its contract alone."""
        return {self.parent.symbol: (-self.parent.order_qty, self.parent.order_qty)}

    def progress(self, w: World) -> str:
        """What was traded of what may be."""
        buy, sell = self.lines_of()
        bought, sold = self.filled(w, buy), self.filled(w, sell)
        return f"net {w.net(buy.symbol)} {buy.symbol}, bought {bought}, sold {sold}, bound {buy.qty}"

    def close(self, w: World, gap: int) -> bool:
        """Work toward a gap in units (positive buys); True when nothing is left to do and nothing works."""
        buy, sell = self.lines_of()
        line, other = (buy, sell) if gap > 0 else (sell, buy)
        lot = w.instrument(line.symbol).lot
        if not self.clear(w, other):
            self.say("withdrawing the other side first")
            return False
        want = abs(gap) // lot * lot
        if want == 0:
            self.anew(line)
            return self.clear(w, line)
        filled = self.filled(w, line)
        most = min(filled + want, line.qty - self.exposed(w, other))
        if most <= filled:
            self.finish(f"stopped: it may trade {line.qty} units in all, and has")
            return False
        quote = self.fresh(w, line.symbol)
        price_p = None if quote is None else self.chased_p(w, line, quote)
        self.keep(w, line, most, lambda order: price_p)
        return False


class TargetPosition(_Gap):
    """Bring the net position of the parent's contract to ``net_lots`` lots (negative is short), then be done.

    Reads the broker's net position each time and trades the difference in the direction it has, in whole lots, by a
    chase (``step_s``, ``step_ticks``, ``through_ticks``, ``give_pct``, ``give_ticks``); never more than the parent's
    quantity in all, bought and sold together; withdrawn after ``timeout_s`` seconds. The parent's own side says
    nothing; a price is refused.
    Limits: with other orders open in the contract it waits, for they move the position too.
    """

    name = "target"
    params: ClassVar[dict[str, Param]] = {
        **WORK,
        **CHASE,
        "net_lots": Param(default=0, unit="lots", low=-100_000, high=100_000, doc="net position to reach"),
        "timeout_s": Param(default=120.0, unit="s", low=1, high=86400, doc="withdraw the rest after"),
    }

    def gap(self, w: World) -> int:
        """Units to the target (positive buys)."""
        symbol = self.parent.symbol
        return int(self.p["net_lots"]) * w.instrument(symbol).lot - w.net(symbol)

    def asks(self, w: World) -> list[Ask]:
        """The parent's quantity as an order, and what of it the gap of now takes as a trade."""
        gap = self.gap(w)
        side = self.parent.side if gap == 0 else Side.BUY if gap > 0 else Side.SELL
        whole = msgspec.structs.replace(self.parent, side=side)
        found = [Ask(whole, _UNTRADED | _OF_POSITION, adds=False)]
        if gap:
            part = msgspec.structs.replace(whole, order_qty=min(abs(gap), whole.order_qty))
            found.append(Ask(part, _UNTRADED, adds=False))
        return found

    def work(self, w: World) -> None:
        """Close the gap to the target."""
        if self.since_ns(w) >= round(self.p["timeout_s"] * SECOND_NS):
            self.finish("time is up")
            return
        buy, sell = self.lines_of()
        mine = sum(o.leaves_qty for line in (buy, sell) for _, o in self.working(w, line))
        others = w.open_qty(buy.symbol, Side.BUY) + w.open_qty(buy.symbol, Side.SELL) - mine
        if others > 0:
            self.clear(w, buy)
            self.clear(w, sell)
            self.say(f"waiting: other orders for {others} units of {buy.symbol} are open")
            return
        if self.close(w, self.gap(w)):
            self.finish("at the target")


class DeltaHedge(_Gap):
    """Hold the net delta of a set of contracts near a target by trading the first one.

    The first leg is what is traded (a future, or an option), the other legs name what is hedged; their sides and
    quantities say nothing, but the first one's quantity bounds all that may be traded, bought and sold together; a
    price is refused. When the net delta (net position x delta, in units of the underlying, the first leg's too) is
    more than ``band`` units from ``target``, it trades the whole lots that bring it nearest from the far side, by a
    chase, and looks again every ``every_s`` seconds; a hedge not filled by then is re-decided. Runs for
    ``duration_s`` seconds or until the close. Limits: the rest below a lot stays; an unknown delta stops it from
    trading, and it says so.
    """

    name = "delta_hedge"
    most_legs = 200
    params: ClassVar[dict[str, Param]] = {
        **WORK,
        **CHASE,
        "target": Param(default=0.0, unit="units", low=-1e9, high=1e9, doc="net delta to hold"),
        "band": Param(default=50.0, unit="units", low=0, high=1e9, doc="no trade while within this of the target"),
        "every_s": Param(default=15.0, unit="s", low=1, high=3600, doc="time between two looks at the delta"),
        "duration_s": Param(default=86400.0, unit="s", low=1, high=86400, doc="longest time, cut at the close"),
    }

    def __init__(self, parent: OrderRequest | Sequence[OrderRequest], **values: object) -> None:
        super().__init__(parent, **values)
        self.lines = self.lines[:1]

    def work(self, w: World) -> None:
        """Measure, and trade while outside the band."""
        if self.since_ns(w) >= round(self.p["duration_s"] * SECOND_NS):
            self.finish("time is up")
            return
        each = w.delta(self.parent.symbol)
        net = self.net_delta(w)
        if math.isnan(net) or math.isnan(each) or abs(each) < 0.01:
            what = "the hedge's own delta is too small" if abs(each) < 0.01 else "a delta is unknown"
            self.say(f"waiting: {what}")
            for line in self.lines_of():
                self.clear(w, line)
            return
        self._decide(w, net, each)
        self.say(f"net delta {self.m['net']}, target {self.p['target']:.0f} within {self.p['band']:.0f}")
        gap = int(self.m.get("goal", w.net(self.parent.symbol))) - w.net(self.parent.symbol)
        self.close(w, gap)

    def net_delta(self, w: World) -> float:
        """Net delta of the account in the named contracts, NaN when one that is held has none."""
        total = 0.0
        for symbol in sorted(self.wants()):
            net = w.net(symbol)
            if net:
                total += net * w.delta(symbol)
        return total

    def _decide(self, w: World, net: float, each: float) -> None:
        """Set the hedge's own net position to aim at, at most every ``every_s``."""
        last = self.m.get("looked_ns")
        if last is not None and w.now_ns - last < round(self.p["every_s"] * SECOND_NS):
            return
        self.m["looked_ns"], self.m["net"] = w.now_ns, round(net)
        held, lot = w.net(self.parent.symbol), w.instrument(self.parent.symbol).lot
        gap = self.p["target"] - net
        lots = 0 if abs(gap) <= self.p["band"] else math.trunc(gap / each / lot)
        self.m["goal"] = held + lots * lot
        for line in self.lines_of():
            self.anew(line)
