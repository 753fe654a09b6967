"""Linked orders: OCO, OUO, OTO and the bracket of an entry with its target and its stop."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Final

import msgspec

from toolkit.errors import BadData
from toolkit.orders.algo import IN_ITS_TIME, Ask, World
from toolkit.orders.algo_ledger import SECOND_NS, WORK, Line
from toolkit.orders.algo_peg import CHASE, Chasing
from toolkit.orders.algo_price import far_p, on_tick, worse
from toolkit.orders.algo_stop import STOP, Stopping
from toolkit.strategies.protocol import Param
from toolkit.types import OrderRequest, OrdType, Side

__all__ = ["Bracket", "Oco", "Oto", "Ouo"]

_LINK: Final[dict[str, Param]] = {
    **WORK,
    **CHASE,
    **STOP,
    "swap_ticks": Param(
        default=20, unit="ticks", low=1, high=10_000, doc="retreat from the target that brings the stop"
    ),
    "reduce": Param(default=False, unit="", doc="only close what is held"),
}


class _Linked(Stopping, Chasing):
    """Arms that rest as limits or stops, alone or as a pair of which one at a time is in the market."""

    def arm(self, w: World, line: Line, leg: OrderRequest, most: int) -> None:
        """Keep ``most`` units of a leg in the market: a stop, a limit at its price, or a chase without one."""
        if leg.stop_px_p is not None:
            limit_p = leg.price_p if leg.ord_type is OrdType.STOP_LIMIT else None
            self.guard(w, line, most, leg.stop_px_p, limit_p)
            return
        quote = self.fresh(w, line.symbol)
        limit_p = line.limit_p
        if limit_p is None and quote is not None:
            limit_p = self.chased_p(w, line, quote)
        self.keep(w, line, most, lambda order: None if quote is None else limit_p)

    def pair(self, w: World, goal: Line, stop: Line, prices: tuple[int, int, int | None], most: int) -> None:
        """Share ``most`` units between a limit and a stop of one contract and side; one at a time is in the market.

        ``prices`` are the target, the stop and its limit. The stop rests; when the market reaches the target, the stop
        is withdrawn and then the limit placed, and back when it retreats: two resting exits could both trade.
        """
        goal_p, stop_p, limit_p = prices
        self._turn_to(w, goal, stop, goal_p, stop_p)
        if self.m.get("goal"):
            if self.clear(w, stop):
                quote = self.fresh(w, goal.symbol)
                left = most - self.filled(w, stop)
                self.keep(w, goal, left, lambda order: None if quote is None else goal_p)
                self.say("the target is in the market, its stop is held here")
            else:
                self.say("the target is reached; withdrawing the stop first")
        elif self.clear(w, goal):
            self.guard(w, stop, most - self.filled(w, goal), stop_p, limit_p)
        else:
            self.say("back to the stop; withdrawing the target first")

    def _turn_to(self, w: World, goal: Line, stop: Line, goal_p: int, stop_p: int) -> None:
        quote = w.quote(goal.symbol)
        if quote is None or self.fired(stop):
            return
        self.watch(w, stop, stop_p)
        if self.fired(stop):
            self.m["goal"] = False
            return
        far = far_p(quote, goal.side)
        if far is None:
            return
        back_p = goal_p + goal.side.sign * self.p["swap_ticks"] * w.instrument(goal.symbol).tick_p
        if not worse(far, goal_p, goal.side):
            self.m["goal"] = True
        elif worse(far, back_p, goal.side) and not self.locked(w, goal):
            self.m["goal"] = False

    def locked(self, w: World, goal: Line) -> bool:
        """Whether a target that began to trade keeps the stop away."""
        return False


class _Pairing(_Linked):
    """Two arms of which one ends or shrinks the other."""

    least_legs = 2
    most_legs = 2
    shares: ClassVar[bool] = False
    params: ClassVar[dict[str, Param]] = {
        **_LINK,
        "rest": Param(default="auto", unit="", choices=("auto", "one", "both"), doc="arms in the market at a time"),
    }

    def __init__(self, parent: OrderRequest | Sequence[OrderRequest], **values: object) -> None:
        super().__init__(parent, **values)
        limits = [i for i, leg in enumerate(self.legs) if leg.stop_px_p is None and leg.price_p is not None]
        stops = [i for i, leg in enumerate(self.legs) if leg.stop_px_p is not None]
        like = len({(leg.symbol, leg.side, leg.order_qty) for leg in self.legs}) == 1
        can = like and len(limits) == 1 and len(stops) == 1
        if self.p["rest"] == "one" and not can:
            raise BadData(f"'{self.name} rest=one' needs a limit and a stop of one contract, side and quantity")
        self._one = can and self.p["rest"] != "both"
        if self.p["reduce"] and not self._one and len({(leg.symbol, leg.side) for leg in self.legs}) == 1:
            raise BadData(f"'{self.name} reduce=true rest=both': two resting exits of one position could reverse it")
        self._goal, self._stop = (limits[0], stops[0]) if can else (0, 1)

    def line_of(self, i: int, leg: OrderRequest) -> Line:
        """A stop leg has no limit of its own: the protection bounds it."""
        line = super().line_of(i, leg)
        limit_p = None if leg.stop_px_p is not None else leg.price_p
        return msgspec.structs.replace(line, limit_p=limit_p, reduce=self.p["reduce"])

    def asks(self, w: World) -> list[Ask]:
        """Either arm alone; a target that is sent only when the market is there is held against no price of now."""
        held_back = {self._goal} if self._one else set()
        return [
            Ask(self.as_limit(w, leg), IN_ITS_TIME if i in held_back else frozenset(), adds=False)
            for i, leg in enumerate(self.legs)
        ]

    @abstractmethod
    def most(self, w: World, i: int) -> int:
        """Units of an arm that may have been asked for by now."""

    def progress(self, w: World) -> str:
        """How far the arms are, and whether both traded."""
        both = not self._one and all(self.filled(w, line) for line in self.lines)
        return super().progress(w) + ("; both arms traded" if both else "")

    def work(self, w: World) -> None:
        """Keep both arms, or the pair."""
        if self._over(w):
            return
        if self._one:
            goal, stop = self.lines[self._goal], self.lines[self._stop]
            leg = self.legs[self._stop]
            limit_p = leg.price_p if leg.ord_type is OrdType.STOP_LIMIT else None
            self.pair(w, goal, stop, (goal.limit_p or 0, leg.stop_px_p or 0, limit_p), goal.qty)
            return
        for line, leg in zip(self.lines, self.legs, strict=True):
            if leg.stop_px_p is not None:
                self.watch(w, line, leg.stop_px_p)
        for i, (line, leg) in enumerate(zip(self.lines, self.legs, strict=True)):
            most = self.most(w, i)
            if most <= 0:
                self.clear(w, line)
            elif not self._in_the_way(w, i):
                self.arm(w, line, leg, most)
            elif leg.stop_px_p is not None and not self.fired(line):
                self.guard(w, line, most, leg.stop_px_p, None, here="the other arm rests")
            else:
                self.say(f"{line.symbol} waits for the other arm to leave")

    def _over(self, w: World) -> bool:
        done = [self.filled(w, line) for line in self.lines]
        whole = any(d >= line.qty for d, line in zip(done, self.lines, strict=True))
        if whole or ((self._one or self.shares) and sum(done) >= self.lines[0].qty):
            self.finish("filled")
        elif self.p["reduce"] and not any(self.held(w, line) or not self.idle(w, line) for line in self.lines):
            self.finish("no position left to close")
        return bool(self._ending)

    def _in_the_way(self, w: World, i: int) -> bool:
        """Whether an arm would trade against the other one, which rests on the other side of the same contract."""
        mine, other = self.lines[i], self.lines[1 - i]
        opposed = mine.symbol == other.symbol and mine.side is not other.side
        return opposed and not self.idle(w, other) and self.idle(w, mine)


class Oco(_Pairing):
    """One cancels the other: the first arm that trades at all ends the other one.

    Two legs, each a limit, a stop (held as in ``stop``) or a chase without a price. Of a limit and a stop of the same
    contract, side and quantity only one is in the market at a time (``rest=auto``), so that they can never both trade;
    ``swap_ticks`` ticks of retreat bring the stop back. Otherwise, or with ``rest=both``, both rest.
    Two stops on the two sides of one contract would trade against each other: one rests, the other is held here.
    Limits: two resting arms may both trade in the moment between a fill and the cancel, which ``text`` then says.
    """

    name = "oco"

    def locked(self, w: World, goal: Line) -> bool:
        """A target that traded has ended the stop."""
        return self.filled(w, goal) > 0

    def most(self, w: World, i: int) -> int:
        """Everything, until the other arm has traded, or its stop has fired, first."""
        traded = [k for k, line in enumerate(self.lines) if self.filled(w, line) or self.fired(line)]
        if traded:
            self.m.setdefault("winner", traded[0])
        return self.lines[i].qty if self.m.get("winner", i) == i else 0


class Ouo(_Pairing):
    """One updates the other: each fill of an arm takes as much off the other one.

    As ``oco``, but a partial fill shrinks the other arm instead of ending it.
    Limits: as ``oco``; where the broker cannot modify, the other arm is withdrawn and placed anew smaller.
    """

    name = "ouo"
    shares = True

    def most(self, w: World, i: int) -> int:
        """What the other arm has left of it."""
        lot = w.instrument(self.lines[i].symbol).lot
        return max(0, self.lines[i].qty - self.filled(w, self.lines[1 - i])) // lot * lot


class Oto(_Linked):
    """One triggers the others: the first leg trades, then the others are sent.

    ``release=full`` waits until the first is wholly filled, ``pro_rata`` sends of the others the share (in lots)
    that the first has traded. Each leg is a limit, a stop (held as in ``stop``), or a chase without a price.
    ``entry_s`` seconds withdraw what is left of the first; 0 never.
    Limits: with ``full`` a first leg that only half trades triggers nothing.
    """

    name = "oto"
    least_legs = 2
    most_legs = 10
    params: ClassVar[dict[str, Param]] = {
        **_LINK,
        "release": Param(default="full", unit="", choices=("full", "pro_rata"), doc="when the others are sent"),
        "entry_s": Param(default=0.0, unit="s", low=0, high=86400, doc="withdraw the rest of the first; 0 never"),
    }

    def asks(self, w: World) -> list[Ask]:
        """The first leg, and the others at prices of the market that comes after it."""
        return [
            Ask(self.as_limit(w, leg), IN_ITS_TIME if i else frozenset(), adds=i == 0)
            for i, leg in enumerate(self.legs)
        ]

    def line_of(self, i: int, leg: OrderRequest) -> Line:
        """Only the others may reduce."""
        line = super().line_of(i, leg)
        limit_p = None if leg.stop_px_p is not None else leg.price_p
        return msgspec.structs.replace(line, limit_p=limit_p, reduce=self.p["reduce"] and i > 0)

    def work(self, w: World) -> None:
        """Work the first leg, then what it releases."""
        first, filled = self.lines[0], self.filled(w, self.lines[0])
        late = self.p["entry_s"] > 0 and self.since_ns(w) >= round(self.p["entry_s"] * SECOND_NS)
        if filled < first.qty and not late:
            self.arm(w, first, self.legs[0], first.qty)
        over = filled >= first.qty or (late and self.clear(w, first))
        done = over
        for line, leg in zip(self.lines[1:], self.legs[1:], strict=True):
            lot = w.instrument(line.symbol).lot
            share = line.qty * min(filled, first.qty) // first.qty // lot * lot
            most = share if self.p["release"] == "pro_rata" or filled >= first.qty else 0
            if most and self.filled(w, line) < most:
                gone = line.reduce and not self.held(w, line) and self.idle(w, line)
                done = done and gone
                if not gone:
                    self.arm(w, line, leg, most)
        if done:
            self.finish("filled" if filled >= first.qty else "the first leg did not wholly trade")


class Bracket(_Linked):
    """An entry with a target and a stop on what it got.

    The parent enters at its limit, or chases (``step_s``, ``step_ticks``, ``give_pct``...) as MARKET; what is left of
    it after ``entry_s`` seconds is withdrawn. From the average fill the target lies ``target`` rupees away and the stop
    ``stop`` rupees; both only reduce. Of the two one at a time is in the market: the stop rests (as in ``stop``),
    and swaps with the target when the market gets there. Until the entry is over its stop is held here, for an
    exit that meets the own entry order would trade against it.
    Limits: the swap costs two messages; a jump through target and back within it is missed.
    """

    name = "bracket"
    params: ClassVar[dict[str, Param]] = {
        **_LINK,
        "target": Param(default=20.0, unit="Rs", low=0.01, high=1e6, doc="distance of the target from the average"),
        "stop": Param(default=10.0, unit="Rs", low=0.01, high=1e6, doc="distance of the stop from the average"),
        "entry_s": Param(default=60.0, unit="s", low=1, high=86400, doc="withdraw the rest of the entry after"),
        "reduce": Param(default=True, unit="", doc="exits always only close"),
    }

    def asks(self, w: World) -> list[Ask]:
        """The entry; what it may lose and win is not known before."""
        return [Ask(self.as_limit(w, self.parent))]

    def work(self, w: World) -> None:
        """Enter, then guard what was entered."""
        entry = self.lines[0]
        goal, stop = self._exits(w)
        filled = self.filled(w, entry)
        if filled:
            average = self.value_p(w, entry) / filled
            self.m["goal_p"] = self._away(w, goal, average, self.p["target"])
            self.m["stop_p"] = self._away(w, goal, average, -self.p["stop"])
        if not self.m.get("entered") and not self._enter(w, entry, stop, filled):
            return
        if not filled:
            self.finish("the entry did not trade")
        elif self.filled(w, goal) + self.filled(w, stop) >= filled:
            self.finish("closed")
        elif not self.held(w, goal) and self.idle(w, goal) and self.idle(w, stop):
            self.finish("the position was closed elsewhere")
        else:
            self.pair(w, goal, stop, (self.m["goal_p"], self.m["stop_p"], None), filled)

    def progress(self, w: World) -> str:
        """Entered and closed units."""
        goal, stop = self._exits(w)
        out = self.filled(w, goal), self.filled(w, stop)
        return f"{super().progress(w)} entered, {out[0]} closed at the target, {out[1]} at the stop"

    def _exits(self, w: World) -> tuple[Line, Line]:
        entry = self.lines[0]
        other = Side.SELL if entry.side is Side.BUY else Side.BUY
        goal = msgspec.structs.replace(entry, key="T", side=other, limit_p=None, reduce=True)
        return goal, msgspec.structs.replace(goal, key="S")

    def _away(self, w: World, exit_line: Line, average_p: float, rupees_away: float) -> int:
        """A price on the good side of the average for a positive distance."""
        price_p = average_p - exit_line.side.sign * rupees_away * 100.0
        return on_tick(round(price_p, 6), exit_line.side, w.instrument(exit_line.symbol).tick_p)

    def _enter(self, w: World, entry: Line, stop: Line, filled: int) -> bool:
        """Work the entry; True when it is over."""
        if filled:
            self.watch(w, stop, self.m["stop_p"])
        late = self.since_ns(w) >= round(self.p["entry_s"] * SECOND_NS)
        if filled < entry.qty and not late and not self.fired(stop):
            self.arm(w, entry, self.parent, entry.qty)
            if filled:
                self.say("the stop of what has filled is held here until the entry is over")
            return False
        self.m["entered"] = self.clear(w, entry)
        return bool(self.m["entered"])
