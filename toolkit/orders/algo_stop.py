"""Stops: at the broker where it can hold them, else here; trailing; chased when the market gaps through."""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec

from toolkit.market.quotes import Quote
from toolkit.orders.algo import Ask, World
from toolkit.orders.algo_ledger import SECOND_NS, WORK, Line, rupees
from toolkit.orders.algo_price import cap_p, far_p, on_tick, styled_p, within, worse
from toolkit.orders.algo_work import Worker
from toolkit.strategies.protocol import Param
from toolkit.types import Order, OrderRequest, OrdStatus, OrdType

__all__ = ["STOP", "Stop", "Stopping", "TrailingStop"]

STOP: Final[dict[str, Param]] = {
    "hold": Param(default="auto", unit="", choices=("auto", "broker", "local"), doc="where the stop rests"),
    "source": Param(default="last", unit="", choices=("last", "touch"), doc="what triggers a stop that is held here"),
    "limit_ticks": Param(default=20, unit="ticks", low=0, high=10_000, doc="limit of the stop-limit past the stop"),
    "limit_pct": Param(default=3.0, unit="%", low=0, high=50, doc="the same in percent; the larger counts"),
    "gap_s": Param(default=1.0, unit="s", low=0, high=600, doc="time past the limit before it is chased"),
    "gap_through_ticks": Param(default=2, unit="ticks", low=0, high=100, doc="how far past the far touch a chase goes"),
    "gap_give_pct": Param(default=25.0, unit="%", low=0, high=90, doc="protection: furthest a chase goes past it"),
    "gap_give_ticks": Param(default=100, unit="ticks", low=0, high=100_000, doc="the same in ticks; the larger counts"),
}
"""Parameters of a stop."""
_REACHED: Final = frozenset({"stop_px"})
_NO_STOP_LIMIT: Final = "the broker has no stop-limit"


class Stopping(Worker):
    """A worker that can guard a line with a stop.

    For each line ``m`` keeps ``fired`` (it was triggered), ``gap_ns`` (since when its limit is gapped through),
    ``chased`` (that was too long) and ``local`` (why it is held here).
    """

    def fired(self, line: Line) -> bool:
        """Whether the line's stop was triggered."""
        return bool(self.m.get(f"{line.key}.fired"))

    def watch(self, w: World, line: Line, stop_p: int) -> None:
        """Fire the line's stop when the newest price has reached it."""
        quote = w.quote(line.symbol)
        if quote is None:
            return
        seen = quote.ltp_p if self.p["source"] == "last" else far_p(quote, line.side)
        if seen is not None and line.side.sign * (seen - stop_p) >= 0:
            self.m[f"{line.key}.fired"] = True

    def guard(self, w: World, line: Line, most: int, stop_p: int, limit_p: int | None, *, here: str = "") -> None:
        """Keep ``most`` units of a line behind a stop at ``stop_p``; after it fired, close them.

        ``limit_p`` is the limit of the stop-limit, None takes it from the parameters; ``here`` says why it is held.
        """
        self.watch(w, line, stop_p)
        quote = w.quote(line.symbol)
        if self.fired(line):
            self._close(w, line, most, stop_p, quote)
            return
        why = self._why_here(w, line, here)
        if not why and quote is not None and quote.ltp_p is not None:
            past = line.side.sign * (quote.ltp_p - stop_p) >= 0
            why = "the last price is past it, a broker would trigger it at once" if past else ""
        if why:
            self._hold_here(w, line, stop_p, quote, why)
            return
        tick_p = w.instrument(line.symbol).tick_p
        if limit_p is None:
            limit_p = cap_p(stop_p, line.side, tick_p, self.p["limit_pct"], self.p["limit_ticks"])
        self._rest(w, line, most, on_tick(stop_p, line.side, tick_p), on_tick(limit_p, line.side, tick_p))

    def as_limit(self, w: World, leg: OrderRequest) -> OrderRequest:
        """A leg as it rests at the broker: a stop without a limit with the limit that the parameters give it."""
        if leg.ord_type is not OrdType.STOP or leg.stop_px_p is None:
            return leg
        limit_p = cap_p(
            leg.stop_px_p, leg.side, w.instrument(leg.symbol).tick_p, self.p["limit_pct"], self.p["limit_ticks"]
        )
        return msgspec.structs.replace(leg, ord_type=OrdType.STOP_LIMIT, price_p=limit_p)

    def asks(self, w: World) -> list[Ask]:
        """Its legs, a stop as the stop-limit that it becomes; one that only closes may be reached already."""
        return [Ask(self.as_limit(w, leg), _REACHED if self.p["reduce"] else frozenset()) for leg in self.legs]

    def refused(self, w: World, line: Line, count: int, order: Order) -> None:
        """A stop the broker does not take is held here; a stop that fired tries on, every ``retry_s``."""
        stop = order.request.stop_px_p is not None
        if self.fired(line):
            what = "stop" if stop else "closing"
            self.say(f"ALARM: {count} {what} orders in {line.symbol} refused: {order.text or order.ord_status}")
        elif stop and self.p["hold"] == "auto":
            who = "our own rules denied it" if order.ord_status is OrdStatus.DENIED else "the broker refused it"
            self.m[f"{line.key}.local"] = f"{who}: {order.text or order.ord_status}"
        else:
            super().refused(w, line, count, order)

    def _why_here(self, w: World, line: Line, here: str) -> str:
        if here:
            return here
        if self.p["hold"] == "local":
            return "as asked"
        if self.p["hold"] == "auto" and not w.can("stop_limit"):
            return _NO_STOP_LIMIT
        return str(self.m.get(f"{line.key}.local", ""))

    def _hold_here(self, w: World, line: Line, stop_p: int, quote: Quote | None, why: str) -> None:
        self.clear(w, line)
        blind = "; no fresh quote: it cannot fire" if quote is None else ""
        self.say(f"stop {rupees(stop_p)} of {line.symbol} held here ({why}): it lives with this process{blind}")
        kept = self.m.get(f"{line.key}.local", _NO_STOP_LIMIT)
        if why == kept and self.m.get(f"{line.key}.told") != why:
            self.m[f"{line.key}.told"] = why
            text = f"the stop of {line.qty} {line.symbol} at {rupees(stop_p)} is held here and lives with this process"
            self.alarms.append(f"{text}: {why}")

    def _rest(self, w: World, line: Line, most: int, stop_p: int, limit_p: int) -> None:
        self.trim(w, line, most)
        for ref, order in self.working(w, line):
            self.move(w, ref, order, price_p=limit_p, stop_px_p=stop_p)
        want = most - self.exposed(w, line)
        if want > 0 and self.fresh(w, line.symbol) is not None:
            self.send(w, line, want, limit_p, stop_px_p=stop_p)
        resting = sum(order.leaves_qty for _, order in self.working(w, line) if order.order_id is not None)
        self.say(f"stop {rupees(stop_p)} of {line.symbol}: {resting} units rest at the broker")

    def _close(self, w: World, line: Line, most: int, stop_p: int, quote: Quote | None) -> None:
        """Fired: give the stop-limit its chance, chase it when gapped through, send what has no order as a limit."""
        self.say(f"stop {rupees(stop_p)} of {line.symbol} triggered")
        if quote is None:
            self.say(f"waiting: no fresh quote of {line.symbol}")
            return
        tick_p = w.instrument(line.symbol).tick_p
        crossing = styled_p(quote, line.side, tick_p, "cross", self.p["gap_through_ticks"])
        if crossing is None:
            self.say(f"waiting: nobody quotes the other side of {line.symbol}")
            return
        cap = cap_p(stop_p, line.side, tick_p, self.p["gap_give_pct"], self.p["gap_give_ticks"])
        price_p = within(crossing, cap, line.side)
        far = far_p(quote, line.side)
        if far is not None and worse(far, cap, line.side):
            self.say(f"ALARM: {line.symbol} gapped past the protection price {rupees(cap)}")
        chasing = self._gapped(w, line, quote)
        self.keep(w, line, most, lambda order: price_p if order is None or chasing or _plain(order) else None)

    def _gapped(self, w: World, line: Line, quote: Quote) -> bool:
        """Whether the far touch has lain past a resting stop-limit's limit for ``gap_s``; from then on it chases."""
        far, since, chased = far_p(quote, line.side), f"{line.key}.gap_ns", f"{line.key}.chased"
        if not self.m.get(chased):
            resting = [o.request.price_p for _, o in self.working(w, line) if not _plain(o)]
            if far is None or not any(p is not None and worse(far, p, line.side) for p in resting):
                self.m.pop(since, None)
                return False
            past_ns: int = w.now_ns - self.m.setdefault(since, w.now_ns)
            self.m[chased] = past_ns >= round(self.p["gap_s"] * SECOND_NS)
        self.say(f"{line.symbol} gapped through its stop-limit{', chasing' if self.m[chased] else ''}")
        return bool(self.m[chased])


class Stop(Stopping):
    """A stop on one contract; by default it only closes a position.

    The parent's ``stop_px`` triggers it and its price, if given, is the limit; otherwise the limit lies the larger
    of ``limit_pct`` percent and ``limit_ticks`` ticks past the stop. ``hold=auto`` rests a stop-limit at the broker
    where it can, otherwise (and after ``max_refusals`` refusals) the stop is held here, which ``text`` says: then
    the ``source`` price (last trade or far touch) fires it, and it comes back after a crash of this process but sees
    nothing while that is down. When the market lies past a triggered limit for ``gap_s`` seconds it is chased to
    ``gap_through_ticks`` past the far touch, at most the larger of ``gap_give_pct`` percent and ``gap_give_ticks``
    ticks past the stop. With ``reduce=true`` it never closes more than the position and ends when there is none.
    Limits: beyond its protection it rests and says ALARM; it expires with the session.
    """

    name = "stop"
    params: ClassVar[dict[str, Param]] = {
        **WORK,
        **STOP,
        "reduce": Param(default=True, unit="", doc="only close what is held; false lets it open a position"),
    }

    def line_of(self, i: int, leg: OrderRequest) -> Line:
        """A line without a limit of its own: the protection bounds the chase."""
        return msgspec.structs.replace(super().line_of(i, leg), limit_p=None, reduce=self.p["reduce"])

    def work(self, w: World) -> None:
        """Guard, fire, close."""
        line = self.lines[0]
        if self.filled(w, line) >= line.qty:
            self.finish("filled")
        elif line.reduce and not self.held(w, line) and self.idle(w, line):
            self.finish(f"no position in {line.symbol} left to close")
        else:
            stop_p = self.stop_p(w, line)
            if stop_p is None:
                self.say(f"waiting for a price of {line.symbol} to set the stop from")
                return
            self.guard(w, line, line.qty, stop_p, self.limit_p(stop_p))

    def limit_p(self, stop_p: int) -> int | None:
        """The limit of a STOP_LIMIT parent, as far from the stop of now as it was from the first one."""
        leg = self.parent
        if leg.ord_type is not OrdType.STOP_LIMIT or leg.price_p is None or leg.stop_px_p is None:
            return None
        return leg.price_p + stop_p - leg.stop_px_p

    def stop_p(self, w: World, line: Line) -> int | None:
        """The stop price now."""
        if self.parent.stop_px_p is None:
            self.finish("stopped: a stop needs stop_px")
        return self.parent.stop_px_p


class TrailingStop(Stop):
    """A stop that follows the market at a distance and never goes back.

    It lies ``trail`` rupees, or ``trail_pct`` percent where ``trail`` is 0, behind the best last price since the start;
    the parent's ``stop_px``, if given, is where it begins, and a limit keeps its distance from the stop. A stop at the
    broker is moved by steps of at least ``step_ticks`` ticks, no more often than ``min_reprice_s``. Everything else as
    in ``stop``.
    Limits: prices between two quotes are not seen; a stop at the broker trails only while this process lives.
    """

    name = "trailing_stop"
    params: ClassVar[dict[str, Param]] = {
        **Stop.params,
        "trail": Param(default=0.0, unit="Rs", low=0, high=1e6, doc="distance behind the best price"),
        "trail_pct": Param(default=20.0, unit="%", low=0.01, high=99, doc="the same in percent, where trail is 0"),
        "step_ticks": Param(default=4, unit="ticks", low=1, high=10_000, doc="least change of a stop at the broker"),
    }

    def asks(self, w: World) -> list[Ask]:
        """Its leg; without a trigger a closing order at the market of now, which no market order will be."""
        leg = self.as_limit(w, self.parent)
        if leg.stop_px_p is not None:
            return super().asks(w)
        return [Ask(msgspec.structs.replace(leg, ord_type=OrdType.MARKET), frozenset({"untraded"}))]

    def stop_p(self, w: World, line: Line) -> int | None:
        """Ratchet the stop to the best price seen."""
        quote, tick_p = w.quote(line.symbol), w.instrument(line.symbol).tick_p
        stop_p: int | None = self.m.get("stop_p", self.parent.stop_px_p)
        if quote is None or quote.ltp_p is None or self.fired(line):
            return stop_p
        sign = line.side.sign
        room = self.p["trail"] * 100.0 if self.p["trail"] > 0 else quote.ltp_p * self.p["trail_pct"] / 100.0
        new_p = on_tick(quote.ltp_p + sign * room, line.side, tick_p)
        step = 0 if stop_p is None else sign * (stop_p - new_p)
        if stop_p is None or step >= self.p["step_ticks"] * tick_p:
            stop_p = new_p
        self.m["stop_p"] = stop_p
        return stop_p


def _plain(order: Order) -> bool:
    """Whether it is a limit order and not a stop-limit."""
    return order.request.stop_px_p is None
